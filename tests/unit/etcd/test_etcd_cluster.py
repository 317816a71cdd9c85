# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of an etcd cluster by desired state: what is planned and done, and what is refused."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from etcd_fakes import FakeEtcd, fake_etcd, peer

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, ScalingError, Unreachable, WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.client import Etcd, Tls, require_endpoint
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.members import Wanted
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.members import plan as steps_for
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.members import run as take
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.observe import look, wait_healthy
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock
from ansible_collections.generalbots.scaling.plugins.modules import etcd_cluster

THREE = ("etcd-1", "etcd-2", "etcd-3")


def members(*names: str) -> dict[str, str]:
    return {name: peer(name) for name in names}


def call(capsys: pytest.CaptureFixture[str], etcd: FakeEtcd, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    given = {"endpoints": etcd.endpoints(), "members": members(*THREE), **options}
    with patch_module_args({**given, "_ansible_check_mode": check, "_ansible_diff": True}), pytest.raises(SystemExit):
        etcd_cluster.main()
    return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


class Quick:
    """Time in which sleeping takes none."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> Clock:
        def now() -> float:
            self.seconds += 0.01
            return self.seconds

        def sleep(seconds: float) -> None:
            self.seconds += seconds

        return Clock(now, sleep)


def test_a_healthy_cluster_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_etcd(*THREE) as etcd:
        told = call(capsys, etcd)
    assert (told["changed"], etcd.writes) == (False, [])
    assert [(member["name"], member["leader"], member["healthy"]) for member in told["members"]] == [
        ("etcd-1", True, True), ("etcd-2", False, True), ("etcd-3", False, True),
    ]  # fmt: skip


def test_a_lost_member_is_removed_and_added_as_a_learner(capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, t.Any] = {"replace": ["etcd-3"], "join": "etcd-3", "wait": "none"}
    with fake_etcd(*THREE) as etcd:
        etcd.named("etcd-3").mute = True
        predicted = call(capsys, etcd, check=True, **options)
        assert etcd.writes == []
        told = call(capsys, etcd, **options)
    assert predicted["actions"] == told["actions"] == ["remove etcd-3: its data is lost", "add etcd-3: as a learner"]
    assert etcd.writes == [("remove", {"ID": "103"}), ("add", {"peerURLs": [peer("etcd-3")], "isLearner": True})]
    assert told["initial_cluster"] == ",".join(f"{name}={peer(name)}" for name in THREE)
    assert told["known"] == list(THREE)


def test_joining_again_after_a_run_that_broke_off_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_etcd("etcd-1", "etcd-2") as etcd:
        call(capsys, etcd, join="etcd-3", wait="none")
        again = call(capsys, etcd, join="etcd-3", replace=["etcd-3"], wait="none")
    assert again["changed"] is False
    assert again["initial_cluster"].endswith(f"etcd-3={peer('etcd-3')}")


def test_a_member_may_be_added_with_a_vote_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_etcd("etcd-1", "etcd-2") as etcd:
        told = call(capsys, etcd, join="etcd-3", learner=False, wait="none")
    assert told["actions"] == ["add etcd-3: with a vote at once"]
    assert etcd.writes == [("add", {"peerURLs": [peer("etcd-3")], "isLearner": False})]


def test_a_learner_gets_its_vote_when_it_has_caught_up() -> None:
    with fake_etcd("etcd-1", "etcd-2") as fake:
        etcd, wanted = Etcd(fake.endpoints(), Tls()), Wanted(members(*THREE), join="etcd-3")
        take(etcd, steps_for(wanted, look(etcd).members), timeout=5)
        fake.start(peer("etcd-3"), "etcd-3")
        fake.named("etcd-3").behind = 3
        view = look(etcd)
        with pytest.raises(WaitTimeout, match="etcd-3 has no vote yet"):
            wait_healthy(etcd, wanted, timeout=3, clock=Quick().clock())
        take(etcd, steps_for(wanted, view.members), timeout=5, clock=Quick().clock())
        wait_healthy(etcd, wanted, timeout=3, clock=Quick().clock())
    assert [verb for verb, _body in fake.writes] == ["add", "promote"]


def test_a_learner_of_a_run_that_broke_off_gets_its_vote_before_the_next_one_joins() -> None:
    with fake_etcd("etcd-1", "etcd-2") as fake:
        fake.named("etcd-2").learner = True
        etcd, wanted = Etcd(fake.endpoints(), Tls()), Wanted(members(*THREE), join="etcd-3")
        take(etcd, steps_for(wanted, look(etcd).members), timeout=5, clock=Quick().clock())
    assert [verb for verb, _body in fake.writes] == ["promote", "add"]


def test_a_learner_that_does_not_catch_up_is_an_error() -> None:
    with fake_etcd(*THREE) as fake:
        fake.named("etcd-3").learner, fake.named("etcd-3").behind = True, 10**6
        etcd, wanted = Etcd(fake.endpoints(), Tls()), Wanted(members(*THREE))
        with pytest.raises(WaitTimeout, match="for etcd member etcd-3 to catch up with the leader"):
            take(etcd, steps_for(wanted, look(etcd).members), timeout=5, clock=Quick().clock())


def test_a_learner_is_passed_over_for_somebody_who_answers() -> None:
    with fake_etcd(*THREE) as fake:
        fake.named("etcd-1").learner = True
        etcd, wanted = Etcd(fake.endpoints()[:3], Tls()), Wanted(members(*THREE))
        take(etcd, steps_for(wanted, look(etcd).members), timeout=5, clock=Quick().clock())
        assert [verb for verb, _body in fake.writes] == ["promote"]
        for name in THREE:
            fake.named(name).learner = True
        with pytest.raises(Unreachable, match=r"No etcd member answers: .*has no vote yet and answers nothing"):
            etcd.members()


@pytest.mark.parametrize("change", [{"join": "etcd-3"}, {"replace": ["etcd-2"]}])
def test_a_change_waits_until_the_members_have_been_connected_for_a_while(change: dict[str, t.Any]) -> None:
    with fake_etcd("etcd-1", "etcd-2") as fake:
        etcd, wanted = Etcd(fake.endpoints(), Tls()), Wanted(members(*THREE), **change)
        steps = steps_for(wanted, look(etcd).members, {"101", "102"})
        fake.fresh = 10**6
        with pytest.raises(WaitTimeout, match=r"for etcd to let etcd-\d (join|be removed);.*connected to the others for five seconds"):
            take(etcd, steps, timeout=5, clock=Quick().clock())
        assert fake.writes == []
        fake.fresh = 9
        take(etcd, steps, timeout=5, clock=Quick().clock())
    assert len(fake.writes) == len(steps.actions) == 1


def test_nothing_is_removed_that_the_rest_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_etcd(*THREE) as etcd:
        etcd.named("etcd-2").mute = True
        told = call(capsys, etcd, replace=["etcd-3"], wait="none")
    assert told["failed"] is True
    assert "etcd member etcd-3 cannot be removed: of the 2 voting members that would be left, 1 answers, and 2 are needed" in told["msg"]
    assert etcd.writes == []


def test_a_new_address_is_told_to_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_etcd(*THREE) as etcd:
        told = call(capsys, etcd, members={**members("etcd-1", "etcd-2"), "etcd-3": "https://10.0.0.9:2380"})
    assert told["actions"] == ["update etcd-3: peer URL https://10.0.0.9:2380"]


def test_strangers_stay_unless_they_are_to_be_purged(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_etcd(*THREE, "etcd-4") as etcd:
        assert call(capsys, etcd)["changed"] is False
        assert call(capsys, etcd, purge=True)["actions"] == ["remove etcd-4: it is not wanted"]


def test_the_wait_says_who_is_missing_and_why() -> None:
    with fake_etcd("etcd-1", "etcd-2") as fake:
        fake.named("etcd-2").leaderless = True
        with pytest.raises(WaitTimeout, match="etcd-2: it sees no leader; etcd-3 is no member"):
            wait_healthy(Etcd(fake.endpoints(), Tls()), Wanted(members(*THREE)), timeout=2, clock=Quick().clock())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"members": {"etcd-1": peer("x"), "etcd-2": peer("x")}}, "Two etcd members share the peer URL"),
        ({"join": "etcd-9"}, "etcd-9 is to be replaced or to join, and is not among members"),
        ({"endpoints": ["http://10.0.0.1/v2/keys"]}, "is no URL of its v3 API"),
    ],
)
def test_what_cannot_be_meant_is_refused(capsys: pytest.CaptureFixture[str], options: dict[str, t.Any], said: str) -> None:
    with fake_etcd(*THREE) as etcd:
        told = call(capsys, etcd, **options)
    assert told["failed"] is True
    assert said in told["msg"]
    assert etcd.writes == []


def test_an_etcd_of_the_v2_kind_is_named_as_such() -> None:
    with fake_etcd("etcd-1") as fake:
        fake.version2 = True
        with pytest.raises(ScalingError, match="speaks no v3 API"):
            Etcd(fake.endpoints()[:1], Tls()).members()


@pytest.mark.parametrize("endpoint", ["10.0.0.1:2379", "https://10.0.0.1", "etcd://10.0.0.1:2379", "https://:2379"])
def test_an_endpoint_needs_scheme_host_and_port(endpoint: str) -> None:
    with pytest.raises(InvalidInput, match=r"Write it like https://10.87.0.21:2379"):
        require_endpoint(endpoint)


def test_nobody_answers() -> None:
    with pytest.raises(Unreachable, match=r"No etcd member answers: .*127.0.0.1:9"):
        Etcd(["http://127.0.0.1:9"], Tls()).members()


def test_keys_are_read_by_their_beginning_from_whoever_answers() -> None:
    with fake_etcd("etcd-1", "etcd-2") as fake:
        fake.keys = {"/service/gb/leader": "pg-1", "/service/gb0": "x", "/service/gc/leader": "pg-9"}
        fake.named("etcd-1").mute = True
        assert Etcd(fake.endpoints(), Tls()).below("/service/gb/") == {"/service/gb/leader": "pg-1"}
        assert Etcd(fake.endpoints(), Tls()).below("/nowhere/") == {}

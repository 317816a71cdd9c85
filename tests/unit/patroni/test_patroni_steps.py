# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps on a Patroni cluster: which are planned, in which order, and what is made of answers that were not hoped for."""

from __future__ import annotations

import typing as t

import pytest
from patroni_fakes import STRICT, FakeCluster, fake_cluster, reach

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict, InvalidInput, Refused, WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.health import Need
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.manage import Manner, manage
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.plan import Wanted
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.run import lasting

BOTH = pytest.mark.parametrize("version", ["3.0.2", "4.1.5"])
PARAMETERS = {"postgresql": {"parameters": {"max_connections": 100}}}


def bring(fake: FakeCluster, wanted: Wanted, *, act: bool = True, need: Need = Need(3), repair: float | None = None) -> dict[str, t.Any]:
    return manage(reach(fake), wanted, need, Manner(act, True, repair))


def tuned(**parameters: t.Any) -> dict[str, t.Any]:
    return {"postgresql": {"parameters": parameters}}


@BOTH
def test_what_is_so_already_is_left_alone(version: str) -> None:
    wanted = Wanted(config={"ttl": "20", "synchronous_mode": "on"}, pause=False, leader="pg-1", restart=True, members=3)
    with fake_cluster(version=version, config=STRICT) as fake:
        result = bring(fake, wanted, repair=30)
    assert (result["changed"], result["actions"], fake.writes) == (False, [], [])


@BOTH
def test_after_a_failover_the_lead_stays_where_it_is(version: str) -> None:
    with fake_cluster(version=version, config=STRICT) as fake:
        fake.leader, fake.sync = "pg-3", {"pg-1"}
        result = bring(fake, Wanted(config={**STRICT, "ttl": 20}, restart=True, members=3))
    assert (result["changed"], result["leader"], fake.writes) == (False, "pg-3", [])


def test_one_patch_with_the_differences() -> None:
    with fake_cluster(config=tuned(work_mem="4MB", jit="off")) as fake:
        result = bring(fake, Wanted(config={"ttl": 20, "loop_wait": 2, **tuned(work_mem="8MB", jit=False)}))
    assert [(path, body) for _name, path, body in fake.writes] == [("/config", {"loop_wait": 2, **tuned(work_mem="8MB")})]
    assert result["actions"] == ["configure the cluster: loop_wait, postgresql.parameters.work_mem"]
    assert result["diff"] == {
        "before": {"loop_wait": 1, "postgresql.parameters.work_mem": "4MB"},
        "after": {"loop_wait": 2, "postgresql.parameters.work_mem": "8MB"},
    }


def test_check_mode_predicts_the_calls_and_makes_none() -> None:
    wanted = Wanted(config=tuned(max_connections=200), pause=True, leader="pg-2", restart=True)
    with fake_cluster(config={**STRICT, **PARAMETERS}) as fake:
        predicted = bring(fake, wanted, act=False)
        assert fake.writes == []
        done = bring(fake, wanted)
    assert predicted["actions"] == done["actions"]
    assert predicted["diff"] == done["diff"]
    assert [path for _name, path, _body in fake.writes] == ["/config", "/config", "/switchover", "/restart", "/restart", "/restart"]


def test_a_change_by_another_in_the_same_moment_is_read_again() -> None:
    with fake_cluster() as fake:
        fake.conflicts = 2
        bring(fake, Wanted(config={"loop_wait": 2}))
    assert fake.config["loop_wait"] == 2
    assert fake.config["maximum_lag_on_failover"] == 5000, "the other's change was overwritten"


def test_after_four_conflicts_it_gives_up() -> None:
    with fake_cluster() as fake, pytest.raises(Conflict, match="PATCH /config"):
        fake.conflicts = 9
        bring(fake, Wanted(config={"loop_wait": 2}))
    assert fake.conflicts == 5


def test_a_configuration_that_reads_back_otherwise_is_an_error() -> None:
    with fake_cluster() as fake:
        fake.answers["/config"] = (200, "{}")
        with pytest.raises(WaitTimeout, match="it reads back with another loop_wait; somebody else may write it too"):
            bring(fake, Wanted(config={"loop_wait": 2}))


def test_bad_timers_change_nothing() -> None:
    with fake_cluster(version="4.1.5") as fake, pytest.raises(InvalidInput, match=r"Patroni 4.1.5 takes no ttl below 20"):
        bring(fake, Wanted(config={"ttl": 5, "retry_timeout": 2}))
    assert fake.writes == []


def test_the_newest_member_decides_and_the_running_values_count() -> None:
    with fake_cluster(config={"retry_timeout": 9}) as fake, pytest.raises(InvalidInput, match=r"so 21 > 20"):
        bring(fake, Wanted(config={"loop_wait": 3}))


@BOTH
def test_pausing_is_confirmed_by_every_member(version: str) -> None:
    with fake_cluster(version=version) as fake:
        assert bring(fake, Wanted(pause=True))["paused"] is True
        assert all(member.pause_known for member in fake.members.values())
        assert bring(fake, Wanted(pause=True))["changed"] is False
        assert bring(fake, Wanted(pause=False))["actions"] == ["resume automatic failover"]
    assert "pause" not in fake.config


def test_a_member_that_does_not_hear_of_the_pause_is_named() -> None:
    with fake_cluster() as fake:
        fake.members["pg-3"].deaf = True
        with pytest.raises(WaitTimeout, match="for every member to have paused; last seen: pg-3 has not"):
            bring(fake, Wanted(pause=True))


def test_pause_is_no_part_of_the_configuration() -> None:
    with fake_cluster() as fake, pytest.raises(InvalidInput, match="config sets pause"):
        bring(fake, Wanted(config={"pause": True}))


@BOTH
def test_a_switchover_names_both_and_is_read_back(version: str) -> None:
    with fake_cluster(version=version, config=STRICT) as fake:
        result = bring(fake, Wanted(leader="pg-2"))
    assert fake.writes == [("pg-1", "/switchover", {"leader": "pg-1", "candidate": "pg-2"})]
    assert (result["leader"], result["actions"]) == ("pg-2", ["switch over pg-2: from pg-1"])


def test_a_lead_that_went_elsewhere_is_an_error_of_its_own() -> None:
    with fake_cluster() as fake:
        fake.lands_on = "pg-3"
        with pytest.raises(Refused, match="The lead went to pg-3 instead of pg-2"):
            bring(fake, Wanted(leader="pg-2"))


def test_a_switchover_of_unknown_end_is_judged_by_the_cluster() -> None:
    with fake_cluster() as fake:
        fake.answers["/switchover"] = (503, "Switchover status unknown")
        with pytest.raises(WaitTimeout, match=r"pg-1 leads, running.*Patroni had said: Switchover status unknown"):
            bring(fake, Wanted(leader="pg-2"))


def test_what_patroni_refuses_is_told_in_its_words() -> None:
    with fake_cluster() as fake:
        fake.answers["/switchover"] = (412, "no good candidates have been found")
        with pytest.raises(ApiError, match=r"POST /switchover .* was refused \(412\): no good candidates have been found"):
            bring(fake, Wanted(leader="pg-2"))


@pytest.mark.parametrize(
    ("setup", "candidate", "said"),
    [
        ({"config": STRICT}, "pg-3", "it is no synchronous standby, and may lack writes that were acknowledged"),
        ({"pg-2": {"tags": {"nofailover": True}}}, "pg-2", "it has the tag nofailover"),
        ({"pg-2": {"streaming": False}}, "pg-2", "it is running"),
        ({"pg-2": {"lag": 2000000}}, "pg-2", "it is 2000000 bytes behind, more than maximum_lag_on_failover (1048576)"),
        ({"pg-2": {"lag": "unknown"}}, "pg-2", "an unknown number of bytes behind"),
        ({}, "pg-9", "it is no member of the cluster (pg-1, pg-2, pg-3)"),
    ],
)
def test_a_candidate_that_is_not_fit_is_refused_before_anything_happens(setup: dict[str, t.Any], candidate: str, said: str) -> None:
    with fake_cluster(config=setup.pop("config", None)) as fake:
        for name, values in setup.items():
            for key, value in values.items():
                setattr(fake.members[name], key, value)
        with pytest.raises(Refused) as refused:
            bring(fake, Wanted(leader=candidate), act=False)
    assert said in str(refused.value)
    assert "allow_data_loss" in str(refused.value)
    assert fake.writes == []


def test_a_failover_only_with_the_explicit_word() -> None:
    with fake_cluster(config=STRICT) as fake:
        fake.leader, fake.members["pg-1"].mute = None, True
        with pytest.raises(Refused, match="no member leads"):
            bring(fake, Wanted(leader="pg-2"), act=False)
        result = manage(reach(fake), Wanted(leader="pg-2", lossy=True), Need(3), Manner(True, False))
    assert fake.writes == [("pg-2", "/failover", {"candidate": "pg-2"})]
    assert result["actions"] == ["fail over pg-2: although no member leads, so there is nobody to hand over"]


def test_with_the_word_too_it_is_a_switchover_where_one_will_do() -> None:
    with fake_cluster(config=STRICT) as fake:
        bring(fake, Wanted(leader="pg-2", lossy=True))
    assert [path for _name, path, _body in fake.writes] == ["/switchover"]


def restarted(fake: FakeCluster) -> list[str]:
    return [name for name, path, _body in fake.writes if path == "/restart"]


@BOTH
def test_standbys_are_restarted_first(version: str) -> None:
    with fake_cluster(version=version, config=PARAMETERS) as fake:
        result = bring(fake, Wanted(config=tuned(max_connections=200), restart=True))
    assert restarted(fake) == ["pg-2", "pg-3", "pg-1"]
    assert result["pending_restart"] == []


def test_the_primary_is_restarted_first_where_a_setting_shrinks() -> None:
    with fake_cluster(config=PARAMETERS) as fake:
        result = bring(fake, Wanted(config=tuned(max_connections="50"), restart=True))
    assert restarted(fake) == ["pg-1", "pg-2", "pg-3"]
    assert result["actions"][1:] == [f"restart {name}: a setting needs it" for name in ("pg-1", "pg-2", "pg-3")]


def test_only_who_waits_for_it_is_restarted() -> None:
    with fake_cluster() as fake:
        fake.members["pg-3"].pending = True
        result = bring(fake, Wanted(restart=True))
    assert restarted(fake) == ["pg-3"]
    assert result["diff"]["before"] == {"pending_restart": ["pg-3"]}


EXTENSION = tuned(**{"pg_stat_statements.max": 9000})


def test_a_restart_that_only_the_members_know_of_is_made_in_the_same_run() -> None:
    with fake_cluster(config=PARAMETERS) as fake:
        fake.postmaster = {"pg_stat_statements.max"}
        result = bring(fake, Wanted(config=EXTENSION, restart=True))
    assert restarted(fake) == ["pg-2", "pg-3", "pg-1"]
    assert result["actions"][1:] == [f"restart {name}: a setting needs it" for name in ("pg-2", "pg-3", "pg-1")]
    assert result["pending_restart"] == []


def test_such_a_restart_too_begins_with_the_primary_where_a_setting_shrinks() -> None:
    with fake_cluster(config=PARAMETERS) as fake:
        fake.postmaster = {"pg_stat_statements.max"}
        bring(fake, Wanted(config=tuned(max_connections=50, **{"pg_stat_statements.max": 9000}), restart=True))
    assert restarted(fake) == ["pg-1", "pg-2", "pg-3"]


@pytest.mark.parametrize("act", [True, False])
def test_no_restart_is_announced_for_a_value_that_members_have_already(act: bool) -> None:
    with fake_cluster(config=PARAMETERS) as fake:
        result = bring(fake, Wanted(config=tuned(max_worker_processes=8), restart=True), act=act)
    assert result["actions"] == ["configure the cluster: postgresql.parameters.max_worker_processes"]


def test_a_restart_that_was_foreseen_and_that_nobody_needs_is_not_told_as_made() -> None:
    with fake_cluster(config=PARAMETERS) as fake:
        fake.postmaster = set()
        result = bring(fake, Wanted(config=tuned(max_connections=200), restart=True))
    assert (restarted(fake), result["actions"]) == ([], ["configure the cluster: postgresql.parameters.max_connections"])


def test_without_being_asked_nobody_is_restarted_and_the_wait_says_so() -> None:
    with fake_cluster(config=PARAMETERS) as fake, pytest.raises(WaitTimeout, match="pg-1 waits for a restart"):
        bring(fake, Wanted(config=tuned(max_connections=200)))
    assert restarted(fake) == []


def test_the_next_is_not_restarted_before_the_one_before_follows() -> None:
    class Limping(FakeCluster):
        def _restart(self, name: str, body: dict[str, t.Any]) -> tuple[int, str]:
            self.members[name].streaming = False
            return super()._restart(name, body)

    with fake_cluster(config=PARAMETERS) as fake:
        fake.__class__ = Limping
        with pytest.raises(WaitTimeout, match="healthy after the restart of pg-2; last seen: pg-2 is running"):
            bring(fake, Wanted(config=tuned(max_connections=200), restart=True))
    assert restarted(fake) == ["pg-2"]


def test_a_member_that_is_gone_after_its_restart_is_missed() -> None:
    class Vanishing(FakeCluster):
        def _cluster(self, version: str) -> dict[str, t.Any]:
            told = super()._cluster(version)
            return {**told, "members": [one for one in told["members"] if one["name"] != "pg-2" or not restarted(self)]}

    with fake_cluster(config=PARAMETERS) as fake:
        fake.__class__ = Vanishing
        with pytest.raises(WaitTimeout, match=r"healthy after the restart of pg-2; last seen: 2 of 3 members are there \(pg-1, pg-3\)"):
            bring(fake, Wanted(config=tuned(max_connections=200), restart=True), need=Need(1))
    assert restarted(fake) == ["pg-2"]


def test_a_restart_that_nobody_needs_any_more_is_no_failure() -> None:
    class Forestalled(FakeCluster):
        def _restart(self, name: str, _body: dict[str, t.Any]) -> tuple[int, str]:
            # Somebody else was there first.
            self.members[name].pending = False
            return 503, "restart conditions are not satisfied"

    with fake_cluster() as fake:
        fake.__class__ = Forestalled
        fake.members["pg-3"].pending = True
        assert bring(fake, Wanted(restart=True))["pending_restart"] == []


@pytest.mark.parametrize(("timeout", "told"), [(180, 180), (0.4, 1)])
def test_a_restart_may_take_as_long_as_the_run_waits(timeout: float, told: int) -> None:
    with fake_cluster() as fake:
        fake.members["pg-3"].pending = True
        manage(reach(fake, timeout=timeout), Wanted(restart=True), Need(3), Manner(True, True))
    assert fake.writes == [("pg-3", "/restart", {"restart_pending": True, "timeout": told})]


def test_a_restart_that_fails_is_told_in_patronis_words() -> None:
    with fake_cluster() as fake:
        fake.members["pg-3"].pending = True
        fake.answers["/restart"] = (503, "postgres is still starting")
        with pytest.raises(ApiError, match=r"POST /restart at .* failed \(503\): postgres is still starting"):
            bring(fake, Wanted(restart=True))


def test_broken_standbys_are_copied_one_at_a_time() -> None:
    with fake_cluster() as fake:
        fake.members["pg-2"].streaming, fake.members["pg-3"].timeline = False, 2
        result = bring(fake, Wanted(), repair=30)
    assert [(name, path) for name, path, _body in fake.writes] == [("pg-2", "/reinitialize"), ("pg-3", "/reinitialize")]
    assert result["actions"] == [
        "reinitialize pg-2: it does not follow (it is running, timeline 1)",
        "reinitialize pg-3: it does not follow (it is streaming, timeline 2)",
    ]


def test_a_standby_that_recovers_by_itself_keeps_its_data() -> None:
    with fake_cluster() as fake:
        cluster = reach(fake)
        fake.members["pg-2"].streaming = False
        view = cluster.look()
        fake.members["pg-2"].streaming = True
        assert lasting(cluster, view, 30) == []


def test_check_mode_predicts_the_copies_too() -> None:
    with fake_cluster() as fake:
        fake.members["pg-3"].state = "start failed"
        result = bring(fake, Wanted(), act=False, repair=30)
    assert result["actions"] == ["reinitialize pg-3: it does not follow (it is start failed, timeline 1)"]
    assert fake.writes == []


@pytest.mark.parametrize(("name", "said"), [("pg-1", "pg-1 leads the cluster"), ("pg-7", "pg-7 is to be copied anew and is no member")])
def test_copies_that_cannot_be_are_refused(name: str, said: str) -> None:
    with fake_cluster() as fake, pytest.raises((Refused, InvalidInput), match=said):
        bring(fake, Wanted(reinitialize=[name]))
    assert fake.writes == []


def test_without_a_leader_nothing_is_thrown_away() -> None:
    with fake_cluster() as fake, pytest.raises(Refused, match="there is no leader to copy from"):
        fake.leader = None
        bring(fake, Wanted(reinitialize=["pg-2"]), act=False)
    assert fake.writes == []


def test_a_wrong_password_is_said_and_not_shown() -> None:
    with fake_cluster() as fake:
        cluster = reach(fake, password="mistaken-password")
        with pytest.raises(ApiError, match="the password of patroni is not the one that this member has") as refused:
            manage(cluster, Wanted(pause=True), Need(3), Manner(True, True))
    assert "mistaken-password" not in str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "call"),
    [
        (Wanted(config={"maximum_lag_on_failover": 5}), "/config"),
        (Wanted(pause=True), "/config"),
        (Wanted(leader="pg-2"), "/switchover"),
        (Wanted(reinitialize=["pg-2"]), "/reinitialize"),
        (Wanted(restart=True), "/restart"),
    ],
)  # fmt: skip
def test_a_password_that_a_member_has_not_read_yet_is_shown_again(wanted: Wanted, call: str) -> None:
    with fake_cluster() as fake:
        fake.members["pg-2"].pending = wanted.restart
        fake.reloads = {"pg-1": 8, "pg-2": 8}
        bring(fake, wanted)
    assert [path for _name, path, _body in fake.writes] == [call]


@pytest.mark.parametrize(("loop_wait", "timeout", "least", "most"), [(1, 30, 6, 8), (10, 30, 15, 17), (10, 8, 8, 10)])
def test_a_password_that_stays_refused_is_an_error_when_every_loop_has_begun(loop_wait: int, timeout: float, least: int, most: int) -> None:
    with fake_cluster(config={"ttl": 30, "loop_wait": loop_wait}) as fake:
        fake.reloads = {"pg-1": 1000}
        cluster = reach(fake, timeout=timeout)
        start = cluster.clock.now()
        with pytest.raises(ApiError, match="the password of patroni is not the one that this member has"):
            manage(cluster, Wanted(pause=True), Need(3), Manner(True, True))
        assert least <= cluster.clock.now() - start <= most


def test_strict_waits_for_the_members_that_shall_be_there() -> None:
    with fake_cluster("pg-1") as fake:
        with pytest.raises(InvalidInput, match="a single member"):
            bring(fake, Wanted(config=STRICT), need=Need(1))
        with pytest.raises(WaitTimeout, match="for the members to be there; last seen: 1 of 3 members are there"):
            bring(fake, Wanted(config=STRICT, members=3))
    assert fake.writes == []


def test_a_replica_that_never_catches_up_is_said_with_its_lag() -> None:
    with fake_cluster() as fake:
        fake.members["pg-2"].lag = 50_000_000
        with pytest.raises(WaitTimeout, match="pg-2 is 50000000 bytes behind"):
            bring(fake, Wanted(), need=Need(3))

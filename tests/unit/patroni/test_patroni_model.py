# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Patroni cluster as it is read: the same value whatever version its members run, and what is missing to its health."""

from __future__ import annotations

import pytest
from patroni_fakes import SCOPE, STRICT, fake_cluster, reach

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Access, Patroni
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.health import Need, broken, problems, unsettled
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import View, observe

BOTH = pytest.mark.parametrize("version", ["3.0.2", "4.1.5"])


@BOTH
def test_both_versions_look_the_same(version: str) -> None:
    with fake_cluster(version=version, config=STRICT) as fake:
        view = reach(fake).look()
    assert [(member.name, member.role, member.state) for member in view.members] == [
        ("pg-1", "leader", "running"), ("pg-2", "sync_standby", "streaming"), ("pg-3", "replica", "streaming"),
    ]  # fmt: skip
    assert view.leader is not None and view.leader.name == "pg-1"
    assert problems(view, Need(3, synchronous=1)) == []


@BOTH
def test_a_standby_that_runs_and_does_not_stream_is_not_well(version: str) -> None:
    with fake_cluster(version=version) as fake:
        fake.members["pg-3"].streaming = False
        view = reach(fake).look()
    assert problems(view, Need(3)) == ["pg-3 is running"]
    assert broken(view) == ["pg-3"]


@pytest.mark.parametrize(("oldest", "upgraded"), [("3.0.2", "4.1.5"), ("4.1.5", "3.0.2")])
def test_in_the_middle_of_an_upgrade_a_standby_is_believed_whoever_tells_of_it(oldest: str, upgraded: str) -> None:
    with fake_cluster(version=oldest, config=STRICT) as fake:
        fake.members["pg-2"].version = upgraded
        assert problems(reach(fake).look(), Need(3, synchronous=1)) == []
        fake.members["pg-2"].streaming = fake.members["pg-3"].streaming = False
        assert broken(reach(fake).look()) == ["pg-2", "pg-3"]


def test_each_thing_that_is_missing_is_said() -> None:
    with fake_cluster(config=STRICT) as fake:
        fake.leader, fake.sync = None, set()
        fake.members["pg-1"].mute = True
        fake.members["pg-2"].state = "start failed"
        fake.members["pg-3"].pending = True
        found = problems(reach(fake).look(), Need(4, synchronous=1))
    assert found[0] == "no member leads"
    assert found[1] == "3 of 4 members are there (pg-1, pg-2, pg-3)"
    assert found[2].startswith("pg-1 does not answer (GET /patroni at http://127.0.0.1:")
    assert found[3] == "pg-2 is start failed"
    assert "pg-3 waits for a restart that a setting needs" in found
    assert found[-1] == "0 of 1 synchronous standbys are there"


def test_a_standby_that_lags_or_forked_is_named_with_the_figures() -> None:
    with fake_cluster() as fake:
        fake.members["pg-2"].lag = 99999
        fake.members["pg-3"].lag, fake.members["pg-3"].timeline = "unknown", 2
        view = reach(fake).look()
    assert problems(view, Need(3, lag=1000)) == [
        "pg-2 is 99999 bytes behind (at most 1000 allowed)",
        "pg-3 is on timeline 2, and pg-1, which leads, on 1",
        "pg-3 is an unknown number of bytes behind (at most 1000 allowed)",
    ]
    assert broken(view) == ["pg-3"]


def test_who_is_on_the_way_is_waited_for_and_not_broken() -> None:
    with fake_cluster() as fake:
        fake.members["pg-3"].state = "creating replica"
        fake.members["pg-2"].state = "start failed"
        view = reach(fake).look()
    assert broken(view) == ["pg-2"]
    assert unsettled(view, 4) == ["3 of 4 members are there (pg-1, pg-2, pg-3)", "pg-3 is creating replica"]


def test_another_scope_is_refused() -> None:
    with fake_cluster() as fake, pytest.raises(Refused, match=r"pg-1 at .* belongs to the Patroni cluster 'gb' and not to 'other'"):
        reach(fake, scope="other").look()


def test_databases_of_two_origins_are_refused() -> None:
    with fake_cluster() as fake:
        fake.members["pg-2"].system = "7999"
        with pytest.raises(Refused, match=r"different origin .*pg-2 7999"):
            reach(fake).look()


def test_one_member_that_answers_is_enough() -> None:
    with fake_cluster() as fake:
        fake.members["pg-1"].mute = True
        view = reach(fake).look()
    assert [member.name for member in view.members if member.silent] == ["pg-1"]


def test_nobody_answers() -> None:
    with pytest.raises(Unreachable, match=r"No member of the Patroni cluster answers: .*127.0.0.1:9"):
        observe(Patroni(["http://127.0.0.1:9"], Access()), SCOPE)


def test_a_member_that_is_named_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="urls names http://a:1 twice"):
        Patroni(["http://a:1", "http://a:1"], Access())


def test_an_empty_view_has_no_leader() -> None:
    assert View((), {}).leader is None
    assert View((), {}).newest == ()

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the instances of a component are made in a cluster of several machines."""

from __future__ import annotations

import typing as t

import pytest
from fake_daemon import FakeDaemon

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import InstanceSpec, Runner, RunOptions, observe, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.placement import places, spread


def member(name: str, domain: str = "default", status: str = "Online", scheduler: str = "all") -> dict[str, t.Any]:
    """A member as LXD lists it."""
    return {"server_name": name, "failure_domain": domain, "status": status, "config": {"scheduler.instance": scheduler}}


def made(daemon: FakeDaemon, *names: str, component: str = "postgres") -> list[str]:
    """Make these instances, and tell what was planned."""
    specs = [InstanceSpec(name, component, "gb/image") for name in names]
    observed = observe(daemon)  # type: ignore[arg-type]
    targets = spread(specs, observed, places(daemon, specs, observed))  # type: ignore[arg-type]
    wanted = plan(specs, observed, "present", targets)
    Runner(daemon, RunOptions(parallel=1)).run(wanted)  # type: ignore[arg-type]
    assert daemon.calls[-len(names) :] == [step.replace(": from gb/image", "") for step in wanted.steps()]
    for call in daemon.calls[-len(names) :]:
        verb, name, _on, where = call.split()
        assert verb == "create"
        daemon.instances[name]["location"] = where
    return [str(daemon.instances[name]["location"]) for name in names]


@pytest.fixture
def daemon() -> FakeDaemon:
    """A cluster of three machines in two rooms."""
    one = FakeDaemon()
    one.cluster = [member("rack-a1", "a"), member("rack-a2", "a"), member("rack-b1", "b")]
    return one


def test_each_member_of_a_database_gets_a_failure_domain_of_its_own_and_then_a_machine_of_its_own(daemon: FakeDaemon) -> None:
    assert made(daemon, "postgres-1", "postgres-2", "postgres-3") == ["rack-a1", "rack-b1", "rack-a2"]


def test_components_are_spread_each_by_itself_and_busy_machines_are_spared(daemon: FakeDaemon) -> None:
    made(daemon, "postgres-1", "postgres-2", "postgres-3")
    daemon.add("botserver-1")["location"] = "rack-a1"
    assert made(daemon, "etcd-1", "etcd-2", "etcd-3", component="etcd") == ["rack-a2", "rack-b1", "rack-a1"]


def test_a_member_that_is_made_anew_goes_where_the_others_are_not(daemon: FakeDaemon) -> None:
    made(daemon, "postgres-1", "postgres-2", "postgres-3")
    del daemon.instances["postgres-2"]
    assert made(daemon, "postgres-2") == ["rack-b1"]


def test_more_members_than_machines_share_them_evenly(daemon: FakeDaemon) -> None:
    where = made(daemon, *(f"postgres-{number}" for number in range(1, 6)))
    assert where == ["rack-a1", "rack-b1", "rack-a2", "rack-b1", "rack-a1"]


@pytest.mark.parametrize(
    "left_out",
    [member("rack-0", "c", status="Offline"), member("rack-0", "c", status="Evacuated"), member("rack-0", "c", scheduler="manual")],
)
def test_a_machine_that_is_away_or_kept_free_gets_none(daemon: FakeDaemon, left_out: dict[str, t.Any]) -> None:
    daemon.cluster.append(left_out)
    assert "rack-0" not in made(daemon, "postgres-1", "postgres-2", "postgres-3")


def test_without_a_cluster_the_engine_is_told_no_place(daemon: FakeDaemon) -> None:
    daemon.cluster = []
    specs = [InstanceSpec("postgres-1", "postgres", "gb/image")]
    assert places(daemon, specs, {}) == ()  # type: ignore[arg-type]
    assert plan(specs, {}, "present", spread(specs, {}, ())).steps() == ["create postgres-1: from gb/image"]


def test_where_nothing_is_made_nobody_is_asked_for_machines(daemon: FakeDaemon) -> None:
    daemon.add("postgres-1", component="postgres")
    specs = [InstanceSpec("postgres-1", "postgres", "gb/image")]
    daemon.cluster = [{"unreadable": True}]
    assert places(daemon, specs, observe(daemon)) == ()  # type: ignore[arg-type]

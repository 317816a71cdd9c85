# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one member of etcd and PostgreSQL to three while somebody writes."""

from __future__ import annotations

from data_tier import MEMBERS
from operated import Operated

#: seconds without an acknowledgement that growth may cost at the most; nothing is restarted
STANDSTILL = 10
#: the same where all members are restarted, one after the other, and the lead is handed over for it
STANDSTILL_OF_A_RESTART = 20
MIB = 1024 * 1024
#: where a container sees how many of its processes were killed for want of memory, with cgroups of version 2 and 1
KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
#: seconds that a run which has nothing to do may take at the most
SECOND_RUN = 90


def test_one_becomes_three_while_somebody_writes(site: Operated) -> None:
    assert site.settled() == "postgres-1"
    assert [member["name"] for member in site.cluster()["members"]] == ["postgres-1"], "it has grown already; converge it anew"
    site.set(gb_etcd_members=3, gb_postgres_members=3)
    with site.recorded("from one member to three") as seen:
        site.play("site")
    assert seen.verdict.outage < STANDSTILL
    assert site.settled() == "postgres-1", "growth moved the lead"


def test_what_grew_is_whole(site: Operated) -> None:
    members = site.cluster()["members"]
    assert sorted(member["name"] for member in members) == list(MEMBERS)
    assert sorted(member["role"] for member in members) == ["leader", "replica", "sync_standby"]
    config = site.config()
    assert (config["synchronous_mode"], config["synchronous_mode_strict"]) == (True, True)
    assert site.sql(site.leader(), "select count(*) from pg_stat_replication where state = 'streaming'") == "2"
    assert site.sql(site.leader(), "show synchronous_standby_names") != ""


def test_a_second_run_changes_nothing_and_is_soon_over(site: Operated) -> None:
    took = site.unchanged("site")
    site.note("a second run of site.yml", f"{took:.0f} s, nothing changed")
    assert took < SECOND_RUN


def test_all_three_of_etcd_are_used(site: Operated) -> None:
    for name in MEMBERS:
        told = site.run(name, "grep", "-A4", "^ *hosts:", "/etc/patroni/config.yml")
        assert [f"10.99.0.2{number}:2379" in told for number in (1, 2, 3)] == [True] * 3
    # One that is not the first goes, and Patroni does not notice.
    leader = site.settled()
    site.power("stop", "etcd-1")
    try:
        with site.recorded("the first member of etcd is off") as seen:
            assert site.leader() == leader
    finally:
        site.power("start", "etcd-1")
    assert seen.verdict.outage < STANDSTILL
    assert site.settled() == leader


def test_memory_is_given_before_it_is_used(site: Operated) -> None:
    assert_resized(site, "2GiB", "512MB")


def test_memory_is_taken_when_it_is_no_longer_used(site: Operated) -> None:
    """What the members share is more than they are left with."""
    leader = site.settled()
    site.sql(leader, "create table filling as select repeat('x', 900) from generate_series(1, 500000)")
    site.sql(leader, "create extension pg_prewarm")
    assert int(site.sql(leader, "select pg_prewarm('filling', 'buffer')")) * 8192 > 400 * MIB
    site.sql(leader, "drop extension pg_prewarm")
    assert_resized(site, "512MiB", "128MB")
    site.sql(site.settled(), "drop table filling")


def assert_resized(site: Operated, memory: str, shared: str) -> None:
    """Give the members so much memory and require that they use it, that none was killed for it, and that nothing is left to do."""
    site.set(gb_postgres_limits={"memory": memory})
    with site.recorded(f"the members have {memory}") as seen:
        site.play("site")
    assert seen.verdict.outage < STANDSTILL_OF_A_RESTART
    site.settled()
    for name in MEMBERS:
        assert site.sql(name, "show shared_buffers") == shared
        assert site.lxd.get(f"instances/{name}")[0]["config"]["limits.memory"] == memory
        assert "oom_kill 0" in site.run(name, "sh", "-c", f"cat {' '.join(KILLS)} 2>/dev/null || true").splitlines()
    site.unchanged("site")

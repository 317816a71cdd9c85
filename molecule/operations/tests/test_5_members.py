# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting of the living cluster is changed, members are replaced, and a member comes with somebody else's data."""

from __future__ import annotations

from data_tier import MEMBERS, changes
from operated import Operated

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import ETCDCTL

#: seconds without an acknowledgement that a restart of the primary under its writers may cost at the most
STANDSTILL = 20
#: a member of another cluster, as Patroni writes it into etcd
FOREIGN = '{"conn_url": "postgres://10.9.9.9:5432/postgres", "api_url": "https://10.9.9.9:8008/patroni"}'


def begun(site: Operated, name: str) -> float:
    """When a member's PostgreSQL was started, in seconds since the epoch."""
    return float(site.sql(name, "select extract(epoch from pg_postmaster_start_time())"))


def test_a_setting_of_a_living_cluster_is_changed_with_restarts_in_order(site: Operated) -> None:
    leader = site.settled()
    before = site.sql(leader, "show max_connections")
    assert before != "90"
    with site.recorded("max_connections raised and lowered again, with a restart of each member for both") as seen:
        text = site.play("postgres", "--tags", "postgres", "-e", '{"postgres_parameters": {"max_connections": 90}}')
        assert changes(text) != []
        assert [site.sql(name, "show max_connections") for name in MEMBERS] == ["90"] * 3
        # More is taken up by the standbys first, less by the primary.
        assert max(MEMBERS, key=lambda name: begun(site, name)) == leader
        assert changes(site.play("postgres", "--tags", "postgres")) != []
        assert [site.sql(name, "show max_connections") for name in MEMBERS] == [before] * 3
        assert min(MEMBERS, key=lambda name: begun(site, name)) == leader
    assert seen.verdict.outage < STANDSTILL
    assert site.leader() == leader


def test_what_could_not_become_a_member_is_refused_and_nothing_is_touched(site: Operated) -> None:
    site.settled()
    before = [site.run(name, "sha256sum", "/etc/patroni/config.yml") for name in MEMBERS]
    said = site.play("postgres", "--tags", "postgres", "-e", "postgres_minimum_free=100000000", fails=True)
    assert "MiB free, and postgres_minimum_free asks for 100000000" in said
    etcdctl = (*ETCDCTL, f"--endpoints=https://{site.place.at('etcd-1')}:2379")
    site.run("etcd-1", *etcdctl, "put", "/service/other/members/db-1", FOREIGN)
    try:
        said = site.play("postgres", "--tags", "postgres", "-e", "postgres_scope=other", fails=True)
    finally:
        site.run("etcd-1", *etcdctl, "del", "--prefix", "/service/other/")
    assert "The scope other is taken by another cluster: its member db-1 runs at 10.9.9.9" in said
    assert [site.run(name, "sha256sum", "/etc/patroni/config.yml") for name in MEMBERS] == before
    site.unchanged("postgres", "--tags", "postgres")


def test_the_leader_is_replaced(site: Operated) -> None:
    lost = site.settled()
    with site.recorded("the leader's instance is deleted and made anew") as seen:
        site.play("postgres_replace", "-e", f"member={lost}", "-e", "gb_replace=yes")
    assert seen.verdict.lost == 0
    assert site.settled() != lost


def test_a_member_stays_while_another_is_missing(site: Operated) -> None:
    leader = site.settled()
    gone, asked = (name for name in MEMBERS if name != leader)
    site.run(gone, "systemctl", "stop", "patroni")
    try:
        said = site.play("postgres_replace", "-e", f"member={asked}", "-e", "gb_replace=yes", fails=True)
    finally:
        site.run(gone, "systemctl", "start", "patroni")
    assert f"{asked} cannot be spared" in said
    assert site.settled() == leader


def test_a_member_of_etcd_is_replaced(site: Operated) -> None:
    leader = site.settled()
    with site.recorded("a member of etcd is deleted and made anew") as seen:
        site.play("postgres_replace", "-e", "member=etcd-2", "-e", "gb_replace=yes")
    assert seen.verdict.lost == 0
    assert site.settled() == leader


def test_data_of_another_origin_is_refused_and_so_is_what_is_no_data(site: Operated) -> None:
    standby = next(name for name in MEMBERS if name != site.settled())
    site.run(standby, "systemctl", "stop", "patroni")
    site.run(standby, "mv", "/var/lib/postgresql/15/main", "/var/lib/postgresql/15/kept")
    site.run(standby, "su", "postgres", "-c", "/usr/lib/postgresql/15/bin/initdb -D /var/lib/postgresql/15/main")
    said = site.play("postgres", "--tags", "postgres", fails=True)
    assert "holds a database of another origin" in said
    site.run(standby, "rm", "-r", "/var/lib/postgresql/15/main")
    site.run(standby, "install", "-D", "/etc/hostname", "/var/lib/postgresql/15/main/photos")
    said = site.play("postgres", "--tags", "postgres", fails=True)
    assert "is not empty and holds no database (photos…)" in said
    site.run(standby, "rm", "-r", "/var/lib/postgresql/15/main")
    site.run(standby, "mv", "/var/lib/postgresql/15/kept", "/var/lib/postgresql/15/main")
    site.run(standby, "systemctl", "start", "patroni")
    site.settled()

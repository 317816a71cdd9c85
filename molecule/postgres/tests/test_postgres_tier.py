# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook postgres.yml brought up, and what happens to it when a member goes."""

from __future__ import annotations

import re
import socket

import pytest
from data_tier import ASK, MEMBERS, Tier, changes

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

#: prints how often Patroni asks PostgreSQL for its parameters when it needs them twice
ASKED = """
from patroni.postgresql import Postgresql
asked = []
of_nothing = Postgresql.__new__(Postgresql)
of_nothing._get_gucs = lambda: asked.append("once more") or {"port"}
assert of_nothing.available_gucs == of_nothing.available_gucs == {"port"}
print(len(asked))
"""


def test_one_leads_and_two_follow_one_of_them_synchronously(tier: Tier) -> None:
    members = tier.cluster("postgres-1")["members"]
    assert sorted(member["name"] for member in members) == list(MEMBERS)
    assert sorted(member["role"] for member in members) == ["leader", "replica", "sync_standby"]
    assert tier.sql(tier.leader(), "select count(*) from pg_stat_replication where state = 'streaming'") == "2"


def test_patroni_asks_once_which_parameters_postgresql_has(tier: Tier) -> None:
    """Thirty questions stood between a lost leader and the next one's first write."""
    assert tier.run("postgres-1", "/opt/patroni/bin/python", "-c", ASKED) == "1"


def test_check_mode_predicts_that_nothing_changes(tier: Tier) -> None:
    assert changes(tier.play("postgres", "--check", "--tags", "etcd,postgres")) == []


def test_every_connection_of_a_standby_is_encrypted(tier: Tier) -> None:
    found = tier.sql(tier.leader(), "select bool_and(ssl) from pg_stat_ssl join pg_stat_replication using (pid)")
    assert found == "t"


def test_the_superuser_is_not_let_in_over_the_network(tier: Tier) -> None:
    said = tier.refused("postgres-1", "psql", "-h", "10.97.0.32", "-U", "postgres", "-c", "select 1")
    assert "pg_hba.conf rejects connection" in said


def test_changes_through_the_rest_api_need_the_password(tier: Tier) -> None:
    before = tier.config()["ttl"]
    assert tier.run("postgres-2", *ASK, "PATCH", tier.api("postgres-1", "/config"), "/etc/patroni/ca.crt").startswith("401 ")
    assert tier.config()["ttl"] == before != 30


def test_nothing_of_it_is_reached_from_the_host(tier: Tier) -> None:
    for port in (5432, 8008):
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection(("10.97.0.31", port), timeout=2)
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection(("10.97.0.21", 2379), timeout=2)


def test_etcd_lets_in_certificates_of_its_own_authority_only(tier: Tier) -> None:
    url, ca = "https://10.97.0.21:2379/health", "/etc/patroni/etcd-ca.crt"
    for pair in ((), ("/etc/patroni/member.crt", "/etc/patroni/member.key")):
        assert re.search("alert|reset|EOF", tier.refused("postgres-1", *ASK, "GET", url, ca, *pair))
    told = tier.run("postgres-1", *ASK, "GET", url, ca, "/etc/patroni/etcd.crt", "/etc/patroni/etcd.key")
    assert '"health":"true"' in told


def test_debian_runs_no_cluster_of_its_own(tier: Tier) -> None:
    assert tier.run("postgres-1", "pg_lsclusters", "--no-header") == ""
    assert tier.refused("postgres-1", "systemctl", "is-enabled", "postgresql").strip() == "masked"


def test_a_dead_patroni_comes_back_by_itself(tier: Tier) -> None:
    standby = next(name for name in MEMBERS if name != tier.leader())
    before = tier.run(standby, "systemctl", "show", "-p", "MainPID", "--value", "patroni")
    tier.run(standby, "kill", "-9", before)
    after = wait_for(
        "Patroni to be back",
        lambda: tier.run(standby, "systemctl", "show", "-p", "MainPID", "--value", "patroni"),
        lambda pid: pid not in ("0", before),
        timeout=15,
    )
    assert after not in ("0", before)


def test_the_maintenance_of_etcd_leaves_a_snapshot(tier: Tier) -> None:
    tier.run("etcd-1", "systemctl", "start", "gb-etcd-maintenance.service")
    assert tier.run("etcd-1", "find", "/var/lib/etcd-snapshots", "-name", "*.db", "-size", "+8k").endswith(".db")


def test_a_switchover_goes_to_a_standby_that_has_everything(tier: Tier) -> None:
    before = tier.settled()
    synchronous = next(member["name"] for member in tier.cluster(before)["members"] if member["role"] == "sync_standby")
    tier.play("postgres_switchover")
    assert tier.leader() == synchronous
    assert changes(tier.play("postgres_switchover", "-e", f"leader={synchronous}")) == []


def test_a_standby_that_may_lack_writes_gets_no_lead(tier: Tier) -> None:
    tier.settled()
    behind = next(member["name"] for member in tier.cluster("postgres-1")["members"] if member["role"] == "replica")
    assert "it is no synchronous standby" in tier.play("postgres_switchover", "-e", f"leader={behind}", fails=True)


def test_a_lost_leader_costs_no_write_and_the_next_run_changes_nothing(tier: Tier) -> None:
    lost = tier.settled()
    other = next(name for name in MEMBERS if name != lost)
    tier.sql(lost, "create table kept (id int primary key)")
    for number in range(50):
        tier.sql(lost, f"insert into kept values ({number})")
    tier.power("stop", lost)
    leader = tier.new_leader(other, lost)
    assert tier.sql(leader, "select count(*) from kept") == "50"
    tier.power("start", lost)
    assert tier.settled() == leader
    assert changes(tier.play("postgres", "--tags", "etcd,postgres")) == []
    assert tier.leader(lost) == leader


def test_nobody_is_deleted_without_the_explicit_word(tier: Tier) -> None:
    assert "Say so with -e gb_replace=yes" in tier.play("postgres_replace", "-e", "member=postgres-3", fails=True)

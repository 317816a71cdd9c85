# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting of the living cluster is changed, members are replaced, and a member comes with somebody else's data."""

from __future__ import annotations

from data_tier import MEMBERS, changes
from operated import Operated


def test_a_setting_of_a_living_cluster_is_changed_with_restarts_in_order(site: Operated) -> None:
    leader = site.settled()
    before = site.sql(leader, "show max_connections")
    assert before != "90"
    text = site.play("postgres", "--tags", "postgres", "-e", '{"postgres_parameters": {"max_connections": 90}}')
    assert changes(text) != []
    assert [site.sql(name, "show max_connections") for name in MEMBERS] == ["90"] * 3
    # More is taken up by the standbys first, less by the primary.
    assert changes(site.play("postgres", "--tags", "postgres")) != []
    assert [site.sql(name, "show max_connections") for name in MEMBERS] == [before] * 3
    assert site.leader() == leader


def test_the_leader_is_replaced(site: Operated) -> None:
    lost = site.settled()
    with site.recorded("the leader's instance is deleted and made anew") as seen:
        site.play("postgres_replace", "-e", f"member={lost}", "-e", "gb_replace=yes")
    assert seen.verdict.lost == 0
    assert site.settled() != lost


def test_a_member_of_etcd_is_replaced(site: Operated) -> None:
    leader = site.settled()
    with site.recorded("a member of etcd is deleted and made anew") as seen:
        site.play("postgres_replace", "-e", "member=etcd-2", "-e", "gb_replace=yes")
    assert seen.verdict.lost == 0
    assert site.settled() == leader


def test_data_of_another_origin_is_refused(site: Operated) -> None:
    standby = next(name for name in MEMBERS if name != site.settled())
    site.run(standby, "systemctl", "stop", "patroni")
    site.run(standby, "mv", "/var/lib/postgresql/15/main", "/var/lib/postgresql/15/kept")
    site.run(standby, "su", "postgres", "-c", "/usr/lib/postgresql/15/bin/initdb -D /var/lib/postgresql/15/main")
    said = site.play("postgres", "--tags", "postgres", fails=True)
    assert "holds a database of another origin" in said
    site.run(standby, "rm", "-r", "/var/lib/postgresql/15/main")
    site.run(standby, "mv", "/var/lib/postgresql/15/kept", "/var/lib/postgresql/15/main")
    site.run(standby, "systemctl", "start", "patroni")
    site.settled()

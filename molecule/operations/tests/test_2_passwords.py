# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every password of the data tier made anew while somebody writes, and botserver's while somebody visits."""

from __future__ import annotations

from data_tier import MEMBERS, changes
from operated import Operated

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

STANDSTILL = 10
STREAMING = "select count(*) from pg_stat_replication where state = 'streaming'"
# Whoever changes the REST API's configuration needs its password; the patch says what is there already.
CHANGE = (
    "import requests, sys\n"
    "url, password = sys.argv[1], open('/root/password').read()\n"
    "there = requests.get(url, verify='/etc/patroni/ca.crt', timeout=5).json()\n"
    "told = requests.patch(url, verify='/etc/patroni/ca.crt', auth=('patroni', password), json={'ttl': there['ttl']}, timeout=5)\n"
    "print(told.status_code)\n"
)


def change(site: Operated, member: str, password: str) -> str:
    """The status that the REST API of a member answers to a change with this password."""
    site.lxd.write_file("postgres-1", "/root/password", password.encode(), mode="0600")
    program = ("python3", "-c", CHANGE, site.api(member, "/config"))
    try:
        return site.run("postgres-1", *program)
    finally:
        site.run("postgres-1", "rm", "/root/password")


def started(site: Operated) -> str:
    """When the botserver of the first slot was started."""
    return site.run("botserver-1", "systemctl", "show", "-p", "ExecMainStartTimestampMonotonic", "--value", "botserver")


def test_the_passwords_of_the_cluster_are_changed_while_somebody_writes(site: Operated) -> None:
    leader = site.settled()
    pairs = {name: site.renew_secret(name) for name in ("superuser", "replication", "rewind", "rest")}
    with site.recorded("other passwords of superuser, replication, rewind and REST API") as seen:
        said = site.play("postgres", "--tags", "postgres", "-vv", "--diff")
        assert changes(said) != []
        # Whoever replicates logs in anew, with what is written there now.
        site.sql(leader, "select pg_terminate_backend(pid) from pg_stat_replication")
        wait_for("both standbys to stream again", lambda: site.sql(leader, STREAMING), lambda count: count == "2", timeout=30)
    assert seen.verdict.outage < STANDSTILL
    assert site.settled() == leader
    shown = [name for name, pair in pairs.items() if pair[0] in said or pair[1] in said]
    assert shown == [], "the run shows passwords"
    for name in MEMBERS:
        assert (change(site, name, pairs["rest"][0]), change(site, name, pairs["rest"][1])) == ("401", "200")
    site.took("replicator", pairs["replication"], "replication=true")
    site.took("rewind", pairs["rewind"], "dbname=postgres")
    site.unchanged("postgres", "--tags", "etcd,postgres")


def test_botservers_own_password_is_changed_while_somebody_visits(site: Operated) -> None:
    site.settled()
    before = started(site)
    old, new = site.renew_secret("user")
    with site.visited("another password of botserver") as visits:
        said = site.play("site", "-vv", "--diff")
        assert changes(said) != []
    assert old not in said and new not in said, "the run shows botserver's password"
    site.took("gbuser", (old, new), "dbname=botserver")
    assert started(site) != before, "it reads the password when it starts, and was not started anew"
    assert site.direct("botserver-1", "/api/health")[1]["database"] is True
    assert {name for _status, name in visits} == {"botserver-1", "botserver-2"}, "nobody stood in for the one that was restarted"
    # A client that logs in with the new one.
    with site.recorded("writing with botserver's new password"):
        pass
    site.unchanged("site")

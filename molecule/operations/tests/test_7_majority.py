# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL loses two of its three members for good: once with its synchronous standby left, once with the other one."""

from __future__ import annotations

import pathlib
import typing as t

import yaml
from data_tier import MEMBERS
from operated import Operated

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

#: the way back where acknowledged writes may be missing, as docs/postgres.md has it
MODULE = "generalbots.scaling.patroni_cluster"


def roles(site: Operated) -> dict[str, str]:
    """Who is what: a name for each of leader, sync_standby and replica."""
    return {str(member["role"]): str(member["name"]) for member in site.cluster()["members"]}


def lose(site: Operated, *names: str) -> None:
    """Delete members with all they have, at once."""
    site.power("stop", *names)
    for name in names:
        site.lxd.delete(f"instances/{name}")


def system(site: Operated, name: str) -> str:
    """The origin of a member's data."""
    return site.sql(name, "select system_identifier from pg_control_system()")


def test_the_synchronous_standby_alone_is_enough(site: Operated) -> None:
    site.settled()
    was = roles(site)
    left, origin = was["sync_standby"], system(site, was["leader"])
    with site.recorded("PostgreSQL lost its leader and a standby with their data") as seen:
        lose(site, was["leader"], was["replica"])
        assert site.new_leader(left, was["leader"]) == left
        assert site.sql(left, "select 1") == "1", "it leads and is not to be read"
        site.play("site")
    assert seen.verdict.lost == 0
    site.settled()
    assert {system(site, name) for name in MEMBERS} == {origin}
    site.unchanged("site")


def fail_over(site: Operated, folder: pathlib.Path, name: str, **more: t.Any) -> str:
    """Run the task of the documentation on a member; it has the explicit word in ``more``, or must fail."""
    options = {
        "urls": [f"https://{site.place.at(name)}:8008"], "scope": "generalbots", "username": "patroni", "ca_file": "/etc/patroni/ca.crt",
        "password": "{{ lookup('ansible.builtin.file', secret) }}", "leader": name, "wait": "none", **more,
    }  # fmt: skip
    file = folder / "failover.yml"
    file.write_text(yaml.safe_dump([{"hosts": name, "gather_facts": False, "tasks": [{MODULE: options}]}]), encoding="utf-8")
    return site.play_file(file, "-e", f"secret={site.place.secrets / 'postgres_rest'}", fails=not more)


def test_a_standby_that_may_lack_writes_leads_by_the_explicit_word_alone(site: Operated, tmp_path: pathlib.Path) -> None:
    site.settled()
    was = roles(site)
    left, origin = was["replica"], system(site, was["leader"])
    lose(site, was["leader"], was["sync_standby"])
    wait_for("the lease to end", lambda: site.leader(left), lambda name: name == "", timeout=60)
    assert "no member leads" in fail_over(site, tmp_path, left)
    assert site.sql(left, "select pg_is_in_recovery()") == "t", "it took the lead by itself"
    fail_over(site, tmp_path, left, allow_data_loss=True)
    site.play("site")
    assert site.settled()
    assert {system(site, name) for name in MEMBERS} == {origin}
    site.unchanged("site")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd loses two of three members for good, and goes on with the third."""

from __future__ import annotations

import json

from data_tier import MEMBERS
from operated import Operated

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import ETCDCTL

ETCD = ("etcd-1", "etcd-2", "etcd-3")
SURVIVOR, LOST = "etcd-2", ("etcd-1", "etcd-3")


def etcd(site: Operated, name: str, *command: str) -> str:
    """What etcdctl says on a member."""
    return site.run(name, *ETCDCTL, f"--endpoints=https://{site.place.at(name)}:2379", *command)


def test_a_majority_is_not_cut(site: Operated) -> None:
    leader = site.settled()
    site.power("stop", LOST[0])
    try:
        said = site.play("etcd_recover", "-e", f"survivor={SURVIVOR}", "-e", "gb_recover=yes", fails=True)
    finally:
        site.power("start", LOST[0])
    assert "etcd has a majority" in said
    assert site.settled() == leader


def test_nobody_is_cut_without_the_explicit_word(site: Operated) -> None:
    assert "One member with data goes on alone" in site.play("etcd_recover", "-e", f"survivor={SURVIVOR}", fails=True)


def test_etcd_goes_on_with_the_only_member_that_is_left(site: Operated) -> None:
    leader = site.settled()
    system = site.sql(leader, "select system_identifier from pg_control_system()")
    with site.recorded("etcd lost two of three members with their data") as seen:
        site.power("stop", *LOST)
        site.lxd.delete(f"instances/{LOST[0]}")
        said = site.play("etcd_recover", "-e", f"survivor={SURVIVOR}", "-e", "gb_recover=yes", fails=True)
        assert f"{LOST[1]} of etcd is stopped, or left out of this run" in said
        for name in LOST[1:]:
            site.lxd.delete(f"instances/{name}")
        site.play("etcd_recover", "-e", f"survivor={SURVIVOR}", "-e", "gb_recover=yes")
    assert seen.verdict.lost == 0
    assert site.settled() in MEMBERS
    assert {site.sql(name, "select system_identifier from pg_control_system()") for name in MEMBERS} == {system}
    told = [json.loads(etcd(site, name, "endpoint", "status", "-w", "json"))[0]["Status"] for name in ETCD]
    assert len({one["leader"] for one in told}) == 1 and len({one["header"]["member_id"] for one in told}) == 3
    listed = json.loads(etcd(site, SURVIVOR, "member", "list", "-w", "json"))["members"]
    assert sorted(one["name"] for one in listed) == list(ETCD)
    assert "FORCE_NEW" not in site.run(SURVIVOR, "cat", "/etc/etcd/initial.env")
    site.unchanged("site")

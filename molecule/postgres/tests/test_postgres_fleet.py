# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What botservers and their visitors notice when the database fails over, is broken on purpose, or is gone altogether."""

from __future__ import annotations

import json
import pathlib

import pytest
from data_tier import MEMBERS, Site

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

BOTSERVERS = ("botserver-1", "botserver-2")


def healths(site: Site) -> list[tuple[int, bool]]:
    """What each botserver says of itself: its status, and whether it has a database."""
    said = [site.direct(name, "/api/health") for name in BOTSERVERS]
    return [(status, bool(body["database"])) for status, body in said]


def stored(site: Site, name: str) -> bool:
    """Whether a botserver keeps the session that it gives a visitor."""
    before = site.direct(name, "/api/demo/knobs")[1]["sessions_stored"]
    assert site.direct(name, "/api/auth?bot_name=default")[0] == 200, "a botserver in the trap answers as ever"
    return bool(site.direct(name, "/api/demo/knobs")[1]["sessions_stored"] > before)


def until_well(site: Site) -> None:
    """Wait until every botserver serves, and has its database."""
    wait_for("the fleet to be well", lambda: healths(site), lambda seen: seen == [(200, True)] * len(BOTSERVERS), timeout=60)
    wait_for(
        "Caddy to spread requests over the fleet",
        lambda: {site.ask("/api/health") for _ in range(8)},
        lambda seen: seen == {(200, name) for name in BOTSERVERS},
        timeout=40,
    )


def test_the_endpoints_take_up_another_configuration_while_they_serve(site: Site) -> None:
    until_well(site)
    process = ("systemctl", "show", "-p", "MainPID", "--value", "haproxy")
    before = site.run("botserver-1", *process)
    site.run("botserver-1", "systemctl", "reload", "haproxy")
    assert site.run("botserver-1", *process) == before, "it was started anew, which cuts every session"
    assert healths(site) == [(200, True)] * len(BOTSERVERS)


@pytest.mark.parametrize("fault", ["switchover", "power-off"])
def test_a_drill_loses_nothing(site: Site, tmp_path: pathlib.Path, fault: str) -> None:
    site.settled()
    results = tmp_path / "results.jsonl"
    said = site.play("drill", "-e", f"fault={fault}", "-e", f"results={results}", "-e", f"report={tmp_path / 'drill.html'}")
    assert "Nothing was lost." in said
    (one,) = [json.loads(line) for line in results.read_text().splitlines()]
    assert one["leader_after"] not in ("", one["leader_before"]), "the fault did not move the lead"
    assert one["verdict"]["counts"]["ok"] > 100 and one["verdict"]["good"], one["verdict"]


def test_after_a_failover_the_fleet_is_renewed_and_nobody_notices(site: Site) -> None:
    until_well(site)
    lost = site.settled()
    site.play("autoscale")
    for name in BOTSERVERS:
        site.direct(name, "/api/demo/knobs", failover_trap=True)
        assert stored(site, name)
    site.power("stop", lost)
    wait_for("both to be in the trap", lambda: [stored(site, name) for name in BOTSERVERS], lambda seen: seen == [False] * 2, timeout=40)
    site.power("start", lost)
    assert site.settled() != lost
    until_well(site)
    assert [stored(site, name) for name in BOTSERVERS] == [False, False], "the trap opened without a restart"
    with site.visited("the fleet is renewed after a failover"):
        for _tick in range(6):
            site.play("autoscale")
            if [stored(site, name) for name in BOTSERVERS] == [True, True]:
                break
    assert [stored(site, name) for name in BOTSERVERS] == [True, True], "six ticks did not heal the fleet"


def test_without_any_database_visitors_are_still_answered(site: Site) -> None:
    until_well(site)
    leader = site.settled()
    site.power("stop", *MEMBERS)
    try:
        wait_for("every botserver to miss its database", lambda: healths(site), lambda seen: seen == [(503, False)] * 2, timeout=40)
        # That took longer than the two checks, of a second each, after which Caddy leaves an instance out.
        seen = [site.ask("/api/demo/echo") for _ in range(40)]
        assert {*seen} == {(200, name) for name in BOTSERVERS}, "a part's failure became a total one"
        assert site.ask("/api/health")[0] == 503, "the site's own health hides that there is no database"
    finally:
        site.power("start", *MEMBERS)
    assert site.settled() in MEMBERS
    assert site.sql(leader, "select 1") == "1"
    until_well(site)

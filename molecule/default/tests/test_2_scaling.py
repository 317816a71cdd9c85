# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet grows and shrinks under load, by hand and by itself, and nothing is dropped."""

from __future__ import annotations

import json
import typing as t

from topology import Site

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for


def decisions(site: Site) -> list[dict[str, t.Any]]:
    """What the autoscaler remembers of its decisions."""
    return list(json.loads(site.memory()["user.gb.autoscale"])["decisions"])


def tick(site: Site, **settings: t.Any) -> dict[str, t.Any]:
    """One tick, with the drains that it begins; returns its decision."""
    site.play("autoscale", "-e", "autoscaler_wait=true", settings=settings or None)
    return decisions(site)[-1]


def tick_until(site: Site, action: str, **settings: t.Any) -> dict[str, t.Any]:
    """Tick until the autoscaler takes a step in that direction."""
    return wait_for(f"a step {action}", lambda: tick(site, **settings), lambda seen: seen["action"] == action, timeout=90, interval=1)


def test_by_hand_out_and_in_under_load_without_a_failed_request(one: Site) -> None:
    with one.load(30, websockets=8) as report:
        one.scale(3)
        assert one.slots() == {"active": [1, 2, 3]}
        one.scale(1)
        assert one.slots() == {"active": [1], "warm": [2, 3]}
    assert report["requests"]["failed"] == 0, report["requests"]
    assert report["requests"]["sent"] >= 150
    # At 30 a second for as long as it took, but for the seconds in which the load begins and ends.
    assert report["requests"]["sent"] >= 30 * (report["seconds"] - 3)
    assert [lost for lost in report["websockets"]["lost"] if lost["instance"] == "botserver-1"] == []
    assert len(report["instances"]) >= 2, "the new instances never served"


def test_scaling_again_to_the_same_size_changes_nothing(one: Site) -> None:
    assert "changed=0" in one.scale(1).split("PLAY RECAP")[1]


def test_it_grows_by_itself_under_load(one: Site) -> None:
    with one.load(12, "/api/demo/echo?burn_ms=25") as report:
        step = tick_until(one, "out", **{"scale-request-threshold": 100000})
        assert step["reason"].startswith("CPU "), step["reason"]
        assert one.slots()["active"] == [1, 2]
    assert report["requests"]["failed"] == 0, report["requests"]


def test_it_shrinks_by_itself_when_the_load_is_gone(one: Site) -> None:
    one.scale(2)
    step = tick_until(one, "in")
    assert "CPU" in step["reason"] and "cpu-low" in step["reason"]
    assert one.slots() == {"active": [1], "warm": [2, 3]} or one.slots() == {"active": [1], "warm": [2]}


def test_check_mode_shows_the_decision_and_does_nothing(one: Site) -> None:
    before = (one.slots(), one.memory())
    shown = one.play("autoscale", "--check")
    assert "reason:" in shown and "action: hold" in shown
    assert (one.slots(), one.memory()) == before


def test_a_slot_beyond_a_lowered_maximum_is_drained_and_not_cut(one: Site) -> None:
    one.scale(2)
    lowered = {"scale-max-instances": 1}
    with one.load(10) as change:
        one.play("site", "--tags", "caddy", settings=lowered)
    # The write is a reload, which ends what is on its connections at that moment; no proxy answers that it has nobody to ask.
    assert [reason for reason in change["requests"]["reasons"] if reason.startswith("status")] == [], change["requests"]
    assert change["requests"]["failed"] <= 2, change["requests"]
    assert set(change["instances"]) == {"botserver-1", "botserver-2"}, "nothing was sent to the slot that is to go"
    with one.load(10) as report:
        step = tick_until(one, "in", **lowered)
    assert "beyond scale-max-instances" in step["reason"]
    assert one.slots()["active"] == [1]
    assert report["requests"]["failed"] == 0, report["requests"]
    one.play("site", "--tags", "caddy")

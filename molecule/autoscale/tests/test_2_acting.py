# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed, instances that fall ill, slots that are warm, a host that is too full."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from autoscale_site import ENVIRONMENT, HASTY, PROJECT, Site

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import edit
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

#: the project's key that names the image of new instances
IMAGE = "user.gb.image.botserver"
MARKS = ("user.gb.drain-deadline", "user.gb.gate-closed", "user.gb.drain-then")


def converged(site: Site, count: int) -> None:
    """The next ticks and a run by hand end where the killed run would have: no orphan, no slot twice, nothing half done."""
    # A tick that decides nothing of its own goes on with what is half done all the same.
    still = {"scale-enabled": False}
    site.run(wait=True, overrides=still)
    site.run(count=count, wait=True)
    assert site.slots()["active"] == list(range(1, count + 1)), site.slots()
    assert not {"draining", "failed"} & site.slots().keys(), site.slots()
    found = observe(site.lxd).values()
    taken = [one.config["user.gb.slot"] for one in found if one.component == "botserver"]
    assert len(taken) == len(set(taken))
    assert not [key for one in found for key in MARKS if key in one.config]
    assert "user.gb.lock" not in site.memory()
    # What came of the last step is seen by the run after it.
    site.run(overrides=still)


def killed(site: Site, writes: int, count: int, remembered: str) -> str:
    """A run to that size is killed after its n-th write, and the next ones go on; returns what was written last."""
    begun = time.time()
    said = site.die(writes, count=count, wait=True)
    converged(site, count)
    assert site.remembered()["history"][remembered] >= begun, f"killed after {said}"
    return said


def test_killed_after_every_write_out_and_in_the_next_run_goes_on_and_nothing_is_cut(site: Site) -> None:
    """After each of them, not after some: a new slot 2 is started and put away again until neither run has so many writes."""
    site.scale(1)
    walked: list[tuple[str, str]] = []
    with site.load(10, seconds=900, websockets=4) as report:
        while not walked or any(walked[-1]):
            out, back = killed(site, len(walked) + 1, 2, "last_out"), killed(site, len(walked) + 1, 1, "last_in")
            walked.append((out, back))
            print(f"{len(walked)}: out, {out or 'at its end'}; in, {back or 'at its end'}", flush=True)
            site.lxd.delete("instances/botserver-2")
    whole = [" ".join(filter(None, words)) for words in zip(*walked, strict=True)]
    assert all(part in whole[0] for part in ("put profiles/", "post instances", "write_file", "start put instances/botserver-2/state")), (
        whole
    )
    assert all(part in whole[1] for part in ("put profiles/", "execute botserver-2", "start put instances/botserver-2/state")), whole
    assert report["requests"]["failed"] == 0, report["requests"]
    assert [lost for lost in report["websockets"]["lost"] if lost["instance"] == "botserver-1"] == []


def test_an_instance_that_falls_ill_is_replaced_the_new_one_first(site: Site) -> None:
    site.scale(2)
    patience = {"start_patience": 10, "heal_patience": 3}
    wanted: dict[str, t.Any] = {"overrides": {"scale-min-instances": 2}, "options": {**HASTY, **patience}, "wait": True}
    site.run(**wanted)
    with site.load(10) as report:
        knob = ("curl", "-fsS", "-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps({"fail_health": True}))
        site.inside("botserver-2", *knob, "http://127.0.0.1:8080/api/demo/knobs")
        smallest = 2

        def tick() -> dict[str, list[int]]:
            nonlocal smallest
            site.run(**wanted)
            smallest = min(smallest, len(site.slots()["active"]))
            return site.slots()

        wait_for("botserver-2 to be replaced", tick, lambda seen: seen.get("failed") == [2], timeout=90, interval=1)
    assert smallest == 2 and site.slots()["active"] == [1, 3]
    assert "another instance took its place" in site.config("botserver-2")["user.gb.failure"]
    assert report["requests"]["failed"] == 0, report["requests"]
    site.lxd.delete("instances/botserver-2")


def test_a_warm_slot_is_made_in_idle_time_and_started_as_it_is(site: Site) -> None:
    site.scale(1)
    site.run(warm=1)
    assert site.slots()["warm"] == [2]
    made = site.lxd.get("instances/botserver-2")[0]["created_at"]
    site.run(count=2)
    assert site.slots()["active"] == [1, 2]
    assert site.lxd.get("instances/botserver-2")[0]["created_at"] == made


def test_a_host_that_is_too_full_is_said_so_and_nothing_is_stuck(site: Site) -> None:
    site.scale(1)
    full = str(len(observe(site.lxd)))
    project = f"projects/{site.lxd.project}"
    edit(site.lxd, project, lambda _keys: {"limits.instances": full})
    try:
        with pytest.raises(ScalingError, match=r"Slot 2 did not come up .* maximum number of instances"):
            site.run(count=2)
        assert site.slots() == {"active": [1]} and "user.gb.lock" not in site.memory()
    finally:
        edit(site.lxd, project, lambda _keys: {"limits.instances": None})
    site.run(count=2)
    assert site.slots()["active"] == [1, 2]


def aged(site: Site, *slots: int) -> str:
    """Let the instances of these slots be of an older image; returns the project's image."""
    for slot in slots:
        edit(site.lxd, f"instances/botserver-{slot}", lambda _keys: {"user.gb.image": "before"})
    return str(site.lxd.get(f"projects/{PROJECT}")[0]["config"][IMAGE])


def test_a_fleet_is_rolled_onto_a_new_image_and_no_request_is_lost(site: Site) -> None:
    site.scale(2)
    alias = aged(site, 1, 2)
    with site.load(10) as report:
        site.run(refresh=True, wait=True, checkpoint=3)
    active = site.slots()["active"]
    assert len(active) == 2
    assert {site.config(f"botserver-{slot}")["user.gb.image"] for slot in active} == {alias.rpartition("/")[2]}
    assert report["requests"]["failed"] == 0, report["requests"]


def test_an_image_that_is_no_good_takes_nobodys_place(site: Site) -> None:
    site.scale(1)
    alias = aged(site, 1)
    try:
        with pytest.raises(ScalingError, match="Slot 2 did not come up"):
            site.run(refresh=True, wait=True, environment={**ENVIRONMENT, "GB_DEMO_SLOW_START": "600"}, health_timeout=8)
        assert site.slots() == {"active": [1], "failed": [2]}
        assert site.lxd.get(f"projects/{PROJECT}")[0]["config"][IMAGE] == f"{alias.rpartition('/')[0]}/before"
    finally:
        edit(site.lxd, f"projects/{PROJECT}", lambda _keys: {IMAGE: alias})
    site.lxd.delete("instances/botserver-2")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole run: what it takes the fleet to, what it leaves in LXD, and what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import pathlib
import re
import typing as t

import pytest
from fleet_world import START, World, job, ports

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import Actor
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import settings_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.lock import Held, text_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import History, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import Run, run
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, InvalidInput, Refused, ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.prometheus import samples
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock


def go(world: World, *, check: bool = False, settings: t.Mapping[str, t.Any] | None = None, **more: t.Any) -> dict[str, t.Any]:
    """One run in this world."""
    return run(world, job(world, settings, **more), check=check, ports=ports(world))  # type: ignore[arg-type]


def test_a_fleet_below_its_minimum_is_filled_and_the_step_remembered() -> None:
    world = World()
    result = go(world, settings={"scale-min-instances": 1})
    assert result["decision"]["action"] == "out" and result["decision"]["start"] == [1]
    assert world.slots() == {"active Running": [1]}
    assert world.remembered()["pending"] == {"direction": "out", "slots": [1], "time": START}
    assert "user.gb.lock" not in world.config()
    go(world, settings={"scale-min-instances": 1})
    assert world.remembered()["history"]["last_out"] == START


def test_the_first_of_an_empty_fleet_starts_alone_and_the_others_after_it() -> None:
    world = World()
    world.ill = {"botserver-1"}
    with pytest.raises(ScalingError, match="Slot 1 did not come up and was set aside"):
        go(world, settings={"scale-min-instances": 3})
    assert world.slots() == {"active Running": [2, 3], "failed Stopped": [1]}
    # What became of the first was known before the others were begun.
    own = [number for number, words in enumerate(world.effects) if "botserver-1" in words]
    assert max(own) < min(number for number, words in enumerate(world.effects) if "botserver-2" in words)


def left_ill(ago: float, well_after: float = math.inf) -> World:
    """Slot 1 runs for ``ago`` seconds, as a run left it that was killed, and is ill until some seconds from now."""

    class Mending(World):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.ill -= {"botserver-1"} if self.time >= START + well_after else set()

    world = Mending()
    world.fleet(1)
    world.objects["instances/botserver-1"]["last_used_at"] = datetime.datetime.fromtimestamp(START - ago, datetime.UTC).isoformat()
    world.ill = {"botserver-1"}
    return world


def begun(world: World) -> list[float]:
    """Starts the fleet of three, and returns how many seconds after now something was first done with slots 2 and 3."""
    moments: dict[str, float] = {}
    doing = world._effect

    def noting(words: str, change: t.Callable[[], None]) -> None:
        moments.setdefault(words.rpartition("/")[2], world.time - START)
        doing(words, change)

    world._effect = noting  # type: ignore[method-assign]
    with contextlib.suppress(ScalingError):
        go(world, settings={"scale-min-instances": 3}, health_timeout=60.0)
    return [moments["botserver-2"], moments["botserver-3"]]


def test_one_that_was_started_just_now_is_waited_for_before_others_start_beside_it() -> None:
    first, second = begun(left_ill(ago=20.0, well_after=10.0))
    assert 10 <= first <= second < 11


@pytest.mark.parametrize(("ago", "soonest", "latest"), [(20.0, 40, 44), (3600.0, 0, 2)])
def test_it_is_waited_for_as_long_as_its_time_lasts_and_then_the_next_one_starts_alone(ago: float, soonest: float, latest: float) -> None:
    world = left_ill(ago)
    world.ill |= {"botserver-2"}
    first, second = begun(world)
    assert soonest <= first <= latest
    assert second >= first + 60, "what became of the one before it was known"


def test_check_mode_says_the_same_and_changes_nothing() -> None:
    world, twin = World(), World()
    said = go(world, check=True)
    assert world.effects == []
    assert said["decision"] == go(twin)["decision"] and said["changed"]


def put_away(world: World, gate_closed: float, deadline: float) -> None:
    """Slot 2 drains, and is kept warm when that is over."""
    marks = {"user.gb.drain-deadline": str(START + deadline), "user.gb.gate-closed": str(START + gate_closed), "user.gb.drain-then": "warm"}
    world.fleet(2, state="draining", **marks)
    world.closed, world.in_flight = {"botserver-2"}, {"botserver-1": 0, "botserver-2": 0}


@pytest.mark.parametrize(
    ("arrange", "more", "changes"),
    [
        (lambda world: put_away(world, -100, 100), {}, True),
        (lambda world: put_away(world, -1, 100), {}, False),
        (lambda world: put_away(world, -1, 20), {"count": 1, "wait": True}, True),
        (lambda world: None, {"warm": 1}, True),
        (lambda world: None, {"warm": 1, "settings": {"scale-enabled": False}}, False),
        (lambda world: put_away(world, -1, 100), {"warm": 1}, False),
        (lambda world: world.fleet(2, state="failed"), {}, True),
        (lambda world: world.fleet(2, state="failed", status="Stopped"), {}, False),
        (lambda world: world.fleet(2, status="Frozen"), {"refresh": True}, False),
    ],
    ids=[
        "a drain is over", "a drain goes on", "a drain is waited for", "a slot to keep warm", "scaling is off", "a drain comes before that",
        "failed and running", "failed and stopped", "frozen",
    ],
)  # fmt: skip
def test_check_mode_says_whether_the_run_after_it_changes_anything(
    arrange: t.Callable[[World], None], more: dict[str, t.Any], changes: bool
) -> None:
    world = World()
    world.fleet(1)
    arrange(world)
    assert go(world, check=True, **more)["changed"] is changes and world.effects == []
    assert go(world, **more)["changed"] is changes


def test_a_run_with_nothing_to_do_writes_its_lock_and_its_memory_only() -> None:
    world = World()
    world.fleet(1)
    go(world)
    world.effects, world.requests = [], 0
    world.sleep(30)
    assert go(world)["changed"] is False
    assert world.effects == ["put profiles/gb-autoscale"] * 2
    assert world.requests <= 9


def test_a_tick_asks_lxd_as_often_whatever_the_size_of_the_fleet() -> None:
    asked = []
    for size in (1, 40):
        world = World()
        world.fleet(*range(1, size + 1))
        go(world, settings={"scale-max-instances": 40})
        world.requests = 0
        assert go(world, settings={"scale-max-instances": 40})["decision"]["current"] == size
        asked.append(world.requests)
    assert asked[0] == asked[1] <= 9


def test_an_instance_that_is_meant_to_run_and_stands_still_is_started_again() -> None:
    """Though nothing else asks for it: two serve, and one is the minimum."""
    world = World()
    world.fleet(1, 3)
    world.fleet(2, status="Stopped")
    assert go(world)["decision"]["rule"] == "restart"
    assert world.slots() == {"active Running": [1, 2, 3]}


FULL = {"scale-min-instances": 2, "scale-max-instances": 2}


def ticks_until_healed(world: World, times: int = 12) -> list[dict[str, t.Any]]:
    """Decisions of a fleet of two, which is its minimum and its maximum, one each half minute."""
    decisions, world.in_flight = [], {"botserver-1": 0, "botserver-2": 0}
    for _ in range(times):
        with contextlib.suppress(ScalingError):
            decisions.append(go(world, settings=FULL, health_timeout=20)["decision"])
        world.sleep(30)
    return decisions


def test_an_unhealthy_one_without_room_for_a_replacement_is_started_anew() -> None:
    world = World()
    world.fleet(1, 2)
    world.ill, world.stuck = {"botserver-2"}, {"botserver-2"}
    decisions = ticks_until_healed(world)
    assert world.slots() == {"active Running": [1, 2]} and not world.ill
    (healed,) = [one for one in decisions if one["rule"] == "renew" and one["action"] != "hold"]
    assert "no slot is free for a replacement, so it is started anew: drain slot 2" in healed["reason"]


def test_one_that_a_start_does_not_cure_is_set_aside_and_a_person_called() -> None:
    world = World()
    world.fleet(1, 2)
    world.ill = {"botserver-2"}
    decisions = ticks_until_healed(world)
    assert world.slots() == {"active Running": [1], "failed Stopped": [2]}
    assert decisions[-1]["alert"] and "botserver-2 failed and is kept for inspection" in decisions[-1]["reason"]


def test_starting_anew_what_does_not_stay_healthy_is_given_up() -> None:
    """It comes up each time, and falls ill again."""
    world = World()
    world.fleet(1, 2)
    world.stuck, world.in_flight = {"botserver-2"}, {"botserver-1": 0, "botserver-2": 0}
    begun, last = [], {}
    for _ in range(30):
        world.ill = {"botserver-2"} if world.time % 300 >= 60 else world.ill
        last = go(world, settings=FULL, health_timeout=20)["decision"]
        begun += [last] if last["rule"] == "renew" and last["drain"] else []
        world.sleep(30)
    assert len(begun) == Policy.give_up_after
    assert last["alert"] and "replacements within an hour did not help" in last["reason"]


def test_one_that_was_stopped_to_be_kept_is_left_so() -> None:
    world = World()
    world.fleet(1, 3)
    world.fleet(2, state="warm", status="Stopped")
    assert go(world)["decision"]["start"] == []
    assert world.slots() == {"active Running": [1, 3], "warm Stopped": [2]}


def test_by_hand_to_a_size_and_back_warm_slots_first() -> None:
    world = World()
    world.fleet(1)
    world.fleet(3, state="warm", status="Stopped")
    assert go(world, count=3, wait=True)["decision"]["start"] == [2, 3]
    assert world.slots() == {"active Running": [1, 2, 3]}
    assert not any(words == "post instances/botserver-3" for words in world.effects)
    go(world, count=1, wait=True)
    assert world.slots() == {"active Running": [1], "warm Stopped": [2, 3]}
    assert go(world, count=1, wait=True)["changed"] is False
    with pytest.raises(InvalidInput, match=r"count is 9; it must be from 1 .* to 4"):
        go(world, count=9)
    assert "user.gb.lock" not in world.config()


def test_by_hand_to_a_smaller_size_the_unhealthy_go_first_and_no_protected_one() -> None:
    world = World()
    world.fleet(1, 3, 5)
    world.fleet(2, 4, **{"user.gb.protected": "true"})
    world.in_flight, world.ill = {f"botserver-{slot}": 0 for slot in (1, 2, 3, 4, 5)}, {"botserver-1", "botserver-2"}
    sized: dict[str, t.Any] = {"settings": {"scale-max-instances": 5}, "count": 3}
    assert go(world, check=True, **sized)["decision"]["drain"] == [5, 3], "unhealthy for how long, nobody knows"
    ill = text_of(State(history=History(unhealthy={1: START - 600, 2: START - 600})))
    world.objects["profiles/gb-autoscale"] = {"name": "gb-autoscale", "config": {"user.gb.autoscale": ill}}
    assert go(world, check=True, **sized)["decision"]["drain"] == [1, 5]
    with pytest.raises(InvalidInput, match=r"4 of 5 instances would have to go, and slot 2, 4 is protected .* a count of 2 or more"):
        go(world, **{**sized, "count": 1})
    assert "user.gb.lock" not in world.config()
    go(world, wait=True, **sized)
    assert world.slots() == {"active Running": [2, 3, 4], "warm Stopped": [1, 5]}


def test_a_drain_goes_on_over_the_ticks_and_nothing_is_cut() -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-2": 1}
    go(world, count=1)
    assert world.slots() == {"active Running": [1], "draining Running": [2]} and "botserver-2" in world.closed
    world.sleep(5)
    go(world)
    assert world.slots() == {"active Running": [1], "draining Running": [2]}
    world.in_flight = {}
    go(world)
    assert world.slots() == {"active Running": [1], "warm Stopped": [2]}
    keys = world.config("instances/botserver-2")
    assert not {"user.gb.drain-deadline", "user.gb.gate-closed", "user.gb.drain-then"} & keys.keys()


@pytest.mark.parametrize(
    ("policy", "after"),
    [
        ("force", {"active Running": [1], "warm Stopped": [2]}),
        ("keep", {"active Running": [1], "draining Running": [2]}),
        ("abort", {"active Running": [1, 2]}),
    ],
)
def test_requests_that_outlive_the_deadline(policy: str, after: dict[str, list[int]]) -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-2": 3}
    result = go(world, count=1, wait=True, drain_policy=policy)
    assert world.slots() == after
    assert ("botserver-2" in world.closed) == (policy == "keep")
    assert 30 <= world.time - START < 45
    assert any("outlived its deadline" in note for note in result["notes"])


@pytest.mark.parametrize(
    ("policy", "after", "words"),
    [
        ("force", {"active Running": [1], "warm Stopped": [2]}, "stopped all the same"),
        ("keep", {"active Running": [1], "draining Running": [2]}, "left draining"),
        ("abort", {"active Running": [1, 2]}, "put back"),
    ],
)
def test_a_gate_that_cannot_be_closed_does_not_keep_a_drain_from_ending(policy: str, after: dict[str, list[int]], words: str) -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-1": 0, "botserver-2": 0}
    world.refuse = {"stop-gate botserver-2": "no answer from systemd", "start-gate botserver-2": "no answer from systemd"}
    for _try in range(2):
        with pytest.raises(ScalingError, match=r"Slot 2 could not be taken in: .*no answer from systemd"):
            go(world, count=1, drain_policy=policy)
    assert world.slots() == {"active Running": [1], "draining Running": [2]}
    world.sleep(34)
    notes = [note for note in go(world, drain_policy=policy)["notes"] if note.startswith("Slot 2")]
    assert world.slots() == after
    assert len(notes) == 1 and "its gate could not be closed" in notes[0] and "no answer from systemd" in notes[0] and words in notes[0]
    left = {"user.gb.drain-deadline", "user.gb.drain-then"} & world.config("instances/botserver-2").keys()
    assert bool(left) == (policy == "keep")


@pytest.mark.parametrize(
    ("policy", "after"),
    [
        ("force", {"active Running": [1], "warm Stopped": [2]}),
        ("keep", {"active Running": [1], "draining Running": [2]}),
        ("abort", {"active Running": [1, 2]}),
    ],
)
def test_nor_does_one_that_is_closed_and_answers_as_healthy(policy: str, after: dict[str, list[int]]) -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight, world.ajar = {"botserver-1": 0, "botserver-2": 0}, {"botserver-2"}
    for again in range(3):
        go(world, drain_policy=policy, count=None if again else 1)
        assert world.slots() == {"active Running": [1], "draining Running": [2]}
        world.sleep(18)
    notes = [note for note in go(world, drain_policy=policy)["notes"] if note.startswith("Slot 2")]
    assert world.slots() == after and ("botserver-2" in world.closed) == (policy == "keep")
    assert len(notes) == 1 and "could not be closed until its deadline (it answers as healthy all the same)" in notes[0]


def test_one_whose_host_was_restarted_long_after_its_deadline_is_closed_before_it_is_stopped() -> None:
    """Its gate is open again, and it takes requests: nobody has tried to close it since."""
    world = World()
    world.fleet(1)
    past = {"user.gb.drain-deadline": f"{START - 100:.0f}", "user.gb.gate-closed": f"{START - 200:.0f}", "user.gb.drain-then": "warm"}
    world.fleet(2, state="draining", **past)
    world.in_flight = {"botserver-1": 0, "botserver-2": 5}
    assert not [note for note in go(world)["notes"] if note.startswith("Slot 2")]
    assert world.slots() == {"active Running": [1], "draining Running": [2]} and world.closed == {"botserver-2"}
    world.sleep(18)
    go(world)
    assert world.slots() == {"active Running": [1], "warm Stopped": [2]}


def test_a_restart_whose_gate_could_not_be_closed_is_finished_when_its_deadline_is_over() -> None:
    """It fails to close just before the deadline and once more after it, in one run."""
    world = World()
    world.fleet(1)
    marks = {"user.gb.drain-deadline": str(START - 2.8), "user.gb.drain-then": "start"}
    world.fleet(2, state="draining", **marks)
    world.refuse = {"stop-gate botserver-2": "no answer from systemd"}
    with pytest.raises(ScalingError, match="Slot 2 could not be taken in"):
        go(world, wait=True)
    assert world.slots() == {"active Running": [1, 2]}
    assert "user.gb.drain-then" not in world.config("instances/botserver-2")


@pytest.mark.parametrize(
    ("ago", "after"), [(4, {"active Running": [1], "warm Stopped": [2]}), (2, {"active Running": [1], "draining Running": [2]})]
)
def test_a_load_balancer_that_was_reloaded_has_to_notice_a_closed_gate_again(ago: float, after: dict[str, list[int]]) -> None:
    world = World()
    world.fleet(1)
    marks = {"user.gb.drain-deadline": str(START + 20), "user.gb.gate-closed": str(START - 10), "user.gb.drain-then": "warm"}
    world.fleet(2, state="draining", **marks)
    world.closed, world.in_flight, world.reloaded = {"botserver-2"}, {"botserver-1": 0, "botserver-2": 0}, START - ago
    go(world)
    assert world.slots() == after


def test_a_drain_that_was_begun_by_a_run_that_died_is_not_cut_before_its_gate_is_closed() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, state="draining", **{"user.gb.drain-deadline": str(START - 400), "user.gb.drain-then": "warm"})
    world.in_flight = {"botserver-2": 1}
    go(world)
    assert world.slots() == {"active Running": [1], "draining Running": [2]} and world.closed == {"botserver-2"}


def test_a_restart_drains_stops_and_starts_one_after_the_other() -> None:
    world = World()
    world.fleet(1, 2)
    go(world, restart=[1, 2])
    assert world.slots() == {"active Running": [1, 2]} and not world.closed
    power = [words for words in world.effects if words.startswith(("stop ", "start "))]
    assert power == ["stop botserver-1", "start botserver-1", "stop botserver-2", "start botserver-2"]
    assert not {"user.gb.drain-deadline", "user.gb.gate-closed", "user.gb.drain-then"} & world.config("instances/botserver-1").keys()


def test_the_only_instance_is_restarted_while_another_serves() -> None:
    world = World()
    world.fleet(1)
    notes = " ".join(go(world, restart=[1])["notes"])
    assert "Slot 2 serves while the only other one is renewed" in notes
    assert world.effects.index("start botserver-2") < world.effects.index("stop-gate botserver-1")
    assert world.slots() == {"active Running": [1], "warm Stopped": [2]}


def test_the_only_instance_stays_where_the_other_one_does_not_come_up() -> None:
    world = World()
    world.fleet(1)
    world.ill = {"botserver-2"}
    with pytest.raises(ScalingError, match="Slot 2 did not come up"):
        go(world, restart=[1], health_timeout=20)
    assert "stop botserver-1" not in world.effects
    assert world.slots() == {"active Running": [1], "failed Stopped": [2]}


def test_the_only_instance_is_restarted_where_every_other_slot_is_held() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, 3, 4, state="failed", status="Stopped")
    assert "(other slots are held: {'failed': [2, 3, 4]}), so visitors wait" in " ".join(go(world, restart=[1])["notes"])
    assert world.slots() == {"active Running": [1], "failed Stopped": [2, 3, 4]}
    assert world.effects.count("start botserver-1") == 1


def test_requests_that_outlived_an_earlier_drain_do_not_keep_a_slot_from_standing_in() -> None:
    world = World()
    world.fleet(1)
    marks = {"user.gb.drain-deadline": str(START - 5), "user.gb.gate-closed": str(START - 40), "user.gb.drain-then": "warm"}
    world.fleet(2, state="draining", **marks)
    world.closed, world.in_flight = {"botserver-2"}, {"botserver-2": 1}
    go(world, restart=[1])
    assert world.effects.count("start botserver-1") == 1
    assert world.slots() == {"active Running": [1], "warm Stopped": [2]}


def test_nobody_stands_in_where_the_one_that_serves_is_not_restarted() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, state="draining", **{"user.gb.drain-deadline": str(START + 20), "user.gb.drain-then": "start"})
    go(world, restart=[2])
    assert world.slots() == {"active Running": [1, 2]}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("slot", [3, 7], ids=["failed", "not there"])
def test_a_restart_of_what_does_not_run_is_refused(slot: int, check: bool) -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, state="warm", status="Stopped")
    world.fleet(3, state="failed", status="Stopped")
    world.fleet(4, state="draining", **{"user.gb.drain-deadline": str(START + 20)})
    before = world.slots()
    with pytest.raises(InvalidInput, match=rf"^Slot {slot} cannot be restarted, .* Slots that can be are 1, 4; name only those"):
        go(world, restart=[1, slot], check=check)
    assert world.slots() == before and "user.gb.lock" not in world.objects.get("profiles/gb-autoscale", {"config": {}})["config"]


@pytest.mark.parametrize("check", [True, False])
def test_a_restart_passes_over_what_was_put_away_since_it_was_asked_for(check: bool) -> None:
    world = World()
    world.fleet(1, 3)
    world.fleet(2, state="warm", status="Stopped")
    before = world.slots()
    done = go(world, restart=[1, 2], check=check)
    assert (done["changed"], world.slots()) == (True, before)
    assert ("start botserver-1" in world.effects) is not check and "start botserver-2" not in world.effects
    assert "slot 2" in " ".join(done["notes"])
    nothing = go(world, restart=[2], check=check)
    assert (nothing["changed"], nothing["decision"]["reason"]) == (False, "no slot is to be renewed")


def test_a_restart_ends_with_the_first_that_does_not_come_back() -> None:
    world = World()
    world.fleet(1, 2)
    world.ill = {"botserver-1"}
    with pytest.raises(ScalingError, match="Slot 1 did not come up"):
        go(world, restart=[1, 2], health_timeout=20)
    assert "stop botserver-2" not in world.effects


def test_an_instance_that_does_not_become_healthy_is_set_aside_and_starts_no_cooldown() -> None:
    world = World()
    world.fleet(1)
    world.ill = {"botserver-2"}
    with pytest.raises(ScalingError, match=r"Slot 2 did not come up and was set aside, stopped\. No cooldown begins\.") as caught:
        go(world, count=2, health_timeout=20)
    assert list(caught.value.details["failed"]) == ["2"]
    assert world.slots() == {"active Running": [1], "failed Stopped": [2]}
    assert "not healthy within 20 s" in world.config("instances/botserver-2")["user.gb.failure"]
    assert "user.gb.lock" not in world.config()
    go(world)
    assert (world.remembered()["history"]["last_out"], world.remembered()["failures"]) == (None, {"out": 1})


def test_a_slot_whose_name_somebody_else_has_keeps_no_other_from_being_started() -> None:
    world = World()
    world.fleet(1)
    world.add("botserver-2", component="")
    settings = {"scale-min-instances": 2}
    with pytest.raises(
        ScalingError, match=r"Slot 2 did not come up and could not be set aside either\. No cooldown begins\. Why: .*botserver-2"
    ):
        go(world, settings=settings)
    assert world.remembered()["history"]["stuck"] == {"2": START}
    before = world.objects["instances/botserver-2"]
    go(world, settings=settings)
    assert world.objects["instances/botserver-3"]["status"] == "Running"
    assert world.objects["instances/botserver-2"] == before


def test_nor_does_one_whose_instance_cannot_be_created() -> None:
    world = World()
    world.fleet(1)
    world.refuse = {"post instances/botserver-2": "its address is in use"}
    settings = {"scale-min-instances": 2}
    with pytest.raises(ScalingError, match=r"Slot 2 did not come up and could not be set aside either\..* Why: .*in use"):
        go(world, settings=settings)
    assert world.remembered()["history"]["stuck"] == {"2": START}
    go(world, settings=settings)
    assert world.slots() == {"active Running": [1, 3]}


def test_nor_from_being_kept_warm() -> None:
    world = World()
    world.fleet(1)
    world.add("botserver-2", component="")
    go(world, warm=1)
    assert "instances/botserver-3" in world.objects


def test_a_frozen_instance_is_neither_started_nor_made_anew() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, status="Frozen", **{"user.gb.image": "v0"})
    go(world, settings={"scale-min-instances": 2}, warm=1)
    for _tick in range(2):
        go(world, warm=1)
    assert world.slots() == {"active Running": [1, 3], "active Frozen": [2], "warm Stopped": [4]}


def test_a_restart_by_hand_unfreezes_and_drains_what_a_person_paused() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, status="Frozen")
    go(world, restart=[2])
    own = [words for words in world.effects if "botserver-2" in words and words.split()[0] in ("unfreeze", "stop-gate", "stop", "start")]
    assert own == ["unfreeze botserver-2", "stop-gate botserver-2", "stop botserver-2", "start botserver-2"]
    assert world.slots() == {"active Running": [1, 2]}


def test_by_hand_to_a_size_what_a_person_paused_does_not_count_and_is_left_alone() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, status="Frozen")
    held = go(world, count=1, wait=True)
    assert held["changed"] is False and "slot 2 is frozen (lxc pause), does not count and is left alone" in held["decision"]["reason"]
    assert go(world, count=2, wait=True)["decision"]["start"] == [3]
    go(world, count=1, wait=True)
    assert world.slots() == {"active Running": [1], "active Frozen": [2], "warm Stopped": [3]}
    held_by = r"3 more instances are wanted, but only 2 of 4 slots .*held: \{'frozen': \[2\]\}.* go on with frozen"
    with pytest.raises(InvalidInput, match=held_by):
        go(world, count=4)


def test_a_host_that_is_too_full_says_so_and_the_others_go_on() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, state="warm", status="Stopped")
    world.refuse = {"post instances": "No space left on device"}
    with pytest.raises(ScalingError, match=r"no space left in the storage pool for botserver-3: No space left on device"):
        go(world, count=3)
    assert world.slots() == {"active Running": [1, 2]}


def test_nothing_is_drained_while_a_load_balancer_is_silent() -> None:
    world = World(["proxy-1", "proxy-2"])
    world.fleet(1, 2)
    world.silent = {"proxy-2"}
    with pytest.raises(Unreachable, match=r"Nothing was drained.*proxy-2 gave no answer"):
        go(world, count=1)
    assert world.slots() == {"active Running": [1, 2]} and not world.closed and "user.gb.lock" not in world.config()


def test_the_second_of_two_is_told_or_skips() -> None:
    world = World()
    go(world, count=1)
    keys = world.objects["profiles/gb-autoscale"]["config"]
    keys["user.gb.lock"] = json.dumps({"holder": "ops/7", "purpose": "a rollout", "expires": world.time + 60})
    with pytest.raises(Refused, match=r"is held by ops/7 for a rollout"):
        go(world)
    result = go(world, skip_locked=True)
    assert "ops/7" in result["skipped_reason"] and (result["changed"], result["decision"]) == (False, None)
    world.sleep(61)
    assert any("The lock of ops/7 was taken over" in note for note in go(world)["notes"])


def test_a_restart_by_hand_that_was_broken_off_fails_and_the_others_are_restarted() -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-1": 1}
    with pytest.raises(ScalingError, match=r"Slot 1 was not restarted: requests outlived its deadline; it was put back") as caught:
        go(world, restart=[1, 2], drain_policy="abort")
    assert list(caught.value.details["failed"]) == ["1"]
    assert world.slots() == {"active Running": [1, 2]}
    assert ("stop botserver-1" in world.effects, "stop botserver-2" in world.effects) == (False, True)
    assert "user.gb.lock" not in world.config()


def test_a_restart_does_not_go_on_while_a_slot_is_left_draining() -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-1": 1, "botserver-2": 1}
    with pytest.raises(ScalingError, match=r"Slot 2 was not restarted: slot 1 still drains .* Run it again\.") as caught:
        go(world, restart=[1, 2], drain_policy="keep")
    assert list(caught.value.details["failed"]) == ["2"], "the first one is restarted as soon as its requests are over"
    assert world.slots() == {"active Running": [2], "draining Running": [1]} and world.closed == {"botserver-1"}
    world.in_flight = {}
    world.sleep(30)
    go(world, restart=[2], drain_policy="keep")
    assert [words for words in world.effects if words.startswith("start ")] == ["start botserver-1", "start botserver-2"]
    assert world.slots() == {"active Running": [1, 2]}


def test_what_was_just_renewed_has_its_patience_anew() -> None:
    world, patient = World(), {"heal_patience": 300}
    world.fleet(1, 2)
    world.ill, world.in_flight = {"botserver-2"}, {"botserver-1": 0, "botserver-2": 0}
    for _tick in range(4):
        go(world, options=patient)
        world.sleep(60)
    assert world.remembered()["history"]["unhealthy"] == {"2": START}
    world.stuck = {"botserver-2"}
    go(world, restart=[2], options=patient)
    assert world.remembered()["history"]["unhealthy"] == {}
    # It falls ill again before the next tick sees that it was well.
    world.ill, begun = {"botserver-2"}, world.time
    while not (step := go(world, options=patient)["decision"])["replace"]:
        world.sleep(30)
    assert step["time"] - begun >= 300


def test_who_stands_in_stays_until_the_other_one_is_back() -> None:
    world = World()
    world.fleet(1)
    world.in_flight = {"botserver-1": 1}
    go(world, restart=[1], drain_policy="keep")
    assert world.slots() == {"active Running": [2], "draining Running": [1]} and world.closed == {"botserver-1"}


def test_a_drain_that_is_kept_is_told_once_however_often_it_is_looked_at() -> None:
    world = World()
    world.fleet(1, 3)
    marks = {"user.gb.drain-deadline": str(START - 5), "user.gb.gate-closed": str(START - 40), "user.gb.drain-then": "warm"}
    world.fleet(2, state="draining", **marks)
    world.closed, world.in_flight = {"botserver-2"}, {"botserver-1": 1, "botserver-2": 1}
    notes = go(world, restart=[1], drain_policy="keep", wait=True)["notes"]
    assert [note.partition(":")[0] for note in notes if "left draining" in note] == ["Slot 2", "Slot 1"]


def test_what_a_person_asked_for_and_comes_later_or_by_force_is_a_warning() -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-1": 1, "botserver-2": 1}
    said: list[str] = []
    heard = dataclasses.replace(ports(world), warn=said.append)
    run(world, job(world, restart=[1], drain_policy="keep"), ports=heard)  # type: ignore[arg-type]
    run(world, job(world, count=1, wait=True, drain_policy="force"), ports=heard)  # type: ignore[arg-type]
    assert [text.partition(":")[0] for text in said] == ["Slot 1", "Slot 1"]
    assert "left draining" in said[0] and "stopped all the same" in said[1]


def lock_of(world: World, holder: str = "ops/7", seconds: float = 300) -> None:
    """Somebody is at work, and was already before we came."""
    text = json.dumps({"holder": holder, "purpose": "a rollout", "since": world.time - 5, "expires": world.time + seconds})
    world.objects["profiles/gb-autoscale"]["config"]["user.gb.lock"] = text


def busy(seconds: float = 300) -> World:
    """A world in which another run is at work."""
    world = World()
    world.fleet(1)
    go(world)
    lock_of(world, seconds=seconds)
    return world


def test_a_run_waits_for_another_one_to_end() -> None:
    world = busy()
    ends, moment = world.time + 2, world.time

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        keys = world.objects["profiles/gb-autoscale"]["config"]
        if world.time >= ends and "ops/7" in keys.get("user.gb.lock", ""):
            del keys["user.gb.lock"]

    patient = dataclasses.replace(ports(world), clock=Clock(lambda: world.time, sleep))
    result = run(world, job(world, count=2, lock_wait=60), ports=patient)  # type: ignore[arg-type]
    assert world.slots() == {"active Running": [1, 2]}
    assert 2 <= world.time - moment < 4
    assert not any("taken over" in note for note in result["notes"]) and "user.gb.lock" not in world.config()


def test_a_run_that_waited_in_vain_says_for_whom_and_changes_nothing() -> None:
    world = busy()
    before, moment = world.config(), world.time
    with pytest.raises(Held) as caught:
        go(world, count=2, lock_wait=60)
    said = str(caught.value)
    assert said.startswith(
        "Waited 60 s (lock_wait, in the playbooks gb_lock_wait) for another run to end. The lock of profiles/gb-autoscale"
    )
    assert re.search(r"is held by ops/7 for a rollout since .* UTC \(65 s ago\) until .* UTC \(240 s from now\)\. Wait for that run", said)
    assert caught.value.details["lock"]["holder"] == "ops/7"
    assert (world.slots(), world.config(), world.time) == ({"active Running": [1]}, before, moment + 60)
    assert "Waited 60 s" in go(world, lock_wait=60, skip_locked=True)["skipped_reason"]


def test_a_lock_that_expires_meanwhile_is_taken_over() -> None:
    world = busy(seconds=20)
    assert any("The lock of ops/7 was taken over" in note for note in go(world, count=2, lock_wait=60)["notes"])
    assert world.slots() == {"active Running": [1, 2]}


@pytest.mark.parametrize("more", [{"check": True, "lock_wait": 60}, {"skip_locked": True}], ids=["check mode", "a timer's tick"])
def test_nobody_waits_for_nothing(more: dict[str, t.Any]) -> None:
    world = busy()
    moment = world.time
    go(world, **more)
    assert world.time == moment


def ticked(metrics: pathlib.Path) -> float:
    """When the metrics say that a tick was last at work."""
    (found,) = [
        value for name, _labels, value in samples(metrics.read_text(encoding="utf-8")) if name.endswith("last_tick_timestamp_seconds")
    ]
    return found


@pytest.mark.parametrize(("seconds", "lives"), [(200, True), (100_000, False)], ids=["a run's lock", "one that reaches further"])
def test_a_tick_beside_another_run_is_a_sign_of_life(tmp_path: pathlib.Path, seconds: float, lives: bool) -> None:
    log, metrics = tmp_path / "decisions.jsonl", tmp_path / "gb.prom"
    files: dict[str, t.Any] = {"decision_log": str(log), "textfile": str(metrics), "skip_locked": True}
    world = World()
    world.fleet(1)
    go(world, **files)
    before, moment = metrics.read_text(encoding="utf-8"), world.time
    world.sleep(30)
    lock_of(world, seconds=seconds)
    assert "skipped_reason" in go(world, **files)
    assert ticked(metrics) == (world.time if lives else moment)
    others = [re.sub(r"(last_tick_timestamp_seconds.*) \S+", r"\1", text) for text in (before, metrics.read_text(encoding="utf-8"))]
    assert others[0] == others[1]
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == (2 if lives else 1)
    if lives:
        assert (lines[1]["action"], lines[1]["alert"], lines[1]["errors"], lines[1]["time"]) == ("hold", False, {}, world.time)
        assert "ops/7" in lines[1]["notes"][0]


def test_a_run_that_works_for_long_is_a_sign_of_life(tmp_path: pathlib.Path) -> None:
    metrics = tmp_path / "gb.prom"
    world = World()
    world.fleet(1, 2)
    go(world, textfile=str(metrics))
    world.in_flight, sleep = {"botserver-2": 1}, world.sleep

    def later(seconds: float) -> None:
        assert world.time - ticked(metrics) <= 32
        sleep(seconds)

    world.sleep = later  # type: ignore[method-assign]
    moment = world.time
    go(world, count=1, wait=True, drain_timeout=200, textfile=str(metrics))
    assert world.time - moment >= 200


def test_a_lock_that_a_person_wrote_is_not_waited_for() -> None:
    world = busy()
    moment = world.time
    world.objects["profiles/gb-autoscale"]["config"]["user.gb.lock"] = "maintenance"
    with pytest.raises(Refused, match="unset the key"):
        go(world, lock_wait=60)
    assert world.time == moment


def test_a_mistake_of_our_own_keeps_nobody_else_away() -> None:
    world = World()
    with pytest.raises(TypeError):
        go(world, count="two")
    assert "user.gb.lock" not in world.config()


def test_a_window_shorter_than_the_interval_is_not_known_at_first_and_holds() -> None:
    world = World()
    world.fleet(1, 2)
    calm: dict[str, t.Any] = {"options": {"stabilisation": 1}, "settings": {"scale-check-interval": 5, "scale-cooldown-seconds": 0}}
    go(world, **calm)
    world.sleep(60)
    assert go(world, **calm)["decision"]["action"] == "hold"


def test_what_an_earlier_version_kept_in_the_project_is_moved() -> None:
    world = World()
    world.fleet(1)
    go(world)
    memory = world.objects.pop("profiles/gb-autoscale")["config"]["user.gb.autoscale"]
    world.objects["projects/gb"]["config"]["user.gb.autoscale"] = memory.replace('"last_out":null', f'"last_out":{START - 5}')
    assert go(world, check=True)["state"]["history"]["last_out"] == START - 5
    go(world)
    assert world.remembered()["history"]["last_out"] == START - 5
    assert world.config("projects/gb") == {"user.gb.image.botserver": "gb/botserver/v1"}


def test_warm_slots_are_made_and_renewed_one_in_an_idle_tick() -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, state="warm", status="Stopped", **{"user.gb.image": "v0"})
    go(world, warm=2)
    assert world.slots() == {"active Running": [1], "warm Stopped": [2, 3]}
    go(world, warm=2)
    assert world.config("instances/botserver-2")["user.gb.image"] == "v1"
    assert go(world, warm=2)["changed"] is False


def test_no_warm_slot_is_made_while_scaling_is_switched_off() -> None:
    world, off = World(), {"scale-enabled": False}
    world.fleet(1)
    world.fleet(2, state="warm", status="Stopped", **{"user.gb.image": "v0"})
    before = world.slots()
    for count in (None, 1):
        assert go(world, warm=2, settings=off, count=count)["changed"] is False
    assert world.slots() == before and world.config("instances/botserver-2")["user.gb.image"] == "v0"
    go(world, warm=2, settings=off, force=True)
    assert world.slots()["warm Stopped"] == [2, 3]


#: what a file may hold that no tick can go by, and what is said of it
BROKEN = {
    "a value": ("scale-min-instances,many\n", "scale-min-instances = 'many'"),
    "a combination": ("scale-min-instances,2\nscale-rule-cpu-low,90\n", "scale-rule-cpu-low is 90, scale-cpu-threshold is 70"),
    "a rule without its action": ("scale-min-instances,2\nscale-rule-response-time,900\n", "scale-rule-response-action is not"),
    # These can be read, and no policy can be made of them.
    "a metric that nothing measures": (
        "scale-min-instances,2\nscale-rule-token,9\nscale-rule-token-action,up\n",
        "the metric 'token', which nothing measures. Known are cpu, memory, requests, in-flight, response-time;",
    ),
    "a rule that turns the fleet round": (
        "scale-min-instances,2\nscale-rule-memory-low,9\nscale-rule-memory-low-action,up\n",
        "a rule on a low memory can only scale in",
    ),
    "a maximum below the pin": ("scale-max-instances,2\n", "gb_autoscale.pin is 3; it must be from 1 to 2"),
    "a key that nothing acts on": ("fallback-llm-enabled,true\n", "sets fallback-llm-enabled, and nothing in this release acts on that"),
    "no text": ("\ufeff", "byte order mark"),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=list(BROKEN))
def test_a_config_csv_that_breaks_meanwhile_does_not_stop_it(tmp_path: pathlib.Path, text: str, words: str) -> None:
    file = tmp_path / "config.csv"
    world, options = World(), {"pin": 3}

    def tick(overrides: t.Mapping[str, t.Any] | None = None) -> dict[str, t.Any]:
        params = {"config_csv": str(file), "overrides": overrides or {}, "unconsumed": "refuse", "options": options, "sources": []}
        wanted = dataclasses.replace(job(world), settings=settings_of(params), options=options)
        return run(world, wanted, ports=ports(world))  # type: ignore[arg-type]

    file.write_text("scale-enabled,true\nscale-min-instances,3\n", encoding="utf-8")
    tick()
    assert world.slots() == {"active Running": [1, 2, 3]}
    world.objects["instances/botserver-3"]["status"] = "Stopped"
    file.write_text(text, encoding="utf-8")
    world.sleep(600)
    result = tick()
    assert result["decision"]["alert"] and world.slots()["active Running"] == [1, 2, 3], "it does not go on"
    [note] = [note for note in result["notes"] if "The last settings that were sound go on" in note]
    assert "config.csv" in note or "gb_autoscale" in note or "scale-rule" in note
    assert words in note
    # What this very run was told is no fault of the file.
    file.write_text("scale-enabled,true\nscale-min-instances,3\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="scale-rule-cpu-low"):
        tick({"scale-rule-cpu-low": 99})
    # Nothing sound is remembered.
    file.write_text(text, encoding="utf-8")
    del world.objects["profiles/gb-autoscale"]
    with pytest.raises(InvalidInput, match=re.escape(words)):
        tick()


def test_a_config_csv_that_is_gone_is_a_broken_one(tmp_path: pathlib.Path) -> None:
    params = {"config_csv": str(tmp_path / "config.csv"), "overrides": {}, "unconsumed": "refuse", "options": {}, "sources": []}
    found = settings_of(params)('{"scale-max-instances": 4}')
    assert found.broken and found.values == {"scale-max-instances": 4}
    assert "config.csv cannot be used: Settings cannot be read" in found.notes[0] and "No such file" in found.notes[0]


def test_options_that_suit_no_settings_are_refused_and_no_fault_of_the_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "config.csv"
    file.write_text("scale-min-instances,many\n", encoding="utf-8")
    params = {"config_csv": str(file), "overrides": {}, "unconsumed": "refuse", "options": {"margins": 1}, "sources": []}
    with pytest.raises(InvalidInput, match="scale-min-instances"):
        settings_of(params)('{"scale-max-instances": 4}')


def test_log_and_metrics_tell_of_every_run_also_of_one_that_failed(tmp_path: pathlib.Path) -> None:
    log, metrics = tmp_path / "a/decisions.jsonl", tmp_path / "b/gb.prom"
    files: dict[str, t.Any] = {"decision_log": str(log), "textfile": str(metrics)}
    world = World()
    world.fleet(1)
    go(world, check=True, **files)
    assert not log.exists() and not metrics.exists()
    go(world, **files)
    world.ill = {"botserver-2"}
    with pytest.raises(ScalingError):
        go(world, count=2, health_timeout=5, **files)
    first, second = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert (first["action"], first["errors"], first["holder"]) == ("hold", {}, "run-1")
    assert (second["action"], second["errors"], second["start"]) == ("out", {"unready": 1}, [2])
    assert "Slot 2: it was not healthy" in " ".join(second["notes"])
    assert [one["slot"] for one in first["instances"]] == [1]
    assert metrics.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("ended", ["came up", "did not come up", "broke off"])
def test_a_step_counts_as_one_if_something_came_of_it(tmp_path: pathlib.Path, ended: str) -> None:
    log, metrics = tmp_path / "decisions.jsonl", tmp_path / "gb.prom"
    world = World()
    world.fleet(1)
    world.ill = {"botserver-2"} if ended == "did not come up" else set()
    world.gone_at = 3 if ended == "broke off" else None
    with contextlib.nullcontext() if ended == "came up" else pytest.raises(ScalingError):
        go(world, settings={"scale-min-instances": 2}, health_timeout=5, decision_log=str(log), textfile=str(metrics))
    [line] = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert (line["action"], line["start"], line["undone"]) == ("out", [2], [] if ended == "came up" else [2])
    text = metrics.read_text(encoding="utf-8")
    assert f'scaling_events_total{{project="gb",direction="out"}} {int(ended == "came up")}\n' in text
    assert ("last_step_timestamp_seconds{" in text) == (ended == "came up")


@pytest.mark.parametrize(
    ("options", "set_now", "in_force"),
    [
        ({}, {}, {"pause": None, "pin": None}),
        ({"pause": "both", "pin": "3"}, {}, {"pause": "both", "pin": 3}),
        ({"pause": "both", "pin": 3}, {"pause": "in", "pin": 2}, {"pause": "in", "pin": 2}),
    ],
    ids=["nothing", "the inventory's", "those of run time before it"],
)
def test_log_and_metrics_tell_what_pause_and_pin_are_in_force(
    tmp_path: pathlib.Path, options: dict[str, t.Any], set_now: dict[str, t.Any], in_force: dict[str, t.Any]
) -> None:
    log, metrics = tmp_path / "decisions.jsonl", tmp_path / "gb.prom"
    world = World()
    world.fleet(1)
    state = text_of(State().with_controls(**set_now))
    world.objects["profiles/gb-autoscale"] = {"name": "gb-autoscale", "config": {"user.gb.autoscale": state}}
    go(world, options=options, decision_log=str(log), textfile=str(metrics))
    assert json.loads(log.read_text(encoding="utf-8"))["controls"] == in_force
    assert (f'direction="in"}} {0 if in_force["pause"] is None else 1}') in metrics.read_text(encoding="utf-8")


@pytest.mark.parametrize("cut", [b"", b'{"time": 1}\n', b'{"time":17'])
def test_a_line_of_the_log_stands_alone_whatever_was_cut_off_before_it(tmp_path: pathlib.Path, cut: bytes) -> None:
    log = tmp_path / "decisions.jsonl"
    log.write_bytes(cut)
    world = World()
    world.fleet(1)
    for _ in range(2):
        go(world, decision_log=str(log))
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[:-2] == cut.decode().splitlines()
    assert [json.loads(line)["holder"] for line in lines[-2:]] == ["run-1"] * 2


COUNTED = 'generalbots_autoscaler_errors_total{project="gb",kind="source"} 7\n'


@pytest.mark.parametrize(
    ("damaged", "counted"),
    [(b"\xff\xfe", 0), (b"node_x abc\n" + COUNTED.encode(), 7), (COUNTED.encode() + b"\xff\n", 7), (COUNTED.encode()[:-9], 0)],
    ids=["no text", "a line that is no sample", "a line that is no text", "cut off"],
)
def test_metrics_go_on_from_what_can_be_read_of_a_damaged_file(tmp_path: pathlib.Path, damaged: bytes, counted: int) -> None:
    metrics = tmp_path / "gb.prom"
    metrics.write_bytes(damaged)
    world = World()
    world.fleet(1)
    go(world, textfile=str(metrics))
    assert COUNTED.replace("7", str(counted)) in metrics.read_text(encoding="utf-8")


def test_a_label_may_hold_any_break_but_a_line_feed() -> None:
    held = "a\u2028b\x0bc\x85d\re"
    assert list(samples(f'x{{y="{held}"}} 1\nx 2\n')) == [("x", {"y": held}, 1.0), ("x", {}, 2.0)]


@pytest.mark.parametrize(
    ("direction", "options"), [("out", {}), ("out", {"cooldown_out": 300}), ("in", {"cooldown_in": 300}), ("in", {"stabilisation": 300})]
)
def test_a_forced_run_puts_every_cooldown_aside(direction: str, options: dict[str, t.Any]) -> None:
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-1": 0, "botserver-2": 0}
    memory = text_of(State(history=History(last_out=START - 5) if direction == "out" else History(last_in=START - 5)))
    world.objects["profiles/gb-autoscale"] = {"name": "gb-autoscale", "config": {"user.gb.autoscale": memory}}
    cpu = "99" if direction == "out" else "1"
    measured = [{"name": name, "command": {"argv": ["printf", value]}} for name, value in (("cpu", cpu), ("requests", "1"))]
    given: dict[str, t.Any] = {"check": True, "sources": measured, "options": options}
    assert go(world, **given, force=True)["decision"]["action"] == direction
    if options:
        assert go(world, **given)["decision"]["action"] == "hold"


def raising(error: Exception) -> t.Any:
    """What raises it, whatever it is given."""

    def call(*_args: t.Any) -> t.NoReturn:
        raise error

    return call


@pytest.mark.parametrize("ended", ["before it is connected", "before the lock", "by a mistake of our own"])
def test_a_run_that_ends_before_it_decides_is_told_as_well(tmp_path: pathlib.Path, ended: str) -> None:
    log, metrics = tmp_path / "decisions.jsonl", tmp_path / "gb.prom"
    world = World()
    wanted, connect = job(world, decision_log=str(log), textfile=str(metrics)), lambda: world
    kind, words = "engine", "connection refused"
    if ended == "before it is connected":
        connect = raising(Unreachable("LXD does not answer at unix:/fake.socket: connection refused. Is its daemon running?"))
    elif ended == "before the lock":
        world.gone_at = 0
    else:
        wanted, kind, words = dataclasses.replace(wanted, settings=raising(TypeError("no mapping"))), "other", "TypeError: no mapping"
    for check in (True, False):
        assert not log.exists() and not metrics.exists()
        with pytest.raises((Unreachable, TypeError)):
            Run(connect, wanted, check, ports(world)).result()  # type: ignore[arg-type]
    [line] = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert (line["action"], line["alert"], line["errors"]) == ("hold", True, {kind: 1})
    assert words in line["notes"][0]
    assert f'generalbots_autoscaler_errors_total{{project="gb",kind="{kind}"}} 1' in metrics.read_text(encoding="utf-8")


@pytest.mark.parametrize("there", [False, True])
def test_without_the_main_switch_there_is_no_file_also_when_lxd_is_down(tmp_path: pathlib.Path, there: bool) -> None:
    log, metrics = tmp_path / "decisions.jsonl", tmp_path / "gb.prom"
    world = World()
    world.gone_at = 0
    files: dict[str, t.Any] = {"decision_log": str(log), "textfile": str(metrics)}
    if there:
        with pytest.raises(Unreachable):
            go(world, **files)
    assert metrics.exists() == there
    with pytest.raises(Unreachable):
        go(world, settings={"metrics-scaling-enabled": False}, **files)
    assert log.exists() and not metrics.exists()


def test_the_log_is_put_away_when_it_is_large(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "decisions.jsonl"
    world = World()
    world.fleet(1)
    for _ in range(7):
        go(world, decision_log=str(log), decision_log_bytes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decisions.jsonl", *(f"decisions.jsonl.{n}" for n in range(1, 5))]
    assert len(log.read_text(encoding="utf-8").splitlines()) == 1


#: a drain that is over
OVER = {"user.gb.drain-deadline": f"{START - 100:.0f}", "user.gb.gate-closed": f"{START - 120:.0f}"}


@pytest.mark.parametrize("then", ["warm", "failed", "start", "delete"])
def test_a_draining_slot_whose_cluster_member_is_gone_fails_alone_and_the_tick_goes_on(then: str) -> None:
    world = World()
    world.fleet(2, state="draining", status="Error", **OVER, **{"user.gb.drain-then": then})
    world.refuse = {f"{verb} botserver-2": "the cluster member is offline" for verb in ("start", "stop")}
    for _tick in range(2):
        moment = world.time
        with pytest.raises(ScalingError, match="Slot 2 could not be taken in: ") as caught:
            go(world)
        assert list(caught.value.details["failed"]) == ["2"] and "user.gb.lock" not in world.config()
        assert world.remembered()["sample"]["time"] == moment
        world.sleep(30)
    assert world.slots() == {"active Running": [1], "draining Error": [2]}


@pytest.mark.parametrize("wait", [False, True])
def test_nor_does_it_keep_a_person_from_another_size(wait: bool) -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, state="draining", status="Error", **OVER)
    assert go(world, check=True, count=1, wait=wait)["changed"] is False
    with pytest.raises(ScalingError, match="Slot 2 could not be taken in: botserver-2 is in state Error"):
        go(world, count=2, wait=wait)
    assert world.slots() == {"active Running": [1, 3], "draining Error": [2]} and world.time - START < 5


@pytest.mark.parametrize("held", [False, True], ids=["recorded", "the lock is lost"])
def test_what_was_learned_is_kept_when_a_step_breaks_the_run_off(monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    world = World()
    world.fleet(1)

    def broken(*_args: t.Any) -> t.NoReturn:
        if held:
            lock_of(world)
        raise TypeError("no such step")

    monkeypatch.setattr(Actor, "repair", broken)
    with pytest.raises(TypeError, match="no such step"):
        go(world)
    assert ("user.gb.autoscale" in world.config(), "user.gb.lock" in world.config()) == (not held, held)
    if not held:
        assert world.remembered()["sample"]["time"] == START
        # A step that was decided and not taken is pending, and counts as one that failed.
        with pytest.raises(TypeError):
            go(world, settings={"scale-min-instances": 2})
        monkeypatch.undo()
        go(world)
        assert (world.remembered()["history"]["last_out"], world.remembered()["failures"]) == (None, {"out": 1})


class Busy(World):
    """The load balancer's command that waits for health ends at once, and with another code than 0."""

    asked = 0

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 1.0) -> tuple[int, str, str]:
        if instance != "proxy-1" or argv[3] != "wait":
            return super().execute(instance, argv, timeout=timeout)
        assert self.asked < 100, "it is asked without a pause"
        self.asked += 1
        self.sleep(0.05)
        return 137, "", "Killed"


def test_a_load_balancer_that_cannot_be_asked_is_asked_with_pauses_and_told_once() -> None:
    world = Busy()
    world.fleet(1)
    with pytest.raises(ScalingError, match="Slot 2 did not come up and was set aside") as caught:
        go(world, settings={"scale-min-instances": 2})
    assert 120 <= world.time - START < 130 and 50 <= world.asked <= 61
    [note] = [note for note in caught.value.details["notes"] if note.startswith("The health of ")]
    assert note.endswith("could not be asked for in proxy-1: Killed.")


class Exec(World):
    """LXD refuses a command in an instance that does not run; ``crash`` are those that stop as soon as slot 2 is started."""

    crash: tuple[str, ...] = ()

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 1.0) -> tuple[int, str, str]:
        if self.objects[f"instances/{instance}"]["status"] != "Running":
            raise ApiError("LXD refused: Instance is not running", status=400, reason="Instance is not running")
        return super().execute(instance, argv, timeout=timeout)

    def start(self, method: str, path: str, body: t.Any = None, *, etag: str = "") -> str:
        done = super().start(method, path, body, etag=etag)
        if (path, body["action"]) == ("instances/botserver-2/state", "start"):
            for name in self.crash:
                self.objects[f"instances/{name}"]["status"] = "Stopped"
        return done


@pytest.mark.parametrize(
    ("proxies", "crash", "why"),
    [
        ((), "botserver-2", "it was started and is stopped again: its image does not boot"),
        (("proxy-1", "proxy-2"), "proxy-2", "it was not healthy within 20 s"),
        (("proxy-1",), "proxy-1", "it was not healthy within 20 s"),
    ],
    ids=["its image does not boot", "one of two load balancers stops", "the only one stops"],
)
def test_a_command_that_is_refused_while_instances_start_does_not_break_the_run_off(proxies: tuple[str, ...], crash: str, why: str) -> None:
    world = Exec(proxies)
    world.fleet(1)
    world.crash, world.ill = (crash,), {"botserver-2"}
    with pytest.raises(ScalingError, match=rf"Slot 2 did not come up and was set aside, stopped\..*{why}"):
        go(world, settings={"scale-min-instances": 2}, health_timeout=20)
    assert world.slots() == {"active Running": [1], "failed Stopped": [2]} and world.remembered()["sample"]


@pytest.mark.parametrize("proxies", [(), ("proxy-1", "proxy-2")], ids=["no load balancer", "two that are silent"])
def test_what_nobody_could_ask_is_not_healthy(proxies: tuple[str, ...]) -> None:
    world = World(proxies)
    world.fleet(1)
    world.silent = {*proxies} or {"botserver-2"}
    with pytest.raises(ScalingError, match=r"Slot 2 did not come up and was set aside.* gave no answer"):
        go(world, settings={"scale-min-instances": 3}, health_timeout=20)
    assert 2 in world.slots()["failed Stopped"] and (3 in world.slots()["active Running"]) is not bool(proxies)


@pytest.mark.parametrize("then", ["is at work", "has ended"])
def test_a_run_that_lost_its_lock_leaves_what_its_successor_recorded(then: str) -> None:
    """It was suspended in a drain for longer than its lock is good for."""
    world = World()
    world.fleet(1, 2)
    world.in_flight = {"botserver-2": 1}
    newer = text_of(State(failures={"out": 7}))

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        if "botserver-2" in world.closed and world.time < START + 300:
            world.sleep(400)
            keys = world.objects["profiles/gb-autoscale"]["config"]
            keys.update({"user.gb.autoscale": newer, "user.gb.database": "newer", "user.gb.settings": "{}"})
            del keys["user.gb.lock"]
            if then == "is at work":
                lock_of(world)

    slow = dataclasses.replace(ports(world), clock=Clock(lambda: world.time, sleep))
    with pytest.raises(Refused, match="ops/7" if then == "is at work" else "run-1 does not hold the lock"):
        run(world, job(world, count=1, wait=True, drain_timeout=1000), ports=slow)  # type: ignore[arg-type]
    keys = world.config()
    assert (keys["user.gb.autoscale"], keys["user.gb.database"], keys["user.gb.settings"]) == (newer, "newer", "{}")
    assert ("ops/7" in keys.get("user.gb.lock", "")) == (then == "is at work")


def counted(metrics: pathlib.Path, kind: str) -> float:
    """How many errors of a kind the metrics count."""
    found = samples(metrics.read_text(encoding="utf-8"))
    return sum(value for name, labels, value in found if name.endswith("errors_total") and labels.get("kind") == kind)


@pytest.mark.parametrize("wedged", [False, True], ids=["a websocket lives on", "its gate cannot be closed"])
def test_a_drain_that_is_kept_is_counted_once_over_all_ticks(tmp_path: pathlib.Path, wedged: bool) -> None:
    metrics, world = tmp_path / "gb.prom", World()
    world.fleet(1)
    world.fleet(2, state="draining", **OVER)
    world.in_flight = {"botserver-1": 0, "botserver-2": 1}
    world.refuse = {"stop-gate botserver-2": "no answer from systemd"} if wedged else {}
    world.closed = set() if wedged else {"botserver-2"}
    if wedged:
        del world.objects["instances/botserver-2"]["config"]["user.gb.gate-closed"]
    kept: dict[str, t.Any] = {"drain_policy": "keep", "textfile": str(metrics)}
    for tick in range(4):
        # That a gate cannot be closed knows only who has tried.
        assert go(world, check=True, **kept)["changed"] is wedged
        done = go(world, **kept)
        assert done["changed"] is False and any("it is left draining (drain policy keep)" in note for note in done["notes"])
        assert counted(metrics, "drain_timeout") == 1, tick
        world.sleep(30)
    # The next drain of the slot is another one.
    world.in_flight, world.refuse = {"botserver-1": 0}, {}
    while world.slots() != {"active Running": [1], "warm Stopped": [2]}:
        go(world, **kept)
        world.sleep(5)
    assert not [key for key in world.config("instances/botserver-2") if "drain" in key]
    world.objects.pop("instances/botserver-2")
    world.fleet(2, state="draining", **{**OVER, "user.gb.drain-deadline": f"{START - 90:.0f}", "user.gb.drain-kept": f"{START - 100:.0f}"})
    world.in_flight, world.closed = {"botserver-1": 0, "botserver-2": 1}, {"botserver-2"}
    go(world, **kept)
    assert counted(metrics, "drain_timeout") == 2


@pytest.mark.parametrize("ends", ["abort", "started anew"])
def test_what_was_told_of_a_drain_goes_with_it(ends: str) -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, state="draining", **OVER, **({"user.gb.drain-then": "start"} if ends == "started anew" else {}))
    world.in_flight, world.closed = {"botserver-1": 0, "botserver-2": 1}, {"botserver-2"}
    go(world, drain_policy="keep")
    assert world.config("instances/botserver-2")["user.gb.drain-kept"] == f"{START - 100:.0f}"
    world.in_flight = {"botserver-1": 0, "botserver-2": int(ends == "abort")}
    go(world, drain_policy="abort")
    assert world.slots() == {"active Running": [1, 2]}
    assert not [key for key in world.config("instances/botserver-2") if "drain" in key]


def test_a_person_hears_of_a_drain_that_was_told_before() -> None:
    world = World()
    world.fleet(1, 3)
    world.fleet(2, state="draining", **OVER)
    world.in_flight, world.closed = {"botserver-1": 0, "botserver-2": 1, "botserver-3": 0}, {"botserver-2"}
    go(world, drain_policy="keep")
    said: list[str] = []
    heard = dataclasses.replace(ports(world), warn=said.append)
    with pytest.raises(ScalingError, match=r"Slot 3 was not restarted: slot 2 still drains .* Run it again\."):
        run(world, job(world, restart=[2, 3], drain_policy="keep"), ports=heard)  # type: ignore[arg-type]
    assert [text.partition(":")[0] for text in said] == ["Slot 2"] and "left draining" in said[0]


def test_a_tick_holds_a_drain_back_while_a_load_balancer_is_silent_and_check_mode_says_so(tmp_path: pathlib.Path) -> None:
    metrics, world = tmp_path / "gb.prom", World(["proxy-1", "proxy-2"])
    world.fleet(1, 2)
    go(world, settings=FULL)
    one: dict[str, t.Any] = {"settings": {"scale-max-instances": 1}}
    world.silent = {"proxy-2"}
    for _tick in range(2):
        world.sleep(30)
        checked, done = go(world, check=True, **one), go(world, textfile=str(metrics), **one)
        assert checked["decision"] == done["decision"] and (checked["changed"], done["changed"]) == (False, False)
        assert (done["decision"]["action"], done["decision"]["drain"], done["decision"]["desired"]) == ("hold", [], 2)
        assert "a load balancer does not answer, so nothing is drained: proxy-2 gave no answer" in done["decision"]["reason"]
        assert world.remembered()["pending"] is None and world.remembered()["sample"]["time"] == done["decision"]["time"]
        assert world.remembered()["decisions"][-1]["action"] == "hold"
    assert (counted(metrics, "proxy"), counted(metrics, "engine")) == (2, 0)
    assert world.slots() == {"active Running": [1, 2]} and world.remembered()["failures"] == {}
    world.silent = set()
    assert go(world, **one)["decision"]["drain"] == [2]


def test_a_renewal_that_is_held_back_is_none_that_did_not_help() -> None:
    world = World(["proxy-1", "proxy-2"])
    world.fleet(1, 2)
    world.ill, world.silent = {"botserver-2"}, {"proxy-2"}
    assert {"renew"} == {one["rule"] for one in ticks_until_healed(world)[6:]}
    assert world.slots() == {"active Running": [1, 2]} and world.remembered()["history"]["replaced"] == []


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("asked", [{"count": 1}, {"restart": [1]}, {"refresh": True}], ids=str)
def test_what_a_person_asks_for_while_a_load_balancer_is_silent_fails_in_check_mode_as_well(asked: dict[str, t.Any], check: bool) -> None:
    world = World(["proxy-1", "proxy-2"])
    world.fleet(1, 2)
    world.silent = {"proxy-2"}
    with pytest.raises(Unreachable, match=r"Nothing was drained.*proxy-2 gave no answer"):
        go(world, check=check, **asked)
    assert world.slots() == {"active Running": [1, 2]} and not world.closed


@pytest.mark.parametrize("key", ["user.gb.drain-deadline", "user.gb.gate-closed"])
@pytest.mark.parametrize("text", ["soon", "nan", "-inf", "12:30"])
@pytest.mark.parametrize("policy", ["force", "keep"])
def test_a_key_that_holds_no_moment_ends_no_run_and_the_drain_has_an_end(key: str, text: str, policy: str) -> None:
    world = World()
    world.fleet(1)
    marks = {"user.gb.drain-deadline": f"{START + 20:.0f}", "user.gb.gate-closed": f"{START - 10:.0f}", "user.gb.drain-then": "warm"}
    world.fleet(2, state="draining", **{**marks, key: text})
    world.closed, world.in_flight = {"botserver-2"}, {"botserver-1": 0, "botserver-2": 1}
    go(world, drain_policy=policy)
    assert world.slots() == {"active Running": [1], "draining Running": [2]} and not world.remembered()["failures"]
    world.sleep(20)
    told = [
        note
        for note in go(world, drain_policy=policy)["notes"]
        if note.startswith("Slot 2: 1 requests outlived" if policy == "force" else "Slot 2: ")
    ]
    assert len(told) == 1
    world.in_flight = {"botserver-1": 0}
    go(world, drain_policy=policy)
    assert world.slots() == {"active Running": [1], "warm Stopped": [2]}
    assert not [one for one in world.config("instances/botserver-2") if "drain" in one or "gate" in one]

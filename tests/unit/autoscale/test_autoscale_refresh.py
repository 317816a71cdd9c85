# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet is rolled onto a new image: the new one first, one after the other, and back where it is no good."""

from __future__ import annotations

import json
import typing as t

import pytest
from fleet_world import Killed, World, job, ports

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import run
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError


def old_fleet(*slots: int) -> World:
    """A fleet of the image before the current one, all of which the load balancer lists."""
    world = World()
    world.fleet(*slots, **{"user.gb.image": "v0"})
    world.in_flight = {f"botserver-{slot}": 0 for slot in (1, 2, 3, 4)}
    return world


def roll(world: World, **more: t.Any) -> dict[str, t.Any]:
    """One refresh."""
    wanted = job(world, **{"refresh": True, "wait": True, "health_timeout": 5, **more})
    return run(world, wanted, ports=ports(world))  # type: ignore[arg-type]


def marks(world: World) -> dict[str, str]:
    """What active instances say of whose place they take."""
    return {name: said for name in images(world) if (said := world.config(f"instances/{name}").get("user.gb.replaces")) is not None}


def begun(*slots: int) -> World:
    """A fleet of the image before, of which slot 1 was to be rolled by a run that was killed when slot 3 was in its place."""
    world = old_fleet(*slots)
    world.fleet(3, **{"user.gb.replaces": f"1 v0 {len(slots)}"})
    return world


def fewest(world: World) -> list[int]:
    """The fewest active instances that there are from here on, as the only entry."""
    took, seen = world._effect, [99]

    def effect(words: str, change: t.Callable[[], None]) -> None:
        took(words, change)
        seen[0] = min(seen[0], len(world.slots().get("active Running", ())))

    world._effect = effect  # type: ignore[method-assign]
    return seen


def images(world: World) -> dict[str, str]:
    """The image of every active instance."""
    there = {path.rpartition("/")[2]: one["config"] for path, one in world.objects.items() if path.startswith("instances/botserver-")}
    return {name: keys["user.gb.image"] for name, keys in sorted(there.items()) if keys["user.gb.state"] == "active"}


def test_each_slot_is_replaced_the_new_one_first_and_never_one_more_than_that() -> None:
    world = old_fleet(1, 2)
    result = roll(world)
    assert "slot 1, 2 is to be rolled onto image v1" in result["decision"]["reason"]
    assert images(world) == {"botserver-1": "v1", "botserver-3": "v1"}
    steps = [words for words in world.effects if words.split()[0] in ("start", "stop", "stop-gate", "delete")]
    names = ("start botserver-3", "stop-gate botserver-1", "stop botserver-1", "delete instances/botserver-1")
    again = ("start botserver-1", "stop-gate botserver-2", "stop botserver-2", "delete instances/botserver-2")
    assert steps == [*names, *again]
    assert not any("user.gb.replaces" in world.config(path) for path in world.objects if path.startswith("instances/"))
    assert world.time - 1_760_000_000.0 >= 60, "the first one is watched"
    world.effects = []
    assert roll(world)["changed"] is False and "every slot is of the current image" in roll(world)["decision"]["reason"]


def test_check_mode_tells_and_does_nothing() -> None:
    world = old_fleet(1, 2)
    result = run(world, job(world, refresh=True, wait=True), check=True, ports=ports(world))  # type: ignore[arg-type]
    assert result["changed"] and world.effects == []


def test_a_warm_slot_of_the_image_is_taken_and_a_protected_one_stays() -> None:
    world = old_fleet(1)
    world.fleet(2, **{"user.gb.image": "v0", "user.gb.protected": "true"})
    world.fleet(4, state="warm", status="Stopped")
    roll(world)
    assert images(world) == {"botserver-2": "v0", "botserver-4": "v1"}


def test_what_a_person_paused_stays_and_keeps_nobody_from_being_rolled() -> None:
    world = old_fleet(1)
    world.fleet(2, status="Frozen", **{"user.gb.image": "v0"})
    result = roll(world)
    assert images(world) == {"botserver-2": "v0", "botserver-3": "v1"} and world.slots()["active Frozen"] == [2]
    words = "Slot 2 is frozen (lxc pause) and stays of its older image: unfreeze it and refresh again."
    assert words in result["notes"] and words in result["decision"]["reason"]
    again = roll(world)
    assert again["changed"] is False and again["decision"]["reason"] == f"every other slot is of the current image. {words}"
    world.objects["instances/botserver-2"]["status"] = "Running"
    roll(world)
    assert sorted(images(world).values()) == ["v1", "v1"]


def test_one_that_a_person_pauses_while_its_successor_is_watched_stays() -> None:
    world = old_fleet(1, 2)
    sleep = world.sleep

    def later(seconds: float) -> None:
        sleep(seconds)
        if "instances/botserver-3" in world.objects:
            world.objects["instances/botserver-1"]["status"] = "Frozen"

    world.sleep = later  # type: ignore[method-assign]
    assert "Slot 1 is frozen" in " ".join(roll(world)["notes"])
    assert images(world)["botserver-1"] == "v0" and world.slots()["active Frozen"] == [1]
    assert world.config("projects/gb")["user.gb.image.botserver"] == "gb/botserver/v1"


def test_an_image_that_does_not_come_up_costs_nobody_his_place_and_the_one_before_is_started_again() -> None:
    world = old_fleet(1, 2)
    world.ill = {"botserver-3"}
    with pytest.raises(ScalingError, match="Slot 3 did not come up"):
        roll(world)
    assert images(world) == {"botserver-1": "v0", "botserver-2": "v0"}
    assert world.config("projects/gb")["user.gb.image.botserver"] == "gb/botserver/v0"
    assert "stop-gate botserver-1" not in world.effects and "user.gb.lock" not in world.config()


def test_what_was_rolled_already_is_rolled_back() -> None:
    """It shows at the second move that the new image is no good."""
    world = old_fleet(1, 2)
    took = world.start

    def start(method: str, path: str, body: t.Any = None, *, etag: str = "") -> str:
        # An instance of the new image in slot 1 is ill, one of the old image is not.
        name = path.split("/")[1]
        bad = name == "botserver-1" and world.objects[f"instances/{name}"]["config"].get("user.gb.image") == "v1"
        world.ill = {*world.ill, name} if bad else world.ill - {name}
        return took(method, path, body, etag=etag)

    world.start = start  # type: ignore[method-assign]
    with pytest.raises(ScalingError, match="Slot 1 did not come up"):
        roll(world)
    assert sorted(images(world).values()) == ["v0", "v0"]
    assert world.slots()["failed Stopped"] == [1]


def test_one_that_falls_ill_while_it_is_watched_is_set_aside() -> None:
    world = old_fleet(1, 2)
    sleep = world.sleep

    def later(seconds: float) -> None:
        sleep(seconds)
        if world.time > 1_760_000_000.0 + 30:
            world.ill = {"botserver-3"}

    world.sleep = later  # type: ignore[method-assign]
    with pytest.raises(ScalingError, match="it did not stay healthy for 60 s"):
        roll(world)
    assert images(world) == {"botserver-1": "v0", "botserver-2": "v0"} and world.slots()["failed Stopped"] == [3]


def test_where_too_few_are_healthy_or_there_is_no_room_nobody_goes() -> None:
    world = old_fleet(1, 2)
    world.ill = {"botserver-2"}
    with pytest.raises(ScalingError, match=r"it stays, because slot 2 is not healthy and 90 % of the fleet must be"):
        roll(world)
    assert world.slots()["active Running"] == [1, 2, 3]
    full = old_fleet(1, 2, 3, 4)
    with pytest.raises(ScalingError, match="there is no free slot for what shall take its place"):
        roll(full)
    assert full.slots() == {"active Running": [1, 2, 3, 4]}


def test_a_slot_that_stays_for_want_of_room_is_none_that_could_not_be_started() -> None:
    world = old_fleet(1, 2, 3, 4)
    with pytest.raises(ScalingError, match=r"^Slot 1 could not be taken in: there is no free slot .* raise scale-max-instances"):
        roll(world)
    assert world.remembered()["history"]["stuck"] == {}


def test_where_requests_outlive_a_drain_that_is_put_back_the_next_one_is_not_begun() -> None:
    world = old_fleet(1, 2)
    world.in_flight["botserver-1"] = 1
    with pytest.raises(ScalingError, match="its requests outlived its drain, and it was put back"):
        roll(world, drain_policy="abort")
    assert images(world) == {"botserver-1": "v0", "botserver-2": "v0", "botserver-3": "v1"}
    world.in_flight["botserver-1"] = 0
    roll(world, drain_policy="abort")
    assert images(world) == {"botserver-1": "v1", "botserver-3": "v1"}, "the one that is there already takes its place"


def test_requests_that_a_drain_cut_say_nothing_about_what_starts_in_that_slot() -> None:
    world = old_fleet(1, 2)
    world.in_flight["botserver-1"] = 1
    notes = " ".join(roll(world, drain_policy="force")["notes"])
    assert "1 requests outlived its deadline" in notes and "is no good" not in notes
    assert images(world) == {"botserver-1": "v1", "botserver-3": "v1"}
    assert world.slots() == {"active Running": [1, 3]}
    assert world.config("projects/gb")["user.gb.image.botserver"] == "gb/botserver/v1"


def test_what_is_kept_for_inspection_bears_its_latest_failure() -> None:
    world = old_fleet(1, 2)
    world.in_flight["botserver-1"] = 1
    removed = world.delete

    def delete(path: str, body: t.Any = None, *, etag: str = "", timeout: float = 1.0) -> None:
        removed(path, body, etag=etag, timeout=timeout)
        world.ill = {"botserver-1"}

    world.delete = delete  # type: ignore[method-assign]
    with pytest.raises(ScalingError, match="Slot 1 did not come up"):
        roll(world, drain_policy="force")
    assert "it was not healthy within 5 s" in world.config("instances/botserver-1")["user.gb.failure"]


@pytest.mark.parametrize("more", [{"checkpoint": 600}, {"health_timeout": 600}], ids=["watched", "starting"])
def test_a_refresh_keeps_its_lock_however_long_it_waits(more: dict[str, t.Any]) -> None:
    world = old_fleet(1, 2)
    world.ill = {"botserver-3"} if "health_timeout" in more else set()
    sleep = world.sleep

    def later(seconds: float) -> None:
        sleep(seconds)
        held = json.loads(world.config()["user.gb.lock"])
        assert held["holder"] == "run-1" and held["expires"] > world.time
        # What takes its time comes up in the end.
        world.ill = set() if world.time > 1_760_000_000.0 + 500 else world.ill

    world.sleep = later  # type: ignore[method-assign]
    roll(world, ttl=60, **more)
    assert images(world) == {"botserver-1": "v1", "botserver-3": "v1"} and world.time > 1_760_000_000.0 + 500
    written = [words for words in world.effects if words == "put profiles/gb-autoscale"]
    assert len(written) < 600 / 20 + 10, "each time a third of its time has passed, not at each look"


def test_killed_anywhere_the_next_refresh_ends_with_the_same_fleet() -> None:
    whole = old_fleet(1, 2)
    roll(whole)
    for number in range(len(whole.effects)):
        for when in ("before", "after"):
            world = old_fleet(1, 2)
            world.die_at = (number, when)
            with pytest.raises(Killed) as died:
                roll(world)
            world.revive()
            roll(world, holder="again")
            assert sorted(images(world).values()) == ["v1", "v1"], f"killed {died.value}"
            assert world.slots().keys() == {"active Running"}, f"killed {died.value}"
            assert "user.gb.lock" not in world.config()
            assert not marks(world), f"killed {died.value}"


def test_what_a_killed_run_has_begun_is_gone_on_with() -> None:
    world = begun(1, 2)
    roll(world)
    assert images(world) == {"botserver-1": "v1", "botserver-3": "v1"} and not marks(world)
    assert [words for words in world.effects if words.startswith("start ")] == ["start botserver-1"]


def test_a_tick_that_took_one_in_meanwhile_leaves_no_place_that_is_taken_already() -> None:
    """Slot 1 and 3 are what the fleet is to be; nothing goes before another one serves."""
    world = begun(1, 2)
    del world.objects["instances/botserver-2"]
    seen = fewest(world)
    roll(world)
    assert sorted(images(world).values()) == ["v1", "v1"] and seen == [2] and not marks(world)


def test_a_mark_of_an_earlier_image_is_none_of_a_roll_back() -> None:
    """Slot 2 came for an instance of v0 in slot 1, where one of v2 is now, which turns out to be no good."""
    world = World()
    world.fleet(1, **{"user.gb.image": "v2"})
    world.fleet(2, **{"user.gb.replaces": "1 v0 1"})
    world.objects["projects/gb"]["config"]["user.gb.image.botserver"] = "gb/botserver/v2"
    world.in_flight = {f"botserver-{slot}": 0 for slot in (1, 2, 3, 4)}
    world.ill, seen = {"botserver-3"}, fewest(world)
    with pytest.raises(ScalingError, match="Slot 3 did not come up"):
        roll(world)
    assert sorted(images(world).values()) == ["v1", "v1"] and seen == [2] and not marks(world)


@pytest.mark.parametrize("mark", ["1", "", "1 v0", "1 v0 x", "7 v0 1", "1 v1 1", "1 v0 2"])
def test_a_mark_that_means_nothing_is_forgotten(mark: str) -> None:
    world = World()
    world.fleet(1)
    world.fleet(2, **{"user.gb.replaces": mark})
    assert roll(world)["changed"] is False
    assert not marks(world) and world.slots() == {"active Running": [1, 2]}


@pytest.mark.parametrize("said", ["true", "True", "yes", "1", "on", " TRUE ", "ture"])
def test_an_instance_is_protected_by_any_word_for_it(said: str) -> None:
    world = old_fleet(1)
    world.fleet(2, **{"user.gb.image": "v0", "user.gb.protected": said})
    roll(world)
    assert images(world) == {"botserver-2": "v0", "botserver-3": "v1"}
    run(world, job(world, {"scale-min-instances": 1}, count=1, wait=True), ports=ports(world))  # type: ignore[arg-type]
    assert world.slots()["active Running"] == [2]


@pytest.mark.parametrize("said", ["false", "False", "no", "0", "off", ""])
def test_an_instance_is_not_protected_by_a_word_for_the_contrary(said: str) -> None:
    world = old_fleet(1)
    world.fleet(2, **{"user.gb.image": "v0", "user.gb.protected": said})
    roll(world)
    assert sorted(images(world).values()) == ["v1", "v1"]

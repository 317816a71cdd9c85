# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a failover of the database every slot is renewed once, one after the other, and nothing is dropped."""

from __future__ import annotations

import json
import pathlib
import typing as t

import jinja2
import pytest
import yaml
from fleet_world import Killed, World, job, ports

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.failover import Healing, from_text, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import UNDECIDED, run
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError

BEFORE, AFTER = "postgres-1 4 2026-01-01T00:00:00+00:00", "postgres-2 5 2026-01-02T00:00:00+00:00"


def site(*slots: int) -> World:
    """A fleet with a database whose primary has been seen once."""
    world = World()
    world.fleet(*slots)
    world.add("postgres-1", component="postgres")
    world.add("postgres-2", component="postgres")
    world.primary = BEFORE
    go(world)
    world.effects = []
    return world


def go(world: World, *, check: bool = False, **more: t.Any) -> dict[str, t.Any]:
    """A tick that scales nothing; healing does not depend on that."""
    still = {"scale-enabled": False, **more.pop("settings", {})}
    return run(world, job(world, still, **more), check=check, ports=ports(world))  # type: ignore[arg-type]


def renewed(world: World) -> list[str]:
    """The instances that were stopped and started again before another one was stopped, in order."""
    power = [words.split() for words in world.effects if words.startswith(("stop botserver-", "start botserver-"))]
    assert [verb for verb, _name in power] == ["stop", "start"] * (len(power) // 2)
    assert [name for _verb, name in power[::2]] == [name for _verb, name in power[1::2]]
    return [name for _verb, name in power[::2]]


def known(world: World) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads(world.config()["user.gb.database"]))


def test_the_first_primary_that_is_seen_is_noted_and_nothing_is_renewed() -> None:
    world = site(1, 2)
    assert known(world) == {"primary": BEFORE, "slots": []}
    assert go(world)["changed"] is False


def test_after_a_failover_every_slot_is_renewed_once_one_after_the_other() -> None:
    world = site(1, 2, 3)
    world.primary = AFTER
    result = go(world)
    assert renewed(world) == ["botserver-1", "botserver-2", "botserver-3"]
    assert world.slots() == {"active Running": [1, 2, 3]}
    assert "The database failed over (postgres-1 on timeline 4" in " ".join(result["notes"])
    assert known(world) == {"primary": AFTER, "slots": []}
    world.effects = []
    assert go(world)["changed"] is False
    assert renewed(world) == []


def test_a_restart_of_the_same_primary_counts_too_for_it_cut_the_connections() -> None:
    world = site(1, 2)
    world.primary = BEFORE.replace("2026-01-01", "2026-01-03")
    go(world)
    assert renewed(world) == ["botserver-1", "botserver-2"]


def test_while_nobody_leads_nothing_is_renewed() -> None:
    world = site(1, 2)
    world.primary = ""
    assert "Nobody tells who leads the database" in " ".join(go(world)["notes"])
    assert renewed(world) == []
    world.primary = AFTER
    go(world)
    assert renewed(world) == ["botserver-1", "botserver-2"]


def test_a_member_that_gives_no_answer_is_not_the_only_one_asked() -> None:
    world = site(1, 2)
    world.primary, world.silent = AFTER, {"postgres-1"}
    go(world)
    assert renewed(world) == ["botserver-1", "botserver-2"]


def test_a_slot_is_out_of_the_load_balancers_choice_before_it_is_stopped() -> None:
    world = site(1, 2)
    world.primary = AFTER
    go(world)
    words = [one for one in world.effects if "botserver-1" in one]
    assert words.index("stop-gate botserver-1") < words.index("stop botserver-1")


def test_the_only_instance_is_renewed_while_another_serves() -> None:
    world = site(1)
    world.primary = AFTER
    notes = " ".join(go(world)["notes"])
    assert "Slot 2 serves while the only other one is renewed" in notes
    assert world.effects.index("start botserver-2") < world.effects.index("stop-gate botserver-1")
    assert world.slots() == {"active Running": [1], "warm Stopped": [2]}


def test_a_slot_that_a_person_paused_is_passed_over_and_renewed_once_it_goes_on() -> None:
    world = site(1, 2, 3)
    world.objects["instances/botserver-2"]["status"] = "Frozen"
    world.primary = AFTER
    for _tick in range(2):
        assert "while it is frozen (lxc pause): slot 2." in " ".join(go(world)["notes"])
        world.sleep(30)
    assert renewed(world) == ["botserver-1", "botserver-3"] and known(world) == {"primary": AFTER, "slots": [2]}
    assert world.slots() == {"active Frozen": [2], "active Running": [1, 3]}
    assert not any("botserver-2" in words for words in world.effects)
    world.objects["instances/botserver-2"]["status"] = "Running"
    go(world)
    assert renewed(world) == ["botserver-1", "botserver-3", "botserver-2"] and known(world)["slots"] == []


def test_one_that_is_paused_while_others_are_renewed_is_passed_over_too() -> None:
    world = site(1, 2)
    world.primary, took = AFTER, world.start

    def start(method: str, path: str, body: t.Any = None, *, etag: str = "") -> str:
        world.objects["instances/botserver-2"]["status"] = "Frozen"
        return took(method, path, body, etag=etag)

    world.start = start  # type: ignore[method-assign]
    notes = " ".join(go(world)["notes"])
    assert renewed(world) == ["botserver-1"] and known(world) == {"primary": AFTER, "slots": [2]} and "tried again later" not in notes


def test_the_only_one_that_serves_beside_a_paused_one_is_renewed_while_another_serves() -> None:
    world = site(1, 2)
    world.objects["instances/botserver-2"]["status"] = "Frozen"
    world.primary = AFTER
    assert "Slot 3 serves while the only other one is renewed" in " ".join(go(world)["notes"])
    assert world.slots() == {"active Frozen": [2], "active Running": [1], "warm Stopped": [3]}


def test_where_there_may_be_one_only_it_is_said_that_visitors_wait() -> None:
    world = site(1)
    world.primary = AFTER
    notes = " ".join(go(world, settings={"scale-max-instances": 1, "scale-min-instances": 1})["notes"])
    assert "visitors wait" in notes
    assert renewed(world) == ["botserver-1"]


def test_check_mode_tells_and_does_nothing() -> None:
    world = site(1, 2)
    world.primary = AFTER
    result = go(world, check=True)
    assert result["changed"] is True
    assert "every slot is renewed" in " ".join(result["notes"])
    assert world.effects == []


def test_check_mode_tells_as_well_what_is_put_off() -> None:
    world = site(1, 2)
    world.primary, world.in_flight = AFTER, {"botserver-1": 1}
    go(world, drain_policy="abort")
    for changes in (False, True):
        assert go(world, check=True, drain_policy="abort")["changed"] is changes
        assert go(world, drain_policy="abort")["changed"] is changes
        world.sleep(31)


def test_a_warm_slot_is_not_made_in_a_tick_in_which_another_slot_stands_in() -> None:
    world = site(1)
    world.primary = AFTER
    on = {"scale-enabled": True}
    assert go(world, settings=on, warm=1)["failed"] == {}
    assert world.slots() == {"active Running": [1], "warm Stopped": [2]}


@pytest.mark.parametrize("number", range(1, 24))
def test_a_run_that_dies_anywhere_is_gone_on_with_and_no_slot_is_forgotten(number: int) -> None:
    world = site(1, 2)
    world.primary = AFTER
    world.die_at = (number, "after")
    with pytest.raises(Killed):
        go(world)
    begun = list(world.effects)
    world.revive()
    for _tick in range(5):
        go(world)
        world.sleep(30)
    world.effects = begun + world.effects
    starts = [world.effects.count(f"start botserver-{slot}") for slot in (1, 2)]
    # A slot that was started and not noted as done yet is renewed once more; the other is not.
    assert sorted(starts) in ([1, 1], [1, 2])
    assert world.slots() == {"active Running": [1, 2]}
    assert known(world) == {"primary": AFTER, "slots": []}


def test_what_is_renewed_by_hand_is_not_renewed_twice() -> None:
    world = site(1, 2)
    world.primary = AFTER
    go(world, restart=[1])
    assert renewed(world) == ["botserver-1", "botserver-2"]


def test_nor_is_what_a_refresh_made_anew() -> None:
    world = site(1, 2)
    world.fleet(4, **{"user.gb.protected": "true"})
    world.primary, world.objects["projects/gb"]["config"]["user.gb.image.botserver"] = AFTER, "gb/botserver/v2"
    go(world, refresh=True, wait=True, checkpoint=0)
    assert world.slots() == {"active Running": [1, 3, 4]} and known(world) == {"primary": AFTER, "slots": [4]}
    world.effects = []
    go(world)
    assert renewed(world) == ["botserver-4"]


def test_what_a_restart_did_not_come_to_is_renewed_later() -> None:
    world = site(1, 2)
    world.primary, world.ill = AFTER, {"botserver-1"}
    with pytest.raises(ScalingError, match="Slot 1 did not come up"):
        go(world, restart=[1, 2], health_timeout=20)
    assert "stop botserver-2" not in world.effects
    assert known(world) == {"primary": AFTER, "slots": [2]}


def test_a_slot_whose_requests_outlive_its_drain_is_renewed_later() -> None:
    world = site(1, 2)
    world.primary, world.in_flight = AFTER, {"botserver-1": 1}
    notes = " ".join(go(world, drain_policy="abort")["notes"])
    assert renewed(world) == ["botserver-2"]
    assert known(world)["slots"] == [1] and "tried again later: slot 1" in notes
    world.in_flight = {}
    for _tick in range(3):
        world.sleep(20)
        go(world, drain_policy="abort")
    assert renewed(world) == ["botserver-2", "botserver-1"]
    assert world.slots() == {"active Running": [1, 2]} and known(world)["slots"] == []


def test_while_a_slot_is_left_draining_none_is_taken_out_after_it() -> None:
    world = site(1, 2, 3)
    world.primary, world.in_flight = AFTER, {"botserver-1": 1}
    for _tick in range(3):
        notes = " ".join(go(world, drain_policy="keep")["notes"])
        assert renewed(world) == [] and world.slots() == {"active Running": [2, 3], "draining Running": [1]}
        world.sleep(20)
    assert known(world)["slots"] == [1, 2, 3]
    world.in_flight = {}
    for _tick in range(4):
        notes += " ".join(go(world, drain_policy="keep")["notes"])
        world.sleep(20)
    assert renewed(world) == ["botserver-1", "botserver-2", "botserver-3"]
    assert world.slots() == {"active Running": [1, 2, 3]} and known(world)["slots"] == []


def test_a_slot_that_was_put_back_is_not_drained_again_by_each_tick() -> None:
    world = site(1, 2)
    world.primary, world.in_flight = AFTER, {"botserver-1": 1}
    go(world, drain_policy="abort")
    world.effects = []
    world.sleep(20)
    go(world, drain_policy="abort")
    assert "stop-gate botserver-1" not in world.effects and known(world)["slots"] == [1]
    world.sleep(20)
    go(world, drain_policy="abort")
    assert "stop-gate botserver-1" in world.effects and known(world)["slots"] == [1]


def test_the_next_tick_decides_before_the_rest_is_renewed() -> None:
    """The first one's requests take longer than the interval, and are put back; the others do not wait for it."""
    world = site(1, 2, 3)
    world.primary, world.in_flight = AFTER, {"botserver-1": 1}
    slow: dict[str, t.Any] = {"drain_policy": "abort", "drain_timeout": 300}
    go(world, **slow)
    assert renewed(world) == [] and known(world) == {"primary": AFTER, "slots": [1, 2, 3], "back": [1], "later": world.time + 300}
    world.sleep(30)
    go(world, **slow)
    assert renewed(world) == ["botserver-2", "botserver-3"] and known(world)["slots"] == [1]
    world.sleep(300)
    world.in_flight = {}
    go(world, **slow)
    assert renewed(world) == ["botserver-2", "botserver-3", "botserver-1"] and known(world) == {"primary": AFTER, "slots": []}


def test_the_unit_lets_a_tick_work_as_long_as_it_rightly_may() -> None:
    role = pathlib.Path(__file__).parents[3] / "roles" / "autoscaler"
    assert "TimeoutStartSec={{ __autoscaler_longest }}" in (role / "templates" / "gb-autoscale.service.j2").read_text(encoding="utf-8")
    longest = yaml.safe_load((role / "vars" / "main.yml").read_text(encoding="utf-8"))["__autoscaler_longest"]
    given = {"gb_health_timeout": 120, "gb_drain_timeout": 300, "gb_settings": {"scale-check-interval": 30}}
    renewal = 300 + 60 + 40 + 120
    assert int(jinja2.Template(longest).render(given)) > 2 * 120 + UNDECIDED * 30 + 2 * renewal


def test_what_an_earlier_version_put_off_stays_put_off() -> None:
    healing, _note = from_text(json.dumps({"primary": AFTER, "slots": [1, 2], "later": 100.0}))
    assert healing.due(50.0, 300.0) == [] and healing.due(100.0, 300.0) == [1, 2]


def test_a_clock_that_was_set_back_puts_a_later_try_off_no_longer() -> None:
    world = site(1, 2)
    world.primary, world.in_flight = AFTER, {"botserver-1": 1}
    go(world, drain_policy="abort")
    assert known(world)["slots"] == [1]
    world.in_flight = {}
    world.sleep(-3600)
    go(world, drain_policy="abort")
    world.sleep(20)
    go(world, drain_policy="abort")
    assert renewed(world) == ["botserver-2", "botserver-1"] and known(world)["slots"] == []


@pytest.mark.parametrize("then", ["start", "warm"])
def test_a_slot_that_was_on_its_way_out_at_the_failover_and_is_put_back_is_renewed_as_well(then: str) -> None:
    world = site(1, 2)
    marks = {"user.gb.drain-deadline": f"{world.time + 10}", "user.gb.gate-closed": f"{world.time - 20}", "user.gb.drain-then": then}
    world.fleet(2, state="draining", **marks)
    world.primary, world.in_flight = AFTER, {"botserver-2": 1}
    go(world, drain_policy="abort")
    world.sleep(20)
    go(world, drain_policy="abort")
    assert world.slots() == {"active Running": [1, 2]} and renewed(world) == []
    world.in_flight = {}
    go(world, drain_policy="abort")
    assert renewed(world) == ["botserver-1", "botserver-2"] and known(world)["slots"] == []


def test_a_site_without_a_database_of_ours_remembers_nothing_of_it() -> None:
    world = World()
    world.fleet(1)
    go(world)
    assert "user.gb.database" not in world.config()


def test_a_second_failover_in_the_middle_begins_anew() -> None:
    middle = Healing(BEFORE, (2, 3))
    assert plan(middle, AFTER, [1, 2, 3])[0] == Healing(AFTER, (1, 2, 3))
    assert plan(middle, BEFORE, [1, 3])[0] == Healing(BEFORE, (3,))
    assert plan(middle, "", [1, 2, 3])[0] == middle


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"primary": "x"}'])
def test_a_record_that_cannot_be_read_renews_nobody(text: str) -> None:
    healing, note = from_text(text)
    assert plan(healing, AFTER, [1])[0] == Healing(AFTER)
    assert "noted afresh" in note


def test_while_a_load_balancer_is_silent_nobody_is_renewed_and_the_tick_goes_on() -> None:
    world = site(1, 2)
    world.primary, world.silent = AFTER, {"proxy-1"}
    for check in (True, False):
        done = go(world, check=check)
        assert "Not renewed after the failover while a load balancer does not answer: slot 1, 2." in done["notes"]
        assert done["changed"] is False
    assert renewed(world) == [] and known(world) == {"primary": AFTER, "slots": [1, 2]}
    world.silent = set()
    go(world)
    assert renewed(world) == ["botserver-1", "botserver-2"]

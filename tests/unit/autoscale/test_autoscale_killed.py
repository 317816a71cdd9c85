# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run is killed before and after every single thing that it does; the next ones end where it would have ended."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

import pytest
from fleet_world import START, Killed, World, job, ports

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.lock import text_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import History
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import run
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError

FINISHED = {"user.gb.drain-deadline", "user.gb.gate-closed", "user.gb.drain-then"}


@dataclasses.dataclass(frozen=True)
class Case:
    """What there is, what is asked for, and what it comes to."""

    name: str
    fleet: t.Callable[[World], None]
    wanted: t.Mapping[str, t.Any]
    end: t.Mapping[str, list[int]]
    cooldown: str = ""
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    at_once: t.Mapping[str, list[int]] | None = None
    """What one run alone comes to, where ticks after it go on."""
    fails: bool = False
    """Whether what is asked for cannot all be done."""
    remembered: int = 0
    """Failures that were counted before."""


def two(world: World) -> None:
    world.fleet(1, 2)


def one_and_a_warm_one(world: World) -> None:
    world.fleet(1)
    world.fleet(3, state="warm", status="Stopped")


def one_and_an_old_warm_one(world: World) -> None:
    world.fleet(1)
    world.fleet(2, state="warm", status="Stopped", **{"user.gb.image": "v0"})


def one_of_three_is_ill(world: World) -> None:
    """For longer than its patience, as earlier ticks have seen."""
    world.fleet(1, 2, 3)
    world.ill, world.in_flight = {"botserver-2"}, {f"botserver-{slot}": 0 for slot in (1, 2, 3, 4)}
    history = History(unhealthy={2: START - 600})
    memory = {"user.gb.autoscale": text_of(State(history=history))}
    world.objects["profiles/gb-autoscale"] = {"name": "gb-autoscale", "config": memory}


def its_replacement_serves(world: World) -> None:
    one_of_three_is_ill(world)
    world.fleet(4)
    history = History(unhealthy={2: START - 600}, replacing={2: 4}, replaced=(START - 60,))
    world.objects["profiles/gb-autoscale"]["config"]["user.gb.autoscale"] = text_of(State(history=history))


def one_stands_still(world: World) -> None:
    world.fleet(1)
    world.fleet(2, status="Stopped")


def one_beyond_the_maximum(world: World) -> None:
    world.fleet(1, 2, 6)


def busy(world: World) -> None:
    world.fleet(1, 2)
    world.in_flight = {"botserver-2": 1}


def the_second_does_not_come_up(world: World) -> None:
    world.fleet(1)
    world.ill, world.in_flight = {"botserver-2"}, {f"botserver-{slot}": 0 for slot in (1, 2, 3, 4)}


def remembered_by_the_project(world: World) -> None:
    """As an earlier version kept it."""
    world.objects["projects/gb"]["config"] |= {"user.gb.autoscale": text_of(State(failures={"out": 7}))}


CASES = (
    Case("the first instance", lambda world: None, {}, {"active Running": [1]}, "last_out"),
    Case("out by a new and a warm slot", one_and_a_warm_one, {"count": 3}, {"active Running": [1, 2, 3]}, "last_out"),
    Case("out by a warm slot of an old image", one_and_an_old_warm_one, {"count": 2}, {"active Running": [1, 2]}, "last_out"),
    Case("in, kept warm", two, {"count": 1, "wait": True}, {"active Running": [1], "warm Stopped": [2]}, "last_in"),
    Case("in, deleted", two, {"count": 1, "wait": True, "keeps": "delete"}, {"active Running": [1]}, "last_in"),
    Case("renewed", two, {"restart": [1, 2]}, {"active Running": [1, 2]}),
    Case("a warm slot renewed", one_and_an_old_warm_one, {"warm": 1}, {"active Running": [1], "warm Stopped": [2]}),
    Case("an ill one replaced, the new one first", one_of_three_is_ill, {"wait": True},
         {"active Running": [1, 3, 4], "failed Stopped": [2]}, at_once={"active Running": [1, 2, 3, 4]},
         settings={"scale-min-instances": 3}),
    Case("an ill one taken out when its replacement serves", its_replacement_serves, {"wait": True},
         {"active Running": [1, 3, 4], "failed Stopped": [2]}, settings={"scale-min-instances": 3}),
    Case("one that stands still started again", one_stands_still, {}, {"active Running": [1, 2]}, settings={"scale-min-instances": 2}),
    Case("one beyond the maximum", one_beyond_the_maximum, {"wait": True}, {"active Running": [1, 2], "warm Stopped": [6]}, "last_in",
         settings={"scale-min-instances": 2}),
    Case("one that does not come up set aside", the_second_does_not_come_up, {"count": 2, "health_timeout": 5},
         {"active Running": [1, 3], "failed Stopped": [2]}, at_once={"active Running": [1], "failed Stopped": [2]}, fails=True),
    Case("a drain put back at its deadline", busy, {"count": 1, "wait": True, "drain_policy": "abort"}, {"active Running": [1, 2]}),
    Case("what is remembered moved to its place", remembered_by_the_project, {}, {"active Running": [1]}, "last_out", remembered=7),
)  # fmt: skip
#: of what a run is asked, what every other run on the same site has as well
SITE = ("keeps", "drain_policy", "health_timeout", "warm")


def world_of(case: Case) -> World:
    """The case's world, before."""
    world = World()
    case.fleet(world)
    return world


def attempt(world: World, case: Case, **more: t.Any) -> None:
    """One run, which may die."""
    with contextlib.suppress(*[ScalingError] if case.fails else []):
        run(world, job(world, case.settings, **{**case.wanted, **more}), ports=ports(world))  # type: ignore[arg-type]


def tick(world: World, case: Case, **more: t.Any) -> None:
    """One of the ticks that come by themselves."""
    attempt(world, dataclasses.replace(case, wanted={name: case.wanted[name] for name in SITE if name in case.wanted}), **more)


def converge(world: World, case: Case) -> None:
    """What follows a death: ticks go on with what is half done, and whoever asked by hand asks again, until what can be done is done."""
    for number in range(4):
        tick(world, case, holder=f"later-{number}", wait=True)
        world.sleep(30)
    for number in range(1 + case.fails):
        attempt(world, case, holder=f"again-{number}", wait=True)


def walk(case: Case) -> t.Iterator[tuple[int, str]]:
    """Every moment of the case's run."""
    world = world_of(case)
    attempt(world, case)
    assert world.slots() == (case.at_once or case.end)
    assert len(world.effects) >= 4
    for number in range(len(world.effects)):
        yield number, "before"
        yield number, "after"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_killed_anywhere_the_next_runs_end_in_the_same_state(case: Case) -> None:
    for moment in walk(case):
        world = world_of(case)
        world.die_at = moment
        with pytest.raises(Killed) as died:
            attempt(world, case)
        world.revive()
        converge(world, case)
        where = f"killed {died.value}"
        assert world.slots() == case.end, where
        assert "user.gb.lock" not in world.config(), where
        assert not world.closed & {path.rpartition("/")[2] for path, one in world.objects.items() if one.get("status") == "Running"}, where
        left = {key for path in world.objects if path.startswith("instances/") for key in world.config(path)} & FINISHED
        assert not left, where
        assert world.remembered()["failures"].get("out", 0) >= case.remembered, where


@pytest.mark.parametrize("case", [case for case in CASES if case.cooldown], ids=lambda case: case.name)
def test_killed_anywhere_no_step_that_came_true_loses_its_cooldown(case: Case) -> None:
    for moment in walk(case):
        world = world_of(case)
        world.die_at = moment
        with pytest.raises(Killed) as died:
            attempt(world, case)
        took = any(words.startswith(("start botserver", "stop-gate", "stop botserver")) for words in world.effects)
        world.revive(after=301.0)
        # With the fleet switched off nothing but the outcome of the earlier step is looked at.
        tick(world, dataclasses.replace(case, settings={**case.settings, "scale-enabled": False}), holder="later")
        said = world.remembered()["history"][case.cooldown]
        assert said in ((START,) if took else (START, None)), f"killed {died.value}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lxd_gone_in_the_middle_is_a_failed_run_that_the_next_one_makes_good(case: Case) -> None:
    """As a restart of the daemon: from one moment on every answer is an error, until it is back."""
    for number, when in walk(case):
        if when == "after":
            continue
        world = world_of(case)
        world.gone_at = number
        with pytest.raises(ScalingError):
            attempt(world, dataclasses.replace(case, fails=False))
        world.gone_at = None
        world.revive()
        converge(world, case)
        assert world.slots() == case.end, number
        assert "user.gb.lock" not in world.config()

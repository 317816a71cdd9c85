# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run is killed before and after every single thing that it does; the next ones end where it would have ended."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from fleet_world import START, Killed, World, job, ports

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import Job, run
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


def two(world: World) -> None:
    world.fleet(1, 2)


def one_and_a_warm_one(world: World) -> None:
    world.fleet(1)
    world.fleet(3, state="warm", status="Stopped")


def one_and_an_old_warm_one(world: World) -> None:
    world.fleet(1)
    world.fleet(2, state="warm", status="Stopped", **{"user.gb.image": "v0"})


CASES = (
    Case("the first instance", lambda world: None, {}, {"active Running": [1]}, "last_out"),
    Case("out by a new and a warm slot", one_and_a_warm_one, {"count": 3}, {"active Running": [1, 2, 3]}, "last_out"),
    Case("out by a warm slot of an old image", one_and_an_old_warm_one, {"count": 2}, {"active Running": [1, 2]}, "last_out"),
    Case("in, kept warm", two, {"count": 1, "wait": True}, {"active Running": [1], "warm Stopped": [2]}, "last_in"),
    Case("in, deleted", two, {"count": 1, "wait": True, "keeps": "delete"}, {"active Running": [1]}, "last_in"),
    Case("renewed", two, {"restart": [1, 2]}, {"active Running": [1, 2]}),
    Case("a warm slot renewed", one_and_an_old_warm_one, {"warm": 1}, {"active Running": [1], "warm Stopped": [2]}),
)


def world_of(case: Case) -> World:
    """The case's world, before."""
    world = World()
    case.fleet(world)
    return world


def attempt(world: World, wanted: Job) -> None:
    """One run, which may die."""
    run(world, wanted, ports=ports(world))  # type: ignore[arg-type]


def converge(world: World, case: Case) -> None:
    """What follows a death: an autoscaler's ticks go on with what is half done, and whoever asked by hand asks again."""
    for number in range(4):
        attempt(world, job(world, holder=f"later-{number}", wait=True))
        world.sleep(30)
    attempt(world, job(world, **{**case.wanted, "holder": "again", "wait": True}))


def walk(case: Case) -> t.Iterator[tuple[int, str]]:
    """Every moment of the case's run."""
    world = world_of(case)
    attempt(world, job(world, **case.wanted))
    assert world.slots() == case.end
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
            attempt(world, job(world, **case.wanted))
        world.revive()
        converge(world, case)
        where = f"killed {died.value}"
        assert world.slots() == case.end, where
        assert "user.gb.lock" not in world.config(), where
        assert not world.closed & {path.rpartition("/")[2] for path, one in world.objects.items() if one.get("status") == "Running"}, where
        left = {key for path in world.objects if path.startswith("instances/") for key in world.config(path)} & FINISHED
        assert not left, where


@pytest.mark.parametrize("case", [case for case in CASES if case.cooldown], ids=lambda case: case.name)
def test_killed_anywhere_no_step_that_came_true_loses_its_cooldown(case: Case) -> None:
    for moment in walk(case):
        world = world_of(case)
        world.die_at = moment
        with pytest.raises(Killed) as died:
            attempt(world, job(world, **case.wanted))
        took = any(words.startswith(("start botserver", "stop-gate", "stop botserver")) for words in world.effects)
        world.revive(after=301.0)
        # With the fleet switched off nothing but the outcome of the earlier step is looked at.
        attempt(world, job(world, {"scale-enabled": False}, holder="later"))
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
            attempt(world, job(world, **case.wanted))
        world.gone_at = None
        world.revive()
        converge(world, case)
        assert world.slots() == case.end, number
        assert "user.gb.lock" not in world.config()

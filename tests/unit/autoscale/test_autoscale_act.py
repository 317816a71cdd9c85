# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes next for a draining slot, and the options of the module that runs it all."""

from __future__ import annotations

import dataclasses
import types
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from fleet_world import SETTINGS, SUBNET, World

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import Draining, How, next_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import RUN_SPEC, job_of
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import FleetSpec
from ansible_collections.generalbots.scaling.plugins.modules import autoscale_run

NOW = 1000.0
#: noticed after 1 * 2 + 1 = 3 s
HOW = How(FleetSpec(SUBNET, "gbbr0", drain_timeout=30.0), Health("/", interval=1, timeout=1, fails=2))
BUSY = Draining("Running", NOW - 10, NOW + 20, 2, False)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({}, "wait"),
        ({"in_flight": 0}, "finish"),
        ({"status": "Stopped"}, "finish"),
        ({"status": "Stopped", "gate_closed_at": None}, "finish"),
        ({"gate_closed_at": None}, "close"),
        ({"gate_closed_at": None, "in_flight": 0}, "close"),
        ({"healthy": True, "in_flight": 0}, "close"),
        # Caddy may still send something for 3 s, deadline or not.
        ({"gate_closed_at": NOW - 2, "in_flight": 0}, "wait"),
        ({"gate_closed_at": NOW - 2, "deadline": NOW - 1}, "wait"),
        ({"gate_closed_at": NOW - 3, "in_flight": 0}, "finish"),
        # One that was reloaded has to notice it anew.
        ({"loaded_at": NOW - 2, "in_flight": 0}, "wait"),
        ({"loaded_at": NOW - 3, "in_flight": 0}, "finish"),
        ({"loaded_at": NOW - 60, "in_flight": 0}, "finish"),
        # Nobody says how many are in flight: that is not none.
        ({"in_flight": None}, "wait"),
        ({"in_flight": None, "deadline": NOW}, "finish"),
        ({"deadline": NOW}, "finish"),
        # One whose deadline nobody knows has as long as any other, from when its gate was closed.
        ({"deadline": None}, "wait"),
        ({"deadline": None, "in_flight": 0}, "finish"),
        ({"deadline": None, "gate_closed_at": NOW - 30}, "finish"),
        ({"deadline": None, "gate_closed_at": NOW - 30, "loaded_at": NOW - 4}, "finish"),
        # The clock was set back: closed in the future, or a deadline farther off than a drain is long.
        ({"gate_closed_at": NOW + 50}, "close"),
        ({"gate_closed_at": NOW - 31, "deadline": NOW + 9000}, "finish"),
    ],
)
def test_the_next_step_of_a_drain(change: dict[str, t.Any], step: str) -> None:
    assert next_of(dataclasses.replace(BUSY, **change), HOW, NOW) == step


@pytest.mark.parametrize(("policy", "step"), [("force", "finish"), ("keep", "keep"), ("abort", "reopen")])
def test_the_deadline_policy_decides_only_about_what_is_busy_then(policy: str, step: str) -> None:
    how = dataclasses.replace(HOW, drain_policy=policy)
    assert next_of(dataclasses.replace(BUSY, deadline=NOW), how, NOW) == step
    assert next_of(BUSY, how, NOW) == "wait"
    assert next_of(dataclasses.replace(BUSY, deadline=NOW, in_flight=0), how, NOW) == "finish"


@pytest.mark.parametrize(("policy", "step"), [("force", "finish"), ("keep", "keep"), ("abort", "reopen")])
@pytest.mark.parametrize("gate", [{"gate_closed_at": None}, {"gate_closed_at": NOW + 50}, {"healthy": True}])
def test_of_a_gate_that_cannot_be_closed_the_policy_decides_as_well(gate: dict[str, t.Any], policy: str, step: str) -> None:
    how = dataclasses.replace(HOW, drain_policy=policy)
    late = dataclasses.replace(BUSY, deadline=NOW - 3, **gate)
    assert next_of(late, how, NOW) == "close", "it was not tried yet, as where the run before died"
    assert next_of(dataclasses.replace(late, wedged=True), how, NOW) == step
    assert next_of(dataclasses.replace(late, wedged=True, deadline=NOW - 2), how, NOW) == "close"


@pytest.mark.parametrize(("policy", "step"), [("force", "finish"), ("keep", "keep"), ("abort", "reopen")])
def test_nor_has_the_drain_of_one_that_answers_as_healthy_however_often_its_gate_is_closed(policy: str, step: str) -> None:
    how = dataclasses.replace(HOW, drain_policy=policy)
    late = dataclasses.replace(BUSY, gate_closed_at=NOW - 1, deadline=NOW - 2 * how.health.notice, healthy=True)
    assert next_of(late, how, NOW) == step
    assert next_of(dataclasses.replace(late, deadline=NOW - 2 * how.health.notice + 1), how, NOW) == "close"
    assert next_of(dataclasses.replace(late, gate_closed_at=None), how, NOW) == "close", "it was not tried yet"
    assert next_of(dataclasses.replace(late, gate_closed_at=NOW + 50), how, NOW) == "close", "before the clock was set back"
    assert next_of(dataclasses.replace(late, gate_closed_at=late.deadline), how, NOW) == step
    before = dataclasses.replace(late, gate_closed_at=NOW - 2 * how.health.notice - 1)
    assert next_of(before, how, NOW) == "close", "it was closed in time, and opened by a restart of its host"
    assert next_of(dataclasses.replace(before, loaded_at=NOW - 1), how, NOW) == "close", "a reload of the load balancer closes no gate"


def params(tmp_path: t.Any, **more: t.Any) -> dict[str, t.Any]:
    """The module's options, with their defaults."""
    file = tmp_path / "config.csv"
    file.write_text("scale-enabled,true\n", encoding="utf-8")
    found = {name: option.get("default") for name, option in RUN_SPEC.options.items()}
    return {**found, "project": "gb", "config_csv": str(file), "subnet": SUBNET, "network": "gbbr0", "overrides": dict(SETTINGS), **more}


def test_the_module_runs_what_its_options_describe(tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(autoscale_run, "connect", lambda _options: world)
    given = params(tmp_path, count=2, wait=True, limits={"cpu": "2"}, environment={"A": "b"})
    checked = autoscale_run.body(t.cast(t.Any, types.SimpleNamespace(params=given, check_mode=True, warn=print)))
    assert (checked["changed"], world.effects) == (True, [])
    done = autoscale_run.body(t.cast(t.Any, types.SimpleNamespace(params=given, check_mode=False, warn=print)))
    assert done["decision"]["start"] == checked["decision"]["start"] == [1, 2]
    assert world.slots() == {"active Running": [1, 2]}
    assert world.config("instances/botserver-2")["limits.cpu"] == "2"


def test_ansible_takes_a_count_beside_the_default_of_restart(tmp_path: t.Any) -> None:
    given = {"config_csv": str(tmp_path), "subnet": SUBNET, "network": "gbbr0", "count": 2, "restart": []}
    found = ArgumentSpecValidator(
        dict(autoscale_run.SPEC.options), mutually_exclusive=list(autoscale_run.SPEC.mutually_exclusive)
    ).validate(given)
    assert not found.error_messages and job_of(found.validated_parameters).count == 2


def test_the_job_is_what_the_options_say(tmp_path: t.Any) -> None:
    job = job_of(params(tmp_path, drain_policy="abort", keeps="delete", warm=2, options={"margin": 1, "pin": None}, force=True, ttl=60))
    assert (job.how.drain_policy, job.how.keeps, job.warm, job.options, job.force, job.ttl) == (
        "abort",
        "delete",
        2,
        {"margin": 1},
        True,
        60,
    )
    assert job.settings(None).values["scale-max-instances"] == 4
    assert (job.count, job.restart, job.decision_log) == (None, [], "")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"ttl": 0}, "ttl is 0, it must be at least 1"),
        ({"warm": -1}, "warm is -1, it must be at least 0"),
        ({"sources": [{"name": "x"}]}, "source 'x' has no kind"),
        ({"count": 2, "restart": [1]}, "count and restart are given"),
        ({"count": 2, "refresh": True}, "count and refresh are given"),
        ({"refresh": True, "min_healthy": 101.0}, "min_healthy is 101, it must be from 0 to 100"),
        ({"refresh": True, "checkpoint": -1}, "checkpoint is -1, it must be at least 0"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: t.Any, wrong: dict[str, t.Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        job_of(params(tmp_path, **wrong))

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the decision: rules, guards, slots, words."""

from __future__ import annotations

import dataclasses
import time
import typing as t

import pytest
from autoscale_builders import NOW, POLICY, calm, even, fleet, one

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.guards import GUARDS
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import (
    CPU_LOW,
    Decision,
    Facts,
    History,
    Limit,
    Load,
    Metric,
    StepRule,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.rules import RULES
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.schedules import Schedule

Outcome = tuple[str, tuple[int, ...], str, tuple[str, ...]]


def make(facts: Facts, history: History | None = None, **policy: t.Any) -> Decision:
    """Decide under the usual policy with some of it replaced."""
    return decide(facts, dataclasses.replace(POLICY, **policy), calm() if history is None else history)


def outcome(decision: Decision) -> Outcome:
    """Action, slots, the rule that spoke, the guards that bound."""
    return decision.action, decision.start or decision.drain, decision.rule, tuple(held.guard for held in decision.guards)


AGO = 100.0
OUT_LATELY = calm(last_out=NOW - AGO)
IN_LATELY = calm(last_in=NOW - AGO)
LONG_AGO = calm(last_out=NOW - 301, last_in=NOW - 301)
SLOW = StepRule("response-time", "response-time", 2000.0, "out")
QUEUE = StepRule("queue-depth", "queue-depth", 100.0, "out")
SHORT = StepRule("queue-depth-low", "queue-depth", 5.0, "in")
BUSY = StepRule("in-flight", "in-flight", 20.0, "out")
STEPS = {"sizing": "steps"}
NO_SIZING = {"sizing": "steps", "steps": ()}
SICK = {"ready": False}
#: sick for longer than the patience
DOOMED = calm(unhealthy={2: NOW - 90})


def kept_beyond(count: int, *, requests: float | None = 100.0, **more: t.Any) -> Facts:
    """Facts of ``count`` equal instances and of a protected one in slot 6, which is beyond max."""
    return fleet(*even(count, **more).instances, one(6, protected=True, **more), requests=requests)


ROWS: list[tuple[str, Facts, dict[str, t.Any], History, Outcome]] = [
    # --- proportional sizing, out ---
    ("middling load", even(2), {}, calm(), ("hold", (), "steady", ())),
    ("CPU over, within tolerance", even(2, cpu=75.0), {}, calm(), ("hold", (), "steady", ())),
    ("CPU over beyond tolerance", even(2, cpu=90.0), {}, calm(), ("out", (3,), "proportional", ())),
    ("no more than keeps it from growing again", even(4, cpu=96.0), {"max": 9}, calm(), ("out", (5,), "proportional", ())),
    ("one more where that does", even(4, cpu=96.0), {"max": 9, "margin": 0.0, "cpu": 60.0}, calm(),
     ("out", (5, 6), "proportional", ())),
    ("several at once", even(2, cpu=95.0), {"max": 9, "cpu": 35.0}, calm(), ("out", (3, 4, 5), "proportional", ())),
    ("no more than the limit", even(2, cpu=95.0), {"max": 20, "cpu": 10.0}, calm(), ("out", (3, 4, 5, 6), "proportional", ("limit",))),
    ("the limit in per cent", even(6, cpu=96.0), {"max": 12, "cpu": 20.0, "limit_out": Limit(1, 50.0)}, calm(),
     ("out", (7, 8, 9), "proportional", ("limit",))),
    ("up to max", even(2, cpu=95.0), {"cpu": 20.0}, calm(), ("out", (3, 4), "proportional", ("at-max",))),
    ("requests over, per instance", even(2, requests=2600.0), {}, calm(), ("out", (3,), "proportional", ())),
    ("the metric that asks for most is heard", even(2, cpu=90.0, requests=3900.0), {}, calm(), ("out", (3, 4), "proportional", ())),
    ("one hot instance, mean below", fleet(one(1, cpu=90.0), one(2, cpu=40.0)), {}, calm(), ("hold", (), "steady", ())),
    ("at max", even(4, cpu=90.0), {}, calm(), ("hold", (), "proportional", ("at-max",))),
    ("a metric without threshold", even(2, cpu=99.0, requests=1900.0), {"cpu": None, "steps": ()}, calm(), ("hold", (), "steady", ())),
    ("what starts is counted on", fleet(one(1, cpu=90.0), one(2, ready=False, started_at=NOW - 5)), {}, calm(),
     ("hold", (), "steady", ())),
    ("more than what starts is needed", fleet(one(1, cpu=96.0), one(2, ready=False, started_at=NOW - 5)), {"cpu": 30.0}, calm(),
     ("out", (3,), "proportional", ())),
    ("a rest after steps out, if wanted", even(2, cpu=90.0), {"cooldown_out": 120.0}, OUT_LATELY,
     ("hold", (), "proportional", ("cooldown-out",))),
    # --- step rules, out ---
    ("memory over", even(2, memory=81.0), {}, calm(), ("out", (3,), "over-threshold", ())),
    ("memory over, lately out", even(2, memory=81.0), {}, OUT_LATELY, ("hold", (), "over-threshold", ("cooldown-out",))),
    ("memory over, lately in", even(2, memory=81.0), {}, IN_LATELY, ("out", (3,), "over-threshold", ())),
    ("memory over, one starts", fleet(one(1, memory=90.0), one(2, ready=False, started_at=NOW - 5)), {}, calm(),
     ("hold", (), "over-threshold", ("starting",))),
    ("too slow", fleet(one(1), response_time=2100.0), {"steps": (SLOW,)}, calm(), ("out", (2,), "scale-rule-response-time", ())),
    ("fast enough", fleet(one(1), response_time=2000.0), {"steps": (SLOW,)}, calm(), ("hold", (), "steady", ())),
    ("a long queue", fleet(one(1), queue_depth=101.0), {"steps": (QUEUE,)}, calm(), ("out", (2,), "scale-rule-queue-depth", ())),
    ("in flight per instance", even(2, in_flight=25), {"steps": (BUSY,)}, calm(), ("out", (3,), "scale-rule-in-flight", ())),
    ("in flight by a source is of the whole fleet", fleet(*(one(slot, cpu=68.0) for slot in (1, 2, 3, 4)), in_flight=40.0),
     {"max": 9, "steps": (BUSY,)}, calm(), ("hold", (), "steady", ())),
    ("too much in flight by a source", fleet(*(one(slot, cpu=68.0) for slot in (1, 2, 3, 4)), in_flight=81.0),
     {"max": 9, "steps": (BUSY,)}, calm(), ("out", (5,), "scale-rule-in-flight", ())),
    ("a metric somebody made up", fleet(one(1), tokens=9.5), {"steps": (StepRule("tokens", "tokens", 9.0, "out"),)}, calm(),
     ("out", (2,), "scale-rule-tokens", ())),
    ("a step and a larger size", fleet(one(1, cpu=90.0), queue_depth=900.0, requests=2700.0), {"steps": (QUEUE,)}, OUT_LATELY,
     ("out", (2, 3), "proportional", ())),
    ("steps alone, just over", even(2, cpu=71.0), STEPS, calm(), ("out", (3,), "over-threshold", ())),
    ("steps alone, far over", even(2, cpu=99.0), STEPS | {"cpu": 20.0, "steps": ()}, calm(), ("out", (3,), "over-threshold", ())),
    ("steps alone, lately out", even(2, cpu=90.0), STEPS, OUT_LATELY, ("hold", (), "over-threshold", ("cooldown-out",))),
    ("no cooldown at all", even(2, cpu=90.0), STEPS | {"cooldown": 0.0}, calm(last_out=NOW), ("out", (3,), "over-threshold", ())),
    # --- load, in ---
    ("far less load", even(4, cpu=10.0), {}, calm(), ("in", (4, 3), "proportional", ("limit",))),
    ("less load", even(3, cpu=35.0), {}, calm(1.5), ("in", (3,), "proportional", ())),
    ("within tolerance of the larger size", even(2, cpu=66.0), {}, calm(), ("hold", (), "steady", ())),
    ("at min", even(1, cpu=1.0), {}, calm(), ("hold", (), "scale-rule-cpu-low", ("at-min", "look-ahead", "stabilisation"))),
    ("more was needed lately", even(3, cpu=10.0), {}, calm(2.5), ("hold", (), "proportional", ("stabilisation",))),
    ("a little more was needed lately", even(4, cpu=10.0), {}, calm(2.5), ("in", (4,), "proportional", ("stabilisation",))),
    ("the window is not known", even(3, cpu=10.0), {}, History(), ("hold", (), "proportional", ("stabilisation",))),
    ("a part of the window is known", even(3, cpu=10.0), {}, History(needs=((NOW - 200, 1.0),)),
     ("hold", (), "proportional", ("stabilisation",))),
    ("no window wanted", even(2, cpu=10.0), {"stabilisation": 0.0}, History(), ("in", (2,), "proportional", ())),
    ("in after out", even(2, cpu=10.0), {}, OUT_LATELY, ("hold", (), "proportional", ("cooldown-in",))),
    ("in after in", even(2, cpu=10.0), {"cooldown_in": 300.0}, IN_LATELY, ("hold", (), "proportional", ("cooldown-in",))),
    ("when cooled down", even(2, cpu=10.0), {}, LONG_AGO, ("in", (2,), "proportional", ())),
    ("steps alone, low", even(3, cpu=10.0), STEPS, calm(), ("in", (3,), "scale-rule-cpu-low", ())),
    ("steps alone, in after in", even(3, cpu=10.0), STEPS, IN_LATELY, ("hold", (), "scale-rule-cpu-low", ("cooldown-in",))),
    ("CPU at cpu-low", even(3, cpu=30.0), STEPS, calm(), ("hold", (), "steady", ())),
    ("no cpu-low", even(3, cpu=1.0), STEPS | {"steps": ()}, calm(), ("hold", (), "steady", ())),
    ("a short queue", fleet(one(1), one(2), queue_depth=1.0), STEPS | {"steps": (SHORT,)}, calm(),
     ("hold", (), "scale-rule-queue-depth-low", ("look-ahead",))),
    ("a short queue and little else", fleet(one(1, cpu=20.0), one(2, cpu=20.0), queue_depth=1.0), STEPS | {"steps": (SHORT,)}, calm(),
     ("in", (2,), "scale-rule-queue-depth-low", ())),
    # --- look-ahead: all metrics agree ---
    ("requests would bounce", even(2, cpu=10.0, requests=950.0), {}, calm(), ("hold", (), "proportional", ("look-ahead",))),
    ("requests fit", even(2, cpu=10.0, requests=890.0), {}, calm(), ("in", (2,), "proportional", ())),
    ("a smaller step fits", even(4, cpu=30.0, requests=500.0, memory=50.0), {"tolerance_in": 0.3, "limit_in": Limit(3)}, calm(),
     ("in", (4,), "proportional", ("look-ahead",))),
    ("memory near its threshold", even(2, cpu=10.0, memory=75.0), {}, calm(), ("hold", (), "proportional", ("look-ahead",))),
    ("memory stays where it is", even(2, cpu=10.0, memory=70.0), {}, calm(), ("in", (2,), "proportional", ())),
    ("high memory wins over low CPU", even(2, cpu=1.0, memory=90.0), {}, calm(), ("out", (3,), "over-threshold", ())),
    ("slow answers hold a step in", fleet(one(1, cpu=1.0), one(2, cpu=1.0), response_time=1900.0), {"steps": (SLOW,)}, calm(),
     ("hold", (), "proportional", ("look-ahead",))),
    # --- unknown ---
    ("CPU unknown, requests over", even(2, cpu=None, requests=3000.0), {}, calm(), ("out", (3,), "proportional", ())),
    ("requests unknown, CPU low", even(2, cpu=1.0, requests=None), {}, calm(), ("hold", (), "proportional", ("unknown",))),
    ("a source unknown, CPU low", fleet(one(1, cpu=1.0), one(2, cpu=1.0), queue_depth=None), {"steps": (QUEUE,)}, calm(),
     ("hold", (), "proportional", ("unknown",))),
    ("a source that is not there", even(2, cpu=1.0), {"steps": (QUEUE,)}, calm(), ("hold", (), "proportional", ("unknown",))),
    ("one of two unknown counts as used up", fleet(one(1, cpu=1.0), one(2, cpu=None)), {}, calm(),
     ("hold", (), "proportional", ("look-ahead",))),
    ("one of four unknown counts as used up", fleet(one(1, cpu=1.0), one(2, cpu=1.0), one(3, cpu=1.0), one(4, cpu=None)), {}, calm(),
     ("in", (4, 3), "proportional", ("look-ahead", "limit"))),
    ("one unknown counts as idle", fleet(one(1, cpu=100.0), one(2, cpu=None)), {}, calm(), ("hold", (), "steady", ())),
    ("over even if the unknown were idle", fleet(one(1, cpu=96.0), one(2, cpu=96.0), one(3, cpu=96.0), one(4, cpu=None)),
     {"max": 5, "cpu": 50.0}, calm(), ("out", (5,), "proportional", ())),
    ("a proxy unknown, the rest over", fleet(one(1), requests=1500.0, missing=1), {}, calm(), ("out", (2,), "proportional", ())),
    ("a proxy unknown, CPU low", fleet(one(1, cpu=1.0), one(2, cpu=1.0), missing=1), {}, calm(),
     ("hold", (), "proportional", ("unknown",))),
    ("everything unknown", even(2, cpu=None, memory=None, requests=None), {}, calm(), ("hold", (), "blind", ())),
    ("everything unknown below min", even(1, cpu=None, memory=None, requests=None), {"min": 2}, calm(), ("out", (2,), "below-min", ())),
    # --- bounds ---
    ("switched off", even(2, cpu=99.0), {"enabled": False}, calm(), ("hold", (), "disabled", ())),
    ("switched off, below min", even(1), {"enabled": False, "min": 3}, calm(), ("hold", (), "disabled", ())),
    ("nothing runs", fleet(), {}, OUT_LATELY, ("out", (1,), "below-min", ())),
    ("below min within cooldown", even(1), {"min": 3}, OUT_LATELY, ("out", (2, 3), "below-min", ())),
    ("below min while one starts", fleet(one(1, ready=False, started_at=NOW - 1)), {"min": 3}, calm(), ("out", (2, 3), "below-min", ())),
    ("a slot beyond max", fleet(one(1), one(2), one(6)), {}, IN_LATELY, ("in", (6,), "beyond-max", ())),
    ("two beyond max", fleet(one(1), one(2), one(5), one(6)), {}, calm(), ("in", (6, 5), "beyond-max", ())),
    ("beyond max the highest goes, however busy", fleet(one(1), one(5, in_flight=0), one(6, in_flight=9)), {"limit_in": Limit(1)}, calm(),
     ("in", (6,), "beyond-max", ("limit",))),
    ("max lowered", even(4), {"max": 2}, OUT_LATELY, ("in", (4, 3), "beyond-max", ())),
    ("max lowered under load", even(4, cpu=99.0), {"max": 2}, calm(), ("in", (4, 3), "beyond-max", ())),
    ("beyond max is needed until replaced", fleet(one(1), one(6)), {"min": 2}, calm(), ("out", (2,), "replace-beyond-max", ())),
    ("beyond max where min is max", fleet(one(1), one(6)), {"min": 2, "max": 2}, calm(), ("out", (2,), "replace-beyond-max", ())),
    ("all beyond max where min is max", fleet(one(3), one(4)), {"min": 2, "max": 2}, calm(), ("out", (1, 2), "replace-beyond-max", ())),
    ("beyond max, replaced where min is max", fleet(one(1), one(2), one(6)), {"min": 2, "max": 2}, calm(),
     ("in", (6,), "beyond-max", ())),
    ("beyond max, the only slot failed", fleet(one(1, state="failed", status="Stopped"), one(2)), {"max": 1}, calm(),
     ("hold", (), "replace-beyond-max", ("no-slot",))),
    ("beyond max, paused", fleet(one(2)), {"max": 1, "pause": "both"}, calm(), ("hold", (), "replace-beyond-max", ("paused",))),
    ("beyond max, pinned to max", fleet(one(3), one(4)), {"max": 2, "pin": 2}, calm(), ("out", (1, 2), "replace-beyond-max", ())),
    ("beyond max, pinned and replaced", fleet(*(one(slot) for slot in (1, 2, 3, 4))), {"max": 2, "pin": 2}, calm(),
     ("in", (4, 3), "pin", ())),
    ("beyond max, the one within is unhealthy", fleet(one(1), one(2, **SICK), one(6), one(7)), {"min": 2, "max": 2}, DOOMED,
     ("in", (2,), "renew", ())),
    ("beyond max, load over, room below", fleet(one(1, cpu=90.0), one(6, cpu=90.0)), {}, calm(), ("out", (2,), "proportional", ())),
    ("beyond max, unknown load", fleet(one(1, cpu=None), one(6), requests=None), {}, calm(), ("in", (6,), "beyond-max", ())),
    ("beyond max, one already draining", fleet(one(1), one(5), one(6, state="draining")), {}, calm(),
     ("hold", (), "beyond-max", ("draining",))),
    # --- schedules ---
    ("a floor by the clock", even(1), {"schedules": (Schedule("day", 0, 1440, min=2),)}, calm(), ("out", (2,), "below-min", ())),
    ("a ceiling by the clock", even(3), {"schedules": (Schedule("night", 0, 1440, max=2),)}, calm(), ("in", (3,), "above-max", ())),
    ("a ceiling under load", even(2, cpu=99.0), {"schedules": (Schedule("night", 0, 1440, max=2),)}, calm(),
     ("hold", (), "proportional", ("at-max",))),
    ("above a ceiling under load", even(4, cpu=99.0), {"schedules": (Schedule("night", 0, 1440, max=2),)}, calm(),
     ("in", (4, 3), "above-max", ())),
    ("above a ceiling the unhealthy one goes", fleet(one(1, cpu=99.0), one(2, **SICK), one(3, cpu=99.0)),
     {"schedules": (Schedule("night", 0, 1440, max=2),)}, DOOMED, ("in", (2,), "replace", ())),
    ("a floor holds a step in", even(2, cpu=1.0), {"schedules": (Schedule("day", 0, 1440, min=2),)}, calm(),
     ("hold", (), "proportional", ("at-min",))),
    ("another time of day", even(1), {"schedules": (Schedule("day", 0, 1, min=2),)}, calm(), ("hold", (), "steady", ())),
    # --- pause and pin ---
    ("paused out", even(2, cpu=90.0), {"pause": "out"}, calm(), ("hold", (), "proportional", ("paused",))),
    ("paused in, load up", even(2, cpu=90.0), {"pause": "in"}, calm(), ("out", (3,), "proportional", ())),
    ("paused in", even(2, cpu=1.0), {"pause": "in"}, calm(), ("hold", (), "proportional", ("paused",))),
    ("paused, below min", even(1), {"pause": "both", "min": 2}, calm(), ("hold", (), "below-min", ("paused",))),
    ("pinned higher", even(1, cpu=1.0), {"pin": 3}, calm(), ("out", (2, 3), "pin", ())),
    ("pinned lower, under load", even(3, cpu=99.0), {"pin": 2}, OUT_LATELY, ("in", (3,), "pin", ())),
    ("pinned and there", even(2, cpu=99.0), {"pin": 2}, calm(), ("hold", (), "pinned", ())),
    ("pinned beyond the bounds", even(3), {"pin": 9}, calm(), ("out", (4,), "pin", ())),
    # --- starting, draining ---
    ("one starts, the rest low", fleet(one(1, cpu=1.0), one(2, cpu=1.0), one(3, ready=False, started_at=NOW - 5)), {}, calm(),
     ("hold", (), "proportional", ("starting",))),
    ("a starting one's CPU is not load", fleet(one(1, cpu=70.0), one(2, cpu=100.0, ready=False, started_at=NOW - 5)), NO_SIZING,
     calm(), ("hold", (), "steady", ())),
    ("a warming one's CPU is not load", fleet(one(1, cpu=60.0), one(2, cpu=100.0, started_at=NOW - 5)), {}, calm(),
     ("hold", (), "steady", ())),
    ("when warm it is", fleet(one(1, cpu=60.0), one(2, cpu=100.0, started_at=NOW - 31)), {}, calm(), ("hold", (), "steady", ())),
    ("and it may ask for more", fleet(one(1, cpu=70.0), one(2, cpu=100.0, started_at=NOW - 31)), {}, calm(),
     ("out", (3,), "proportional", ())),
    ("start unknown, just scaled out", fleet(one(1, memory=90.0), one(2, ready=False, started_at=None)), {"cooldown": 0.0}, OUT_LATELY,
     ("hold", (), "over-threshold", ("starting",))),
    ("start unknown, nobody scaled", fleet(one(1, memory=90.0), one(2, ready=False, started_at=None)), {}, calm(),
     ("out", (3,), "over-threshold", ())),
    ("overload fails every health check", even(2, cpu=96.0, ready=False), {}, calm(), ("out", (3,), "proportional", ())),
    ("health unknown", even(2, cpu=10.0, ready=None), {}, calm(), ("in", (2,), "proportional", ())),
    ("only starting ones", fleet(one(1, ready=False, started_at=NOW - 5)), {}, calm(), ("hold", (), "blind", ())),
    ("one drains, load low", fleet(one(1, cpu=1.0), one(2, cpu=1.0), one(3, state="draining")), {}, calm(),
     ("hold", (), "proportional", ("draining",))),
    ("one drains, load high", fleet(one(1, cpu=90.0), one(2, state="draining")), {}, calm(), ("out", (3,), "proportional", ())),
    # --- healing ---
    ("a shared failure, idle", even(3, cpu=1.0, ready=False), {}, calm(), ("hold", (), "proportional", ("panic",))),
    ("a shared failure is not healed", fleet(one(1, cpu=40.0), *(one(slot, **SICK) for slot in (2, 3, 4))), {"max": 9},
     calm(unhealthy={2: NOW - 90, 3: NOW - 90, 4: NOW - 90}), ("hold", (), "proportional", ("look-ahead", "panic"))),
    ("unhealthy for a while", fleet(one(1, cpu=68.0), one(2, **SICK), one(3, cpu=68.0)),
     NO_SIZING, calm(unhealthy={2: NOW - 59}), ("hold", (), "steady", ())),
    ("the replacement first", fleet(one(1), one(2, **SICK), one(3)), {}, DOOMED, ("out", (4,), "replace", ())),
    ("its slot is protected", fleet(one(1, cpu=68.0), one(2, ready=False, protected=True), one(3, cpu=68.0)),
     NO_SIZING, DOOMED, ("hold", (), "steady", ())),
    ("not to be healed", fleet(one(1, cpu=68.0), one(2, **SICK), one(3, cpu=68.0)),
     NO_SIZING | {"heal": False}, DOOMED, ("hold", (), "steady", ())),
    ("one at a time", fleet(one(1), one(2, **SICK), one(3), one(4, **SICK)), {"max": 9}, calm(unhealthy={2: NOW - 90, 4: NOW - 90}),
     ("out", (5,), "replace", ())),
    ("two at a time", fleet(one(1), one(2, **SICK), one(3), one(4, **SICK)), {"max": 9, "max_unavailable": 2},
     calm(unhealthy={2: NOW - 90, 4: NOW - 90}), ("out", (5, 6), "replace", ())),

        ("the replacement starts", fleet(one(1, cpu=68.0), one(2, **SICK), one(3, cpu=68.0), one(4, ready=False, started_at=NOW - 9)),
     NO_SIZING,
     calm(unhealthy={2: NOW - 90}, replacing={2: 4}), ("hold", (), "steady", ())),
    ("the replacement serves", fleet(one(1), one(2, **SICK), one(3), one(4)), {}, calm(unhealthy={2: NOW - 90}, replacing={2: 4}),
     ("in", (2,), "retire", ())),
    ("no room for a replacement", fleet(one(1), one(2, **SICK), one(3)), {"max": 3}, DOOMED, ("in", (2,), "replace", ())),
    ("no room for one, under load", fleet(one(1, cpu=99.0), one(2, **SICK), one(3, cpu=99.0)), {"max": 3}, DOOMED,
     ("in", (2,), "renew", ())),
    ("no slot for one, under load", fleet(one(1, cpu=99.0), one(2, **SICK), one(3, cpu=99.0), one(4, state="failed", status="Stopped")),
     {}, DOOMED, ("in", (2,), "renew", ())),
    ("no room, one drains already, under load", fleet(one(1, cpu=99.0), one(2, **SICK), one(3, cpu=99.0), one(4, state="draining")),
     {}, DOOMED, ("hold", (), "renew", ("draining",))),
    ("a replacement is no reason to shrink", fleet(one(1, cpu=1.0), one(2, **SICK), one(3, cpu=1.0), one(4, ready=False, started_at=NOW)),
     {}, calm(unhealthy={2: NOW - 90}, replacing={2: 4}), ("hold", (), "proportional", ("starting", "healing"))),
    ("healing did not help", fleet(one(1), one(2, **SICK), one(3)), {}, calm(unhealthy={2: NOW - 90}, replaced=(NOW - 9,) * 3),
     ("hold", (), "replace", ("given-up",))),
    ("healing has not helped twice, and now a third time", fleet(one(1), one(2, **SICK), one(3)), {},
     calm(unhealthy={2: NOW - 90}, replaced=(NOW - 900, NOW - 600), mended={2: NOW - 300}), ("hold", (), "replace", ("given-up",))),
    ("healing has helped, and another is ill", fleet(one(1), one(2, **SICK), one(3)), {},
     calm(unhealthy={2: NOW - 90}, replaced=(NOW - 900, NOW - 600), mended={1: NOW - 200, 3: NOW - 300}), ("out", (4,), "replace", ())),
    ("healing has helped for long", fleet(one(1), one(2, **SICK), one(3)), {},
     calm(unhealthy={2: NOW - 90}, replaced=(NOW - 900, NOW - 800), mended={2: NOW - 700}), ("out", (4,), "replace", ())),
    ("what stood still stands still again", fleet(one(1), one(2, status="Stopped"), one(3)), {},
     calm(replaced=(NOW - 900, NOW - 600), mended={2: NOW - 300}), ("hold", (), "restart", ("given-up",))),
    ("starts fail", even(1, cpu=90.0), {}, calm(failed_starts=3, last_failed=NOW - 30), ("hold", (), "proportional", ("given-up",))),
    ("starts failed long ago", even(1, cpu=90.0), {}, calm(failed_starts=3, last_failed=NOW - 601), ("out", (2,), "proportional", ())),
    ("starts failed twice", even(1, cpu=90.0), {}, calm(failed_starts=2, last_failed=NOW - 30), ("out", (2,), "proportional", ())),
    ("one stands still", fleet(one(1), one(2, status="Stopped"), one(3)), {}, calm(), ("out", (2,), "restart", ())),
    ("one stands still, nothing is healed", fleet(one(1), one(2, status="Stopped")), {"heal": False}, calm(), ("hold", (), "steady", ())),
    ("unhealthy ones are no capacity", fleet(one(1, cpu=90.0), one(2, **SICK), one(3, cpu=90.0)), {"max": 9}, DOOMED,
     ("out", (4,), "proportional", ())),
    # --- healing where a step is held back ---
    ("below min, no slot for it", fleet(one(1), one(2, **SICK), one(3, state="failed", status="Stopped")), {"min": 3, "max": 3}, DOOMED,
     ("in", (2,), "renew", ())),
    ("pinned, no slot for it", fleet(one(1), one(2, **SICK), one(3, state="failed", status="Stopped")), {"pin": 3, "max": 3}, DOOMED,
     ("in", (2,), "renew", ())),
    ("one stands still, memory over, lately out", fleet(one(1, memory=90.0), one(2, status="Stopped")), {}, OUT_LATELY,
     ("out", (2,), "restart", ())),
    ("unhealthy, memory over, lately out", fleet(one(1, memory=90.0), one(2, **SICK), one(3, memory=90.0)), {}, dataclasses.replace(
     DOOMED, last_out=NOW - AGO), ("out", (4,), "replace", ())),
    ("replaced, at max and under load", fleet(one(1, cpu=95.0), one(2, **SICK), one(3, cpu=95.0), one(4, cpu=95.0)), {},
     calm(unhealthy={2: NOW - 90}, replacing={2: 4}), ("in", (2,), "renew", ())),
    ("replaced, at max and under less", fleet(one(1, memory=90.0), one(2, **SICK), one(3), one(4)), {"max": 9},
     calm(unhealthy={2: NOW - 90}, replacing={2: 4}, last_out=NOW - AGO), ("in", (2,), "retire", ())),
    ("one stands still, pinned to fewer, one drains", fleet(one(1), one(2), one(3), one(4, state="draining"), one(5, status="Stopped")),
     {"max": 9, "pin": 2}, calm(), ("hold", (), "pin", ("draining",))),
    ("unhealthy, pinned to fewer, one drains", fleet(one(1), one(2), one(3, **SICK), one(4, state="draining")), {"max": 9, "pin": 2},
     calm(unhealthy={3: NOW - 90}), ("hold", (), "pin", ("draining",))),
    ("one stands still, pinned to the others", fleet(one(1), one(2), one(3, status="Stopped")), {"pin": 2}, calm(),
     ("hold", (), "pinned", ())),
    ("one stands still, pinned to all", fleet(one(1), one(2, status="Stopped")), {"pin": 2}, calm(), ("out", (2,), "pin", ())),
    ("replaced, scaling out is paused", fleet(one(1, cpu=95.0), one(2, **SICK), one(3, cpu=95.0)), {"pause": "out"},
     calm(unhealthy={2: NOW - 90}, replacing={2: 3}), ("in", (2,), "retire", ())),
    ("nothing can be done, the first is told", fleet(one(1, cpu=95.0), one(2, **SICK), one(3, cpu=95.0)), {"pause": "both"}, DOOMED,
     ("hold", (), "proportional", ("paused",))),
    ("what only calms is not gone round", even(2, cpu=1.0, memory=90.0), {}, OUT_LATELY, ("hold", (), "over-threshold", ("cooldown-out",))),
    # --- no room for a replacement, and one that is needed ---
    ("steps alone, over", fleet(one(1, cpu=95.0), one(2, **SICK), one(3, cpu=95.0)), STEPS | {"max": 3}, DOOMED, ("in", (2,), "renew", ())),
    ("memory over", fleet(one(1, memory=95.0), one(2, **SICK), one(3, memory=95.0)), {"max": 3}, DOOMED, ("in", (2,), "renew", ())),
    ("a long queue", fleet(one(1), one(2, **SICK), one(3), queue_depth=900.0), {"max": 3, "steps": (QUEUE,)}, DOOMED,
     ("in", (2,), "renew", ())),
    ("pinned to all of them", fleet(one(1), one(2, **SICK), one(3)), {"max": 3, "pin": 3}, DOOMED, ("in", (2,), "renew", ())),
    # --- slots ---
    ("a gap is filled first", fleet(one(1, cpu=90.0), one(3, cpu=90.0)), {}, calm(), ("out", (2,), "proportional", ())),
    ("a warm slot before an empty one", fleet(one(1, cpu=90.0), one(3, state="warm", status="Stopped")), {}, calm(),
     ("out", (3,), "proportional", ())),
    ("a stopped one is no capacity", fleet(one(1, cpu=90.0), one(2, status="Stopped")), {"max": 2}, calm(),
     ("out", (2,), "proportional", ())),
    ("a failed slot is skipped", fleet(one(1, cpu=90.0), one(2, state="failed", status="Stopped")), {}, calm(),
     ("out", (3,), "proportional", ())),
    ("a frozen slot is taken", fleet(one(1, cpu=90.0), one(2, status="Frozen")), {}, calm(), ("out", (3,), "proportional", ())),
    ("and so is one kept warm that LXD cannot tell of", fleet(one(1, cpu=90.0), one(2, state="warm", status="Error")), {}, calm(),
     ("out", (3,), "proportional", ())),
    ("one that could not be started comes last", fleet(one(1, cpu=90.0), one(2, state="warm", status="Stopped")), {},
     calm(stuck={2: NOW - 599}), ("out", (3,), "proportional", ())),
    ("and is tried where there is no other", fleet(one(1, cpu=90.0), one(2, state="warm", status="Stopped")), {"max": 2},
     calm(stuck={2: NOW - 599}), ("out", (2,), "proportional", ())),
    ("later it is one of many", fleet(one(1, cpu=90.0), one(2, state="warm", status="Stopped")), {}, calm(stuck={2: NOW - 600}),
     ("out", (2,), "proportional", ())),
    ("an unknown state is taken", fleet(one(1, cpu=90.0), one(2, state="", status="Stopped")), {}, calm(),
     ("out", (3,), "proportional", ())),
    ("no slot left", fleet(one(1, cpu=90.0), one(2, state="failed", status="Stopped")), {"max": 2}, calm(),
     ("hold", (), "proportional", ("no-slot",))),
    ("least in flight goes", fleet(one(1, cpu=1.0, in_flight=2), one(2, cpu=1.0, in_flight=0), one(3, cpu=1.0, in_flight=9)), STEPS,
     calm(), ("in", (2,), "scale-rule-cpu-low", ())),
    ("a tie goes to the highest slot", even(3, cpu=1.0, in_flight=4), STEPS, calm(), ("in", (3,), "scale-rule-cpu-low", ())),
    ("of a tie the old image goes", fleet(one(1, cpu=1.0, image="1"), one(2, cpu=1.0, image="2", started_at=NOW - 60)), {}, calm(),
     ("in", (1,), "proportional", ())),
    ("of three images the oldest goes", fleet(one(1, cpu=1.0, image="2", started_at=NOW - 600), one(2, cpu=1.0, image="1",
     started_at=NOW - 900), one(3, cpu=1.0, image="3", started_at=NOW - 90)), STEPS, calm(), ("in", (2,), "scale-rule-cpu-low", ())),
    ("the unhealthy go first", fleet(one(1, cpu=1.0), one(2, **SICK), one(3, cpu=1.0)),
     STEPS, calm(), ("in", (2,), "scale-rule-cpu-low", ())),
    ("one in-flight unknown", fleet(one(1, cpu=1.0, in_flight=0), one(2, cpu=1.0, in_flight=None)), {}, calm(),
     ("in", (2,), "proportional", ())),
    ("protected stays", fleet(one(1, cpu=1.0), one(2, cpu=1.0, protected=True)), {}, calm(), ("in", (1,), "proportional", ())),
    ("all protected", even(2, cpu=1.0, protected=True), {}, calm(), ("hold", (), "proportional", ("protected",))),
    ("all but one protected", fleet(*(one(slot, cpu=1.0, protected=slot > 1) for slot in (1, 2, 3, 4))), {}, calm(),
     ("in", (1,), "proportional", ("protected",))),
    ("protected beyond max", fleet(one(1), one(6, protected=True)), {}, calm(), ("hold", (), "beyond-max", ("protected",))),
    ("protected beyond max, load low", kept_beyond(3, cpu=2.0), {}, calm(), ("in", (3, 2), "proportional", ("limit",))),
    ("protected beyond max, steps alone", kept_beyond(3, cpu=2.0), STEPS, calm(), ("in", (3,), "scale-rule-cpu-low", ())),
    ("protected beyond max, load high", kept_beyond(2, cpu=95.0), {}, calm(), ("out", (3,), "proportional", ())),
    ("protected beyond max, load high, at max", kept_beyond(3, cpu=95.0), {}, calm(), ("hold", (), "proportional", ("at-max",))),
    ("protected beyond max, above max", kept_beyond(3), {"max": 3}, calm(), ("in", (3,), "above-max", ())),
    ("protected beyond max, above max under load", kept_beyond(3, cpu=95.0), {"max": 3}, calm(), ("in", (3,), "above-max", ())),
    ("protected beyond max, pinned", kept_beyond(3), {"pin": 4}, calm(), ("hold", (), "pinned", ())),
    ("protected beyond max, nothing known", kept_beyond(3, cpu=None, memory=None, requests=None), {}, calm(),
     ("hold", (), "blind", ())),
    ("protected beyond max needs no replacement", kept_beyond(1), {"min": 2}, calm(), ("hold", (), "beyond-max", ())),
    ("of two beyond max one is protected", fleet(one(1), one(6, protected=True), one(7)), {}, calm(), ("in", (7,), "beyond-max", ())),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "policy", "history", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_row(facts: Facts, policy: dict[str, t.Any], history: History, expected: Outcome) -> None:
    decision = make(facts, history, **policy)
    assert outcome(decision) == expected
    assert decision.desired - decision.current == len(decision.start) - len(decision.drain)


@pytest.mark.parametrize(
    ("low", "high", "pin", "slots"),
    [(1, 1, None, (2,)), (2, 2, None, (1, 3)), (2, 2, None, (3, 4)), (1, 2, None, (3, 4)), (1, 4, None, (6,)), (1, 2, 2, (3, 4))],
)
def test_whatever_is_beyond_a_lowered_maximum_is_replaced_and_leaves(low: int, high: int, pin: int | None, slots: tuple[int, ...]) -> None:
    there, calls = set(slots), 0
    for _tick in range(8):
        decision = make(fleet(*(one(slot) for slot in sorted(there))), min=low, max=high, pin=pin)
        there = (there | {*decision.start}) - {*decision.drain}
        calls += decision.alert
        assert len(there) <= high + sum(slot > high for slot in slots), "only by those that leave"
    assert there <= {*range(1, high + 1)} and len(there) == (pin or low) and not calls


def test_a_person_is_called_where_what_is_beyond_max_cannot_be_replaced() -> None:
    assert make(fleet(one(2)), max=1, pause="out").alert
    assert make(fleet(one(1, state="frozen", status="Frozen"), one(2)), max=1).alert
    assert not make(fleet(one(2)), max=1).alert
    assert not make(fleet(one(1), one(2)), max=1, pause="in").alert, "it keeps nobody from being served"


def test_every_rule_and_guard_has_a_row() -> None:
    seen = [row[4] for row in ROWS]
    spoken = {rule for _action, _slots, rule, _guards in seen}
    loads = {"grow": "proportional", "shrink": "proportional", "step-in": "scale-rule-cpu-low"}
    assert {loads.get(rule.name, rule.name) for rule in RULES} | {"steady"} <= spoken
    assert {guard.name for guard in GUARDS} == {guard for *_rest, guards in seen for guard in guards}


def test_a_decision_says_the_bounds_in_force() -> None:
    night = Schedule("night", 0, 24 * 60, max=1)
    assert make(even(1), min=2, schedules=(night,)).as_dict()["bounds"] == {"min": 1, "max": 1}
    assert make(even(2), min=2).as_dict()["bounds"] == {"min": 2, "max": 4}


# --- words ---


def test_reason_of_a_step_out_says_what_was_seen_and_what_follows() -> None:
    assert make(even(1, cpu=88.0, requests=1300.0), memory=None).reason == (
        "Requests 1300/min of 1000/min (in all 1300/min now) needs 2 instances; CPU 88 % of 70 % (in all 88 % now) needs 2 instances: "
        "start slot 2, 1 to 2 instances; looked at again in 30 s."
    )


def test_reason_of_a_step_in_says_that_all_agree() -> None:
    assert make(even(2, cpu=12.0)).reason == (
        "CPU 12 % of 70 % (in all 24 % now) needs 1 instance and every metric agrees: "
        "drain slot 2, 2 to 1 instance; looked at again in 30 s."
    )


def test_reason_of_a_held_step_names_the_guard_in_words() -> None:
    assert make(even(2, memory=90.0), OUT_LATELY).reason == (
        "Memory 90 % is over its threshold of 80 %, but the step out is held back: cooldown, 200 s to go after the last step out. "
        "Still 2 instances; looked at again in 30 s."
    )


def test_reason_of_a_smaller_step_says_what_made_it_smaller() -> None:
    reason = make(even(4, cpu=10.0), calm(2.5)).reason
    assert "drain slot 4, 4 to 3 instances (not 1: 3 instances were needed 330 s ago, at the check before the last 300 s); " in reason
    needs = tuple((at, 2.5 if at == NOW - 60 else 0.5) for at, _need in calm().needs)
    reason = make(even(4, cpu=10.0), dataclasses.replace(calm(), needs=needs)).reason
    assert "3 instances were needed 60 s ago, within the last 300 s" in reason


def test_a_level_says_over_how_long_it_is_the_mean() -> None:
    before = Load(NOW - 15, {"cpu": 300.0})
    reason = make(even(2, cpu=90.0), dataclasses.replace(calm(2.0), loads=(before,))).reason
    assert "CPU 90 % of 70 % (in all 240 % over 30 s" in reason


def test_a_step_from_the_future_cools_for_its_cooldown_and_no_longer() -> None:
    assert "cooldown, 300 s to go" in make(even(2, memory=90.0), History(last_out=NOW + 5000)).reason


def test_reason_of_a_look_ahead_gives_the_projection() -> None:
    assert "with 1 instance requests would be 950/min of 1000/min" in make(even(2, cpu=10.0, requests=950.0)).reason


def test_reason_of_a_quiet_tick_gives_every_number() -> None:
    facts = fleet(one(1), requests=None, missing=1, notes=("requests at proxy 1: its counter was reset",))
    assert make(facts).reason == (
        "Nothing asks for a step: CPU 50 % of 70 %, memory 50 % of 80 %, requests unknown of 1000/min "
        "(requests at proxy 1: its counter was reset). Still 1 instance; looked at again in 30 s."
    )


def test_blindness_is_an_alert_and_says_why() -> None:
    facts = fleet(one(1, cpu=None, memory=None), requests=None, notes=("CPU of botserver-1: it cannot be read",))
    decision = make(facts)
    assert decision.alert
    assert "CPU of botserver-1: it cannot be read" in decision.reason
    assert not make(even(1)).alert


@pytest.mark.parametrize(
    ("facts", "history", "words"),
    [
        (even(3, cpu=1.0, ready=False), calm(), "only 0 of 3 instances are healthy, which has a shared cause"),
        (even(1, cpu=90.0), calm(failed_starts=3, last_failed=NOW - 30), "3 starts in a row failed; the next is tried in 570 s"),
        (fleet(one(1), one(2, ready=False), one(3)), calm(unhealthy={2: NOW - 90}, replaced=(NOW - 9,) * 3),
         "3 replacements within an hour did not help"),
    ],
    ids=["panic", "starts", "replacements"],
)  # fmt: skip
def test_what_a_person_must_look_at_is_an_alert(facts: Facts, history: History, words: str) -> None:
    decision = make(facts, history)
    assert decision.alert
    assert words in decision.reason


@pytest.mark.parametrize(
    ("facts", "policy", "rule"),
    [
        (even(3, cpu=65.0, ready=False), {}, "steady"),
        (even(1, ready=False), {}, "steady"),
        (fleet(one(1), *(one(slot, **SICK) for slot in (2, 3))), {"pin": 3}, "pinned"),
        (even(2, cpu=96.0, ready=False), {}, "proportional"),
    ],
    ids=["nothing asks for a step", "a fleet of one", "pinned", "it grows"],
)
def test_a_fleet_most_of_which_is_unhealthy_is_an_alert_whatever_else_is_said(facts: Facts, policy: dict[str, t.Any], rule: str) -> None:
    decision = make(facts, **policy)
    assert (decision.rule, decision.alert) == (rule, True)
    assert decision.reason.endswith("are healthy, which has a shared cause.")
    assert "Besides, only " in decision.reason
    assert not make(facts, **policy, enabled=False).alert, "nobody waits for what is switched off"


@pytest.mark.parametrize(
    ("facts", "policy", "rule"),
    [
        (fleet(one(1, cpu=None, memory=None), one(6, cpu=None, memory=None), requests=None), {"pause": "in"}, "beyond-max"),
        (fleet(one(1, cpu=None, memory=None), requests=None), {"min": 2, "pause": "out"}, "below-min"),
    ],
)
def test_blindness_is_an_alert_behind_a_step_that_is_held_back(facts: Facts, policy: dict[str, t.Any], rule: str) -> None:
    decision = make(facts, **policy)
    assert (decision.action, decision.rule, decision.alert) == ("hold", rule, True)
    assert "is held back" in decision.reason
    assert "Besides, no metric is known" in decision.reason


def test_what_healing_did_not_mend_is_an_alert_behind_a_step_that_is_held_back() -> None:
    facts = fleet(one(1, memory=90.0), one(2, **SICK), one(3, memory=90.0))
    decision = make(facts, calm(unhealthy={2: NOW - 90}, replaced=(NOW - 9,) * 3, last_out=NOW - AGO))
    assert (outcome(decision), decision.alert) == (("hold", (), "over-threshold", ("cooldown-out",)), True)
    assert "Besides, slot 2 has been unhealthy for longer than 60 s" in decision.reason
    assert "3 replacements within an hour did not help" in decision.reason


def test_no_slot_is_an_alert_where_failed_ones_keep_the_fleet_below_its_minimum() -> None:
    failed = [one(slot, state="failed", status="Stopped") for slot in (3, 4)]
    draining = [one(slot, state="draining") for slot in (3, 4)]
    held = make(fleet(one(1), one(2), *failed), min=4)
    assert held.alert and outcome(held) == ("hold", (), "below-min", ("no-slot",))
    assert make(fleet(one(1), *failed), min=3).alert, "2 of 3 can be had"
    assert not make(fleet(one(1), *failed), min=2).alert, "the minimum can be had"
    assert not make(fleet(one(1, cpu=95.0), one(2, cpu=95.0), *failed)).alert, "it is not missed"
    assert not make(fleet(one(1), *draining), min=3).alert, "they will be free again"


def test_no_slot_names_the_failed_instance() -> None:
    facts = fleet(one(1, cpu=90.0), one(2, state="failed", status="Stopped"))
    assert "botserver-2 failed and is kept for inspection" in make(facts, max=2).reason


def test_numbers_are_in_the_result_too() -> None:
    facts = fleet(one(1, cpu=60.0), one(2, cpu=None), requests=500.0)
    result = make(facts).as_dict()
    assert result["metrics"]["cpu"] == {
        "value": 60.0, "floor": 30.0, "projected": 130.0, "threshold": 70.0, "unit": "%", "missing": 1, "over": False,
    }  # fmt: skip
    held = make(even(2, memory=90.0), OUT_LATELY).as_dict()
    assert held["guards"] == [{"name": "cooldown-out", "reason": "cooldown, 200 s to go after the last step out"}]
    assert (held["current"], held["desired"], held["time"], held["alert"]) == (2, 2, NOW, False)
    assert "seen" not in held


def test_the_size_that_the_load_asks_for_is_told_without_guards() -> None:
    assert make(even(2, cpu=90.0), pause="both").recommended == 3
    assert make(even(4, cpu=90.0)).recommended == 4, "within the bounds"
    assert [make(even(2, cpu=cpu)).recommended for cpu in (35.0, 76.0, 80.0, 83.0)] == [1, 2, 2, 3], (
        "between the levels it is right as it is"
    )
    assert make(even(2, cpu=None, requests=None)).recommended is None


def test_a_projection_onto_nobody_is_null_in_the_result() -> None:
    assert make(even(1)).as_dict()["metrics"]["cpu"]["projected"] is None


def test_the_slots_whose_replacement_is_under_way_are_told_all_along() -> None:
    sick = fleet(one(1), one(2, ready=False), one(3))
    begun = make(sick, DOOMED)
    assert (begun.start, begun.replace, dict(begun.seen.substitutes)) == ((4,), (2,), {2: 4})
    under_way = fleet(*sick.instances, one(4, ready=False, started_at=NOW - 9))
    assert make(under_way, calm(unhealthy={2: NOW - 90}, replacing={2: 4})).replace == (2,)
    assert make(fleet(*sick.instances, one(4)), calm(unhealthy={2: NOW - 90}, replacing={2: 4})).replace == (2,)
    assert make(sick).replace == ()


def test_metric_in_words() -> None:
    assert str(Metric("cpu", "CPU", " %", 70.0)) == "CPU unknown"
    assert str(Metric("cpu", "CPU", " %", 70.0, value=90.0, floor=45.0, missing=1)) == "CPU 90 % (45 % with 1 unknown as idle)"
    assert str(Metric("requests", "requests", "/min", 70.0, value=12.4)) == "requests 12/min"
    assert str(Metric("share", "share", "", 1.0, value=0.25)) == "share 0.2"


def test_a_source_of_the_same_name_is_asked_instead() -> None:
    decision = make(fleet(one(1, cpu=1.0), one(2, cpu=1.0), cpu=95.0), max=9)
    assert decision.reason.startswith("CPU 95 % of 70 %")
    assert make(fleet(one(1, cpu=99.0), cpu=None)).as_dict()["metrics"]["cpu"]["missing"] == 1


@pytest.mark.parametrize("name", ["requests", "in-flight"])
def test_of_what_is_shared_out_a_source_gives_the_sum_and_caddy_what_each_has(name: str) -> None:
    rule = StepRule("busy", name, 20.0, "out")
    said = dataclasses.replace(even(2, requests=None), readings={name: 40.0})
    by_source = make(said, steps=(rule,)).as_dict()["metrics"][name]
    by_caddy = make(even(2, in_flight=20, requests=40.0), steps=(rule,)).as_dict()["metrics"][name]
    assert by_source == by_caddy and (by_caddy["value"], by_caddy["projected"]) == (20.0, 40.0)


def test_ten_thousand_instances_in_fifty_milliseconds() -> None:
    facts = even(10_000, cpu=10.0, ready=False, started_at=NOW - 5)
    began = time.process_time()
    decision = make(facts, max=10_000)
    assert time.process_time() - began < 0.25, "five times the aim, for a busy machine; a quadratic loop takes minutes"
    assert decision.current == 10_000


def test_the_default_rule_is_the_one_of_the_table() -> None:
    assert POLICY.steps == (CPU_LOW,)

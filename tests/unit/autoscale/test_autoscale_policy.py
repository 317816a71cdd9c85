# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the decision: rules, guards, slots, words."""

from __future__ import annotations

import dataclasses
import time
import typing as t

import pytest
from autoscale_builders import NOW, POLICY, even, fleet, one

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Facts, History, Metric, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import GUARDS, METRICS, RULES, decide
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput


def make(facts: Facts, history: History | None = None, **policy: t.Any) -> Decision:
    """Decide under the usual policy with some of it replaced."""
    return decide(facts, dataclasses.replace(POLICY, **policy), history or History())


def outcome(decision: Decision) -> tuple[str, int | None, str, tuple[str, ...]]:
    """Action, slot, the rule that spoke, the guards that held."""
    return decision.action, decision.slot, decision.rule, tuple(held.guard for held in decision.guards)


AGO = 100.0
OUT_LATELY = History(last_out=NOW - AGO)
IN_LATELY = History(last_in=NOW - AGO)
LONG_AGO = History(last_out=NOW - 301, last_in=NOW - 301)

ROWS: list[tuple[str, Facts, dict[str, t.Any], History, tuple[str, int | None, str, tuple[str, ...]]]] = [
    # --- load, out ---
    ("middling load", even(2), {}, History(), ("hold", None, "steady", ())),
    ("CPU over", even(2, cpu=71.0), {}, History(), ("out", 3, "over-threshold", ())),
    ("CPU at its threshold", even(2, cpu=70.0), {}, History(), ("hold", None, "steady", ())),
    ("memory over", even(2, memory=81.0), {}, History(), ("out", 3, "over-threshold", ())),
    ("requests over, per instance", even(2, requests=2002.0), {}, History(), ("out", 3, "over-threshold", ())),
    ("requests under, per instance", even(2, requests=1998.0), {}, History(), ("hold", None, "steady", ())),
    ("one hot instance, mean below", fleet(one(1, cpu=90.0), one(2, cpu=40.0)), {}, History(), ("hold", None, "steady", ())),
    ("at max", even(4, cpu=90.0), {}, History(), ("hold", None, "over-threshold", ("at-max",))),
    ("a metric without threshold", even(2, cpu=99.0), {"cpu": None}, History(), ("hold", None, "steady", ())),
    # --- load, in ---
    ("all low", even(3, cpu=10.0), {}, History(), ("in", 3, "cpu-low", ())),
    ("CPU at cpu-low", even(3, cpu=30.0), {}, History(), ("hold", None, "steady", ())),
    ("no cpu-low", even(3, cpu=1.0), {"cpu_low": None}, History(), ("hold", None, "steady", ())),
    ("at min", even(1, cpu=1.0), {}, History(), ("hold", None, "cpu-low", ("at-min", "look-ahead"))),
    ("requests would bounce", even(2, cpu=10.0, requests=950.0), {}, History(), ("hold", None, "cpu-low", ("look-ahead",))),
    ("requests fit", even(2, cpu=10.0, requests=890.0), {}, History(), ("in", 2, "cpu-low", ())),
    ("CPU would bounce", even(2, cpu=35.0), {"cpu_low": 40.0}, History(), ("hold", None, "cpu-low", ("look-ahead",))),
    ("memory near its threshold", even(2, cpu=10.0, memory=75.0), {}, History(), ("hold", None, "cpu-low", ("look-ahead",))),
    ("memory stays where it is", even(2, cpu=10.0, memory=70.0), {}, History(), ("in", 2, "cpu-low", ())),
    ("high memory wins over low CPU", even(2, cpu=1.0, memory=90.0), {}, History(), ("out", 3, "over-threshold", ())),
    # --- unknown ---
    ("CPU unknown, requests over", even(2, cpu=None, requests=3000.0), {}, History(), ("out", 3, "over-threshold", ())),
    ("requests unknown, CPU low", even(2, cpu=1.0, requests=None), {}, History(), ("hold", None, "cpu-low", ("unknown",))),
    ("one instance unknown, CPU low", fleet(one(1, cpu=1.0), one(2, cpu=None)), {}, History(), ("hold", None, "cpu-low", ("unknown",))),
    ("one unknown counts as idle", fleet(one(1, cpu=100.0), one(2, cpu=None)), {}, History(), ("hold", None, "steady", ())),
    ("over even if the unknown were idle", fleet(one(1, cpu=99.0), one(2, cpu=99.0), one(3, cpu=99.0), one(4, cpu=None)), {"max": 5},
     History(), ("out", 5, "over-threshold", ())),
    ("a proxy unknown, the rest over", fleet(one(1), requests=1500.0, missing=1), {}, History(), ("out", 2, "over-threshold", ())),
    ("a proxy unknown, CPU low", fleet(one(1, cpu=1.0), one(2, cpu=1.0), missing=1), {}, History(),
     ("hold", None, "cpu-low", ("unknown",))),
    ("everything unknown", even(2, cpu=None, memory=None, requests=None), {}, History(), ("hold", None, "blind", ())),
    ("everything unknown below min", even(1, cpu=None, memory=None, requests=None), {"min": 2}, History(), ("out", 2, "below-min", ())),
    # --- bounds ---
    ("switched off", even(2, cpu=99.0), {"enabled": False}, History(), ("hold", None, "disabled", ())),
    ("switched off, below min", even(1), {"enabled": False, "min": 3}, History(), ("hold", None, "disabled", ())),
    ("nothing runs", fleet(), {}, OUT_LATELY, ("out", 1, "below-min", ())),
    ("below min within cooldown", even(1), {"min": 3}, OUT_LATELY, ("out", 2, "below-min", ())),
    ("below min while one starts", fleet(one(1, ready=False, started_at=NOW - 1)), {"min": 3}, History(), ("out", 2, "below-min", ())),
    ("a slot beyond max", fleet(one(1), one(2), one(6)), {}, IN_LATELY, ("in", 6, "beyond-max", ())),
    ("two beyond max", fleet(one(1), one(5), one(6)), {}, History(), ("in", 6, "beyond-max", ())),
    ("beyond max the highest goes, however busy", fleet(one(1), one(5, in_flight=0), one(6, in_flight=9)), {}, History(),
     ("in", 6, "beyond-max", ())),
    ("max lowered", even(4), {"max": 2}, OUT_LATELY, ("in", 4, "beyond-max", ())),
    ("max lowered under load", even(4, cpu=99.0), {"max": 2}, History(), ("in", 4, "beyond-max", ())),
    ("beyond max is needed until replaced", fleet(one(1), one(6)), {"min": 2}, History(), ("out", 2, "replace-beyond-max", ())),
    ("beyond max where min is max", fleet(one(1), one(6)), {"min": 2, "max": 2}, History(), ("in", 6, "beyond-max", ())),
    ("beyond max, load over, room below", fleet(one(1, cpu=99.0), one(6, cpu=99.0)), {}, History(), ("out", 2, "over-threshold", ())),
    ("beyond max, unknown load", fleet(one(1, cpu=None), one(6), requests=None), {}, History(), ("in", 6, "beyond-max", ())),
    ("beyond max, one already draining", fleet(one(1), one(5), one(6, state="draining")), {}, History(),
     ("hold", None, "beyond-max", ("draining",))),
    # --- cooldowns ---
    ("out after out", even(2, cpu=90.0), {}, OUT_LATELY, ("hold", None, "over-threshold", ("cooldown-out",))),
    ("out after in", even(2, cpu=90.0), {}, IN_LATELY, ("out", 3, "over-threshold", ())),
    ("in after out", even(2, cpu=10.0), {}, OUT_LATELY, ("hold", None, "cpu-low", ("cooldown-in",))),
    ("in after in", even(2, cpu=10.0), {}, IN_LATELY, ("hold", None, "cpu-low", ("cooldown-in",))),
    ("out when cooled down", even(2, cpu=90.0), {}, LONG_AGO, ("out", 3, "over-threshold", ())),
    ("in when cooled down", even(2, cpu=10.0), {}, LONG_AGO, ("in", 2, "cpu-low", ())),
    ("no cooldown at all", even(2, cpu=90.0), {"cooldown": 0.0}, History(last_out=NOW), ("out", 3, "over-threshold", ())),
    # --- starting, unhealthy, draining ---
    ("one starts, the rest over", fleet(one(1, cpu=90.0), one(2, ready=False, started_at=NOW - 5)), {}, History(),
     ("hold", None, "over-threshold", ("starting",))),
    ("one starts, the rest low", fleet(one(1, cpu=1.0), one(2, cpu=1.0), one(3, ready=False, started_at=NOW - 5)), {}, History(),
     ("hold", None, "cpu-low", ("starting",))),
    ("a starting one's CPU is not load", fleet(one(1, cpu=20.0), one(2, cpu=100.0, ready=False, started_at=NOW - 5)), {"cpu_low": None},
     History(), ("hold", None, "steady", ())),
    ("unhealthy for long holds nothing back", fleet(one(1, cpu=90.0), one(2, ready=False)), {}, History(),
     ("out", 3, "over-threshold", ())),
    ("start unknown, just scaled out", fleet(one(1, cpu=90.0), one(2, ready=False, started_at=None)), {"cooldown": 0.0}, OUT_LATELY,
     ("hold", None, "over-threshold", ("starting",))),
    ("start unknown, nobody scaled", fleet(one(1, cpu=90.0), one(2, ready=False, started_at=None)), {}, History(),
     ("out", 3, "over-threshold", ())),
    ("overload fails every health check", even(2, cpu=100.0, ready=False), {}, History(), ("out", 3, "over-threshold", ())),
    ("a shared failure, idle", even(3, cpu=1.0, ready=False), {}, History(), ("hold", None, "cpu-low", ("panic",))),
    ("most are unhealthy", fleet(one(1, cpu=5.0), one(2, ready=False), one(3, ready=False)), {"cpu_low": 10.0, "requests": None},
     History(), ("hold", None, "cpu-low", ("look-ahead", "panic"))),
    ("health unknown", even(3, cpu=10.0, ready=None), {}, History(), ("in", 3, "cpu-low", ())),
    ("only starting ones", fleet(one(1, ready=False, started_at=NOW - 5)), {}, History(), ("hold", None, "blind", ())),
    ("one drains, load low", fleet(one(1, cpu=1.0), one(2, cpu=1.0), one(3, state="draining")), {}, History(),
     ("hold", None, "cpu-low", ("draining",))),
    ("one drains, load high", fleet(one(1, cpu=90.0), one(2, state="draining")), {}, History(), ("out", 3, "over-threshold", ())),
    # --- slots ---
    ("a gap is filled first", fleet(one(1, cpu=90.0), one(3, cpu=90.0)), {}, History(), ("out", 2, "over-threshold", ())),
    ("a warm slot", fleet(one(1, cpu=90.0), one(2, state="warm", status="Stopped")), {}, History(), ("out", 2, "over-threshold", ())),
    ("a stopped one is no capacity", fleet(one(1, cpu=90.0), one(2, status="Stopped")), {"max": 2}, History(),
     ("out", 2, "over-threshold", ())),
    ("a failed slot is skipped", fleet(one(1, cpu=90.0), one(2, state="failed", status="Stopped")), {}, History(),
     ("out", 3, "over-threshold", ())),
    ("a frozen slot is taken", fleet(one(1, cpu=90.0), one(2, status="Frozen")), {}, History(), ("out", 3, "over-threshold", ())),
    ("an unknown state is taken", fleet(one(1, cpu=90.0), one(2, state="", status="Stopped")), {}, History(),
     ("out", 3, "over-threshold", ())),
    ("no slot left", fleet(one(1, cpu=90.0), one(2, state="failed", status="Stopped")), {"max": 2}, History(),
     ("hold", None, "over-threshold", ("no-slot",))),
    ("least in flight goes", fleet(one(1, cpu=1.0, in_flight=2), one(2, cpu=1.0, in_flight=0), one(3, cpu=1.0, in_flight=9)), {}, History(),
     ("in", 2, "cpu-low", ())),
    ("a tie goes to the highest slot", even(3, cpu=1.0, in_flight=4), {}, History(), ("in", 3, "cpu-low", ())),
    ("one in-flight unknown", fleet(one(1, cpu=1.0, in_flight=0), one(2, cpu=1.0, in_flight=None)), {}, History(),
     ("in", 2, "cpu-low", ())),
    ("protected stays", fleet(one(1, cpu=1.0), one(2, cpu=1.0, protected=True)), {}, History(), ("in", 1, "cpu-low", ())),
    ("all protected", even(2, cpu=1.0, protected=True), {}, History(), ("hold", None, "cpu-low", ("protected",))),
    ("protected beyond max", fleet(one(1), one(6, protected=True)), {}, History(), ("hold", None, "beyond-max", ("protected",))),
]


@pytest.mark.parametrize(("facts", "policy", "history", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_row(facts: Facts, policy: dict[str, t.Any], history: History, expected: tuple[str, int | None, str, tuple[str, ...]]) -> None:
    decision = make(facts, history, **policy)
    assert outcome(decision) == expected
    assert decision.desired - decision.current == {"out": 1, "in": -1, "hold": 0}[decision.action]


def test_every_rule_and_guard_has_a_row() -> None:
    seen = [row[4] for row in ROWS]
    assert {rule.name for rule in RULES} | {"steady"} == {rule for _action, _slot, rule, _guards in seen}
    assert {guard.name for guard in GUARDS} == {guard for *_rest, guards in seen for guard in guards}
    assert {spec.name for spec in METRICS} == set(make(even(2)).as_dict()["metrics"])


def test_reason_of_a_step_out_says_what_was_seen_and_what_follows() -> None:
    reason = make(even(1, cpu=84.0, requests=1200.0)).reason
    assert reason == (
        "CPU 84 % is over its threshold of 70 % and requests 1200/min is over its threshold of 1000/min: "
        "start slot 2, 1 to 2 instances; looked at again in 30 s."
    )


def test_reason_of_a_step_in_says_that_all_agree() -> None:
    reason = make(even(2, cpu=12.0)).reason
    assert reason == (
        "CPU 12 % is below scale-rule-cpu-low (30 %) and every metric agrees: drain slot 2, 2 to 1 instance; looked at again in 30 s."
    )


def test_reason_of_a_held_step_names_the_guard_in_words() -> None:
    reason = make(even(2, cpu=90.0), OUT_LATELY).reason
    assert reason == (
        "CPU 90 % is over its threshold of 70 %, but the step out is held back: cooldown, 200 s to go after the last step out. "
        "Still 2 instances; looked at again in 30 s."
    )


def test_a_step_from_the_future_cools_for_its_cooldown_and_no_longer() -> None:
    assert "cooldown, 300 s to go" in make(even(2, cpu=90.0), History(last_out=NOW + 5000)).reason


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


def test_no_slot_names_the_failed_instance() -> None:
    facts = fleet(one(1, cpu=90.0), one(2, state="failed", status="Stopped"))
    assert "botserver-2 failed and is kept for inspection" in make(facts, max=2).reason


def test_numbers_are_in_the_result_too() -> None:
    facts = fleet(one(1, cpu=60.0), one(2, cpu=None), requests=500.0)
    result = make(facts).as_dict()
    assert result["metrics"]["cpu"] == {
        "value": 60.0, "floor": 30.0, "projected": 120.0, "threshold": 70.0, "unit": "%", "missing": 1, "over": False,
    }  # fmt: skip
    held = make(even(2, cpu=90.0), OUT_LATELY).as_dict()
    assert held["guards"] == [{"name": "cooldown-out", "reason": "cooldown, 200 s to go after the last step out"}]
    assert (held["current"], held["desired"], held["time"], held["alert"]) == (2, 2, NOW, False)


def test_a_projection_onto_nobody_is_null_in_the_result() -> None:
    assert make(even(1)).as_dict()["metrics"]["cpu"]["projected"] is None


def test_metric_in_words() -> None:
    assert str(Metric("cpu", "CPU", " %", 70.0)) == "CPU unknown"
    assert str(Metric("cpu", "CPU", " %", 70.0, value=90.0, floor=45.0, missing=1)) == "CPU 90 % (45 % with 1 unknown as idle)"
    assert str(Metric("requests", "requests", "/min", 70.0, value=12.4)) == "requests 12/min"


def test_ten_thousand_instances_in_fifty_milliseconds() -> None:
    facts = even(10_000, cpu=10.0, ready=False, started_at=NOW - 5)
    began = time.process_time()
    decision = make(facts, max=10_000)
    assert time.process_time() - began < 0.25, "five times the aim, for a busy machine; a quadratic loop takes minutes"
    assert decision.current == 10_000


# --- the policy ---


def test_policy_from_settings() -> None:
    settings = {
        "scale-enabled": True, "scale-min-instances": 2, "scale-max-instances": 6, "scale-cpu-threshold": 60, "scale-memory-threshold": 75,
        "scale-request-threshold": 500, "scale-rule-cpu-low": 20, "scale-rule-cpu-low-action": "down", "scale-cooldown-seconds": 60,
        "scale-check-interval": 15, "rate-limit-burst": 20,
    }  # fmt: skip
    assert Policy.from_settings(settings) == Policy(True, 2, 6, 60, 75, 500, 20, 60, 15)


def test_policy_has_the_documented_defaults() -> None:
    assert Policy.from_settings({}) == Policy(False, 1, 10, 70, 80, 1000, 30, 300, 30)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scale-min-instances": 0}, "scale-min-instances is 0"),
        ({"scale-min-instances": 5, "scale-max-instances": 4}, "scale-min-instances (5) is greater than scale-max-instances (4)"),
        ({"scale-rule-cpu-low": 70}, "scale-rule-cpu-low (70) is not below scale-cpu-threshold (70"),
        ({"scale-cooldown-seconds": -1}, "scale-cooldown-seconds is -1"),
        ({"scale-check-interval": 0}, "scale-check-interval is 0"),
        ({"scale-rule-cpu-low-action": "up"}, "scale-rule-cpu-low-action is 'up'"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Policy.from_settings(settings)
    assert words in str(caught.value)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered from tick to tick, and whole ticks in a row."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from autoscale_builders import NOW, POLICY, even, fleet, one, proxy, row

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.facts import Counter, Sample
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Facts, History, Load
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import (
    REMEMBERED,
    Controls,
    Pending,
    State,
    from_dict,
    from_json,
    remember,
    settle,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.tick import Tick, tick
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

SETTINGS = {"scale-enabled": True, "scale-max-instances": 3, "scale-cooldown-seconds": 60, "scale-check-interval": 10}
FULL = State(
    History(
        NOW - 5,
        NOW - 9,
        (Load(NOW - 5, {"cpu": 90.0}),),
        ((NOW - 5, 1.25),),
        {2: NOW - 30},
        {2: 4},
        (NOW - 30,),
        1,
        NOW - 40,
    ),
    Sample(NOW, {"botserver-1": Counter(5.0, NOW, NOW - 50)}, {"proxy 1": Counter(None, NOW, None)}),
    Pending("in", (3,), NOW),
    {"out": 2},
    ({"time": NOW, "reason": "because"},),
    Controls("in", 2),
)


def test_there_and_back() -> None:
    assert from_json(json.dumps(FULL.as_dict())) == (FULL, "")
    assert from_dict(State().as_dict()) == (State(), "")


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_recorded_is_a_fresh_start_without_a_remark(nothing: str | None) -> None:
    assert from_json(nothing) == (State(), "")
    assert from_dict({}) == (State(), "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{not json", "is not JSON"),
        ("[]", "is not of version 2"),
        ('"text"', "is not of version 2"),
        ('{"version": 99}', "is not of version 2"),
        ('{"version": 2}', "is damaged (KeyError: 'sample')"),
    ],
)
def test_a_state_that_cannot_be_read_is_a_fresh_start_with_a_remark(text: str, words: str) -> None:
    state, note = from_json(text)
    assert state == State()
    assert words in note
    assert note.endswith("it starts afresh.")


LOADS = {"loads": [{"time": "x", "totals": {}}]}


@pytest.mark.parametrize(
    ("part", "damaged", "words"),
    [
        ("sample", {"time": "soon"}, "is damaged"),
        ("pending", {"direction": "up", "slots": [1], "time": 1}, "a pending step 'up'"),
        ("decisions", 7, "is damaged"),
        ("history", {**FULL.as_dict()["history"], **LOADS}, "is damaged (ValueError: 'x' is no number); of its history it"),
        ("failures", {"out": float("inf")}, "is damaged (OverflowError"),
        ("controls", {"pause": "sideways", "pin": 2}, "pause is 'sideways'"),
    ],
)
def test_a_damaged_part_is_as_in_a_fresh_state_with_a_remark_and_the_others_are_kept(part: str, damaged: t.Any, words: str) -> None:
    state, note = from_json(json.dumps({**FULL.as_dict(), part: damaged}))
    assert state == dataclasses.replace(FULL, **{part: getattr(State(), part)})
    assert words in note
    assert note.endswith("it starts afresh.")


def test_what_an_operator_has_set_outlives_all_the_rest() -> None:
    broken = {"version": 2, "controls": {"pause": "in", "pin": 2}}
    state, note = from_dict(broken)
    assert state == State(controls=Controls("in", 2))
    assert note.endswith("of its sample, pending, history, failures, decisions it starts afresh.")
    assert from_dict(state.as_dict()) == (state, "")


def test_a_time_that_is_no_number_is_an_unknown_time() -> None:
    data = {**FULL.as_dict(), "history": {"last_out": "yesterday", "last_in": None}}
    assert from_dict(data)[0].history == History()


def test_the_list_of_decisions_is_bounded() -> None:
    state = State()
    for _ in range(REMEMBERED + 5):
        state = remember(state, Sample(NOW), decide(even(2), POLICY, state.history))
    assert len(state.decisions) == REMEMBERED
    assert len(from_dict({**state.as_dict(), "decisions": [{}] * 99})[0].decisions) == REMEMBERED


@pytest.mark.parametrize(
    ("pending", "facts", "history", "failures"),
    [
        (Pending("out", (2,), NOW - 20), even(2), History(last_out=NOW - 20), {}),
        (Pending("out", (2,), NOW - 20), even(1), History(failed_starts=1, last_failed=NOW), {"out": 1}),
        (
            Pending("out", (2,), NOW - 20),
            fleet(one(1), one(2, state="failed", status="Stopped")),
            History(failed_starts=1, last_failed=NOW),
            {"out": 1},
        ),
        (Pending("in", (2,), NOW - 20), fleet(one(1), one(2, state="draining")), History(last_in=NOW - 20), {}),
        (Pending("in", (2,), NOW - 20), fleet(one(1), one(2, state="warm", status="Stopped")), History(last_in=NOW - 20), {}),
        (Pending("in", (2,), NOW - 20), even(1), History(last_in=NOW - 20), {}),
        (Pending("in", (2,), NOW - 20), even(2), History(), {"in": 1}),
        (None, even(2), History(), {}),
    ],
    ids=["out done", "out lost", "out failed", "in drains", "in warm", "in deleted", "in not begun", "nothing pending"],
)
def test_a_pending_step_is_judged_by_the_fleet(pending: Pending | None, facts: Facts, history: History, failures: dict[str, int]) -> None:
    settled = settle(State(pending=pending), facts)
    assert (settled.history, settled.failures, settled.pending) == (history, failures, None)


def test_failures_are_counted_on() -> None:
    assert settle(State(pending=Pending("out", (2,), NOW), failures={"out": 2, "in": 1}), even(1)).failures == {"out": 3, "in": 1}


def test_a_clock_that_was_set_back_stretches_no_cooldown() -> None:
    settled = settle(State(history=History(last_out=NOW + 5000, last_in=NOW - 5)), even(1))
    assert settled.history == History(last_out=NOW, last_in=NOW - 5)
    assert settle(State(pending=Pending("out", (1,), NOW + 900)), even(1)).history.last_out == NOW


# --- whole ticks ---


def later(seconds: float, cpu: float, slots: tuple[int, ...], state: t.Mapping[str, t.Any], **changes: t.Any) -> Tick:
    """A tick ``seconds`` after NOW of instances that all use ``cpu`` per cent of their limit since NOW."""
    used = round(cpu / 100 * 2.0 * seconds * 1e9)
    instances = [row(slot, cpu_usage_ns=used) for slot in slots]
    return tick({**SETTINGS, **changes}, instances, [proxy(round(seconds), NOW + seconds)], state, NOW + seconds)


def test_the_first_tick_holds_and_the_second_scales_out() -> None:
    first = later(0, 0, (1,), {})
    assert first.decision.action == "hold"
    assert "CPU of botserver-1: there is no earlier sample of it yet" in first.notes
    second = later(10, 90, (1,), first.state.as_dict())
    assert (second.decision.action, second.decision.slot) == ("out", 2)
    assert second.state.pending == Pending("out", (2,), NOW + 10)


def test_a_step_that_came_true_starts_the_cooldown_from_when_it_was_decided() -> None:
    second = later(10, 90, (1,), later(0, 0, (1,), {}).state.as_dict()).state.as_dict()
    third = later(20, 90, (1, 2), second, **{"scale-rule-requests-high": 10, "scale-rule-requests-high-action": "up"})
    assert third.state.history.last_out == NOW + 10
    assert "Requests 30/min is above scale-rule-requests-high (10/min)" in third.decision.reason
    assert "50 s to go after the last step out" in third.decision.reason


def test_an_instance_without_an_earlier_sample_counts_as_idle() -> None:
    second = later(10, 90, (1,), later(0, 0, (1,), {}).state.as_dict()).state.as_dict()
    third = later(20, 90, (1, 2), second)
    assert third.decision.action == "hold"
    assert "CPU 90 % (45 % with 1 unknown as idle) of 70 %" in third.decision.reason


def test_what_was_seen_is_looked_back_on() -> None:
    second = later(10, 90, (1,), later(0, 0, (1,), {}).state.as_dict())
    assert second.state.history.loads == (Load(NOW + 10, {"cpu": 90.0, "requests": 60.0}),)
    assert [at for at, _need in second.state.history.needs] == [NOW + 10]
    assert from_dict(second.state.as_dict()) == (second.state, "")


def test_what_other_sources_say_is_a_metric_and_why_they_are_silent_a_note() -> None:
    rule = {"scale-rule-queue-depth": 100, "scale-rule-queue-action": "up"}
    said = {"name": "queue-depth", "value": 250, "time": NOW, "why": ""}
    done = tick({**SETTINGS, **rule}, [row(1)], [proxy(1, NOW)], {}, NOW, readings=[said])
    assert (done.decision.start, done.decision.rule) == ((2,), "scale-rule-queue-depth")
    silent = tick({**SETTINGS, **rule}, [row(1)], [proxy(1, NOW)], {}, NOW, readings=[{**said, "value": None, "why": "Redis is gone"}])
    assert silent.decision.action == "hold"
    assert "queue-depth: Redis is gone" in silent.notes


def test_a_rule_on_a_metric_that_nobody_gives_is_refused() -> None:
    with pytest.raises(InvalidInput, match="asks for the metric 'queue-depth', which nothing measures"):
        tick({**SETTINGS, "scale-rule-queue-depth": 100, "scale-rule-queue-action": "up"}, [row(1)], [], {}, NOW)


def test_an_operator_wins_over_the_inventory() -> None:
    pinned = State().with_controls(pin=3).as_dict()
    assert later(0, 0, (1,), pinned, **{"scale-max-instances": 3}).decision.start == (2, 3)
    paused = State().with_controls(pause="both").as_dict()
    done = tick(SETTINGS, [row(1)], [], paused, NOW, options={"pin": 3})
    assert [held.guard for held in done.decision.guards] == ["paused"]


def test_a_step_that_failed_starts_no_cooldown_and_is_counted() -> None:
    third = later(20, 90, (1,), later(10, 90, (1,), later(0, 0, (1,), {}).state.as_dict()).state.as_dict())
    assert third.decision.action == "out"
    assert third.state.failures == {"out": 1}
    history = third.state.history
    assert (history.last_out, history.failed_starts, history.last_failed) == (None, 1, NOW + 20)


def test_two_ticks_within_a_second_measure_against_the_earlier_one() -> None:
    first = later(0, 0, (1,), {})
    hasty = later(0.6, 90, (1,), first.state.as_dict())
    assert hasty.decision.action == "hold"
    assert later(1.2, 90, (1,), hasty.state.as_dict()).decision.action == "out"


def test_counters_of_long_ago_say_nothing_about_now() -> None:
    stale = later(121, 90, (1,), later(0, 0, (1,), {}).state.as_dict())
    assert stale.decision.action == "hold"
    assert "CPU of botserver-1: the last sample is 121 s old" in stale.notes
    assert later(121, 90, (1,), later(0, 0, (1,), {}).state.as_dict(), **{"scale-check-interval": 30}).decision.action == "out"


def test_a_damaged_memory_is_remarked_on_and_replaced() -> None:
    done = later(0, 0, (1,), {"version": 99})
    assert done.notes[0].startswith("The autoscaler's recorded state is not of version 2")
    assert from_dict(done.state.as_dict()) == (done.state, "")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"slot": None}, "botserver-1 has no usable slot"),
        ({"slot": "x"}, "botserver-1 has no usable slot"),
        ({"status": ""}, "botserver-1 has no usable status"),
        ({"name": ""}, "(without a name) has no usable name"),
    ],
)
def test_a_fleet_that_is_none_is_refused(broken: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        tick(SETTINGS, [{**row(1), **broken}], [], {}, NOW)
    assert words in str(caught.value)

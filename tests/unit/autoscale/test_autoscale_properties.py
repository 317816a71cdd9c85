# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every fleet, load and history, not only for those that somebody thought of."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from autoscale_builders import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.facts import observe, sample_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Facts, History, InstanceFacts, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State, from_json
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.tick import tick

repeatable = settings(max_examples=60, deadline=None, derandomize=True)

TOP = 8
loads = st.one_of(st.none(), st.floats(0, 150))
states = st.sampled_from(["active", "active", "active", "draining", "warm", "failed"])
times = st.one_of(st.none(), st.floats(NOW - 1000, NOW + 10))
EFFECT = {"in": -1, "hold": 0, "out": 1}


@st.composite
def instances(draw: st.DrawFn) -> tuple[InstanceFacts, ...]:
    """A fleet in any condition."""
    slots = draw(st.lists(st.integers(1, TOP), unique=True, max_size=TOP))
    return tuple(
        InstanceFacts(
            f"botserver-{slot}", slot, draw(st.sampled_from(["Running", "Running", "Stopped", "Frozen"])), draw(states),
            draw(st.sampled_from([True, True, False, None])), draw(times), draw(st.booleans()), draw(loads), draw(loads),
            draw(st.one_of(st.none(), st.integers(0, 50))),
        )
        for slot in slots
    )  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy without contradictions, switched on."""
    low = draw(st.integers(1, 5))
    cpu_low, cooldown = draw(st.sampled_from([30.0, None])), draw(st.sampled_from([0.0, 300.0]))
    return Policy(True, low, draw(st.integers(low, TOP)), cpu_low=cpu_low, cooldown=cooldown)


fleets = st.builds(Facts, st.just(NOW), instances(), st.one_of(st.none(), st.floats(0, 9000)), st.integers(0, 2))
histories = st.builds(History, times, times)


@repeatable
@given(fleets, policies(), histories)
def test_within_bounds_or_on_the_way_there(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    assert decision.desired == decision.current + EFFECT[decision.action]

    def outside(size: int) -> int:
        return max(policy.min - size, size - policy.max, 0)

    if decision.action != "hold":
        stray = any(one.counts and one.slot > policy.max for one in facts.instances)
        assert outside(decision.desired) == 0 or outside(decision.desired) < outside(decision.current) or stray


@repeatable
@given(fleets, policies(), histories)
def test_a_step_names_a_slot_that_it_can_be_taken_with(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    there = {one.slot: one for one in facts.instances}
    if decision.action == "out":
        assert decision.slot is not None and 1 <= decision.slot <= policy.max
        assert decision.slot not in there or there[decision.slot].startable
    elif decision.action == "in":
        assert decision.slot is not None
        assert there[decision.slot].counts and not there[decision.slot].protected
    else:
        assert decision.slot is None


@repeatable
@given(fleets, policies(), histories)
def test_a_fleet_below_its_minimum_grows_unless_no_slot_is_left(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    if decision.current < policy.min:
        assert decision.action == "out" or [held.guard for held in decision.guards] == ["no-slot"]


@repeatable
@given(fleets, policies(), histories, st.floats(1, 3), st.floats(0, 50))
def test_more_load_never_means_fewer_instances(facts: Facts, policy: Policy, history: History, factor: float, more: float) -> None:
    def heavier(value: float | None) -> float | None:
        return None if value is None else value * factor + more

    loaded = tuple(dataclasses.replace(one, cpu=heavier(one.cpu), memory=heavier(one.memory)) for one in facts.instances)
    heavy = dataclasses.replace(facts, instances=loaded, requests=heavier(facts.requests))
    light_step, heavy_step = (EFFECT[decide(one, policy, history).action] for one in (facts, heavy))
    assert heavy_step >= light_step


@repeatable
@given(fleets, policies(), histories)
def test_nothing_goes_on_missing_data(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    if decision.action == "in" and decision.rule == "cpu-low":
        assert all(metric.known for metric in decision.metrics)


@repeatable
@given(fleets, policies(), histories, st.data())
def test_losing_a_metric_never_causes_a_step(facts: Facts, policy: Policy, history: History, data: st.DataObject) -> None:
    before = decide(facts, policy, history)
    if not facts.instances:
        return
    gone = data.draw(st.integers(0, len(facts.instances) - 1))
    poorer = tuple(dataclasses.replace(one, cpu=None) if index == gone else one for index, one in enumerate(facts.instances))
    after = decide(dataclasses.replace(facts, instances=poorer), policy, history)
    forced = {"below-min", "replace-beyond-max", "beyond-max"}
    assert after.action in (before.action, "hold") or after.rule in forced


@repeatable
@given(fleets, policies(), histories)
def test_a_step_in_never_delays_a_step_out(facts: Facts, policy: Policy, history: History) -> None:
    never_in = decide(facts, policy, dataclasses.replace(history, last_in=None))
    if never_in.action == "out":
        assert decide(facts, policy, dataclasses.replace(history, last_in=NOW)) == never_in


@repeatable
@given(fleets, policies(), histories)
def test_switched_off_means_no_step_at_all(facts: Facts, policy: Policy, history: History) -> None:
    assert decide(facts, dataclasses.replace(policy, enabled=False), history).action == "hold"


@repeatable
@given(fleets, policies(), histories)
def test_same_input_same_decision_and_always_a_sentence(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    assert decision == decide(facts, policy, history)
    assert decision.reason[0].isupper() and decision.reason.endswith(".")
    json.dumps(decision.as_dict(), allow_nan=False)


anything = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**18), st.floats(), st.text(max_size=3))
raw = st.fixed_dictionaries(
    {"name": st.just("botserver-1"), "slot": st.just(1), "status": st.just("Running"), "state": st.just("active"), "address": anything},
    optional=dict.fromkeys(("cpu_usage_ns", "cpu_limit", "memory_used_bytes", "memory_limit_bytes", "started_at"), anything),
)
raw_proxy = st.fixed_dictionaries({}, optional=dict.fromkeys(("requests_total", "started_at", "time"), anything))


@repeatable
@given(raw, raw, raw_proxy, raw_proxy, st.floats(NOW - 400, NOW + 400))
def test_no_sample_gives_nonsense(
    before: dict[str, t.Any], now: dict[str, t.Any], proxy_before: dict[str, t.Any], proxy_now: dict[str, t.Any], earlier: float
) -> None:
    facts = observe([now], [proxy_now], sample_of([now], [proxy_now], NOW), sample_of([before], [proxy_before], earlier), longest=300)
    one = facts.instances[0]
    for value in (one.cpu, one.memory, facts.requests):
        assert value is None or value >= 0


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["version", "history", "sample", "pending", "failures", "decisions", "time"]), inner), max_leaves=8)  # fmt: skip


@repeatable
@given(st.one_of(st.text(), json_values.map(json.dumps), st.dictionaries(st.sampled_from(list(State().as_dict())), json_values).map(
    lambda data: json.dumps({**State().as_dict(), **data}))))  # fmt: skip
def test_any_text_gives_a_state_that_a_tick_can_use(text: str) -> None:
    state, _note = from_json(text)
    done = tick({}, [], [], state.as_dict(), NOW)
    assert from_json(json.dumps(done.state.as_dict())) == (done.state, "")

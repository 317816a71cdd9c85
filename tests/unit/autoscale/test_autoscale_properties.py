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

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import history as past
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.facts import observe, sample_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.history import MOST, learn
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import (
    CPU_LOW,
    Facts,
    History,
    InstanceFacts,
    Limit,
    Load,
    Policy,
    StepRule,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State, from_json
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.tick import tick

repeatable = settings(max_examples=60, deadline=None, derandomize=True)

TOP = 8
loads = st.one_of(st.none(), st.floats(0, 150))
states = st.sampled_from(["active", "active", "active", "draining", "warm", "failed"])
times = st.one_of(st.none(), st.floats(NOW - 1000, NOW + 10))


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
    return Policy(
        True,
        low,
        draw(st.integers(low, TOP)),
        cooldown=draw(st.sampled_from([0.0, 300.0])),
        steps=draw(st.sampled_from([(), (CPU_LOW,), (CPU_LOW, StepRule("memory-high", "memory", 90.0, "out"))])),
        sizing=draw(st.sampled_from(["proportional", "proportional", "steps"])),
        tolerance_in=draw(st.sampled_from([0.0, 0.1])),
        limit_in=Limit(draw(st.integers(1, 4))),
        limit_out=Limit(draw(st.integers(1, 4))),
        max_unavailable=draw(st.integers(1, 3)),
        pin=draw(st.sampled_from([None, None, None, 3])),
    )


def series(values: st.SearchStrategy[t.Any]) -> st.SearchStrategy[tuple[tuple[float, t.Any], ...]]:
    """Values at times before NOW, oldest first."""
    moments = st.lists(st.tuples(st.floats(1, 900), values), max_size=25, unique_by=lambda one: one[0])
    return moments.map(lambda found: tuple((NOW - ago, value) for ago, value in sorted(found, reverse=True)))


slots = st.integers(1, TOP)
fleets = st.builds(Facts, st.just(NOW), instances(), st.one_of(st.none(), st.floats(0, 9000)), st.integers(0, 2))
histories = st.builds(
    History,
    times,
    times,
    series(st.fixed_dictionaries({"cpu": st.floats(0, 900), "requests": st.floats(0, 9000)})).map(
        lambda found: tuple(Load(at, totals) for at, totals in found)
    ),
    series(st.floats(0, 12)),
    st.dictionaries(slots, st.floats(NOW - 500, NOW)),
    st.dictionaries(slots, slots),
    st.lists(st.floats(NOW - 4000, NOW), max_size=4).map(tuple),
    st.integers(0, 4),
    times,
    mended=st.dictionaries(slots, st.floats(NOW - 900, NOW)),
)


@repeatable
@given(fleets, policies(), histories)
def test_within_bounds_or_on_the_way_there(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    assert decision.desired == decision.current + len(decision.start) - len(decision.drain)

    members = {one.slot: one for one in facts.instances if one.counts}
    leaving = {slot for slot, one in members.items() if slot > policy.max and not one.protected}
    stay = {*members} - leaving

    def outside(slots: set[int]) -> int:
        return max(policy.min - len(slots), len(slots) - policy.max, 0)

    # Those that leave are of no account: what stays is within the bounds, or on the way there.
    after = (stay | {*decision.start}) - {*decision.drain}
    if decision.action != "hold" and decision.rule not in ("retire", "replace") and not (decision.drain and {*decision.drain} <= leaving):
        assert outside(after) == 0 or outside(after) < outside(stay)
    if decision.start:
        assert len(after) <= policy.max and decision.desired <= policy.max + len(leaving)
        assert decision.desired <= policy.max or decision.rule == "replace-beyond-max"


@repeatable
@given(fleets, policies(), histories)
def test_never_out_and_in_at_once(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    assert not (decision.start and decision.drain)
    assert decision.action == ("out" if decision.start else "in" if decision.drain else "hold")


@repeatable
@given(fleets, policies(), histories)
def test_a_step_names_slots_that_it_can_be_taken_with(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    there = {one.slot: one for one in facts.instances}
    assert len({*decision.start, *decision.drain}) == len(decision.start) + len(decision.drain)
    for slot in decision.start:
        assert 1 <= slot <= policy.max
        assert slot not in there or there[slot].startable
    for slot in decision.drain:
        assert there[slot].counts and not there[slot].protected


@repeatable
@given(fleets, policies(), histories)
def test_no_step_is_larger_than_its_limit(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    assert len(decision.start) <= policy.limit_out.of(decision.current)
    assert len(decision.drain) <= policy.limit_in.of(decision.current)


@repeatable
@given(fleets, policies(), histories)
def test_a_fleet_below_its_minimum_grows_unless_nothing_can_be_started(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    if decision.current < policy.min:
        assert decision.action == "out" or {held.guard for held in decision.guards} <= {"no-slot", "given-up"}


@st.composite
def repeating(draw: st.DrawFn) -> History:
    """A history of a source that changes every few ticks, of which the last may be repeated by what is read now."""
    ticks = draw(st.integers(2, 4))
    values = draw(st.lists(st.floats(0, 900), min_size=4, max_size=12))
    totals = [value for value in values for _ in range(ticks)][: draw(st.integers(10, 48))]
    loads = tuple(Load(NOW - 15.0 * ago, {"cpu": total}) for ago, total in zip(range(len(totals), 0, -1), totals, strict=True))
    return dataclasses.replace(draw(histories), loads=loads)


@repeatable
@given(fleets, policies(), histories | repeating(), st.floats(1, 3), st.floats(0, 50))
def test_more_load_never_means_fewer_instances(facts: Facts, policy: Policy, history: History, factor: float, more: float) -> None:
    def heavier(value: float | None) -> float | None:
        return None if value is None else value * factor + more

    loaded = tuple(dataclasses.replace(one, cpu=heavier(one.cpu), memory=heavier(one.memory)) for one in facts.instances)
    heavy = dataclasses.replace(facts, instances=loaded, requests=heavier(facts.requests))
    light_step, heavy_step = (decide(one, policy, history) for one in (facts, heavy))
    # A fleet that heals grows for a while by what replaces, which is no answer to load.
    if light_step.rule not in ("restart", "replace"):
        assert heavy_step.desired >= light_step.desired


@repeatable
@given(fleets, policies(), histories)
def test_nothing_goes_on_missing_data(facts: Facts, policy: Policy, history: History) -> None:
    decision = decide(facts, policy, history)
    if decision.action == "in" and decision.rule in ("proportional", "scale-rule-cpu-low"):
        assert all(metric.value is not None for metric in decision.metrics)
        assert not facts.requests_missing
        for metric in decision.metrics:
            if metric.missing:  # counted as used up to the threshold, and still there is room
                left = metric.on(metric.count - len(decision.drain))
                assert left is not None and metric.threshold is not None and left <= metric.threshold


@repeatable
@given(fleets, policies(), histories, st.booleans())
def test_losing_a_metric_never_causes_a_step(facts: Facts, policy: Policy, history: History, processor: bool) -> None:
    before = decide(facts, policy, history)

    def without(one: InstanceFacts) -> InstanceFacts:
        return dataclasses.replace(one, cpu=None) if processor else dataclasses.replace(one, memory=None)

    poorer = tuple(without(one) for one in facts.instances)
    after = decide(dataclasses.replace(facts, instances=poorer), policy, history)
    loads = {"proportional", "over-threshold", "scale-rule-cpu-low", "scale-rule-memory-high"}
    assert after.action in (before.action, "hold") or after.rule not in loads


@repeatable
@given(fleets, policies(), histories)
def test_a_step_in_never_delays_a_step_out(facts: Facts, policy: Policy, history: History) -> None:
    never_in = decide(facts, policy, dataclasses.replace(history, last_in=None))
    if never_in.action == "out":
        assert decide(facts, policy, dataclasses.replace(history, last_in=NOW)) == never_in


@repeatable
@given(fleets, policies(), histories, st.sampled_from(["in", "out", "both"]))
def test_a_paused_direction_is_not_taken(facts: Facts, policy: Policy, history: History, pause: t.Any) -> None:
    action = decide(facts, policy.under(pause, None), history).action
    assert action == "hold" or action not in (pause, "out" if pause == "both" else pause, "in" if pause == "both" else pause)


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


@repeatable
@given(fleets, policies(), histories, st.integers(1, 40))
def test_what_is_looked_back_on_is_bounded_and_survives_json(facts: Facts, policy: Policy, history: History, interval: int) -> None:
    for tick_number in range(5):
        now = dataclasses.replace(facts, time=NOW + tick_number * interval)
        history = learn(history, decide(now, policy, history))
        assert past.from_dict(json.loads(json.dumps(past.as_dict(history)))) == history
    assert len(history.loads) <= 2 * MOST and len(history.needs) <= 5 * MOST


# --- step by step ---


@dataclasses.dataclass
class World:
    """A fleet that does what is decided: started instances serve after two ticks, drained ones are gone in the next."""

    time: float = NOW
    born: dict[int, float] = dataclasses.field(default_factory=dict)
    sick: set[int] = dataclasses.field(default_factory=set)

    def facts(self, load: float | None, requests: float | None) -> Facts:
        serving = [slot for slot, at in self.born.items() if self.time - at >= 60 and slot not in self.sick]
        cpu = None if load is None else min(100 * load / max(len(serving), 1), 100)
        seen = (
            InstanceFacts(f"botserver-{slot}", slot, ready=slot in serving, started_at=at, cpu=cpu if slot in serving else 5.0, memory=50.0)
            for slot, at in sorted(self.born.items())
        )
        return Facts(self.time, tuple(seen), requests)


moves = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(0, 9)), st.one_of(st.none(), st.floats(0, 9000)), st.sets(slots, max_size=2)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(policies(), moves)
def test_step_by_step_no_fleet_ever_leaves_its_bounds(policy: Policy, walk: list[tuple[float | None, float | None, set[int]]]) -> None:
    world, history = World(), History()
    for load, requests, sick in walk:
        world.time += policy.interval
        world.sick = sick
        before = len(world.born)
        decision = decide(world.facts(load, requests), policy, history)
        history = learn(history, decision)
        if decision.action != "hold":
            history = past.stepped(history, decision.action, world.time)
        world.born.update(dict.fromkeys(decision.start, world.time))
        for slot in decision.drain:
            del world.born[slot]
        assert len(world.born) == decision.desired
        grew_to_min = before < policy.min and len(world.born) > before
        assert policy.min <= len(world.born) <= policy.max or grew_to_min or decision.rule in ("retire", "replace")
        if load is None or requests is None:
            assert decision.action != "in" or decision.rule in ("retire", "replace", "pin")


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

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``decide(facts, policy, history)``: the autoscaler's whole judgement, pure.

Three tables hold it. METRICS says what is measured; RULES, asked in order, propose a step; GUARDS hold a proposed step
back. A new metric, rule or guard is a new entry. A step is one instance.

In short: any metric over its threshold scales out, all of them must agree to scale in. What is unknown blocks a step in
and not a step out. A fleet outside its bounds is led back without regard to cooldowns. ``scale-enabled: false`` means
that nothing is touched at all, bounds included: whoever switches the autoscaler off scales by hand.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import (
    Decision,
    Direction,
    Facts,
    Held,
    History,
    InstanceFacts,
    Metric,
    Policy,
)

#: remarks on unknown metrics that a reason quotes; all of them are in the tick's notes
NOTES = 3


@dataclasses.dataclass(frozen=True)
class View:
    """The facts of one tick with everything that rules and guards ask of them, computed once."""

    facts: Facts
    policy: Policy
    history: History

    @functools.cached_property
    def members(self) -> tuple[InstanceFacts, ...]:
        """The instances that make up the fleet's size."""
        return tuple(one for one in self.facts.instances if one.counts)

    @functools.cached_property
    def current(self) -> int:
        """The fleet's size."""
        return len(self.members)

    @functools.cached_property
    def starting(self) -> tuple[InstanceFacts, ...]:
        """Members that are not healthy yet and still have time to become so."""
        return tuple(one for one in self.members if self._is_starting(one))

    @functools.cached_property
    def measured(self) -> tuple[InstanceFacts, ...]:
        """The members whose metrics count: those that serve, or, if none does, those that should have begun to.

        A fleet so loaded that every health check fails must still be seen to be loaded.
        """
        serving = tuple(one for one in self.members if one.ready is not False)
        return serving or tuple(one for one in self.members if not self._is_starting(one))

    @functools.cached_property
    def draining(self) -> tuple[InstanceFacts, ...]:
        """Instances on their way out."""
        return tuple(one for one in self.facts.instances if one.state == "draining")

    @functools.cached_property
    def beyond(self) -> tuple[InstanceFacts, ...]:
        """Members in slots that the policy no longer has."""
        return tuple(one for one in self.members if one.slot > self.policy.max)

    @functools.cached_property
    def free_slot(self) -> int | None:
        """The lowest slot that can be started: kept warm, stopped, or empty. Failed ones wait for somebody to look at them."""
        taken = {one.slot for one in self.facts.instances if not one.startable}
        return next((slot for slot in range(1, self.policy.max + 1) if slot not in taken), None)

    @functools.cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric that the policy has a threshold for."""
        return tuple(metric for spec in METRICS if (metric := spec.measure(self)) is not None)

    @property
    def blind(self) -> bool:
        """Whether nothing at all is known about the load."""
        return all(metric.value is None for metric in self.metrics)

    def since(self, direction: Direction) -> float:
        """Seconds since the last step in that direction; infinite if there was none."""
        last = self.history.last_out if direction == "out" else self.history.last_in
        return math.inf if last is None else max(self.facts.time - last, 0.0)

    def _is_starting(self, one: InstanceFacts) -> bool:
        age = self.since("out") if one.started_at is None else self.facts.time - one.started_at
        return one.ready is False and age < self.policy.start_patience


# --- metrics -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Reading:
    """The sum of a metric over ``known`` instances, and how many more could not be read."""

    total: float | None
    known: int
    missing: int


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """A metric: how it is read and which threshold it has.

    ``moves`` says whether an instance's share goes to the others when it leaves. CPU and requests do; of memory most is
    what a process holds at rest, and counting that as moving would never let a small fleet shrink.
    """

    name: str
    label: str
    unit: str
    threshold: t.Callable[[Policy], float | None]
    read: t.Callable[[View], Reading]
    moves: bool = True

    def measure(self, view: View) -> Metric | None:
        """The metric as it stands, or None if the policy does not ask for it."""
        threshold = self.threshold(view.policy)
        if threshold is None:
            return None
        reading = self.read(view)
        if reading.total is None or not reading.known:
            return Metric(self.name, self.label, self.unit, threshold, missing=reading.missing)
        value = reading.total / reading.known
        count = len(view.measured)
        projected = self._projected(value, count)
        return Metric(self.name, self.label, self.unit, threshold, value, reading.total / count, projected, reading.missing)

    def _projected(self, value: float, count: int) -> float:
        if not self.moves:
            return value
        return value * count / (count - 1) if count > 1 else math.inf


def _per_instance(pick: t.Callable[[InstanceFacts], float | None]) -> t.Callable[[View], Reading]:
    def read(view: View) -> Reading:
        known = [value for one in view.measured if (value := pick(one)) is not None]
        return Reading(math.fsum(known) if known else None, len(known), len(view.measured) - len(known))

    return read


def _requests(view: View) -> Reading:
    if not view.measured:
        return Reading(None, 0, view.facts.requests_missing)
    return Reading(view.facts.requests, len(view.measured), view.facts.requests_missing)


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec("cpu", "CPU", " %", lambda policy: policy.cpu, _per_instance(lambda one: one.cpu)),
    MetricSpec("memory", "memory", " %", lambda policy: policy.memory, _per_instance(lambda one: one.memory), moves=False),
    MetricSpec("requests", "requests", "/min", lambda policy: policy.requests, _requests),
)


# --- rules ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A step that a rule asks for. ``forced`` ones lead back into the bounds and pass the guards that only calm the load rules."""

    direction: Direction | None
    because: str
    forced: bool = False
    alert: bool = False


@dataclasses.dataclass(frozen=True)
class Rule:
    """Named; ``speak`` gives a proposal or None, and the first rule with one is heard."""

    name: str
    speak: t.Callable[[View], Proposal | None]


def _disabled(view: View) -> Proposal | None:
    return None if view.policy.enabled else Proposal(None, "scaling is switched off (scale-enabled is false)")


def _below_min(view: View) -> Proposal | None:
    if view.current >= view.policy.min:
        return None
    return Proposal("out", f"the fleet is below scale-min-instances ({view.policy.min})", forced=True)


def _room_before_retreat(view: View) -> Proposal | None:
    """A slot beyond max may only go if the minimum is kept without it: its replacement comes first."""
    if view.beyond and view.current <= view.policy.min and view.current < view.policy.max:
        slot = max(one.slot for one in view.beyond)
        return Proposal("out", f"slot {slot} is beyond scale-max-instances and needs a replacement first", forced=True)
    return None


def _over_threshold(view: View) -> Proposal | None:
    over = [metric for metric in view.metrics if metric.over]
    if not over or (view.beyond and view.current >= view.policy.max):
        return None
    seen = " and ".join(f"{metric} is over its threshold of {metric.number(metric.threshold)}" for metric in over)
    return Proposal("out", seen)


def _beyond_max(view: View) -> Proposal | None:
    if not view.beyond:
        return None
    slots = ", ".join(str(one.slot) for one in sorted(view.beyond, key=lambda one: one.slot))
    return Proposal("in", f"slot {slots} is beyond scale-max-instances ({view.policy.max})", forced=True)


def _blind(view: View) -> Proposal | None:
    if not view.blind or not view.metrics:
        return None
    return Proposal(None, f"no metric is known ({_why_unknown(view)})", alert=True)


def _cpu_low(view: View) -> Proposal | None:
    low = view.policy.cpu_low
    cpu = next((metric for metric in view.metrics if metric.name == "cpu"), None)
    if low is None or cpu is None or cpu.value is None or cpu.value >= low:
        return None
    return Proposal("in", f"{cpu} is below scale-rule-cpu-low ({cpu.number(low)})")


RULES: tuple[Rule, ...] = (
    Rule("disabled", _disabled),
    Rule("below-min", _below_min),
    Rule("replace-beyond-max", _room_before_retreat),
    Rule("over-threshold", _over_threshold),
    Rule("beyond-max", _beyond_max),
    Rule("blind", _blind),
    Rule("cpu-low", _cpu_low),
)


# --- guards --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Guard:
    """Named; ``check`` says in words why a step in one of its ``directions`` must not be taken now, or nothing.

    ``calms`` marks the guards that only keep the load rules steady; a forced step passes them.
    """

    name: str
    directions: frozenset[Direction]
    check: t.Callable[[View], str | None]
    calms: bool = False


OUT: frozenset[Direction] = frozenset({"out"})
IN: frozenset[Direction] = frozenset({"in"})


def _at_max(view: View) -> str | None:
    return f"the fleet is at scale-max-instances ({view.policy.max})" if view.current >= view.policy.max else None


def _at_min(view: View) -> str | None:
    return f"the fleet is at scale-min-instances ({view.policy.min})" if view.current <= view.policy.min else None


def _no_slot(view: View) -> str | None:
    if view.free_slot is not None or view.current >= view.policy.max:
        return None
    failed = ", ".join(one.name for one in view.facts.instances if one.state == "failed")
    kept = f" ({failed} failed and is kept for inspection)" if failed else ""
    return f"no slot from 1 to {view.policy.max} can be started{kept}"


def _start_in_progress(view: View) -> str | None:
    names = ", ".join(one.name for one in view.starting)
    return f"{names} is still starting" if names else None


def _drain_in_progress(view: View) -> str | None:
    names = ", ".join(one.name for one in view.draining)
    return f"{names} is still draining" if names else None


def _cooldown_out(view: View) -> str | None:
    return _cooling(view, "out")


def _cooldown_in(view: View) -> str | None:
    """A step out delays a step in as well; a step in never delays a step out."""
    return _cooling(view, "out") or _cooling(view, "in")


def _cooling(view: View, direction: Direction) -> str | None:
    left = view.policy.cooldown - view.since(direction)
    return f"cooldown, {left:.0f} s to go after the last step {direction}" if left > 0 else None


def _unknown(view: View) -> str | None:
    return None if all(metric.known for metric in view.metrics) else _why_unknown(view)


def _look_ahead(view: View) -> str | None:
    tight = [m for m in view.metrics if m.projected is not None and m.projected > m.threshold * (1 - view.policy.headroom)]
    if not tight:
        return None
    if len(view.measured) < 2:
        return "no healthy instance would be left"
    said = " and ".join(f"{m.label} would be {m.number(m.projected)} of {m.number(m.threshold)}" for m in tight)
    return f"with {_instances(view.current - 1)} {said}"


def _panic(view: View) -> str | None:
    ready = sum(one.ready is not False for one in view.members)
    if ready >= view.policy.panic_share * view.current:
        return None
    return f"only {ready} of {view.current} instances are healthy"


def _no_victim(view: View) -> str | None:
    return None if _victim(view) is not None else "every instance that could go is protected"


GUARDS: tuple[Guard, ...] = (
    Guard("at-max", OUT, _at_max),
    Guard("no-slot", OUT, _no_slot),
    Guard("starting", OUT | IN, _start_in_progress, calms=True),
    Guard("cooldown-out", OUT, _cooldown_out, calms=True),
    Guard("at-min", IN, _at_min, calms=True),
    Guard("unknown", IN, _unknown, calms=True),
    Guard("look-ahead", IN, _look_ahead, calms=True),
    Guard("cooldown-in", IN, _cooldown_in, calms=True),
    Guard("draining", IN, _drain_in_progress),
    Guard("panic", IN, _panic),
    Guard("protected", IN, _no_victim),
)


# --- the decision --------------------------------------------------------------------------------------------------


def decide(facts: Facts, policy: Policy, history: History) -> Decision:
    """What to do now, with the reason in words and in numbers. Pure: the same input gives the same decision."""
    view = View(facts, policy, history)
    rule, proposal = _heard(view)
    held = tuple(_holding(view, proposal))
    if proposal.direction is None or held:
        return _decision(view, "hold", None, rule, _held_words(view, proposal, held), held, proposal.alert)
    slot = view.free_slot if proposal.direction == "out" else _victim(view)
    return _decision(view, proposal.direction, slot, rule, _step_words(view, proposal, slot), (), proposal.alert)


def _heard(view: View) -> tuple[str, Proposal]:
    for rule in RULES:
        proposal = rule.speak(view)
        if proposal is not None:
            return rule.name, proposal
    return "steady", Proposal(None, _steady_words(view))


def _holding(view: View, proposal: Proposal) -> t.Iterator[Held]:
    for guard in GUARDS:
        if proposal.direction not in guard.directions or (guard.calms and proposal.forced):
            continue
        why = guard.check(view)
        if why is not None:
            yield Held(guard.name, why)


def _victim(view: View) -> int | None:
    """The slot to drain: the highest beyond max; else the one with the least in flight, or the highest where that is unknown."""
    candidates = [one for one in view.beyond or view.members if not one.protected]
    if not candidates:
        return None
    counts_known = not view.beyond and all(one.in_flight is not None for one in candidates)
    return min(candidates, key=lambda one: (one.in_flight or 0 if counts_known else 0, -one.slot)).slot


def _decision(
    view: View, action: t.Literal["out", "in", "hold"], slot: int | None, rule: str, reason: str, held: tuple[Held, ...], alert: bool
) -> Decision:
    desired = view.current + {"out": 1, "in": -1, "hold": 0}[action]
    slots = () if slot is None else (slot,)
    return Decision(
        action,
        view.current,
        desired,
        rule,
        reason,
        view.facts.time,
        start=slots if action == "out" else (),
        drain=slots if action == "in" else (),
        metrics=view.metrics,
        guards=held,
        alert=alert,
        next=f"looked at again in {view.policy.interval:.0f} s",
    )


def _step_words(view: View, proposal: Proposal, slot: int | None) -> str:
    verb, change = ("start", 1) if proposal.direction == "out" else ("drain", -1)
    agreed = "" if proposal.direction == "out" or proposal.forced else " and every metric agrees"
    return (
        f"{_capital(proposal.because)}{agreed}: {verb} slot {slot}, {view.current} to {_instances(view.current + change)}; "
        f"looked at again in {view.policy.interval:.0f} s."
    )


def _held_words(view: View, proposal: Proposal, held: tuple[Held, ...]) -> str:
    again = f"looked at again in {view.policy.interval:.0f} s."
    if not held:
        return f"{_capital(proposal.because)}. Still {_instances(view.current)}; {again}"
    why = "; ".join(one.why for one in held)
    return f"{_capital(proposal.because)}, but the step {proposal.direction} is held back: {why}. Still {_instances(view.current)}; {again}"


def _steady_words(view: View) -> str:
    seen = ", ".join(f"{metric} of {metric.number(metric.threshold)}" for metric in view.metrics) or "no threshold is set"
    notes = "; ".join(view.facts.notes[:NOTES])
    return f"nothing asks for a step: {seen}" + (f" ({notes})" if notes else "")


def _why_unknown(view: View) -> str:
    if not view.measured:
        return "no instance is healthy yet" if view.members else "no instance is running"
    names = ", ".join(metric.label for metric in view.metrics if not metric.known)
    notes = "; ".join(view.facts.notes[:NOTES])
    return f"{names} unknown" + (f": {notes}" if notes else "")


def _instances(count: int) -> str:
    return f"{count} instance" + ("" if count == 1 else "s")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

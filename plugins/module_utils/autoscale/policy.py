# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``decide(facts, policy, history)``: the autoscaler's whole judgement, pure.

It is made of tables, each in a file of its own: METRICS says what is measured, RULES propose a size, GUARDS hold a step
back or make it smaller. A new metric, rule or guard is a new entry. ``sizing`` forecasts the load, ``schedules`` gives
bounds by the clock, ``view`` is what they all look at.

In short: any metric may scale out, all of them must agree to scale in. What is unknown blocks a step in and not a step
out. A fleet outside its bounds is led back without regard to cooldowns. ``scale-enabled: false`` means that nothing is
touched at all, bounds included: whoever switches the autoscaler off scales by hand.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.guards import Verdict, verdicts, victims
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import (
    Action,
    Decision,
    Facts,
    Held,
    History,
    Policy,
    Seen,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.rules import RENEW, Proposal, heard
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.sizing import total_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.words import capital, instances, panic_words, slots_words

Verdicts = t.Sequence[tuple[str, Verdict]]


@dataclasses.dataclass(frozen=True)
class Weighed:
    """A proposal, what guards leave of it, and those of them that did: ``start`` and ``drain`` are slots, and one of them is empty."""

    rule: str
    proposal: Proposal
    bound: Verdicts
    start: tuple[int, ...]
    drain: tuple[int, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        """What is started or drained; none where the step is held back wholly, or there is none."""
        return self.start or self.drain

    @property
    def alerts(self) -> bool:
        """Whether a person is called for it."""
        held = self.proposal.urgent and not self.slots
        return self.proposal.alert or held or any(verdict.alert for _name, verdict in self.bound)


def decide(facts: Facts, policy: Policy, history: History) -> Decision:
    """What to do now, with the reason in words and in numbers. Pure: the same input gives the same decision."""
    view = View(facts, policy, history)
    said = []
    for rule, proposal in heard(view):
        said.append(_weighed(view, rule, proposal))
        if said[-1].slots:
            break
    # What cannot be done is told by what asked first.
    chosen = next((one for one in said if one.slots), said[0])
    others = [one for one in said if one is not chosen and one.alerts]
    rule, proposal, start, drain = chosen.rule, chosen.proposal, chosen.start, chosen.drain
    action: Action = "out" if start else "in" if drain else "hold"
    size = view.current + len(start) - len(drain)
    return Decision(
        action,
        view.current,
        size,
        rule,
        " ".join([_reason(view, chosen, size), *_besides(view, chosen, others)]),
        facts.time,
        start=start,
        drain=drain,
        replace=_replaced(view, proposal, start),
        recommended=_recommended(view),
        bounds=(view.bounds.low, view.bounds.high),
        metrics=view.metrics,
        guards=tuple(Held(name, verdict.why) for name, verdict in chosen.bound),
        alert=chosen.alerts or bool(others) or _in_panic(view),
        next=_next(view, action),
        seen=_seen(view, proposal, start, drain),
    )


def _weighed(view: View, rule: str, proposal: Proposal) -> Weighed:
    said = list(verdicts(view, proposal)) if proposal.direction is not None else []
    size = _size(view, proposal, said)
    # What would have let the step go further than another guard did has not decided anything.
    bound = [(name, verdict) for name, verdict in said if _within(view, proposal, verdict.size) == size]
    return Weighed(rule, proposal, bound, *_slots(view, proposal, size))


def _in_panic(view: View) -> bool:
    """Whether a person is called because of the fleet's health, whatever asks for a step or for none."""
    return view.policy.enabled and view.panics


def _size(view: View, proposal: Proposal, said: Verdicts) -> int:
    """The size that the proposal and all guards leave."""
    if proposal.direction is None:
        return view.current
    strictest = min if proposal.direction == "out" else max
    return _within(view, proposal, strictest([proposal.size, *(verdict.size for _name, verdict in said)]))


def _within(view: View, proposal: Proposal, size: int) -> int:
    """A guard may hold a step back, never turn it round."""
    return max(size, view.current) if proposal.direction == "out" else min(size, view.current)


def _slots(view: View, proposal: Proposal, size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The slots to start and those to drain; one of the two is empty."""
    if size > view.current:
        free = [slot for slot in view.free_slots if not proposal.only or slot in proposal.only]
        return tuple(free[: size - view.current]), ()
    return (), tuple(one.slot for one in victims(view, proposal)[: view.current - size]) if size < view.current else ()


def _replaced(view: View, proposal: Proposal, start: t.Sequence[int]) -> tuple[int, ...]:
    """The unhealthy slots whose replacement is under way."""
    return tuple(sorted({*view.substituted, *_substitutes(proposal, start), *(proposal.replace if proposal.direction == "in" else ())}))


def _substitutes(proposal: Proposal, start: t.Sequence[int]) -> dict[int, int]:
    return dict(zip(proposal.replace, start, strict=False)) if proposal.direction == "out" else {}


def _recommended(view: View) -> int | None:
    """The size that the load asks for within the bounds, before guards."""
    if not view.demands:
        return None
    return max(view.bounds.low, min(view.demands[0].wanted(view.capacity), view.bounds.high))


def _mended(proposal: Proposal, start: t.Sequence[int], drain: t.Sequence[int]) -> tuple[t.Sequence[int], t.Sequence[int]]:
    """The slots that are started for nothing but the fleet's health, and those in whose place."""
    if proposal.kind != "heal" or not (start or proposal.rule == RENEW):
        return (), ()
    return (start, proposal.replace[: len(start)] or start) if start else (drain, drain)


def _seen(view: View, proposal: Proposal, start: t.Sequence[int], drain: t.Sequence[int]) -> Seen:
    whole = [metric for metric in view.metrics if metric.moves and metric.known]
    mended, ill = _mended(proposal, start, drain)
    return Seen(
        totals={metric.name: total_of(view.facts.time, metric, view.history.loads) for metric in whole},
        need=view.demands[0].need if view.demands else None,
        window=view.policy.window,
        unhealthy=frozenset(one.slot for one in view.members if one.ready is False),
        members=frozenset(one.slot for one in view.members),
        substitutes=_substitutes(proposal, start),
        mended=frozenset(mended),
        relapsed=len(view.relapsed & {*ill}),
    )


# --- words ---------------------------------------------------------------------------------------------------------


def _next(view: View, action: Action) -> str:
    again = f"looked at again in {view.policy.interval:.0f} s"
    return f"counts once it is healthy; {again}" if action == "out" else again


def _reason(view: View, chosen: Weighed, size: int) -> str:
    again = f"looked at again in {view.policy.interval:.0f} s."
    proposal, slots = chosen.proposal, chosen.slots
    because = capital(proposal.because)
    why = _held_words(chosen)
    if slots:
        agreed = " and every metric agrees" if proposal.direction == "in" and not proposal.forced else ""
        verb = "start" if proposal.direction == "out" else "drain"
        less = f" (not {proposal.size}: {why})" if chosen.bound else ""
        return f"{because}{agreed}: {verb} {slots_words(slots)}, {view.current} to {instances(size)}{less}; {again}"
    if chosen.bound:
        return f"{because}, but the step {proposal.direction} is held back: {why}. Still {instances(size)}; {again}"
    return f"{because}. Still {instances(size)}; {again}"


def _besides(view: View, chosen: Weighed, others: t.Sequence[Weighed]) -> t.Iterator[str]:
    """What else a person is called for."""
    for one in others:
        held = f", but the step {one.proposal.direction} is held back: {_held_words(one)}" if one.bound else ""
        yield f"Besides, {one.proposal.because}{held}."
    if _in_panic(view) and not any(name == "panic" for one in (chosen, *others) for name, _verdict in one.bound):
        yield f"Besides, {panic_words(view)}."


def _held_words(one: Weighed) -> str:
    return "; ".join(verdict.why for _name, verdict in one.bound)

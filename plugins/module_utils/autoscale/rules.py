# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What asks for a step. RULES is the table, asked in order; the first that proposes something is heard.

Where guards hold that one back wholly, healing is heard as well: a fleet that cannot grow can still be mended.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Direction, InstanceFacts, StepRule
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.sizing import LEVEL, Demand
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.words import instances, slots_words, steady_words, why_unknown

Kind = t.Literal["bounds", "pin", "proportional", "step", "heal"]


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A fleet of ``size`` instances, or none at all if ``direction`` is None: stay, because.

    ``forced`` ones lead back into the bounds or heal, and pass the guards that only calm the load rules. ``only`` are the
    slots that it is about, where that is not left to the choice of slots; ``replace`` the unhealthy ones behind it.
    ``leaving`` is how many members go for what it starts, and so do not count towards the maximum. ``urgent`` ones call a
    person where they are held back wholly.
    """

    direction: Direction | None
    because: str
    size: int = 0
    kind: Kind = "bounds"
    forced: bool = False
    alert: bool = False
    only: tuple[int, ...] = ()
    replace: tuple[int, ...] = ()
    leaving: int = 0
    urgent: bool = False
    rule: str = ""
    """The name that speaks, where it is another than the table's."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """Named; ``speak`` gives a proposal or None."""

    name: str
    speak: t.Callable[[View], Proposal | None]


def heard(view: View) -> t.Iterator[tuple[str, Proposal]]:
    """What is to be weighed in turn until something can be done, each with the name of its rule.

    The first proposal of all comes first, and behind it those that heal, up to one that says to stay.
    """
    first: Proposal | None = None
    for rule in RULES:
        proposal = rule.speak(view)
        if proposal is not None and (first is None or proposal.direction is None or _heals_behind(first, proposal)):
            yield proposal.rule or rule.name, proposal
            first = first or proposal
            if proposal.direction is None:
                return
    if first is None:
        yield "steady", Proposal(None, steady_words(view))


def _heals_behind(first: Proposal, proposal: Proposal) -> bool:
    """Whether a proposal heals and starts nothing in a fleet that is to become smaller, and will as soon as it may."""
    return proposal.kind == "heal" and (first.direction == "out" or proposal.direction == "in")


#: the rule by which unhealthy instances are started anew in their own slots, as no other is free for a replacement
RENEW = "renew"
#: the rules whose steps mend the fleet and follow no load: the way of one says nothing about the next
HEALING = frozenset({"restart", "replace", "retire", RENEW})


# --- bounds --------------------------------------------------------------------------------------------------------


def _disabled(view: View) -> Proposal | None:
    return None if view.policy.enabled else Proposal(None, "scaling is switched off (scale-enabled is false)")


def _below_min(view: View) -> Proposal | None:
    if view.current >= view.bounds.low:
        return None
    return Proposal("out", f"the fleet is below {view.bounds.floor}", view.bounds.low, forced=True)


def _room_before_retreat(view: View) -> Proposal | None:
    """Slots beyond max, which no load balancer lists, may only go if enough stay: what is missing then comes first."""
    leaving, enough = len(view.leaving), view.bounds.low if view.pinned is None else view.pinned
    missing = enough - view.staying
    if not leaving or missing <= 0:
        return None
    because = f"{slots_words(sorted(one.slot for one in view.leaving))} is beyond scale-max-instances and needs a replacement first"
    return Proposal("out", because, view.current + missing, forced=True, leaving=leaving, urgent=True)


def _beyond_max(view: View) -> Proposal | None:
    return _retreat(view, view.leaving)


def _kept_beyond_max(view: View) -> Proposal | None:
    """Protected ones stay and keep nothing else waiting: that they are there is said when there is nothing else to say."""
    return _retreat(view, view.beyond)


def _retreat(view: View, some: t.Sequence[InstanceFacts]) -> Proposal | None:
    if not some:
        return None
    slots = tuple(sorted(one.slot for one in some))
    because = f"{slots_words(slots)} is beyond scale-max-instances ({view.policy.max})"
    return Proposal("in", because, max(view.current - len(slots), view.bounds.low), forced=True, only=slots)


def _above_max(view: View) -> Proposal | None:
    if view.current <= view.bounds.high:
        return None
    return Proposal("in", f"the fleet is above {view.bounds.ceiling}", view.bounds.high, forced=True)


def _pin(view: View) -> Proposal | None:
    size = view.current - len(view.substituted)
    if view.pinned is None or size == view.pinned:
        return None
    because = f"the fleet is pinned to {instances(view.pinned)}{_clipped(view)}"
    direction: Direction = "out" if view.pinned > size else "in"
    return Proposal(direction, because, view.pinned + len(view.substituted), "pin", forced=True)


def _pinned(view: View) -> Proposal | None:
    if view.pinned is None:
        return None
    return Proposal(None, f"the fleet is pinned to {instances(view.pinned)}{_clipped(view)}", kind="pin")


def _clipped(view: View) -> str:
    if view.pinned == view.policy.pin:
        return ""
    return f" ({view.policy.pin} was asked for, the bounds are {view.bounds.low} and {view.bounds.high})"


# --- load, out -----------------------------------------------------------------------------------------------------


def _grow(view: View) -> Proposal | None:
    """The largest size that any metric asks for; on a tie proportional sizing speaks.

    Where the fleet cannot grow, what it asks for keeps no unhealthy instance from being started anew.
    """
    if view.pinned is not None or _is_to_retreat(view) or (_room(view) <= 0 and _next_replaced(view)):
        return None
    wishes = [*_proportional_out(view), *_one_more(view)]
    if not wishes:
        return None
    first = max(wishes, key=lambda wish: wish.size)
    others = [wish.because for wish in wishes if wish is not first]
    return dataclasses.replace(first, because="; ".join([first.because, *others]), replace=_unreplaced(view))


def _is_to_retreat(view: View) -> bool:
    """Whether the fleet is above its bounds, or slots beyond max leave it no room to grow and one of them can go."""
    return view.current > view.bounds.high or bool(view.leaving and view.current >= view.bounds.high)


def _proportional_out(view: View) -> t.Iterator[Proposal]:
    for demand in view.demands:
        if demand.most > view.capacity:
            size = max(demand.least, view.capacity + 1)
            because = f"{demand_words(demand)} needs {instances(size)}"
            yield Proposal("out", because, size + len(view.doomed), "proportional", rule="proportional")


def _one_more(view: View) -> t.Iterator[Proposal]:
    """What asks for more without saying how much more."""
    yield from _over_threshold(view)
    yield from _steps_out(view)


def _over_threshold(view: View) -> t.Iterator[Proposal]:
    """Metrics that no size follows from: memory, and all of them where config.csv's steps are wanted alone."""
    sized = {demand.metric.name for demand in view.demands}
    for metric in view.metrics:
        target = view.policy.target(metric.name)
        if target is not None and metric.name not in sized and metric.floor is not None and metric.floor > target:
            because = f"{metric} is over its threshold of {metric.number(target)}"
            yield Proposal("out", because, view.current + 1, "step", rule="over-threshold")


def _steps_out(view: View) -> t.Iterator[Proposal]:
    for rule in _steps(view, "out"):
        metric = view.by_name[rule.metric]
        if metric.floor is not None and rule.speaks(metric.floor):
            because = f"{metric} is above {rule.key} ({metric.number(rule.level)})"
            yield Proposal("out", because, view.current + 1, "step", rule=rule.key)


def _steps(view: View, direction: Direction) -> list[StepRule]:
    return [rule for rule in view.policy.steps if rule.direction == direction]


def demand_words(demand: Demand) -> str:
    """A demand in words and numbers: what is measured, and what is expected of it."""
    metric = demand.metric
    when = "now" if demand.level == demand.now else f"over {LEVEL:.0f} s"
    parts = [f"{metric.number(demand.level)} {when}"]
    if demand.saturated:
        parts.append("at its limit and taken for more")
    if demand.trend:
        parts.append(f"{metric.number(demand.trend)} by its trend")
    if demand.margin:
        parts.append(f"{metric.number(demand.margin)} for its noise")
    return f"{metric} of {metric.number(demand.target)} (in all {', '.join(parts)})"


# --- healing -------------------------------------------------------------------------------------------------------


def _unreplaced(view: View) -> tuple[int, ...]:
    return tuple(one.slot for one in view.doomed if one.slot not in view.substituted)


def _next_replaced(view: View) -> tuple[int, ...]:
    """Those of them that may be replaced at once."""
    return _unreplaced(view)[: max(view.policy.max_unavailable - len(view.substituted), 0)]


def _room(view: View) -> int:
    """Instances that can be started within the bounds."""
    return min(view.bounds.high - view.current, len(view.free_slots))


def _restart(view: View) -> Proposal | None:
    most = view.bounds.high if view.pinned is None else view.pinned + len(view.substituted)
    slots = tuple(one.slot for one in view.fallen)[: max(most - view.current, 0)]
    if not slots:
        return None
    return Proposal(
        "out", f"{slots_words(slots)} stands still and was not stopped on purpose", view.current + len(slots), "heal", True, only=slots
    )


def _replace(view: View) -> Proposal | None:
    """The new one first. Where there is no room for it, the unhealthy one goes, for it serves nothing, and is started anew if the fleet
    is too small without it."""
    slots, room = _next_replaced(view), _room(view)
    if not slots:
        return None
    because = f"{slots_words(slots)} has been unhealthy for longer than {view.policy.heal_patience:.0f} s"
    if room > 0:
        slots = slots[:room]
        return Proposal("out", because + ": its replacement first", view.current + len(slots), "heal", True, replace=slots)
    return _without(view, slots, because + ", and no slot is free for a replacement")


def _without(view: View, slots: tuple[int, ...], because: str) -> Proposal:
    """Without unhealthy slots; they are started anew where no other can be had and the fleet is too small without them."""
    size = view.current - len(slots)
    if _room(view) > 0 or size - len(view.leaving) >= _enough(view):
        return Proposal("in", because, size, "heal", True, only=slots, replace=slots)
    return Proposal("in", because + ", so it is started anew", size, "heal", True, only=slots, replace=slots, rule=RENEW)


def _enough(view: View) -> int:
    """The size below which the fleet is too small: for its bounds, a pin, or its load."""
    if view.pinned is not None:
        return view.pinned + len(view.substituted)
    wishes = [view.bounds.low, *(demand.least for demand in view.demands), *(view.current for _wish in _one_more(view))]
    return min(max(wishes), view.bounds.high)


def _retire(view: View) -> Proposal | None:
    """Unhealthy instances go as soon as their replacement serves."""
    well = {one.slot for one in view.members if one.ready is not False}
    slots = tuple(sorted(slot for slot, new in view.substituted.items() if new in well))
    return _without(view, slots, f"{slots_words(slots)} is unhealthy and replaced") if slots else None


# --- load, in ------------------------------------------------------------------------------------------------------


def _blind(view: View) -> Proposal | None:
    if not view.blind or not view.metrics:
        return None
    return Proposal(None, f"no metric is known ({why_unknown(view)})", alert=True)


def _shrink(view: View) -> Proposal | None:
    """Proportional sizing asks for fewer; held by the largest of its metrics."""
    if not view.demands:
        return None
    first = view.demands[0]
    size = max(first.size, 1)
    if first.need > view.capacity * (1 - view.policy.tolerance_in) or size >= view.capacity:
        return None
    because = f"{demand_words(first)} needs {instances(size)}"
    return Proposal("in", because, size + len(view.doomed), "proportional", rule="proportional")


def _steps_in(view: View) -> Proposal | None:
    for rule in _steps(view, "in"):
        metric = view.by_name[rule.metric]
        if metric.ceiling is not None and rule.speaks(metric.ceiling):
            because = f"{metric} is below {rule.key} ({metric.number(rule.level)})"
            return Proposal("in", because, view.current - 1, "step", rule=rule.key)
    return None


RULES: tuple[Rule, ...] = (
    Rule("disabled", _disabled),
    Rule("below-min", _below_min),
    Rule("replace-beyond-max", _room_before_retreat),
    Rule("pin", _pin),
    Rule("grow", _grow),
    Rule("restart", _restart),
    Rule("replace", _replace),
    Rule("retire", _retire),
    Rule("beyond-max", _beyond_max),
    Rule("above-max", _above_max),
    Rule("pinned", _pinned),
    Rule("blind", _blind),
    Rule("shrink", _shrink),
    Rule("step-in", _steps_in),
    Rule("beyond-max", _kept_beyond_max),
)

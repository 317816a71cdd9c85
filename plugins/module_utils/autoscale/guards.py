# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds a step back, or makes it smaller. GUARDS is the table; each says how far a proposed step may go."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import statistics
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.history import MOST
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Direction, InstanceFacts, Metric
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.rules import RENEW, Proposal
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.words import instances, panic_words, slots_words, why_unknown

#: needs that are further apart than so many times their distance have a gap between them
GAP = 3.5


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The fleet may be of this ``size`` and no further, because. The fleet's own size holds the step back wholly."""

    size: int
    why: str
    alert: bool = False


@dataclasses.dataclass(frozen=True)
class Guard:
    """Named; ``judge`` gives a verdict on a step in one of its ``directions``, or None if it has nothing to say.

    ``calms`` marks the guards that only keep the load rules steady; a forced step passes them.
    """

    name: str
    directions: frozenset[Direction]
    judge: t.Callable[[View, Proposal], Verdict | None]
    calms: bool = False


def verdicts(view: View, proposal: Proposal) -> t.Iterator[tuple[str, Verdict]]:
    """What every guard that is asked says, by its name, if it binds."""
    for guard in GUARDS:
        if proposal.direction not in guard.directions or (guard.calms and proposal.forced):
            continue
        verdict = guard.judge(view, proposal)
        if verdict is not None and (verdict.size < proposal.size if proposal.direction == "out" else verdict.size > proposal.size):
            yield guard.name, verdict


def victims(view: View, proposal: Proposal) -> list[InstanceFacts]:
    """Members that may go, in the order in which they would: never a protected one.

    Beyond max first, the highest first; then the unhealthy; then the least requests in flight (where all say it), the
    image of which none was started for the longest time, the highest slot.
    """
    only = frozenset(proposal.only)
    candidates = [one for one in view.members if not one.protected and (not only or one.slot in only)]
    counts_known = all(one.in_flight is not None for one in candidates)

    def order(one: InstanceFacts) -> tuple[bool, bool, int, float, int]:
        inside = one.slot <= view.policy.max
        busy = (one.in_flight or 0) if counts_known and inside else 0
        return inside, one.ready is not False, busy, view.images[one.image], -one.slot

    return sorted(candidates, key=order)


OUT: frozenset[Direction] = frozenset({"out"})
IN: frozenset[Direction] = frozenset({"in"})


# --- both ways -----------------------------------------------------------------------------------------------------


def _paused(view: View, proposal: Proposal) -> Verdict | None:
    if view.policy.pause not in ("both", proposal.direction):
        return None
    return Verdict(view.current, "scaling is paused" if view.policy.pause == "both" else f"scaling {proposal.direction} is paused")


def _limit(view: View, proposal: Proposal) -> Verdict | None:
    limit = view.policy.limit_out if proposal.direction == "out" else view.policy.limit_in
    most = limit.of(view.current)
    size = view.current + (most if proposal.direction == "out" else -most)
    return Verdict(size, f"a step {proposal.direction} is of {instances(most)} at most")


def _starting(view: View, proposal: Proposal) -> Verdict | None:
    """Proportional sizing counts on what starts; a rule that only ever wants one more waits to see what it does."""
    if not view.starting or (proposal.direction == "out" and proposal.kind == "proportional"):
        return None
    return Verdict(view.current, f"{_names(view.starting)} is still starting")


# --- out -----------------------------------------------------------------------------------------------------------


def _at_max(view: View, proposal: Proposal) -> Verdict | None:
    most = max(view.bounds.high + proposal.leaving, view.current)
    return Verdict(most, f"the fleet is at {view.bounds.ceiling}" if view.current >= most else f"the most is {view.bounds.ceiling}")


def _no_slot(view: View, proposal: Proposal) -> Verdict | None:
    free = len(view.free_slots)
    if free >= view.bounds.high + proposal.leaving - view.current:
        return None
    failed = [one for one in view.facts.instances if one.state == "failed"]
    kept = f" ({_names(failed)} failed and is kept for inspection)" if failed else ""
    words = f"only {slots_words(view.free_slots)} can be started" if free else f"no slot from 1 to {view.policy.max} can be started"
    # Failed slots are freed by a person only, and without them the minimum is missed for ever.
    short = view.current - proposal.leaving + free < view.bounds.low
    return Verdict(view.current + free, words + kept, alert=bool(failed) and short)


def _given_up(view: View, proposal: Proposal) -> Verdict | None:
    """Starting again what does not start, or replacing what does not stay well, is churn: a person is called."""
    history, policy = view.history, view.policy
    if proposal.direction == "in" and proposal.rule != RENEW:
        return None
    if history.failed_starts >= policy.give_up_after and history.last_failed is not None:
        left = policy.give_up_for - max(view.facts.time - history.last_failed, 0.0)
        if left > 0:
            why = f"{history.failed_starts} starts in a row failed; the next is tried in {left:.0f} s"
            return Verdict(view.current, why, alert=True)
    if proposal.kind == "heal" and view.in_vain >= policy.give_up_after:
        why = f"{view.in_vain} replacements within an hour did not help; look at why instances do not stay healthy"
        return Verdict(view.current, why, alert=True)
    return None


def _cooldown_out(view: View, proposal: Proposal) -> Verdict | None:
    return _cooling(view, "out", view.policy.cooldown if proposal.kind == "step" else view.policy.cooldown_out)


# --- in ------------------------------------------------------------------------------------------------------------


def _at_min(view: View, proposal: Proposal) -> Verdict | None:
    least = min(view.bounds.low, view.current)
    return Verdict(least, f"the fleet is at {view.bounds.floor}" if view.current <= least else f"the least is {view.bounds.floor}")


def _unknown(view: View, proposal: Proposal) -> Verdict | None:
    return None if all(metric.usable for metric in view.metrics) else Verdict(view.current, why_unknown(view))


def _healing(view: View, proposal: Proposal) -> Verdict | None:
    return Verdict(view.current, f"{slots_words([one.slot for one in view.doomed])} is being replaced") if view.doomed else None


def _stabilisation(view: View, proposal: Proposal) -> Verdict | None:
    """A step in must have been right all through the window; what is not remembered may have been higher."""
    window = view.policy.calm
    if not view.demands or not window:
        return None
    past = _remembered(view, window)
    known = view.facts.time - past[0][0] if past else 0.0
    if not past or known < window - view.policy.interval / 2:
        return Verdict(view.current, f"only {known:.0f} s of the last {window:.0f} s are known")
    at, need = max(past, key=lambda item: item[1])
    size = -int(-(need - 1e-9) // 1)
    were, ago = "was" if size == 1 else "were", view.facts.time - at
    when = "within" if ago <= window else "at the check before"
    why = f"{instances(size)} {were} needed {ago:.0f} s ago, {when} the last {window:.0f} s"
    return Verdict(min(size, view.current), why)


def _remembered(view: View, window: float) -> list[tuple[float, float]]:
    """The needs of the window and of the check before it, as far back as they are remembered without a gap.

    They are apart by the interval, or by what ticks really are apart, or by what history keeps of a long window. A missed tick or two
    are no gap.
    """
    apart = max(view.policy.interval, window / MOST, _usually_apart(view))
    past: list[tuple[float, float]] = []
    for at, need in reversed(view.history.needs):
        after = past[0][0] if past else view.facts.time
        if at < view.facts.time - window - apart or after - at > GAP * apart:
            break
        past.insert(0, (at, need))
    return past


def _usually_apart(view: View) -> float:
    """Seconds between ticks as they are remembered: cron may run them less often than config.csv says."""
    times = [*(at for at, _need in view.history.needs), view.facts.time]
    return statistics.median_low(after - at for at, after in itertools.pairwise(times)) if len(times) > 2 else 0.0


def _look_ahead(view: View, proposal: Proposal) -> Verdict | None:
    """The smallest fleet on which no metric would come near the level at which it asks for more again."""
    gone = view.current - len(view.measured)

    def tight(size: int) -> list[Metric]:
        return [metric for metric in view.metrics if _is_tight(view, metric, size - gone)]

    sizes = range(proposal.size, view.current)
    size = proposal.size + bisect.bisect_left(sizes, True, key=lambda size: size > gone and not tight(size))
    return None if size == proposal.size else Verdict(size, _tight_words(tight(size - 1), size - 1, size - 1 - gone))


def _is_tight(view: View, metric: Metric, count: int) -> bool:
    value = metric.on(count)
    return value is not None and metric.threshold is not None and value > metric.threshold * (1 - view.policy.tolerance_in)


def _tight_words(tight: t.Sequence[Metric], size: int, left: int) -> str:
    if left < 1:
        return "no healthy instance would be left"
    said = " and ".join(f"{m.label} would be {m.number(m.on(left))} of {m.number(m.threshold)}" for m in tight)
    return f"with {instances(size)} {said}"


def _cooldown_in(view: View, proposal: Proposal) -> Verdict | None:
    """A step out delays a step in as well; a step in never delays a step out."""
    length = view.policy.cooldown_in if proposal.kind == "proportional" else view.policy.cooldown
    return _cooling(view, "out", view.policy.cooldown) or _cooling(view, "in", length)


def _draining(view: View, proposal: Proposal) -> Verdict | None:
    return Verdict(view.current, f"{_names(view.draining)} is still draining") if view.draining else None


def _panic(view: View, proposal: Proposal) -> Verdict | None:
    return Verdict(view.current, panic_words(view), alert=True) if view.panics else None


def _protected(view: View, proposal: Proposal) -> Verdict | None:
    able = len(victims(view, proposal))
    words = f"only {able} of those that could go are not protected" if able else "every instance that could go is protected"
    return Verdict(view.current - able, words)


def _cooling(view: View, direction: Direction, length: float) -> Verdict | None:
    left = length - view.since(direction)
    return Verdict(view.current, f"cooldown, {left:.0f} s to go after the last step {direction}") if left > 0 else None


def _names(some: t.Sequence[InstanceFacts]) -> str:
    return ", ".join(one.name for one in some)


GUARDS: tuple[Guard, ...] = (
    Guard("paused", OUT | IN, _paused),
    Guard("given-up", OUT | IN, _given_up),
    Guard("at-max", OUT, _at_max),
    Guard("no-slot", OUT, _no_slot),
    Guard("starting", OUT | IN, _starting, calms=True),
    Guard("cooldown-out", OUT, _cooldown_out, calms=True),
    Guard("at-min", IN, _at_min, calms=True),
    Guard("unknown", IN, _unknown, calms=True),
    Guard("healing", IN, _healing, calms=True),
    Guard("look-ahead", IN, _look_ahead, calms=True),
    Guard("stabilisation", IN, _stabilisation, calms=True),
    Guard("cooldown-in", IN, _cooldown_in, calms=True),
    Guard("draining", IN, _draining),
    Guard("panic", IN, _panic),
    Guard("protected", IN, _protected),
    Guard("limit", OUT | IN, _limit),
)

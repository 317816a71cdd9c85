# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of one tick with everything that rules and guards ask of them, computed once."""

from __future__ import annotations

import dataclasses
import functools
import math

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import metrics, sizing
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import (
    Direction,
    Facts,
    History,
    InstanceFacts,
    Metric,
    Policy,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.schedules import Bounds, bounds_at

#: seconds in which replacements that did not help are counted, and for which slots that could not be started are remembered
HOUR = 3600.0


@dataclasses.dataclass(frozen=True)
class View:
    """See the module. Slots and counts are of the fleet's members unless their name says otherwise."""

    facts: Facts
    policy: Policy
    history: History

    # --- who is there ----------------------------------------------------------------------------------------------

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
        return tuple(one for one in self.members if one.ready is False and self._is_starting(one))

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
    def leaving(self) -> tuple[InstanceFacts, ...]:
        """Those of them that may go: a protected one stays where it is."""
        return tuple(one for one in self.beyond if not one.protected)

    @functools.cached_property
    def staying(self) -> int:
        """The fleet's size without those."""
        return self.current - len(self.leaving)

    @functools.cached_property
    def free_slots(self) -> tuple[int, ...]:
        """Slots that can be started: those kept warm first, then the lowest, and last of all those that lately could not be.

        Failed ones wait for somebody to look at them.
        """
        taken = {one.slot for one in self.facts.instances if not one.startable}
        warm = {one.slot for one in self.facts.instances if one.state == "warm"}
        free = (slot for slot in range(1, self.policy.max + 1) if slot not in taken)
        stuck = {slot for slot, at in self.history.stuck.items() if self.facts.time - at < self.policy.give_up_for}
        return tuple(sorted(free, key=lambda slot: (slot in stuck, slot not in warm, slot)))

    @functools.cached_property
    def images(self) -> dict[str, float]:
        """When the last instance of each image was started: the one that instances are started from now has the latest time."""
        latest: dict[str, float] = {}
        for one in self.facts.instances:
            latest[one.image] = max(latest.get(one.image, 0.0), one.started_at or 0.0)
        return latest

    @functools.cached_property
    def warming(self) -> frozenset[str]:
        """The names of those that were started so lately that their own figures are still those of their start."""
        since = self.facts.time - self.policy.warmup
        return frozenset(one.name for one in self.measured if one.started_at is not None and one.started_at > since)

    # --- who is well -----------------------------------------------------------------------------------------------

    @functools.cached_property
    def healthy(self) -> int:
        """Members that are healthy, or of whose health nothing is known."""
        return sum(one.ready is not False for one in self.members)

    @functools.cached_property
    def panics(self) -> bool:
        """Whether so many are unhealthy at once that the cause is shared. Those that start do not count: they were not well before."""
        settled = self.current - len(self.starting)
        return self.healthy < self.policy.panic_share * settled

    @functools.cached_property
    def doomed(self) -> tuple[InstanceFacts, ...]:
        """Members that were unhealthy beyond all patience and are to be replaced; none while the cause is shared."""
        if not self.policy.heal or self.panics:
            return ()
        sick = (one for one in self.members if one.ready is False and one.slot <= self.policy.max)
        return tuple(one for one in sick if self._is_doomed(one))

    @functools.cached_property
    def fallen(self) -> tuple[InstanceFacts, ...]:
        """Instances that are meant to run and stand still: nobody stopped them on purpose, or they would be warm."""
        stopped = (one for one in self.facts.instances if one.state == "active" and one.status == "Stopped")
        return tuple(one for one in stopped if one.slot <= self.policy.max) if self.policy.heal else ()

    @functools.cached_property
    def substituted(self) -> dict[int, int]:
        """The doomed slots whose replacement is a member, with its slot."""
        there, doomed = {one.slot for one in self.members}, {one.slot for one in self.doomed}
        return {slot: new for slot, new in self.history.replacing.items() if slot in doomed and new in there}

    @property
    def capacity(self) -> int:
        """Members that serve or soon will."""
        return self.current - len(self.doomed)

    @functools.cached_property
    def relapsed(self) -> frozenset[int]:
        """Slots to be mended that were started to mend the fleet, and were not well for long: what was done there did not help."""
        ill_since = {one.slot: self.history.unhealthy.get(one.slot, self.facts.time) for one in self.doomed}
        since = {**ill_since, **dict.fromkeys((one.slot for one in self.fallen), self.facts.time)}
        began = self.history.mended
        lately = {slot for slot, at in since.items() if slot in began and 0 <= at - began[slot] < self.policy.give_up_for}
        return frozenset(lately - {*self.substituted})

    @property
    def in_vain(self) -> int:
        """Replacements of the last hour that did not help, as what they brought fell ill as well."""
        return sum(0 <= self.facts.time - at < HOUR for at in self.history.replaced) + len(self.relapsed)

    # --- how they are loaded ---------------------------------------------------------------------------------------

    @functools.cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric that the policy asks for."""
        return metrics.measured(self)

    @functools.cached_property
    def by_name(self) -> dict[str, Metric]:
        """The same by name."""
        return {metric.name: metric for metric in self.metrics}

    @functools.cached_property
    def demands(self) -> tuple[sizing.Demand, ...]:
        """What each metric that moves with the fleet will ask for, largest first."""
        return sizing.demands(self.facts.time, self.metrics, self.policy, self.history)

    @property
    def blind(self) -> bool:
        """Whether nothing at all is known about the load."""
        return all(metric.value is None for metric in self.metrics)

    @functools.cached_property
    def bounds(self) -> Bounds:
        """The bounds that hold now."""
        return bounds_at(self.facts.time, self.policy.min, self.policy.max, self.policy.schedules)

    @functools.cached_property
    def pinned(self) -> int | None:
        """The size that an operator has set, within the bounds."""
        if self.policy.pin is None:
            return None
        return max(self.bounds.low, min(self.policy.pin, self.bounds.high))

    def since(self, direction: Direction) -> float:
        """Seconds since the last step in that direction; infinite if there was none."""
        last = self.history.last_out if direction == "out" else self.history.last_in
        return math.inf if last is None else max(self.facts.time - last, 0.0)

    def _is_starting(self, one: InstanceFacts) -> bool:
        age = self.since("out") if one.started_at is None else self.facts.time - one.started_at
        return one.ready is False and age < self.policy.start_patience

    def _is_doomed(self, one: InstanceFacts) -> bool:
        since = self.history.unhealthy.get(one.slot)
        if one.protected or since is None or self._is_starting(one):
            return False
        return self.facts.time - since >= self.policy.heal_patience

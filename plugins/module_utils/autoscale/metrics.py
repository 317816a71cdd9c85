# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured. METRICS is the table; a metric that stands in none of its lines is what a source of that name gives.

A reading of the same name as a line (a Prometheus query for ``cpu``) replaces what the line measures.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import InstanceFacts, Metric, Policy

if t.TYPE_CHECKING:
    from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View


@dataclasses.dataclass(frozen=True)
class Reading:
    """The sum of a metric over ``known`` instances, how many more could not be read, and whether rules can fill in for them."""

    total: float | None
    known: int
    missing: int
    whole: bool = True


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """A metric and how it is read.

    ``moves`` says whether an instance's share goes to the others when it leaves. CPU and requests do; of memory most is
    what a process holds at rest, and counting that as moving would never let a small fleet shrink. ``summed``
    says whether a reading of a source is a sum over the fleet (False: it already is what one instance has).
    """

    name: str
    label: str
    unit: str
    read: t.Callable[[View], Reading] | None = None
    moves: bool = False
    summed: bool = False

    def measure(self, view: View) -> Metric:
        """The metric as it stands."""
        count = len(view.measured)
        reading = self._reading(view)
        levels = levels_of(view.policy, self.name)
        plain = Metric(
            self.name, self.label, self.unit, min(levels, default=None), missing=reading.missing, count=count, moves=self.moves,
            whole=reading.whole,
        )  # fmt: skip
        if reading.total is None or not reading.known:
            return plain
        value, floor = reading.total / reading.known, reading.total / (reading.known + reading.missing * reading.whole)
        filled = reading.missing * reading.whole * (value if plain.threshold is None else max(plain.threshold, value))
        ceiling = (reading.total + filled) / (reading.known + reading.missing * reading.whole)
        return dataclasses.replace(plain, value=value, floor=floor, ceiling=ceiling)

    def _reading(self, view: View) -> Reading:
        if self.name in view.facts.readings or self.read is None:
            value = view.facts.readings.get(self.name)
            return Reading(value, len(view.measured) if self.summed else 1, int(value is None), value is not None)
        return self.read(view)


def measured(view: View) -> tuple[Metric, ...]:
    """Every metric that the policy has a threshold or a rule for, in the order of the table."""
    return tuple(spec_of(name).measure(view) for name in asked(view.policy))


def asked(policy: Policy) -> tuple[str, ...]:
    """The names of the metrics that a policy asks for, those of the table first."""
    wanted = {rule.metric for rule in policy.steps} | {name for name in METRICS if policy.target(name) is not None}
    return (*(name for name in METRICS if name in wanted), *sorted(wanted - set(METRICS)))


def levels_of(policy: Policy, name: str) -> list[float]:
    """The levels beyond which a metric asks for more instances: its target, and those of its step rules."""
    target = policy.target(name)
    rules = [rule.level for rule in policy.steps if rule.metric == name and rule.direction == "out"]
    return rules if target is None else [target, *rules]


def spec_of(name: str) -> MetricSpec:
    """The line of the table, or for any other name a metric that a source of that name reads."""
    return METRICS.get(name) or MetricSpec(name, name, "")


def _per_instance(pick: t.Callable[[InstanceFacts], float | None], *, boots: bool = False) -> t.Callable[[View], Reading]:
    """Sum over the instances.

    :param boots: what an instance uses while it starts is not load, and counts for no more than the others' mean
    """

    def read(view: View) -> Reading:
        known = [(one, value) for one in view.measured if (value := pick(one)) is not None]
        values = [value for _one, value in known]
        if boots and view.warming:
            settled = [value for one, value in known if one.name not in view.warming]
            usual = math.fsum(settled) / len(settled) if settled else math.inf
            values = [min(value, usual) if one.name in view.warming else value for one, value in known]
        return Reading(math.fsum(values) if values else None, len(values), len(view.measured) - len(values))

    return read


def _requests(view: View) -> Reading:
    missing = view.facts.requests_missing
    if not view.measured:
        return Reading(None, 0, missing, not missing)
    return Reading(view.facts.requests, len(view.measured), missing, not missing)


_LINES = (
    MetricSpec("cpu", "CPU", " %", _per_instance(lambda one: one.cpu, boots=True), moves=True),
    MetricSpec("memory", "memory", " %", _per_instance(lambda one: one.memory)),
    MetricSpec("requests", "requests", "/min", _requests, moves=True, summed=True),
    MetricSpec("in-flight", "requests in flight", "", _per_instance(lambda one: one.in_flight), moves=True, summed=True),
    MetricSpec("response-time", "response time", " ms"),
    MetricSpec("queue-depth", "queue depth", ""),
)
METRICS: t.Mapping[str, MetricSpec] = {spec.name: spec for spec in _LINES}

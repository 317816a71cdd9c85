# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proportional sizing: how many instances the load asks for now, and will ask for when a new instance could serve.

The forecast of a metric's total over the fleet has three parts, each from the history of ticks:

- its level, the mean of the last LEVEL seconds: one tick alone is mostly noise;
- its trend, extrapolated to when an instance started now serves: the slope over the last TREND seconds as far as it is
  beyond SURE standard errors, so that noise has no trend; a falling load is not extrapolated. The trend never claims more
  than the load has risen in as long a time, or since it is known, by SURE standard errors: the first few points of a step
  lie on a line that leads anywhere, and one that is over has no trend;
- a margin of ``policy.margin`` standard deviations of the noise, which is measured by what follows on what: differences
  of neighbouring ticks know nothing of trends. The largest tenth are steps of the load and no noise. As long as fewer than
  FEW of them are known, the noise is taken for at least a share UNSURE of the level.

As margin and trend are in it, the forecast may use the target's tolerance, but no more than a quarter of what is left to
the limit: queues grow without bound towards it. Only what came before this tick measures the noise. So a higher reading
never gives a smaller size.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import History, Load, Metric, Policy

#: seconds
LEVEL, TREND, NOISE = 30.0, 300.0, 600.0
#: standard errors that a slope must be beyond to count
SURE = 1.5
#: per cent of a limit from which on it is not seen what is asked for but what is given; demand is then taken to be larger
SATURATED, BEYOND = 97.0, 2.0
#: the share of differences that is noise; and what a normal distribution's deviation is cut by without the rest
QUIET, CUT = 0.9, 1.25
#: differences that must be known before the noise is believed, and what share of the level it is taken for until then
FEW, UNSURE = 8, 0.4
#: per cent of CPU that there are, and the share of those above the target that a forecast may use
LIMIT, REACH = 100.0, 0.25


@dataclasses.dataclass(frozen=True)
class Demand:
    """What one metric asks for.

    ``now`` is its total over the fleet; ``level``, ``trend`` and ``margin`` make up its forecast, all in its unit.
    """

    metric: Metric
    target: float
    now: float
    level: float
    trend: float
    margin: float
    saturated: bool
    slack: float
    """How far beyond the target a forecast may go, as a share of it."""

    @property
    def forecast(self) -> float:
        """The total to be served."""
        return self.level + self.trend + self.margin

    @property
    def need(self) -> float:
        """Instances that serve the forecast when each is used as far as it may go."""
        return self.forecast / self.target / (1 + self.slack)

    @property
    def size(self) -> int:
        """The same in whole instances."""
        return max(math.ceil(self.need - 1e-9), 0)


def demands(time: float, metrics: t.Sequence[Metric], policy: Policy, history: History) -> tuple[Demand, ...]:
    """The demands of all metrics that move with the fleet and have a target, largest first."""
    if policy.sizing != "proportional":
        return ()
    found = []
    for metric in metrics:
        target = policy.target(metric.name)
        if metric.moves and target and metric.total is not None:
            found.append(_demand(time, metric, target, policy, history.loads))
    return tuple(sorted(found, key=lambda demand: -demand.need))


def total_of(metric: Metric) -> float:
    """What the fleet is asked for; more than it is seen to do where it is at its limits."""
    return (metric.total or 0.0) * (BEYOND if _saturated(metric) else 1.0)


def _saturated(metric: Metric) -> bool:
    return metric.name == "cpu" and metric.floor is not None and metric.floor >= SATURATED


def _demand(time: float, metric: Metric, target: float, policy: Policy, loads: t.Sequence[Load]) -> Demand:
    now = total_of(metric)
    past = [(one.time, one.totals[metric.name]) for one in loads if metric.name in one.totals and time - NOISE <= one.time < time]
    recent = [value for at, value in past if at > time - LEVEL]
    level = (math.fsum(recent) + now) / (len(recent) + 1)
    noise = _noise([value for _at, value in past], level)
    age = math.fsum(time - at for at, _value in past[len(past) - len(recent) :]) / (len(recent) + 1)
    slope = _slope([(at, value) for at, value in past if at >= time - TREND] + [(time, now)], noise)
    ahead = policy.start_time + policy.interval / 2 + age
    before = _around(time - age - ahead, past)
    risen = level - math.fsum(before) / len(before) + SURE * noise * math.sqrt(1 / len(before) + 1 / (len(recent) + 1)) if before else 0.0
    trend = min(slope * ahead, max(risen, 0.0))
    slack = policy.tolerance_out if metric.name != "cpu" else min(policy.tolerance_out, REACH * (LIMIT - target) / target)
    return Demand(metric, target, now, level, trend, policy.margin * noise, _saturated(metric), slack)


def _around(moment: float, points: t.Sequence[tuple[float, float]]) -> list[float]:
    """The values of as long a time around a moment as a level is the mean of; where nothing is known of it, the oldest one."""
    found = [value for at, value in points if abs(at - moment) <= LEVEL / 2]
    return found or [value for _at, value in points[:1]]


def _noise(values: t.Sequence[float], level: float) -> float:
    """The standard deviation of the noise in a series whose trend is slow against its ticks."""
    squares = sorted((after - before) ** 2 for before, after in itertools.pairwise(values))
    unsure = UNSURE * level if len(squares) < FEW else 0.0
    if len(squares) < 2:
        return unsure
    kept = squares[: math.ceil(QUIET * len(squares))]
    return max(CUT * math.sqrt(math.fsum(kept) / len(kept) / 2), unsure)


def _slope(points: t.Sequence[tuple[float, float]], noise: float) -> float:
    """Units per second by least squares, as far as it is beyond what noise of that size could feign; never below 0."""
    if len(points) < 4:
        return 0.0
    middle = math.fsum(at for at, _value in points) / len(points)
    mean = math.fsum(value for _at, value in points) / len(points)
    spread = math.fsum((at - middle) ** 2 for at, _value in points)
    slope = math.fsum((at - middle) * (value - mean) for at, value in points) / spread
    return max(slope - SURE * noise / math.sqrt(spread), 0.0)

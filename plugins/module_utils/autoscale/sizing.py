# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proportional sizing: how many instances the load asks for now, and will ask for when a new instance could serve.

The forecast of a metric's total over the fleet has three parts, each from the history of ticks:

- its level, the mean of the last LEVEL seconds: one tick alone is mostly noise;
- its trend, extrapolated to when an instance started now serves: the lower bound of Theil and Sen's slope. Of the slopes
  between all pairs of ticks of the last TREND seconds it is the one that more than half of them exceed, by SURE standard
  errors of Kendall's count (Sen 1968). So noise has no trend, and a step, which is a rise between some of the pairs, hardly
  one. It never claims more than the load has risen in as long a time, or since it is known: the first points of a series
  may lie on a line that leads anywhere, and a step that is over has no trend. A falling load is not extrapolated;
- a margin of ``policy.margin`` standard deviations of the noise, which is measured by what follows on what: differences
  of neighbouring ticks, around the one in the middle, as what the trend explains is no noise. The largest fifth are steps
  of the load and no noise. As long as fewer than FEW of them are known, the noise is taken for at least a share UNSURE of
  the level, its variance less with each that is known.

A source that is read more often than it changes, such as a query over what is scraped once a minute, repeats itself. What only
repeats is left out of trend and noise: it is no sign of a quiet load, nor of one that has stopped rising.

As margin and trend are in it, the forecast may use the target's tolerance, but no more than a fifth of what is left to
the limit: queues grow without bound towards it. A fleet grows beyond that by as much once more, and to no more than keeps
it from growing again. It shrinks to what is below that by the whole tolerance, however near the limit: what is in between
is kept and need not be started. Only what came before this tick measures the noise. So a higher reading never gives a
smaller size.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import History, Load, Metric, Policy

#: seconds that are looked back on
LEVEL, TREND, NOISE = 30.0, 210.0, 600.0
#: the share of a reading by which the next must differ from it to be news
SAME = 1e-3
#: ticks from which on there is a trend, and standard errors that it must be beyond to count
SOME, SURE = 4, 2.0
#: per cent of a limit from which on it is not seen what is asked for but what is given, and seconds before it that are compared
SATURATED, BEFORE = 97.0, 60.0
#: the share of differences that is noise; and what a normal distribution's deviation is cut by without the rest
QUIET, CUT = 0.8, 1.5
#: differences that must be known before the noise is believed, and what share of the level it is taken for until then
FEW, UNSURE = 8, 0.4
#: per cent of CPU that there are, and the share of those above the target that a forecast may use
LIMIT, REACH = 100.0, 0.2


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
    band: float
    """How far below the level at which a fleet grows the one lies to which it shrinks, as a share of the latter."""

    @property
    def forecast(self) -> float:
        """The total to be served."""
        return self.level + self.trend + self.margin

    @property
    def most(self) -> float:
        """Instances that serve the forecast at the level beyond which a fleet grows: the slack twice beyond the target."""
        return self.forecast / self.target / (1 + self.slack) ** 2

    @property
    def least(self) -> int:
        """The same in whole instances: the smallest fleet that would not grow, to which one that is too small grows."""
        return max(math.ceil(self.most - 1e-9), 0)

    @property
    def need(self) -> float:
        """Instances that serve the forecast at the level to which a fleet shrinks: the band below the one at which it grows."""
        return self.most * (1 + self.band)

    @property
    def size(self) -> int:
        """The same in whole instances: the smallest fleet that may be kept for long, to which one that is too large shrinks."""
        return max(math.ceil(self.need - 1e-9), 0)

    def wanted(self, capacity: int) -> int:
        """What a fleet of that capacity shall become: between growing and shrinking it stays as it is."""
        return max(self.least, min(self.size, capacity))


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


def total_of(time: float, metric: Metric, loads: t.Sequence[Load]) -> float:
    """What the fleet is asked for. At its limits that is more than it is seen to do: as long as it shows nothing else, what was
    believed in the last minute still holds. A load that is beyond even that is taken to rise as much again, and one of which
    nothing is known for twice as much."""
    total = metric.total or 0.0
    if not _saturated(metric):
        return total
    before = (one.totals[metric.name] for one in loads if metric.name in one.totals and time - BEFORE <= one.time < time)
    believed = max(before, default=0.0)
    return max(believed, 2 * total - believed)


def _saturated(metric: Metric) -> bool:
    return metric.name == "cpu" and metric.floor is not None and metric.floor >= SATURATED


def _demand(time: float, metric: Metric, target: float, policy: Policy, loads: t.Sequence[Load]) -> Demand:
    now = total_of(time, metric, loads)
    past = [(one.time, one.totals[metric.name]) for one in loads if metric.name in one.totals and time - NOISE <= one.time < time]
    recent = [value for at, value in past if at > time - LEVEL]
    level = (math.fsum(recent) + now) / (len(recent) + 1)
    age = math.fsum(time - at for at, _value in past[len(past) - len(recent) :]) / (len(recent) + 1)
    ahead = policy.start_time + policy.interval / 2 + age
    news = _news(past)
    trend = min(_rise(time, now, past, news) * ahead, max(level - _around(time - age - ahead, past), 0.0)) if past else 0.0
    margin = policy.margin * _noise([value for _at, value in news], level)
    slack = policy.tolerance_out if metric.name != "cpu" else min(policy.tolerance_out, REACH * (LIMIT - target) / target)
    return Demand(metric, target, now, level, trend, margin, _saturated(metric), slack, policy.tolerance_out)


def _news(points: t.Sequence[tuple[float, float]]) -> t.Sequence[tuple[float, float]]:
    """The points without those that only repeat the one before, of a source that is read more often than it changes: then a value
    that is new is hardly ever replaced by the next. Readings that are the same by chance are all news."""
    new = [number for number in range(1, len(points)) if abs(points[number][1] - points[number - 1][1]) > SAME * points[number - 1][1]]
    at_once = sum(after - before == 1 for before, after in itertools.pairwise(new))
    if len(new) < FEW or at_once > len(new) / FEW:
        return points
    return [points[number] for number in (0, *new)]


def _rise(time: float, now: float, past: t.Sequence[tuple[float, float]], news: t.Sequence[tuple[float, float]]) -> float:
    """The slope at this tick."""
    recent = [point for point in news if point[0] >= time - TREND]
    if news is past:
        return _slope([*recent, (time, now)])
    # What is read now may be what was read before, which is no halt of a rise; and news may be too rare for a trend.
    recent = list(news[-max(len(recent), SOME) :])
    return max(_slope(recent), _slope([*recent, (time, now)]))


def _mean(values: t.Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _around(moment: float, points: t.Sequence[tuple[float, float]]) -> float:
    """The level at a moment, which is the oldest value that is known if nothing is known of it. There is at least one point."""
    return _mean([value for at, value in points if abs(at - moment) <= LEVEL / 2] or [points[0][1]])


def _noise(values: t.Sequence[float], level: float) -> float:
    """The standard deviation of the noise around the trend of a series; of a short one at least what it might well be."""
    changes = [after - before for before, after in itertools.pairwise(values)]
    unsure = UNSURE * level * math.sqrt(max(1 - len(changes) / FEW, 0.0))
    if len(changes) < 2:
        return unsure
    usual = statistics.median_low(changes)
    squares = sorted((change - usual) ** 2 for change in changes)
    kept = squares[: max(int(QUIET * len(squares)), 1)]
    return max(CUT * math.sqrt(math.fsum(kept) / len(kept) / 2), unsure)


def _slope(points: t.Sequence[tuple[float, float]]) -> float:
    """Units per second by which a series surely rises; never below 0."""
    count = len({at for at, _value in points})
    if count < SOME:
        return 0.0
    slopes = sorted((value - before) / (at - then) for (then, before), (at, value) in itertools.combinations(points, 2) if at > then)
    error = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return max(slopes[max(math.floor((len(slopes) - SURE * error) / 2), 0)], 0.0)

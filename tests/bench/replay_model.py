# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model that traces are replayed in: a fleet, its load, and what is counted of it.

What is counted are the elasticity metrics of SPEC RG (Herbst, Krebs, Oechsner, Kistowski, Andrikopoulos, Kounev: Ready for
Rain?, SPEC-RG-2016-01): with the demand d and the supply s of instances at each tick, the shares of time in which s < d and
s > d, and how far they are apart as a share of d, summed over time. The demand is the smallest fleet whose CPU is not above
SATURATED, beyond which users wait.

It is a model: load spreads evenly, an instance serves as soon as it has started, CPU is in proportion to requests and is not
seen above 100 %. So ratios between policies mean something, absolute figures little.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

STEP = 15.0  # seconds from tick to tick, which is also HPA's period
SATURATED = 85.0  # per cent of CPU above which users wait
PEAK = 0.999  # the share of time in which the largest fleet is enough
TYPICAL = 70.0  # per cent of CPU at which the largest fleet serves the peak
QUICK = 600.0  # two opposite steps within these seconds are a reversal


@dataclasses.dataclass
class Fleet:
    """When each instance was started, oldest first, and what became of them."""

    start: float
    started: list[float] = dataclasses.field(default_factory=list)
    ticks: int = 0
    under: int = 0
    over: int = 0
    lacking: float = 0.0
    wasted: float = 0.0
    instances: int = 0
    reversals: int = 0
    last: tuple[float, int] = (-math.inf, 0)

    def __post_init__(self) -> None:
        self.started = self.started or [-self.start]

    @property
    def size(self) -> int:
        """All instances, those that start included."""
        return len(self.started)

    def ready(self, now: float) -> int:
        """How many serve."""
        return sum(now - at >= self.start for at in self.started)

    def resize(self, wanted: int, now: float) -> None:
        """Start new ones, or stop the youngest, at once."""
        change = wanted - self.size
        if not change:
            return
        self.started = self.started[:wanted] + [now] * max(change, 0)
        self.reversals += self.last[1] * change < 0 and now - self.last[0] <= QUICK
        self.last = (now, change)

    def count(self, load: float, now: float) -> None:
        """Count a tick whose load is in per cent of one instance."""
        demand, supply = max(math.ceil(load / SATURATED - 1e-9), 1), self.ready(now)
        self.ticks += 1
        self.instances += self.size
        self.under += supply < demand
        self.over += supply > demand
        self.lacking += max(demand - supply, 0) / demand
        self.wasted += max(supply - demand, 0) / demand

    def result(self) -> Result:
        """What was counted."""
        days = self.ticks * STEP / 86400
        part = 100 / self.ticks
        return Result(
            self.under * part,
            self.lacking * part,
            self.over * part,
            self.wasted * part,
            self.reversals / days,
            self.instances / self.ticks,
        )


@dataclasses.dataclass(frozen=True)
class Result:
    """Per cent of the time with too few instances, how many too few in per cent of the demand, the same for too many, reversals
    a day, and instances in the mean."""

    under_time: float
    under_size: float
    over_time: float
    over_size: float
    reversals: float
    instances: float


class Scaler(t.Protocol):
    """Decides the size of the fleet from the CPU of its serving instances, in per cent, not above 100."""

    def __call__(self, now: float, cpu: float, fleet: Fleet) -> int: ...


def capacity_of(counts: t.Sequence[float], largest: int) -> float:
    """Requests per tick that an instance can serve, if the largest fleet serves the peak at its TYPICAL use."""
    return max(sorted(counts)[int(PEAK * (len(counts) - 1))], 1) / largest / TYPICAL * 100


def replay(
    counts: t.Sequence[float],
    scaler: Scaler,
    *,
    start: float = 60.0,
    largest: int = 10,
    capacity: float | None = None,
    begin: float = 0.0,
) -> Fleet:
    """Run requests per tick through a policy.

    :param start: seconds from a decision to the first request served
    :param capacity: requests per tick that an instance can serve; by default by the trace's peak
    :param begin: when the first tick is, in seconds since the epoch
    """
    served = capacity or capacity_of(counts, largest)
    fleet = Fleet(start, [begin - start])
    for tick, count in enumerate(counts):
        now, load = begin + tick * STEP, 100 * count / served
        fleet.count(load, now)
        fleet.resize(max(scaler(now, min(load / max(fleet.ready(now), 1), 100.0), fleet), 1), now)
    return fleet

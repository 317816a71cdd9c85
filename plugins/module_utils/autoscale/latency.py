# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The response time between two ticks, from the histograms that load balancers count in. Pure.

A percentile is found as Prometheus' histogram_quantile() does it: evenly within a bucket, and the last finite bound for what
lies beyond it. Where nothing is in flight and no request ended, nobody waits: that is a response time of 0. Where something is, nobody
knows how long it will take, until it has taken so long that it can only be websockets.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import typing as t

#: what ``response_time`` of gb_autoscale may be, beside p1 to p99
MEAN = "mean"
#: seconds after which what is in flight is no request that will end soon
PATIENCE = 120.0


@dataclasses.dataclass(frozen=True)
class Histogram:
    """One reading: requests by upper bound in seconds (as text, cumulative), their number, and the sum of their seconds.

    ``since`` is the time of the reading that first had that number; None for this one.
    """

    time: float
    started_at: float | None
    buckets: t.Mapping[str, float]
    count: float
    sum: float
    since: float | None = None

    @property
    def quiet(self) -> float:
        """Seconds for which no request has ended, as far as readings tell."""
        return self.time - (self.time if self.since is None else self.since)


def carried(before: t.Mapping[str, Histogram], now: t.Mapping[str, Histogram]) -> dict[str, Histogram]:
    """The readings of now, with since when nothing has changed."""
    return {name: _carried(before.get(name), after) for name, after in now.items()}


def _carried(earlier: Histogram | None, after: Histogram) -> Histogram:
    if earlier is None or earlier.count != after.count or not _same(earlier, after) or earlier.time > after.time:
        return after
    return dataclasses.replace(after, since=earlier.time - earlier.quiet)


def histograms(traffic: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, Histogram]:
    """The histograms in what proxies said, by their names; a proxy without one is left out.

    :param traffic: one caddy_upstreams_info per proxy, with ``durations``
    """
    found = {}
    for index, entry in enumerate(traffic):
        said, at = entry.get("durations"), entry.get("time")
        if not isinstance(said, t.Mapping) or not isinstance(at, (int, float)):
            continue
        buckets = {str(bound): float(count) for bound, count in (said.get("buckets") or {}).items()}
        name = str(entry.get("name") or f"proxy {index + 1}")
        found[name] = Histogram(float(at), entry.get("started_at"), buckets, float(said.get("count") or 0), float(said.get("sum") or 0))
    return found


def response_time(
    before: t.Mapping[str, Histogram], now: t.Mapping[str, Histogram], proxies: int, statistic: str, longest: float, in_flight: int
) -> tuple[float | None, str]:
    """Milliseconds, or None and why.

    :param proxies: how many were asked; if one of them did not say, nobody knows
    :param statistic: mean, or p1 to p99
    :param longest: seconds after which the earlier reading says nothing about now
    :param in_flight: requests that wait over all proxies, open websockets included; nobody knows how long they will take. Where none of
        them ends for PATIENCE, they are taken for websockets.
    """
    if not proxies or len(now) < proxies:
        return None, "no proxy was asked" if not proxies else "a proxy does not say how long requests took"
    counts: collections.Counter[str] = collections.Counter()
    requests = seconds = 0.0
    quiet = math.inf
    for name, after in now.items():
        earlier = before.get(name)
        if earlier is None or not 0 < after.time - earlier.time <= longest or after.count < earlier.count or not _same(earlier, after):
            return None, f"there is no earlier sample of {name} that it can be compared with"
        requests += after.count - earlier.count
        seconds += after.sum - earlier.sum
        quiet = min(quiet, _carried(earlier, after).quiet)
        counts.update({bound: count - earlier.buckets.get(bound, 0.0) for bound, count in after.buckets.items()})
    if requests <= 0:
        waits = in_flight and quiet < PATIENCE
        return (None, f"no request ended in the last {quiet:.0f} s, and {in_flight} are in flight") if waits else (0.0, "")
    if statistic == MEAN:
        return 1000 * max(seconds, 0.0) / requests, ""
    return 1000 * _percentile(counts, float(statistic[1:]) / 100), ""


def _same(earlier: Histogram, after: Histogram) -> bool:
    """Whether both were counted by one process."""
    if earlier.started_at is None or after.started_at is None:
        return True
    return abs(earlier.started_at - after.started_at) <= 1.0


def _percentile(counts: t.Mapping[str, float], share: float) -> float:
    """Seconds below which that share of the requests lies."""
    bounds = sorted((math.inf if bound == "+Inf" else float(bound), count) for bound, count in counts.items())
    rank = share * bounds[-1][1]
    low, below = 0.0, 0.0
    for bound, count in bounds:
        if count >= rank:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From two samples of counters to facts. Pure.

A rate needs two readings of the same counter of the same process, far enough apart and not too far. Where that is not
given (first sample, restart, reset, a clock that was set back, a run long ago) the rate is unknown, with a note that
says why; it is never guessed.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import latency
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Facts, InstanceFacts
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import amount

#: seconds; a shorter interval says more about the sampling than about the load
SHORTEST = 1.0
#: seconds by which two readings of one start time may differ: they are derived from clocks and rounded
SAME_START = 1.0
#: seconds by which the clock of another host may be ahead of this one; what lies further ahead was written by a clock that is wrong, or was
#: set back since
AHEAD = 10.0


@dataclasses.dataclass(frozen=True)
class Counter:
    """One reading of a counter: its value, when it was read, and when the process that counts was started."""

    value: float | None
    time: float | None
    started_at: float | None = None


@dataclasses.dataclass(frozen=True)
class Sample:
    """The counters of one tick: CPU nanoseconds by instance, requests and how long they took by proxy."""

    time: float
    cpu: t.Mapping[str, Counter] = dataclasses.field(default_factory=dict)
    requests: t.Mapping[str, Counter] = dataclasses.field(default_factory=dict)
    durations: t.Mapping[str, latency.Histogram] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Rate:
    """Units per second, or None and why."""

    value: float | None
    why: str = ""


def rate(before: Counter | None, now: Counter, longest: float) -> Rate:
    """How fast a counter grew, in its units per second.

    :param longest: seconds after which the earlier reading says nothing about now
    """
    if now.value is None or now.time is None:
        return Rate(None, "it cannot be read")
    if before is None or before.value is None or before.time is None:
        return Rate(None, "there is no earlier sample of it yet")
    elapsed, grown = now.time - before.time, now.value - before.value
    for broken, why in _objections(elapsed, grown, before.started_at, now.started_at, longest):
        if broken:
            return Rate(None, why)
    return Rate(grown / elapsed)


def _objections(
    elapsed: float, grown: float, started_before: float | None, started_now: float | None, longest: float
) -> t.Iterator[tuple[bool, str]]:
    """Asked in order: each may rely on those before it not to hold."""
    yield elapsed < 0, "the clock was set back"
    yield elapsed < SHORTEST, f"the last sample is only {elapsed:.2f} s old"
    yield elapsed > longest, f"the last sample is {elapsed:.0f} s old"
    restarted = started_before is not None and started_now is not None and abs(started_before - started_now) > SAME_START
    yield restarted, "it was restarted since the last sample"
    yield grown < 0, "its counter was reset"


def sample_of(fleet: t.Sequence[t.Mapping[str, t.Any]], traffic: t.Sequence[t.Mapping[str, t.Any]], time: float) -> Sample:
    """The counters in what C(lxc_botserver_info) and C(caddy_upstreams_info) returned."""
    cpu = {str(one["name"]): Counter(amount(one.get("cpu_usage_ns")), time, amount(one.get("started_at"))) for one in fleet}
    requests = {
        _proxy_name(index, info): Counter(amount(info.get("requests_total")), amount(info.get("time")), amount(info.get("started_at")))
        for index, info in enumerate(traffic)
    }
    return Sample(time, cpu, requests, latency.histograms(traffic))


def keep(previous: Sample | None, now: Sample) -> Sample:
    """The sample that the next tick shall be compared with: an earlier one if this one came too soon after it."""
    if previous is None:
        return now
    if 0 <= now.time - previous.time < SHORTEST:
        return previous
    return dataclasses.replace(now, durations=latency.carried(previous.durations, now.durations))


def observe(
    fleet: t.Sequence[t.Mapping[str, t.Any]],
    traffic: t.Sequence[t.Mapping[str, t.Any]],
    now: Sample,
    previous: Sample | None,
    *,
    longest: float,
    statistic: str | None = None,
) -> Facts:
    """The facts of this tick.

    :param fleet: ``fleet`` of lxc_botserver_info
    :param traffic: one caddy_upstreams_info per proxy
    :param previous: the sample that the last tick kept; None on the first
    :param longest: seconds after which the previous sample is too old to be compared with
    :param statistic: which response time is meant: mean, or p1 to p99; None asks for none
    """
    notes: list[str] = []
    upstreams = _Upstreams(traffic)
    instances = tuple(_instance(one, upstreams, now, previous, longest, notes) for one in fleet)
    total, missing = _requests(now, previous, longest, notes)
    facts = Facts(now.time, instances, total, missing)
    if statistic is not None:
        before = previous.durations if previous else {}
        took, why = latency.response_time(before, now.durations, len(traffic), statistic, longest, upstreams.waiting)
        notes.extend([f"response time: {why}"] if why else [])
        facts = dataclasses.replace(facts, readings={"response-time": took})
    return dataclasses.replace(facts, notes=tuple(notes))


def _instance(
    one: t.Mapping[str, t.Any], upstreams: _Upstreams, now: Sample, previous: Sample | None, longest: float, notes: list[str]
) -> InstanceFacts:
    name = str(one["name"])
    address = str(one.get("address") or "")
    seen = InstanceFacts(
        name=name,
        slot=int(one["slot"]),
        status=str(one.get("status") or ""),
        state=_state(one),
        ready=upstreams.healthy(address),
        started_at=_past(amount(one.get("started_at")), now.time),
        protected=one.get("protected") is True,
        in_flight=upstreams.in_flight(address),
        image=str(one.get("image") or ""),
    )
    if not seen.counts:
        return seen
    cpu = _cpu(one, now, previous, longest)
    memory = _memory(one)
    notes.extend(f"{what} of {name}: {found.why}" for what, found in (("CPU", cpu), ("memory", memory)) if found.value is None)
    return dataclasses.replace(seen, cpu=cpu.value, memory=memory.value)


def _past(moment: float | None, now: float) -> float | None:
    """A moment, or None for one that is yet to come: an instance that was started before its clock was set back has been up for long."""
    return None if moment is None or moment > now + AHEAD else moment


def _state(one: t.Mapping[str, t.Any]) -> str:
    """The slot's state. What plans a fleet takes any instance that stands still for warm; one that is meant to run is not that."""
    meant = one.get("marked") == "active" and one.get("status") == "Stopped"
    return "active" if meant else str(one.get("state") or "")


def _cpu(one: t.Mapping[str, t.Any], now: Sample, previous: Sample | None, longest: float) -> Rate:
    """Per cent of the instance's own limit, from cgroup nanoseconds; the load average is the host's and is never asked."""
    name = str(one["name"])
    limit = amount(one.get("cpu_limit"))
    if not limit:
        return Rate(None, "it has no CPU limit to be measured against")
    nanoseconds = rate(previous.cpu.get(name) if previous else None, now.cpu[name], longest)
    return nanoseconds if nanoseconds.value is None else Rate(100 * nanoseconds.value / 1e9 / limit)


def _memory(one: t.Mapping[str, t.Any]) -> Rate:
    limit = amount(one.get("memory_limit_bytes"))
    used = amount(one.get("memory_used_bytes"))
    if not limit:
        return Rate(None, "it has no memory limit to be measured against")
    return Rate(None, "it cannot be read") if used is None else Rate(100 * used / limit)


def _requests(now: Sample, previous: Sample | None, longest: float, notes: list[str]) -> tuple[float | None, int]:
    """Requests per minute over the proxies whose rate is known, and the number of the others; no proxy at all is one unknown."""
    rates = {proxy: rate(previous.requests.get(proxy) if previous else None, counter, longest) for proxy, counter in now.requests.items()}
    notes.extend(f"requests at {proxy}: {found.why}" for proxy, found in rates.items() if found.value is None)
    if not rates:
        notes.append("requests: no proxy was asked")
        return None, 1
    known = [60 * found.value for found in rates.values() if found.value is not None]
    return (math.fsum(known) if known else None), len(rates) - len(known)


def _proxy_name(index: int, info: t.Mapping[str, t.Any]) -> str:
    return str(info.get("name") or f"proxy {index + 1}")


class _Upstreams:
    """What all proxies together say about one address."""

    def __init__(self, traffic: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        self._by_host: dict[str, list[t.Mapping[str, t.Any]]] = {}
        for info in traffic:
            for upstream in info.get("upstreams") or ():
                host = str(upstream.get("address") or "").rpartition(":")[0]
                self._by_host.setdefault(host, []).append(upstream)

    def healthy(self, host: str) -> bool | None:
        """True if any proxy finds it healthy, False if those that say something do not, None if none does."""
        said = [upstream["healthy"] for upstream in self._by_host.get(host, ()) if isinstance(upstream.get("healthy"), bool)]
        return any(said) if said else None

    @property
    def waiting(self) -> int:
        """Requests in flight to anyone, as far as proxies say."""
        counts = (amount(upstream.get("in_flight")) for said in self._by_host.values() for upstream in said)
        return int(sum(count for count in counts if count is not None))

    def in_flight(self, host: str) -> int | None:
        """Requests in flight to it over all proxies; None if one of them does not say."""
        counts = [amount(upstream.get("in_flight")) for upstream in self._by_host.get(host, ())]
        known = [count for count in counts if count is not None]
        return int(sum(known)) if known and len(known) == len(counts) else None

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a history proves. Pure.

An acknowledged write has to be there once and for good; one that was certainly refused must not be there; of one whose outcome is
unknown either is right. Who reads its own acknowledged write must see it. And of two servers only one may acknowledge at a time: a
write that begins after one was acknowledged on a later timeline, and is acknowledged on an earlier, was taken by a second primary, and
so was one that two servers acknowledge on the same timeline (each promotion begins a timeline of its own).
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
import statistics
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import History, Read, Write

#: examples of each kind of violation that a verdict keeps
EXAMPLES = 10
#: seconds without an acknowledgement that count as an outage
OUTAGE = 1.0


@dataclasses.dataclass(frozen=True)
class Gap:
    """A time without any acknowledgement, from ``start``, for ``seconds``. ``ended`` is False where no acknowledgement came any more."""

    start: float
    seconds: float
    ended: bool = True


@dataclasses.dataclass(frozen=True)
class Finding:
    """One kind of violation: how often, and some of them in words. ``kind`` is a key of :data:`KINDS`."""

    kind: str
    count: int
    examples: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was seen.

    ``findings`` are violations; ``open`` says why nothing can be said, where that is so. ``outage`` is the longest time without an
    acknowledgement in seconds, ``gaps`` all that lasted at least a second; ``latency`` is p50, p95 and max of acknowledged writes in
    seconds.
    """

    counts: t.Mapping[str, int]
    findings: tuple[Finding, ...]
    open: tuple[str, ...]
    outage: float
    gaps: tuple[Gap, ...]
    latency: t.Mapping[str, float]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it was judged and nothing is wrong."""
        return not self.findings and not self.open

    @property
    def lost(self) -> int:
        """Acknowledged writes that are gone."""
        return next((one.count for one in self.findings if one.kind == "lost"), 0)

    def as_dict(self) -> dict[str, t.Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "good": self.good, "lost": self.lost, "words": words(self)}


#: what a violation is called, for one and for many
KINDS: t.Mapping[str, str] = {
    "lost": "acknowledged and not there",
    "duplicate": "there more than once",
    "phantom": "there although refused or never sent",
    "stale": "not seen by the writer who had been told it was done",
    "two-primaries": "acknowledged by a second primary",
}


def judge(history: History) -> Verdict:
    """The verdict on a history."""
    acknowledged = [one for one in history.writes if one.outcome == "ok"]
    found = _judge_found(history) if history.found is not None else []
    findings = [*found, _finding("stale", [_stale_words(one) for one in history.reads if one.seen < one.expected])]
    findings.append(_finding("two-primaries", second_primaries([*acknowledged, *(one for one in history.probes if one.outcome == "ok")])))
    gaps = outages(history, acknowledged)
    begin = history.begin or 0.0
    end = history.stop if history.stop is not None else max([begin, *(one.end or one.start for one in history.writes)])
    return Verdict(
        counts=_counts(history),
        findings=tuple(one for one in findings if one.count),
        open=tuple(_open(history, acknowledged, gaps)),
        outage=round(max((one.seconds for one in gaps), default=0.0), 3),
        gaps=tuple(one for one in gaps if one.seconds >= OUTAGE),
        latency=percentiles([(one.end or one.start) - one.start for one in acknowledged]),
        seconds=round(end - begin, 3),
    )


def words(verdict: Verdict) -> str:
    """The verdict as a few sentences."""
    counts = verdict.counts
    head = (
        f"{counts['ok']} of {counts['writes']} writes were acknowledged in {verdict.seconds:.1f} s, {counts['fail']} refused, "
        f"{counts['unknown']} of unknown outcome; the longest time without an acknowledgement was {verdict.outage:.2f} s."
    )
    if verdict.open:
        return f"NOT PROVEN: {' '.join(verdict.open)} {_wrong(verdict)}{head}"
    if verdict.findings:
        return f"VIOLATED: {_wrong(verdict)}{head}"
    return (
        f"GOOD: none lost, none doubled, none that was refused, {counts['reads']} of {counts['reads']} reads of own writes right, "
        f"never two primaries. {head}"
    )


def second_primaries(acknowledged: t.Iterable[Write]) -> list[str]:
    """Acknowledgements that only a second primary can have given, in words."""
    wrong: list[str] = []
    finished: list[tuple[float, int, str]] = []
    latest, by = 0, ""
    owner: dict[int, str] = {}
    for one in sorted(acknowledged, key=lambda write: write.start):
        # Whatever was acknowledged before this write began is known to have happened before it.
        while finished and finished[0][0] < one.start:
            _end, timeline, server = heapq.heappop(finished)
            latest, by = max((latest, by), (timeline, server))
        if one.timeline < latest:
            wrong.append(f"{_who(one)}, begun at {one.start:.3f} after {by} had acknowledged on timeline {latest}")
        elif owner.setdefault(one.timeline, one.server) != one.server:
            wrong.append(f"{_who(one)}, as {owner[one.timeline]} did on the same timeline")
        heapq.heappush(finished, (one.end or one.start, one.timeline, one.server))
    return wrong


def outages(history: History, acknowledged: t.Sequence[Write]) -> list[Gap]:
    """The times between acknowledgements, and from the last one to the end of writing, in order."""
    if history.begin is None:
        return []
    moments = sorted(one.end for one in acknowledged if one.end is not None)
    edges = [history.begin, *moments]
    gaps = [Gap(before, after - before) for before, after in itertools.pairwise(edges)]
    last = edges[-1]
    if history.stop is not None and history.stop > last:
        gaps.append(Gap(last, history.stop - last, ended=False))
    return gaps


def percentiles(values: t.Sequence[float]) -> dict[str, float]:
    """p50, p95 and max, by linear interpolation; empty for no values."""
    if not values:
        return {}
    cuts = statistics.quantiles(values, n=20, method="inclusive") if len(values) > 1 else [values[0]] * 19
    return {"p50": round(cuts[9], 6), "p95": round(cuts[18], 6), "max": round(max(values), 6)}


def _judge_found(history: History) -> list[Finding]:
    there = collections.Counter(history.found)
    known = {one.id: one for one in history.writes}
    lost = [f"{one.id} by {_who(one)}" for one in history.writes if one.outcome == "ok" and not there[one.id]]
    twice = [f"{number} is there {times} times" for number, times in sorted(there.items()) if times > 1]
    phantom = [
        f"{number} is there, which {'nobody wrote' if number not in known else f'was refused ({known[number].why})'}"
        for number in sorted(there)
        if number not in known or known[number].outcome == "fail"
    ]
    return [_finding("lost", lost), _finding("duplicate", twice), _finding("phantom", phantom)]


def _finding(kind: str, all_words: t.Sequence[str]) -> Finding:
    return Finding(kind, len(all_words), tuple(all_words[:EXAMPLES]))


def _counts(history: History) -> dict[str, int]:
    by = collections.Counter(one.outcome for one in history.writes)
    probed = sum(1 for one in history.probes if one.outcome == "ok")
    found = len(history.found) if history.found is not None else 0
    return {
        "writes": len(history.writes), "ok": by["ok"], "fail": by["fail"], "unknown": by["unknown"],
        "reads": len(history.reads), "probes": len(history.probes), "probes_ok": probed, "found": found,
    }  # fmt: skip


def _open(history: History, acknowledged: t.Sequence[Write], gaps: t.Sequence[Gap]) -> t.Iterator[str]:
    if not acknowledged:
        yield "No write was acknowledged at all."
    if history.found is None:
        yield "Nobody could read back what is there."
    if history.stop is None:
        yield "The log breaks off before the recorder's end."
    elif gaps and not gaps[-1].ended and gaps[-1].seconds >= OUTAGE and acknowledged:
        yield f"No write was acknowledged any more in the last {gaps[-1].seconds:.1f} s."


def _wrong(verdict: Verdict) -> str:
    return "".join(f"{one.count} {KINDS[one.kind]} (such as: {one.examples[0]}). " for one in verdict.findings)


def _who(one: Write) -> str:
    server = one.server or "a server without address"
    return f"{one.process}, acknowledged by {server} on timeline {one.timeline} at {one.end or one.start:.3f}"


def _stale_words(one: Read) -> str:
    return f"{one.process} had been told that {one.expected} was done, and saw {one.seen} at {one.end:.3f}"

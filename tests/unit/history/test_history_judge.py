# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history checker: what a right cluster leaves is good, and every kind of broken promise is found, wherever it is."""

from __future__ import annotations

import dataclasses

import pytest
from history_builders import SERVERS, acknowledged, lawful, lines
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.history.judge import Verdict, judge, percentiles, words
from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import History, Read, Write, parse

SEEDS = st.integers(0, 2**32)
MANY = settings(max_examples=60, deadline=None)


def kinds(verdict: Verdict) -> dict[str, int]:
    return {one.kind: one.count for one in verdict.findings}


@MANY
@given(SEEDS, st.integers(0, 4))
def test_what_keeps_its_promises_is_good(seed: int, failovers: int) -> None:
    verdict = judge(lawful(seed, failovers=failovers))
    assert verdict.good, words(verdict)
    assert verdict.counts["ok"] == len(acknowledged(lawful(seed, failovers=failovers)))


@MANY
@given(SEEDS, st.data())
def test_every_lost_acknowledged_write_is_found(seed: int, data: st.DataObject) -> None:
    history = lawful(seed)
    gone = data.draw(st.sets(st.sampled_from([one.id for one in acknowledged(history)]), min_size=1))
    broken = dataclasses.replace(history, found=tuple(number for number in history.found or () if number not in gone))
    verdict = judge(broken)
    assert kinds(verdict) == {"lost": len(gone)}
    assert verdict.lost == len(gone)
    assert verdict.findings[0].examples[0].startswith(f"{min(gone)} by writer-")


@MANY
@given(SEEDS, st.data())
def test_every_doubled_write_is_found(seed: int, data: st.DataObject) -> None:
    history = lawful(seed)
    twice = data.draw(st.sets(st.sampled_from(history.found or ()), min_size=1))
    verdict = judge(dataclasses.replace(history, found=(*(history.found or ()), *twice)))
    assert kinds(verdict) == {"duplicate": len(twice)}


@MANY
@given(SEEDS)
def test_a_refused_write_that_is_there_is_found(seed: int) -> None:
    history = lawful(seed)
    refused = dataclasses.replace(acknowledged(history)[0], outcome="fail", server="", timeline=0, why="read-only")
    writes = tuple(refused if one.id == refused.id else one for one in history.writes)
    verdict = judge(dataclasses.replace(history, writes=writes))
    assert kinds(verdict) == {"phantom": 1}
    assert "was refused (read-only)" in verdict.findings[0].examples[0]


def test_a_row_that_nobody_wrote_is_found() -> None:
    history = lawful(1)
    verdict = judge(dataclasses.replace(history, found=(*(history.found or ()), 7_000)))
    assert kinds(verdict) == {"phantom": 1}
    assert "nobody wrote" in words(verdict)


@MANY
@given(SEEDS)
def test_an_unknown_outcome_may_be_either(seed: int) -> None:
    history = lawful(seed)
    unknown = {one.id for one in history.writes if one.outcome == "unknown"}
    known = {number for number in history.found or () if number not in unknown}
    for there in (known, known | unknown):
        assert judge(dataclasses.replace(history, found=tuple(sorted(there)))).good


def test_a_reader_that_does_not_see_its_own_write_is_found() -> None:
    history = lawful(3)
    first, *others = history.reads
    behind = Read(first.process, first.start, first.end, first.expected, first.expected - 1)
    verdict = judge(dataclasses.replace(history, reads=(behind, *others)))
    assert kinds(verdict) == {"stale": 1}


@MANY
@given(SEEDS, st.integers(1, 4))
def test_a_former_primary_that_acknowledges_once_more_is_found(seed: int, failovers: int) -> None:
    history = lawful(seed, failovers=failovers)
    newest = max(acknowledged(history), key=lambda one: one.timeline)
    late = Write("b", 0, (newest.end or 0) + 0.001, (newest.end or 0) + 0.002, "ok", SERVERS[0], newest.timeline - 1)
    verdict = judge(dataclasses.replace(history, probes=(late,)))
    assert kinds(verdict) == {"two-primaries": 1}
    assert f"timeline {newest.timeline}" in verdict.findings[0].examples[0]


def test_a_write_under_way_during_the_failover_proves_no_second_primary() -> None:
    history = lawful(5, failovers=0)
    last = acknowledged(history)[-1]
    begun_before = Write("a", 0, (last.end or 0) - 0.01, (last.end or 0) + 5, "ok", SERVERS[0], 1)
    after = Write("b", 0, (last.end or 0) + 4, (last.end or 0) + 4.1, "ok", SERVERS[1], 2)
    assert judge(dataclasses.replace(history, probes=(begun_before, after))).good


def test_of_two_writes_side_by_side_either_may_have_been_first() -> None:
    history = lawful(5, failovers=0)
    last = acknowledged(history)[-1]
    promoted = Write("b", 0, last.end or 0, (last.end or 0) + 3, "ok", SERVERS[1], 2)
    former = Write("a", 0, (last.end or 0) + 1, (last.end or 0) + 1.5, "ok", SERVERS[0], 1)
    assert judge(dataclasses.replace(history, probes=(promoted, former))).good


def test_two_servers_of_one_timeline_are_found() -> None:
    history = lawful(5, failovers=0)
    last = acknowledged(history)[-1]
    other = Write("c", 0, last.start, last.end, "ok", SERVERS[2], 1)
    assert kinds(judge(dataclasses.replace(history, probes=(other,)))) == {"two-primaries": 1}


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ({"found": None}, "Nobody could read back"),
        ({"stop": None}, "breaks off"),
        ({"writes": (), "found": ()}, "No write was acknowledged"),
    ],
)
def test_what_cannot_be_judged_is_not_good(without: dict[str, None], reason: str) -> None:
    verdict = judge(dataclasses.replace(lawful(1), **without))  # type: ignore[arg-type]
    assert not verdict.good
    assert reason in words(verdict)
    assert words(verdict).startswith("NOT PROVEN")


def test_a_cluster_that_never_came_back_is_not_good() -> None:
    history = lawful(1)
    verdict = judge(dataclasses.replace(history, stop=(history.stop or 0) + 30))
    assert "No write was acknowledged any more in the last 30" in words(verdict)


def test_the_outage_is_the_longest_time_without_an_acknowledgement() -> None:
    writes = tuple(Write("w", number, at - 0.01, at, "ok", SERVERS[0], 1) for number, at in enumerate((1.0, 1.5, 9.25, 10.0), start=1))
    verdict = judge(History(0.5, 10.2, writes, found=(1, 2, 3, 4)))
    assert verdict.outage == 7.75
    assert [(one.start, one.seconds) for one in verdict.gaps] == [(1.5, 7.75)]
    assert verdict.good


def test_percentiles_are_interpolated() -> None:
    assert percentiles([]) == {}
    assert percentiles([2.0]) == {"p50": 2.0, "p95": 2.0, "max": 2.0}
    assert percentiles([float(number) for number in range(101)]) == {"p50": 50.0, "p95": 95.0, "max": 100.0}


@MANY
@given(SEEDS)
def test_a_log_says_what_happened(seed: int) -> None:
    history = lawful(seed)
    assert parse(lines(history)) == dataclasses.replace(history, reads=tuple(sorted(history.reads, key=lambda one: one.end)))


@MANY
@given(SEEDS, st.floats(0, 1))
def test_a_log_that_breaks_off_anywhere_is_read_and_never_good(seed: int, share: float) -> None:
    text = lines(lawful(seed))
    end = text.index('"found"')
    history = parse(text[: int(end * share)])
    assert not judge(history).good
    assert "lost" not in kinds(judge(history))


def test_an_attempt_without_an_outcome_is_unknown() -> None:
    history = lawful(1)
    cut = history.writes[-1]
    open_end = Write(cut.process, cut.id, cut.start)
    broken = dataclasses.replace(history, writes=(*history.writes[:-1], open_end))
    assert open_end in parse(lines(broken)).writes


@pytest.mark.parametrize("line", ['{"event": "sung", "at": 1}', "nonsense", '{"event": "ok", "at": 1, "process": "w", "id": 99999}', "3"])
def test_a_strange_line_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(InvalidInput, match="Line 2 of the history"):
        parse(lines(lawful(1)).replace("\n", f"\n{line}\n", 1))


def test_another_format_is_refused() -> None:
    with pytest.raises(InvalidInput, match="format 2"):
        parse(lines(lawful(1)).replace('"format": 1', '"format": 2'))

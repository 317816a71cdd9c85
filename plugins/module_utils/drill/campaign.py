# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of drills one after the other: bounded in time, resumable, with a line of JSON for each round that was done."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.round import Result, Round
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.history.judge import percentiles
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock

Json = dict[str, t.Any]


def read(path: str) -> list[Json]:
    """The rounds that a file of results holds; none where there is no file.

    :raises InvalidInput: a line is no round
    """
    if not path or not os.path.exists(path):
        return []
    found: list[Json] = []
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            one = json.loads(line)
            found.append({**one, "fault": str(one["fault"])})
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{path}, line {number} is no round of a drill ({error}). Remove the line or the file.") from error
    return found


def left(faults: t.Sequence[str], rounds: int, done: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The faults that are still to be drilled, once for each round, in turns so that a campaign that is broken off has some of each."""
    had = collections.Counter(str(one["fault"]) for one in done)
    return [fault for turn in range(1, rounds + 1) for fault in faults if had[fault] < turn]


def run(
    one: Round,
    faults: t.Sequence[str],
    *,
    target: str | None = None,
    rounds: int = 1,
    seconds: float = 3600.0,
    results: str = "",
    force: bool = False,
    clock: Clock = Clock(),
) -> list[Json]:
    """Drill until every fault had its rounds or the time is over; returns the rounds of this call.

    :param seconds: no round begins after these
    :param results: file that each round is added to; the rounds in it count as done
    :raises Refused: the cluster is not healthy, and ``force`` was not said
    """
    begun, did = clock.now(), list[Json]()
    for fault in left(faults, rounds, read(results)):
        if clock.now() - begun >= seconds:
            break
        result = one.run(*one.plan(fault, target, force=force))
        did.append(result.as_dict())
        _keep(results, result)
    return did


def summary(rounds: t.Iterable[t.Mapping[str, t.Any]]) -> list[Json]:
    """One row for each fault: rounds, outage p50, p95 and max in seconds, acknowledged, lost, violations, rounds beyond the bar."""
    by_fault: dict[str, list[t.Mapping[str, t.Any]]] = {}
    for one in rounds:
        by_fault.setdefault(str(one["fault"]), []).append(one)
    return [_row(fault, found) for fault, found in by_fault.items()]


def _row(fault: str, found: t.Sequence[t.Mapping[str, t.Any]]) -> Json:
    verdicts = [one["verdict"] for one in found]
    kinds = collections.Counter({"lost": 0})
    for verdict in verdicts:
        kinds.update({finding["kind"]: finding["count"] for finding in verdict["findings"]})
    return {
        "fault": fault,
        "rounds": len(found),
        "outage": percentiles([float(verdict["outage"]) for verdict in verdicts]),
        "acknowledged": sum(int(verdict["counts"]["ok"]) for verdict in verdicts),
        "unknown": sum(int(verdict["counts"]["unknown"]) for verdict in verdicts),
        "violations": dict(kinds),
        "unproven": sum(bool(verdict["open"]) for verdict in verdicts),
        "over_bar": sum(one["within_bar"] is False for one in found),
        "problems": [problem for one in found for problem in one["problems"]],
    }


def _keep(path: str, result: Result) -> None:
    """Add a round to the results, and its history beside them where something is wrong with it."""
    if not path:
        return
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(result.as_dict()) + "\n")
    if not result.verdict.good:
        pathlib.Path(f"{path}.{result.fault}-{result.injected:.0f}.jsonl").write_text(result.log, encoding="utf-8")

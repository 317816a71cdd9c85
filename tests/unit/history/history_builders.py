# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of a cluster that keeps its promises, to be broken by tests, and the lines that a recorder would log of them."""

from __future__ import annotations

import dataclasses
import json
import random
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import History, Read, Write

SERVERS = ("10.0.0.31", "10.0.0.32", "10.0.0.33")


def lawful(seed: int, writes: int = 60, failovers: int = 2) -> History:
    """A history as a right cluster gives: writers side by side, some refusals and unknowns, a timeline more at each failover."""
    dice = random.Random(seed)
    turns = sorted(dice.sample(range(1, writes), failovers)) if failovers else []
    attempts: list[Write] = []
    found: list[int] = []
    clock, timeline = 100.0, 1
    for number in range(1, writes + 1):
        if number in turns:
            # What was under way is over before the next primary acknowledges anything.
            clock, timeline = clock + 4.0, timeline + 1
        start = clock + dice.random() * 0.01
        end = start + 0.001 + dice.random() * 0.03
        clock += 0.04
        settled = number in (1, writes, *turns)
        outcome = "ok" if settled else dice.choices(("ok", "fail", "unknown"), (8, 1, 1))[0]
        server = SERVERS[(timeline - 1) % 3]
        about = {"server": server, "timeline": timeline} if outcome == "ok" else {"why": "as if"}
        attempts.append(Write(f"writer-{number % 3}", number, start, end, outcome, **about))  # type: ignore[arg-type]
        if outcome == "ok" or (outcome == "unknown" and dice.random() < 0.5):
            found.append(number)
    reads = tuple(Read(one.process, one.end or 0, (one.end or 0) + 0.001, one.id, one.id) for one in attempts if one.outcome == "ok")
    return History(100.0, clock + 0.05, tuple(attempts), (), reads, tuple(found), dict(zip(SERVERS, ("a", "b", "c"), strict=True)))


def acknowledged(history: History) -> list[Write]:
    """Its acknowledged writes."""
    return [one for one in history.writes if one.outcome == "ok"]


def lines(history: History) -> str:
    """The log that a recorder would have left of it."""
    found: list[tuple[float, dict[str, t.Any]]] = []
    for one in history.writes:
        found.append((one.start, {"event": "invoke", "process": one.process, "id": one.id}))
        if one.end is not None:
            found.append((one.end, {"event": one.outcome, "process": one.process, "id": one.id, **_about(one)}))
    found += [(one.end or 0, {"event": "probe", "member": one.process, "begun": one.start, "outcome": one.outcome, **_about(one)})
              for one in history.probes]  # fmt: skip
    found += [(one.end, {"event": "read", "begun": one.start, **_without(one, "start", "end")}) for one in history.reads]
    found.sort(key=lambda item: item[0])
    whole = [(history.begin, {"event": "start", "format": 1, "members": dict(history.members)}), *found]
    whole += [(history.stop, {"event": "stop", "waiting": 0})] if history.stop is not None else []
    whole += [(history.stop, {"event": "found", "ids": list(history.found)})] if history.found is not None else []
    return "".join(json.dumps({"at": at, **line}) + "\n" for at, line in whole)


def _about(one: Write) -> dict[str, t.Any]:
    return {"server": one.server, "timeline": one.timeline} if one.outcome == "ok" else {"why": one.why}


def _without(one: Read, *names: str) -> dict[str, t.Any]:
    return {name: value for name, value in dataclasses.asdict(one).items() if name not in names}

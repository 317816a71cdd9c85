# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of a recorder as values. Its lines are described in ``recorder.py``."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.history.recorder import FORMAT

Outcome = t.Literal["ok", "fail", "unknown"]
OUTCOMES: t.Mapping[str, Outcome] = {"ok": "ok", "fail": "fail", "unknown": "unknown"}


@dataclasses.dataclass(frozen=True)
class Write:
    """One attempt. ``end`` is None, and the outcome unknown, where nothing came back; ``server`` and ``timeline`` go with ok."""

    process: str
    id: int
    start: float
    end: float | None = None
    outcome: Outcome = "unknown"
    server: str = ""
    timeline: int = 0
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Read:
    """A writer looked for its own acknowledged id ``expected`` and saw ``seen`` as its highest."""

    process: str
    start: float
    end: float
    expected: int
    seen: int


@dataclasses.dataclass(frozen=True)
class History:
    """A whole log.

    ``begin`` and ``stop`` are when writing began and was ended (None: the log breaks off before). ``probes`` are writes straight to
    a member. ``found`` are the ids that were there afterwards, None where nobody could look.
    """

    begin: float | None
    stop: float | None
    writes: tuple[Write, ...]
    probes: tuple[Write, ...] = ()
    reads: tuple[Read, ...] = ()
    found: tuple[int, ...] | None = None
    members: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


def parse(text: str) -> History:
    """The history in a log. A last line that breaks off is left out: whoever wrote it was stopped in the middle.

    :raises InvalidInput: another line is not one of ours, or the log is of another format
    """
    reader = _Reader()
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            reader.take(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            why = f"{type(error).__name__}: {error}"
            raise InvalidInput(f"Line {number} of the history is none of a recorder's ({why}): {line[:100]}") from error
    return reader.history()


class _Reader:
    """Collects lines; an attempt is open between its invoke and its outcome."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Write] = {}
        self._writes: list[Write] = []
        self._probes: list[Write] = []
        self._reads: list[Read] = []
        self._begin: float | None = None
        self._stop: float | None = None
        self._found: tuple[int, ...] | None = None
        self._members: dict[str, str] = {}

    def take(self, line: t.Mapping[str, t.Any]) -> None:
        event = line["event"]
        if event in OUTCOMES:
            self._close(line, OUTCOMES[event])
        else:
            self._kinds[event](self, line)

    def history(self) -> History:
        writes = sorted([*self._writes, *self._open.values()], key=lambda one: one.start)
        probes = sorted(self._probes, key=lambda one: one.start)
        return History(self._begin, self._stop, tuple(writes), tuple(probes), tuple(self._reads), self._found, self._members)

    def _start(self, line: t.Mapping[str, t.Any]) -> None:
        if line["format"] != FORMAT:
            raise InvalidInput(f"The history is of format {line['format']}; this release reads format {FORMAT}.")
        self._begin, self._members = float(line["at"]), dict(line["members"])

    def _invoke(self, line: t.Mapping[str, t.Any]) -> None:
        one = Write(str(line["process"]), int(line["id"]), float(line["at"]))
        self._open[one.process, one.id] = one

    def _close(self, line: t.Mapping[str, t.Any], outcome: Outcome) -> None:
        begun = self._open.pop((str(line["process"]), int(line["id"])))
        self._writes.append(dataclasses.replace(begun, end=float(line["at"]), outcome=outcome, **_about(line)))

    def _probe(self, line: t.Mapping[str, t.Any]) -> None:
        outcome = OUTCOMES[line["outcome"]]
        self._probes.append(Write(str(line["member"]), 0, float(line["begun"]), float(line["at"]), outcome, **_about(line)))

    def _read(self, line: t.Mapping[str, t.Any]) -> None:
        self._reads.append(Read(str(line["process"]), float(line["begun"]), float(line["at"]), int(line["expected"]), int(line["seen"])))

    def _stopped(self, line: t.Mapping[str, t.Any]) -> None:
        self._stop = float(line["at"])

    def _there(self, line: t.Mapping[str, t.Any]) -> None:
        self._found = tuple(int(one) for one in line["ids"])

    def _ended(self, line: t.Mapping[str, t.Any]) -> None:
        """The recorder's own end says nothing that ``found`` has not."""

    _kinds: t.ClassVar[t.Mapping[str, t.Callable[[_Reader, t.Mapping[str, t.Any]], None]]] = {
        "start": _start, "invoke": _invoke, "probe": _probe, "read": _read, "stop": _stopped, "found": _there, "end": _ended,
    }  # fmt: skip


def _about(line: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {"server": str(line.get("server", "")), "timeline": int(line.get("timeline", 0)), "why": str(line.get("why", ""))}

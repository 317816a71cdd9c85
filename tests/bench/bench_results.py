# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bench found: the line that it prints, the record in ``.build/bench/results.json``, and the page ``docs/benches.md``."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".build/bench/results.json"
PAGE = ROOT / "docs/benches.md"

#: the benches of the page, each with what its goal says about the ratio
GOALS: t.Mapping[str, str] = {
    "a": "at least 40",
    "b": "at least 3",
    "c": "at most 1.5",
    "c2": "at most 1.5",
    "d": "0 failed, 0 lost, 0 reloads",
    "e": "at least 0.5",
    "f": "at least 0.2",
    "g": "fewer failed",
    "h": "none",
    "h2": "none",
    "i": "none",
    "i2": "at most 90 s",
}
#: those that need a site with a data tier, and are on the page where somebody gave them one
OPTIONAL = frozenset({"h", "h2", "i", "i2"})

HEAD = """\
# Benches

Written by `make bench`; `tests/bench/README.md` of the repository says how each figure comes about. Only the ratios mean something:
both sides of a row were measured in the same run on the same machine.

Machine: {machine}.

| | what | ours | compared with | ratio | goal | met | date |
|---|---|---|---|---|---|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """One row. ``ratio`` is None where nothing is compared; ``met`` says whether the goal is reached, None where there is none."""

    bench: str
    what: str
    ours: str
    theirs: str
    ratio: float | None
    met: bool | None

    @property
    def goal(self) -> str:
        """The goal in words."""
        return GOALS[self.bench]

    def cells(self) -> list[str]:
        """The row's texts, from the bench's name to whether the goal is met."""
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        met = "-" if self.met is None else "yes" if self.met else "no"
        return [self.bench, self.what, self.ours, self.theirs, ratio, self.goal, met]


#: prints a result and keeps it
Record = t.Callable[[Result], None]


def faster(bench: str, what: str, ours: float, theirs: float, least: float) -> Result:
    """A row that says how many times as long the others take; times in seconds."""
    return Result(bench, what, f"{ours:.2f} s", f"{theirs:.2f} s", theirs / ours, theirs / ours >= least)


def within(bench: str, what: str, ours: float, theirs: float, most: float) -> Result:
    """A row that says how many times as long we take; times in seconds."""
    return Result(bench, what, f"{ours:.2f} s", f"{theirs:.2f} s", ours / theirs, ours / theirs <= most)


def machine(lxd_version: str, driver: str) -> str:
    """This machine in words."""
    processor = re.search(r"^model name\s*: (.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    size = f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown"
    model = f" ({processor[1].strip()})" if processor else ""
    return f"{os.cpu_count()} cores{model}, {size} of memory, Linux {platform.release()}, LXD {lxd_version} on {driver}"


def append(result: Result, where: str, path: pathlib.Path = RESULTS) -> None:
    """Add a result to the record, with its date and the machine in words."""
    entries = recorded(path)
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    entries.append({"date": date, "machine": where, "goal": result.goal, **dataclasses.asdict(result)})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def recorded(path: pathlib.Path = RESULTS) -> list[dict[str, t.Any]]:
    """Everything that was recorded, oldest first."""
    return t.cast("list[dict[str, t.Any]]", json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def missing(entries: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The benches that the page needs and that have no result from the machine of the latest one."""
    return sorted(GOALS.keys() - OPTIONAL - _latest(entries).keys())


def page(entries: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """The page: of each bench the latest result, and none from another machine than the latest one's."""
    rows = []
    for _bench, entry in sorted(_latest(entries).items()):
        result = Result(**{field.name: entry[field.name] for field in dataclasses.fields(Result)})
        rows.append("| " + " | ".join([*result.cells(), entry["date"]]) + " |\n")
    return HEAD.format(machine=entries[-1]["machine"]) + "".join(rows)


def _latest(entries: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Mapping[str, t.Any]]:
    return {entry["bench"]: entry for entry in entries if entry["machine"] == entries[-1]["machine"]}


def _read(path: str) -> str:
    return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")

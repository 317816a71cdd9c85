# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces read from CSV files, as Prometheus, Grafana and spreadsheets write them. What could be read in two ways is refused."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import datetime
import io
import itertools
import math
import pathlib
import re
import typing as t

from replay_model import STEP

#: columns that may tell when a line was, the first that is there is taken
TIMES = ("offset_seconds", "time", "timestamp", "seconds")
#: the column that counts requests, unless another is named
REQUESTS = "requests"
DELIMITERS = (",", ";", "\t")
DATES = 1e8  # seconds since the epoch, in 1973: what is below counts from the trace's own beginning
TOO_LATE = 1e11  # seconds since the epoch, in 5138: what is above is in another unit
APART = 86400.0  # seconds that lines of a trace may be apart in the median
LONGEST = 10 * 366 * 86400.0  # seconds that a trace may last
RISES = 20  # lines from which counts that never fall, and mostly rise, look like a counter
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: the line that Excel begins a file with
SEPARATOR = re.compile(r"sep=(.)\r?\n")


@dataclasses.dataclass(frozen=True)
class Trace:
    """Requests per tick, and when the first tick is, in whole seconds since the epoch; None where only the order is known. ``notes`` say
    what of the file was taken, and what is odd about it."""

    counts: list[float]
    begin: float | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a file: where it stands, and its cells."""

    path: pathlib.Path
    number: int
    cells: t.Sequence[str]

    def cell(self, index: int, name: str, value: t.Callable[[str], float]) -> float:
        """The value of a cell; raises ValueError, which says where it is."""
        try:
            return value(self.cells[index].strip() if index < len(self.cells) else "")
        except ValueError as error:
            raise ValueError(f"{self.path}:{self.number}: column {name}: {error}") from error


@dataclasses.dataclass(frozen=True)
class Table:
    """What stands in a CSV file."""

    path: pathlib.Path
    names: list[str]
    lines: list[Line]

    def place(self, name: str) -> int | None:
        """Where a column is, whatever the case of its letters if none is written so; None if it is not there.

        :raises ValueError: there are several
        """
        found = [index for index, one in enumerate(self.names) if one == name]
        found = found or [index for index, one in enumerate(self.names) if one.casefold() == name.casefold()]
        if len(found) > 1:
            raise ValueError(f"{self.path}: there are {len(found)} columns {name}. Rename the one that is meant, or leave out the others.")
        return found[0] if found else None


def read(path: pathlib.Path, column: str | None = None, step: float | None = None, *, each_line: bool = False) -> Trace:
    """The trace in a CSV file with a header, whose lines may be in any order.

    Its lines count requests in a column (default: REQUESTS), for the time until the next line and the last for as long as is usual; with
    ``each_line``, and where there is nothing but the time, each line is one request. Times are seconds or ISO 8601, in UTC where they
    have no zone; without any, lines are ``step`` seconds apart (default: STEP).

    :raises ValueError: it cannot be read so; the message says where, what is there instead and what to do
    """
    table = _table(path, column or REQUESTS)
    clock = next((place for name in TIMES if (place := table.place(name)) is not None), None)
    counted = None if each_line else _counted(table, column, clock)
    if each_line and clock is None:
        raise ValueError(f"{path}: each line can be one request only where a column {_either(TIMES)} says when; {_has(table)}.")
    found: list[tuple[float, float]] = []
    for index, line in enumerate(table.lines):
        at = index * (step or STEP) if clock is None else line.cell(clock, table.names[clock], _seconds)
        found.append((at, 1.0 if counted is None else line.cell(counted, table.names[counted], _count)))
    times, counts = zip(*sorted(found, key=lambda one: one[0]), strict=True)
    usual = _usual(path, times)
    begin = float(math.floor(times[0])) if clock is not None and times[0] >= DATES else None
    ticks = _each(times) if counted is None else _per_tick(times, counts, usual)
    return Trace(ticks, begin, tuple(_notes(table, clock, counted, counts, step or STEP)))


def _counted(table: Table, column: str | None, clock: int | None) -> int | None:
    """The column that counts requests; None where there is but the time, and each line is one request."""
    found = table.place(column or REQUESTS)
    if found is not None or (column is None and clock is not None and len(table.names) == 1):
        return found
    if clock is None:
        raise ValueError(f"{table.path}: no column {column or REQUESTS} and none of {', '.join(TIMES)}; {_has(table)}. {NAME_ONE}.")
    raise ValueError(f"{table.path}: no column {column or REQUESTS}; {_has(table)}. {NAME_ONE}, or say --each-line if each is one request.")


NAME_ONE = "Name the one that counts requests with --column"


def _either(words: t.Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _has(table: Table) -> str:
    return f"its columns are {', '.join(table.names)}"


def _notes(table: Table, clock: int | None, counted: int | None, counts: t.Sequence[float], step: float) -> t.Iterator[str]:
    """What of the file was taken, and what is odd about it."""
    requests = "each line is one" if counted is None else f"column {table.names[counted]}"
    yield f"Requests: {requests}; time: {f'no column, lines are {step:g} s apart' if clock is None else f'column {table.names[clock]}'}."
    rises = sum(after > before for before, after in itertools.pairwise(counts))
    if len(counts) >= RISES and 2 * rises >= len(counts) and all(after >= before for before, after in itertools.pairwise(counts)):
        yield "They never fall: if they are a counter, such as a metric whose name ends in _total, replay how much it rose in each line."


# --- the file ------------------------------------------------------------------------------------------------------


def _table(path: pathlib.Path, column: str) -> Table:
    """The columns and lines of a file; what stands in no line, as below the last one in spreadsheets, is left out."""
    text = _text(path)
    said = SEPARATOR.match(text)
    text, skipped = (text[said.end() :], 1) if said else (text, 0)
    wanted = {name.casefold() for name in (*TIMES, column)}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=said[1] if said else _delimiter(text, wanted))
    try:
        names = [name.strip() for name in next(reader, [])]
        lines = [Line(path, reader.line_num + skipped, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num + skipped}: {error}") from error
    if not lines:
        raise ValueError(f"{path}: no line below the header")
    for line in lines:
        if any(cell.strip() for cell in line.cells[len(names) :]):
            raise ValueError(
                f"{path}:{line.number}: {len(line.cells)} cells, and the header has {len(names)}: "
                "write numbers without thousands separators, and a decimal point for a decimal comma."
            )
    return Table(path, names, lines)


def _text(path: pathlib.Path) -> str:
    """What a file says, in UTF-8 or, where its first bytes say so, UTF-16."""
    data = path.read_bytes()
    try:
        return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{number}: byte 0x{data[error.start]:02x} is no {error.encoding}. Save it as CSV in UTF-8.") from error


def _delimiter(text: str, wanted: t.Collection[str]) -> str:
    """What parts the cells: that by which the header has most of the columns that are wanted, and then most columns."""

    def suits(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([text.split("\n", 1)[0]], delimiter=delimiter), [])
        except csv.Error:  # said with its line where the file is read
            names = []
        return sum(name.strip().casefold() in wanted for name in names), len(names)

    return max(DELIMITERS, key=suits)


def _count(text: str) -> float:
    if not text:
        raise ValueError("it is empty: write 0 where there were none, or leave out the line where it is not known.")
    if not NUMBER.fullmatch(text) or not 0 <= float(text) < math.inf:
        raise ValueError(f"{text} is no count of requests: write a number from 0 on, with a decimal point and nothing else in it.")
    return float(text)


def _seconds(text: str) -> float:
    if not NUMBER.fullmatch(text):
        return _moment(text)
    if not abs(float(text)) < TOO_LATE:
        raise ValueError(f"{text} is no time in seconds; divide milliseconds by 1000")
    return float(text)


def _moment(text: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        forms = "seconds, or date and time as ISO 8601 has them, such as 2026-11-03T22:00:00+01:00 or, in UTC, 2026-11-03 21:00:00"
        raise ValueError(f"{text or 'nothing'} is no time: write {forms}.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


# --- ticks ---------------------------------------------------------------------------------------------------------


def _usual(path: pathlib.Path, times: t.Sequence[float]) -> float:
    """How far lines are apart, in seconds: the lower median, and STEP where there is but one."""
    gaps = sorted(after - before for before, after in itertools.pairwise(times) if after > before)
    usual = gaps[(len(gaps) - 1) // 2] if gaps else STEP
    if usual > APART or times[-1] - times[0] > LONGEST:
        days = (times[-1] - times[0]) / 86400
        raise ValueError(
            f"{path}: its lines are {usual:.0f} s apart in the median and last {days:.0f} days; times are in seconds or ISO 8601: "
            "divide milliseconds by 1000, and look for a line of another time."
        )
    return usual


def _each(times: t.Sequence[float]) -> list[float]:
    """A request at each of these times, in ticks."""
    places = [int((at - times[0]) / STEP + 1e-9) for at in times]
    ticks = [0.0] * (places[-1] + 1)
    for place in places:
        ticks[place] += 1.0
    return ticks


def _per_tick(times: t.Sequence[float], counts: t.Sequence[float], usual: float) -> list[float]:
    """The counts in ticks: each is spread evenly over the time until the next, the last one over ``usual`` seconds."""
    begins = [at - times[0] for at in times]
    ends = [*begins[1:], begins[-1] + usual]
    ticks = [0.0] * (int(ends[-1] / STEP - 1e-9) + 1)
    for begin, end, count in zip(begins, ends, counts, strict=True):
        first = min(int(begin / STEP + 1e-9), len(ticks) - 1)
        if end <= begin:
            ticks[first] += count
            continue
        for place in range(first, min(math.ceil(end / STEP - 1e-9), len(ticks))):
            ticks[place] += count * max(min(end, (place + 1) * STEP) - max(begin, place * STEP), 0.0) / (end - begin)
    return ticks

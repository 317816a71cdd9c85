# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as plain text for a terminal, at most WIDTH wide; what does not fit goes on below, and nothing is cut but names. Pure.

What comes from outside is stripped of control characters, which a terminal would obey.
"""

from __future__ import annotations

import datetime
import itertools
import textwrap
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import finite
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.report_chart import Axis, nice_top, silences
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.report_html import sentences, verdict

#: with what Ansible puts around a line, 80 columns
WIDTH = 69
#: columns that a timeline has, and its names; then names and meters of what is now
COLUMNS, NAMED = 38, 13
METERED, METER = 16, 12
#: decisions that are listed
LISTED = 12
BLOCKS = " ▁▂▃▄▅▆▇█"
#: what stands in a timeline where there was no tick, and where a metric was unknown
SILENT, UNKNOWN = "·", "?"
SIGNS: t.Mapping[str, str] = {"out": "+", "in": "-", "held": "!", "steady": " ", "alert": "?", "error": "x"}


def render(report: model.Report, zone: datetime.tzinfo | None = None) -> str:
    """The text. ``zone`` is the clock that it goes by, None the clock of the machine that makes it."""
    axis = Axis.of(report, zone)
    parts = [_head(report, axis), _now(report), _timeline(report, axis), _decisions(report, axis), _fleet(report)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def plain(text: t.Any) -> str:
    """Any text on one line, without what is not to be printed."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, initial_indent=first, subsequent_indent=rest) or [first.rstrip()]


def _folded(line: str) -> list[str]:
    """A line with its blanks as they are, going on below where it is too long."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="      ") if len(line) > WIDTH else [line.rstrip()]


def _beside(line: str, aside: str) -> list[str]:
    """A line and what belongs to it, on a line of its own where there is no room."""
    if len(line) + 1 + len(aside) <= WIDTH:
        return [f"{line} {aside}".rstrip()]
    return [line.rstrip(), *(f"{part:>{WIDTH}}" for part in textwrap.wrap(aside, WIDTH - 2))]


def _short(name: str, width: int) -> str:
    """A name in so many columns."""
    name = plain(name)
    return f"{name if len(name) <= width else name[: width - 1] + '…':<{width}}"


def _head(report: model.Report, axis: Axis) -> list[str]:
    when = axis.local(report.now)
    moment = f"{when:%a} {when.day} {when:%b %Y %H:%M:%S} {when.tzname() or ''}"
    lines = [*_wrapped(f"Autoscaler of {report.title}, {moment}", "", "  "), verdict(report)[1].upper()]
    for concern in report.concerns:
        lines += _wrapped(concern.text, "  !! " if concern.grave else "  !  ", "     ")
    if report.last:
        lines += _wrapped(sentences(report.last), "  ", "  ")
    return lines


def _now(report: model.Report) -> list[str]:
    last = report.last
    if last is None:
        return []
    bounds = [report.settings.get(f"scale-{name}-instances") for name in ("min", "max")]
    of = f"   ({bounds[0]} to {bounds[1]} allowed)" if None not in bounds else ""
    rows = _folded(f"  {_short('instances', METERED)} {last.size(', to be ')}{of}")
    for name, reading in last.metrics.items():
        share = reading.value / reading.threshold if reading.value is not None and reading.threshold else 0.0
        filled = "#" * round(METER * min(share, 1.0))
        limit = f" of {plain(reading.words(reading.threshold))}" if reading.threshold is not None else ""
        over = "  OVER" if reading.over else ""
        meter = f"  {_short(model.label(name), METERED)} [{filled:<{METER}}]"
        rows += _beside(meter, f"{plain(reading.words(reading.value))}{limit}{over}")
    return ["Now", *rows]


# --- the timeline --------------------------------------------------------------------------------------------------------


def _timeline(report: model.Report, axis: Axis) -> list[str]:
    if not report.ticks:
        return []
    bins = _bins(report, axis)
    seen = [[] if quiet else ticks for ticks, quiet in zip(bins, _quiet(report, axis), strict=True)]
    sizes = [max((tick.current for tick in ticks if not tick.unknown), default=None) for ticks in seen]
    peak = max((tick.current for tick in report.ticks if not tick.unknown), default=None)
    shown = "".join(UNKNOWN if ticks and size is None else _block(size, float(peak or 0)) for ticks, size in zip(seen, sizes, strict=True))
    return [
        f"The last {model.duration(axis.end - axis.begin)}",
        f"  + out, - in, ! held back, ? blind, x went wrong, {SILENT} no tick",
        *_row("what it did", "".join(_sign(ticks) for ticks in bins), ""),
        *_row("instances", shown, "unknown" if peak is None else f"max {peak}"),
        *itertools.chain.from_iterable(_metric_row(report, seen, name) for name in report.metrics),
        *_row("", _scale(axis), ""),
    ]


def _row(name: str, line: str, aside: str) -> list[str]:
    return _beside(f"  {_short(name, NAMED)} {line}", aside)


def _bins(report: model.Report, axis: Axis) -> list[list[model.Tick]]:
    """The ticks by the column that they stand in; a column that is shorter than the interval has those of the one before it."""
    bins: list[list[model.Tick]] = [[] for _column in range(COLUMNS)]
    for tick in report.ticks:
        bins[min(int(axis.share(tick.time) * COLUMNS), COLUMNS - 1)].append(tick)
    width = (axis.end - axis.begin) / COLUMNS
    for index in range(1, COLUMNS):
        begin = axis.begin + index * width
        if not bins[index] and bins[index - 1] and begin - bins[index - 1][-1].time <= report.gap:
            bins[index] = bins[index - 1][-1:]
    return bins


def _quiet(report: model.Report, axis: Axis) -> list[bool]:
    """Of each column whether no tick came for at least half of it."""
    ends = [axis.begin + (axis.end - axis.begin) * index / COLUMNS for index in range(COLUMNS + 1)]
    spans = silences(report)
    return [
        2 * sum(max(min(end, after) - max(begin, before), 0.0) for before, after in spans) >= end - begin
        for begin, end in itertools.pairwise(ends)
    ]


def _sign(ticks: t.Sequence[model.Tick]) -> str:
    """The sign of what mattered most."""
    moods = {tick.mood for tick in ticks}
    return next((SIGNS[mood] for mood in ("error", "alert", "out", "in", "held", "steady") if mood in moods), SILENT)


def _block(value: float | None, top: float) -> str:
    if value is None:
        return SILENT
    return BLOCKS[min(max(round(value / top * 8), 1 if value > 0 else 0), 8)] if top > 0 else BLOCKS[0]


def _metric_row(report: model.Report, bins: t.Sequence[t.Sequence[model.Tick]], name: str) -> list[str]:
    readings = [tick.metrics[name] for tick in report.ticks if name in tick.metrics]
    known = [reading.value for reading in readings if reading.value is not None]
    latest = readings[-1]
    top = nice_top(max([*known, latest.threshold or 0.0]), latest.unit)
    line = "".join(_metric_block(ticks, name, top) for ticks in bins)
    return _row(model.label(name), line, plain(f"max {latest.words(max(known, default=None))}"))


def _metric_block(ticks: t.Sequence[model.Tick], name: str, top: float) -> str:
    """The most of a column, UNKNOWN if it was so at half of its ticks."""
    readings = [tick.metrics[name] for tick in ticks if name in tick.metrics]
    known = [reading.value for reading in readings if reading.value is not None]
    return UNKNOWN if ticks and 2 * len(known) <= len(ticks) else _block(max(known, default=None), top)


def _scale(axis: Axis) -> str:
    """The moments of the time axis under their columns."""
    line = [" "] * (COLUMNS + 6)
    for moment, name in axis.marks():
        at = int(axis.share(moment) * COLUMNS)
        if all(char == " " for char in line[max(at - 1, 0) : at + len(name) + 1]) and at + len(name) < len(line):
            line[at : at + len(name)] = name
    return "".join(line)


# --- the lists -----------------------------------------------------------------------------------------------------------


def _decisions(report: model.Report, axis: Axis) -> list[str]:
    lines: list[str] = []
    for one in reversed(report.episodes[-LISTED:]):
        tick = one.last
        times = f", {one.count} ticks" if one.count > 1 else ""
        dry = ", dry run" if tick.dry_run else ""
        lines += _folded(f"  {axis.moment(one.first.time)}  {model.MOODS[tick.mood]}, {tick.size(' to ')}{times}{dry}")
        lines += _wrapped("; ".join([tick.reason, *tick.errors, *tick.notes]), "      ", "      ")
    return ["Decisions, the latest first", *lines] if lines else []


def _fleet(report: model.Report) -> list[str]:
    if not report.fleet:
        return []
    columns: list[tuple[str, t.Callable[[model.Mapping], str]]] = [
        ("instance", lambda one: plain(one.get("name", ""))),
        ("state", lambda one: plain(one.get("state", ""))),
        ("healthy", lambda one: {True: "yes", False: "NO"}.get(t.cast("bool", one.get("ready")), "")),
        ("CPU", lambda one: _per_cent(one.get("cpu"))),
        ("memory", lambda one: _per_cent(one.get("memory"))),
        ("in flight", lambda one: plain(one["in_flight"]) if one.get("in_flight") is not None else ""),
    ]
    rows = [[name for name, _cell in columns], *([cell(one) for _name, cell in columns] for one in report.fleet)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = ["  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines = ["The fleet now", *_folded(shown[0])]
    for one, line in zip(report.fleet, shown[1:], strict=True):
        lines += _folded(line)
        if one.get("failure"):
            lines += _wrapped(str(one["failure"]), "      ", "      ")
    return lines


def _per_cent(value: t.Any) -> str:
    number = finite(value)
    return "" if number is None else f"{number:.0f} %"

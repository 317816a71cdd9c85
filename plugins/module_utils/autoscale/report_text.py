# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as plain text for a terminal, at most WIDTH wide. Pure.

What comes from outside is stripped of control characters, which a terminal would obey.
"""

from __future__ import annotations

import datetime
import textwrap
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import finite
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.report_chart import Axis, nice_top
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.report_html import sentences, verdict

WIDTH = 100
#: columns that a timeline has
COLUMNS = 72
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
    return "\n\n".join("\n".join(line[:WIDTH] for line in part) for part in parts if part) + "\n"


def plain(text: t.Any) -> str:
    """Any text on one line, without what is not to be printed."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, initial_indent=first, subsequent_indent=rest) or [first.rstrip()]


def _head(report: model.Report, axis: Axis) -> list[str]:
    when = axis.local(report.now)
    moment = f"{when:%a} {when.day} {when:%b %Y %H:%M:%S} {when.tzname() or ''}"
    lines = [f"Autoscaler of {plain(report.title)}, {moment}: {verdict(report)[1].upper()}"]
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
    rows = [f"  {'instances':<22} {last.size(', to be ')}{of}"]
    for name, reading in last.metrics.items():
        share = reading.value / reading.threshold if reading.value is not None and reading.threshold else 0.0
        filled = "#" * round(20 * min(share, 1.0))
        limit = f"of {plain(reading.words(reading.threshold))}" if reading.threshold is not None else ""
        over = "  OVER" if reading.over else ""
        rows.append(f"  {plain(model.label(name))[:22]:<22} [{filled:<20}] {plain(reading.words(reading.value))} {limit}{over}")
    return ["Now", *rows]


# --- the timeline --------------------------------------------------------------------------------------------------------


def _timeline(report: model.Report, axis: Axis) -> list[str]:
    if not report.ticks:
        return []
    bins = _bins(report, axis)
    sizes = [max((tick.current for tick in ticks if not tick.unknown), default=None) for ticks in bins]
    peak = max((tick.current for tick in report.ticks if not tick.unknown), default=None)
    shown = "".join(UNKNOWN if ticks and size is None else _block(size, float(peak or 0)) for ticks, size in zip(bins, sizes, strict=True))
    rows = [
        f"The last {model.duration(axis.end - axis.begin)}; + out, - in, ! held back, ? blind, x went wrong, {SILENT} no tick",
        _row("what it did", "".join(_sign(ticks) for ticks in bins), ""),
        _row("instances", shown, "unknown" if peak is None else f"max {peak}"),
        *(_metric_row(report, bins, name) for name in report.metrics),
        _row("", _scale(axis), ""),
    ]
    return [row.rstrip() for row in rows]


def _row(name: str, line: str, aside: str) -> str:
    return f"  {plain(name)[:13]:<13} {line} {aside}"


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


def _sign(ticks: t.Sequence[model.Tick]) -> str:
    """The sign of what mattered most."""
    moods = {tick.mood for tick in ticks}
    return next((SIGNS[mood] for mood in ("error", "alert", "out", "in", "held", "steady") if mood in moods), SILENT)


def _block(value: float | None, top: float) -> str:
    if value is None:
        return SILENT
    return BLOCKS[min(max(round(value / top * 8), 1 if value > 0 else 0), 8)] if top > 0 else BLOCKS[0]


def _metric_row(report: model.Report, bins: t.Sequence[t.Sequence[model.Tick]], name: str) -> str:
    readings = [tick.metrics[name] for tick in report.ticks if name in tick.metrics]
    known = [reading.value for reading in readings if reading.value is not None]
    latest = readings[-1]
    top = nice_top(max([*known, latest.threshold or 0.0]), latest.unit)
    line = "".join(_metric_block(ticks, name, top) for ticks in bins)
    return _row(model.label(name), line, plain(f"max {latest.words(max(known, default=None))}"))


def _metric_block(ticks: t.Sequence[model.Tick], name: str, top: float) -> str:
    readings = [tick.metrics[name] for tick in ticks if name in tick.metrics]
    known = [reading.value for reading in readings if reading.value is not None]
    return UNKNOWN if readings and not known else _block(max(known, default=None), top)


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
        lines.append(f"  {axis.moment(one.first.time)}  {model.MOODS[tick.mood]}, {tick.size(' to ')}{times}{dry}")
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
        ("failure", lambda one: plain(one.get("failure") or "")),
    ]
    rows = [[name for name, _cell in columns], *([cell(one) for _name, cell in columns] for one in report.fleet)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return ["The fleet now", *(f"  {line}".rstrip() for line in lines)]


def _per_cent(value: t.Any) -> str:
    number = finite(value)
    return "" if number is None else f"{number:.0f} %"

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's drawings: shapes in SVG that stretch to any width, and words in HTML around them that do not. Pure.

Every drawing is 1000 wide and 100 high in its own units and is stretched; lines keep their width.
"""

from __future__ import annotations

import dataclasses
import datetime
import html
import itertools
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import finite

WIDTH, HEIGHT = 1000.0, 100.0
#: lengths between the marks of the time axis, in seconds, the last one or a multiple of it beyond, and how many marks there may be
STEPS = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
MARKS = 9
#: days from the first to the last up to which a weekday says which one is meant
WEEKDAYS = datetime.timedelta(days=6)

#: which of several ticks is shown where there is room for one
WEIGHT: tuple[model.Mood, ...] = ("error", "alert", "out", "in", "held", "steady")

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Axis:
    """Time from left to right."""

    begin: float
    end: float
    zone: datetime.tzinfo | None = None

    @classmethod
    def of(cls, report: model.Report, zone: datetime.tzinfo | None) -> Axis:
        """From the first tick, where the log does not reach back to the report's begin."""
        first = report.ticks[0].time if report.ticks else report.since
        return cls(min(max(report.since, first), report.now - 60), report.now, zone)

    def share(self, time: float) -> float:
        """Where a moment lies, from 0 to 1."""
        return min(max((time - self.begin) / (self.end - self.begin), 0.0), 1.0)

    def x(self, time: float) -> float:
        """Where a moment lies in a drawing."""
        return WIDTH * self.share(time)

    def local(self, time: float) -> datetime.datetime:
        """A moment by the report's clock."""
        return datetime.datetime.fromtimestamp(time, self.zone).astimezone(self.zone)

    def moment(self, time: float) -> str:
        """A moment in words: with the weekday where the axis has several days, and with the date where it has a weekday twice."""
        begin, end, there = self.local(self.begin), self.local(self.end), self.local(time)
        if begin.date() == end.date() == there.date():
            return f"{there:%H:%M:%S}"
        day = f"{there:%a} {there.day} {there:%b}" if end.date() - begin.date() > WEEKDAYS else f"{there:%a}"
        return f"{day} {there:%H:%M:%S}"

    def marks(self) -> list[tuple[float, str]]:
        """Round moments and their names: the time of day, or the day where it begins."""
        length = self.end - self.begin
        step = next((one for one in STEPS if length / one <= MARKS), STEPS[-1] * math.ceil(length / STEPS[-1] / MARKS))
        offset = self.local(self.begin).utcoffset() or datetime.timedelta()
        first = math.ceil((self.begin + offset.total_seconds()) / step) * step - offset.total_seconds()
        moments = itertools.takewhile(lambda moment: moment <= self.end, itertools.count(first, step))
        return [(moment, self._name(self.local(moment))) for moment in moments]

    @staticmethod
    def _name(moment: datetime.datetime) -> str:
        return f"{moment:%H:%M}" if (moment.hour, moment.minute) != (0, 0) else f"{moment:%a} {moment.day}"


@dataclasses.dataclass(frozen=True)
class Column:
    """Some ticks in a row.

    ``tick`` is the last of them and ``telling`` the one that matters most; ``peaks`` is the highest that each metric was, None
    where it was unknown or not asked for all the time, ``unknown`` those that were asked for in vain, which are all where nothing could
    be read; ``size`` and ``wish`` are the most instances that there were and should be, None as long as nobody knew.
    """

    begin: float
    tick: model.Tick
    telling: model.Tick
    size: int | None
    wish: int | None
    peaks: t.Mapping[str, float | None]
    unknown: frozenset[str]
    after_silence: bool = False

    @classmethod
    def of(cls, ticks: t.Sequence[model.Tick], metrics: t.Iterable[str], *, after_silence: bool) -> Column:
        """The column of some ticks."""
        telling = min(ticks, key=lambda tick: WEIGHT.index(tick.mood))
        sized = [tick for tick in ticks if not tick.unknown]
        size, wish = max((tick.current for tick in sized), default=None), max((tick.desired for tick in sized), default=None)
        peaks = {name: _peak(ticks, name) for name in metrics}
        unknown = frozenset(name for tick in ticks for name in (peaks if _blind(tick) else tick.metrics) if peaks[name] is None)
        return cls(ticks[0].time, ticks[-1], telling, size, wish, peaks, unknown, after_silence)


def columns(report: model.Report) -> list[Column]:
    """The ticks, thinned out to what can be seen; a column does not reach over a silence."""
    size = max(1, math.ceil(len(report.ticks) / model.POINTS))
    found: list[Column] = []
    for run in report.runs:
        for index in range(0, len(run), size):
            found.append(Column.of(run[index : index + size], report.metrics, after_silence=bool(found) and not index))
    return found


def _blind(tick: model.Tick) -> bool:
    """Whether it could read nothing; a step by hand asks for nothing, and has no metrics either."""
    return not tick.metrics and (not tick.sized or bool(tick.errors))


def _peak(ticks: t.Sequence[model.Tick], name: str) -> float | None:
    known = [value for tick in ticks if name in tick.metrics and (value := tick.metrics[name].value) is not None]
    return max(known, default=None)


@dataclasses.dataclass(frozen=True)
class Scale:
    """Values from the bottom, which is 0, to ``top``."""

    top: float

    def y(self, value: float) -> float:
        """Where a value lies in a drawing."""
        return HEIGHT * (1 - min(max(value / self.top, 0.0), 1.0))


def nice_top(highest: float, unit: str = "") -> float:
    """A round number above ``highest``; per cent end at 100 where they can."""
    if unit == "%" and highest <= 100:
        return 100.0
    wanted = max(highest, 1e-9) * 1.1
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= wanted)


def silences(report: model.Report) -> list[tuple[float, float]]:
    """From when to when there was no tick, the time until now included."""
    ends = [*(run[0].time for run in report.runs[1:]), report.now]
    spans = ((run[-1].time, end) for run, end in zip(report.runs, ends, strict=True))
    return [(begin, end) for begin, end in spans if end - begin > report.gap]


def unknowns(points: t.Sequence[Column], name: str) -> list[tuple[float, float]]:
    """From when to when a metric was unknown."""
    pairs = itertools.pairwise([points[0], *points] if points else [])
    return [(after.begin if after.after_silence else before.tick.time, after.tick.time) for before, after in pairs if name in after.unknown]


# --- paths -------------------------------------------------------------------------------------------------------------


def lines(points: t.Iterable[Point | None]) -> list[list[Point]]:
    """Points as pieces of line; None breaks it."""
    pieces = itertools.groupby(points, key=lambda point: point is not None)
    return [[point for point in piece if point is not None] for there, piece in pieces if there]


def stairs(points: t.Sequence[Point]) -> list[Point]:
    """A line that keeps its height until the next point."""
    corners = [[(b[0], a[1]), b] for a, b in itertools.pairwise(points)]
    return [*points[:1], *itertools.chain.from_iterable(corners)]


def path(piece: t.Sequence[Point]) -> str:
    """Points as the ``d`` of a path; a single point is a short dash."""
    drawn = piece if len(piece) > 1 else [*piece, (piece[0][0] + 1.5, piece[0][1])]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)


def area(piece: t.Sequence[Point]) -> str:
    """The area between a piece of line and the bottom."""
    return f"{path(piece)}L{piece[-1][0]:.1f} {HEIGHT:g}L{piece[0][0]:.1f} {HEIGHT:g}Z"


def drawing(shapes: t.Iterable[str], says: str) -> str:
    """Shapes as a picture, with what it shows in words for those who do not see it."""
    box = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none"'
    return f'<svg {box} role="img" aria-label="{html.escape(says)}">{"".join(shapes)}</svg>'


def stroke(kind: str, d: str) -> str:
    """A line."""
    return f'<path class="{kind}" d="{d}"/>'


def block(kind: str, axis: Axis, span: tuple[float, float], title: str = "") -> str:
    """A stretch of time, from top to bottom."""
    begin, end = axis.x(span[0]), axis.x(span[1])
    shown = f"<title>{html.escape(title)}</title>" if title else ""
    return f'<rect class="{kind}" x="{begin:.1f}" y="0" width="{max(end - begin, 0.8):.1f}" height="{HEIGHT:g}">{shown}</rect>'


# --- panels ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Panel:
    """A drawing with its heading and the names of its heights, each with how far from the top it is, from 0 to 1."""

    title: str
    aside: str
    heights: tuple[tuple[float, str, str], ...]
    svg: str
    kind: str = ""


def metric_panel(report: model.Report, axis: Axis, points: t.Sequence[Column], name: str) -> Panel:
    """A metric with its threshold, what was unknown and what lay above."""
    readings = [tick.metrics[name] for tick in report.ticks if name in tick.metrics]
    known = [reading.value for reading in readings if reading.value is not None]
    latest, limit = readings[-1], readings[-1].threshold
    scale = Scale(nice_top(max([*known, limit or 0.0]), latest.unit))
    broken = (_broken(one, axis, scale, one.peaks[name]) for one in points)
    pieces = lines(itertools.chain.from_iterable(broken))
    over = HEIGHT if limit is None else scale.y(limit)
    # A name comes from outside and may hold anything; its place among the metrics names it as well.
    clip = f"over-{report.metrics.index(name)}"
    shapes = [
        *(block("silent", axis, span, "no tick") for span in silences(report)),
        *(block("unknown", axis, span, "unknown") for span in unknowns(points, name)),
        f'<clipPath id="{clip}"><rect x="0" y="0" width="{WIDTH:g}" height="{over:.1f}"/></clipPath>',
        *(stroke("area", area(piece)) for piece in pieces),
        *(f'<g clip-path="url(#{clip})">{stroke("area over", area(piece))}</g>' for piece in pieces if limit is not None),
        *(stroke("line", path(piece)) for piece in pieces),
        *([stroke("threshold", f"M0 {over:.1f}L{WIDTH:g} {over:.1f}")] if limit is not None else ()),
    ]
    heights = [(0.0, latest.words(scale.top), ""), (1.0, "0", "")]
    if limit is not None:
        heights.append((over / HEIGHT, latest.words(limit), "limit"))
    says = f"{model.label(name)} from {latest.words(min(known, default=None))} to {latest.words(max(known, default=None))}"
    says += f", threshold {latest.words(limit)}" if limit is not None else ""
    aside = f"now {latest.words(latest.value)}, highest {latest.words(max(known, default=None))}"
    return Panel(model.label(name), aside, tuple(heights), drawing(shapes, says), "metric")


def _broken(column: Column, axis: Axis, scale: Scale, value: float | None) -> t.Iterator[Point | None]:
    """A point, with a break before it where there was a silence."""
    if column.after_silence:
        yield None
    yield None if value is None else (axis.x(column.tick.time), scale.y(value))


def instances_panel(report: model.Report, axis: Axis, points: t.Sequence[Column]) -> Panel:
    """The fleet's size, what it was meant to be, and its bounds."""
    sizes = [one.size for one in points if one.size is not None]
    peak = max([*sizes, *(one.wish for one in points if one.wish is not None)], default=0) or 1
    low, high = (finite(report.settings.get(f"scale-{name}-instances")) for name in ("min", "max"))
    fits = high is not None and high <= max(2.5 * peak, peak + 4)
    scale = Scale(max(high if fits and high else 1.4 * peak, peak) * 1.12)
    bounds = [(value, name) for value, name in ((low, "min"), (high if fits else None, "max")) if value is not None]
    shapes = [
        *(block("silent", axis, span, "no tick") for span in silences(report)),
        *_sizes(report, axis, points, scale),
        *(stroke("bound", f"M0 {scale.y(value):.1f}L{WIDTH:g} {scale.y(value):.1f}") for value, _name in bounds),
    ]
    heights = tuple((scale.y(value) / HEIGHT, f"{name} {value:.0f}", "") for value, name in bounds)
    says = f"Instances from {min(sizes)} to {max(sizes)}" if sizes else "Instances: unknown"
    mean = f"mean {report.mean_instances:.1f}" if report.mean_instances is not None else ""
    now = "" if report.last is None else "unknown" if report.last.unknown else f"now {report.last.current}"
    aside = ", ".join(part for part in (now, mean, f"max {high:.0f}" if high and not fits else "") if part)
    return Panel("Instances", aside, heights, drawing(shapes, says), "instances")


def _sizes(report: model.Report, axis: Axis, points: t.Sequence[Column], scale: Scale) -> list[str]:
    """The lines of what there was and what there should be, broken where nobody looked."""
    sizes = lines(itertools.chain.from_iterable(_broken(one, axis, scale, one.size) for one in points))
    wishes = lines(itertools.chain.from_iterable(_broken(one, axis, scale, one.wish) for one in points))
    if sizes and report.now - points[-1].tick.time <= report.gap:
        sizes[-1].append((WIDTH, sizes[-1][-1][1]))
    return [
        *(stroke("area", area(stairs(piece))) for piece in sizes),
        *(stroke("wish", path(stairs(piece))) for piece in wishes),
        *(stroke("line", path(stairs(piece))) for piece in sizes),
    ]


def lane(report: model.Report, axis: Axis, points: t.Sequence[Column]) -> str:
    """What the autoscaler did all the time, as a ribbon of colours."""
    alike = [list(group) for _mood, group in itertools.groupby(points, key=lambda one: (one.telling.mood, one.after_silence))]
    ends = [later[0].begin for later in alike[1:]] + [report.now]
    shapes = [_ribbon(one, end, report, axis) for one, end in zip(alike, ends, strict=True)]
    return drawing([*shapes, *(block("silent", axis, span, "no tick") for span in silences(report))], "What the autoscaler did")


def _ribbon(alike: t.Sequence[Column], end: float, report: model.Report, axis: Axis) -> str:
    tick = alike[-1].telling
    reach = min(end, alike[-1].tick.time + report.gap)
    title = f"{axis.moment(alike[0].begin)} {model.MOODS[tick.mood]}: {tick.reason}"
    return block(f"mood {tick.mood}", axis, (alike[0].begin, reach), title)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a replay: for each trace, time with too few instances over instances in the mean, as an SVG file of its own."""

from __future__ import annotations

import html
import math
import typing as t

#: (instances, per cent of the time with too few) in the order of the targets, by policy
Curves = t.Mapping[str, t.Sequence[tuple[float, float]]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 320, 62, 16, 40, 48
COLOURS = ("#1f6feb", "#d1242f", "#8250df", "#9a6700", "#57606a")
STYLE = """
svg { background: #ffffff; color: #1f2328; font: 12px sans-serif; } .grid { stroke: #8c959f; stroke-opacity: .3; }
text { fill: currentColor; } .title { font-weight: bold; font-size: 14px; }
@media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3; } }
"""


def drawing(traces: t.Mapping[str, Curves]) -> str:
    """All traces below each other, two in a row, with one legend for each."""
    rows = math.ceil(len(traces) / 2)
    columns = min(len(traces), 2)
    panels = (
        f'<g transform="translate({index % 2 * WIDTH},{index // 2 * HEIGHT})">{_panel(name, curves)}</g>'
        for index, (name, curves) in enumerate(traces.items())
    )
    size = f'width="{columns * WIDTH}" height="{rows * HEIGHT}" viewBox="0 0 {columns * WIDTH} {rows * HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{STYLE}</style>\n' + "\n".join(panels) + "\n</svg>\n"


def _panel(name: str, curves: Curves) -> str:
    # The first two are what is compared; the picture is theirs, and what of others lies outside of it is left out.
    points = [point for curve in list(curves.values())[:2] for point in curve]
    left, right = (edge(x for x, _y in points) for edge in (min, max))
    left, right = math.floor(left), max(math.ceil(right), math.floor(left) + 1)
    top = _nice(max(y for _x, y in points) or 1.0)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (point[0] - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - point[1] / top * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    parts = [f'<text class="title" x="{LEFT}" y="20">{html.escape(name)}</text>']
    parts += _axes(left, right, top, at)
    for index, (policy, curve) in enumerate(curves.items()):
        inside = [at(point) for point in curve if left <= point[0] <= right and point[1] <= top]
        parts += _curve(policy, inside, COLOURS[index % len(COLOURS)], index)
    return "".join(parts)


def _axes(left: int, right: int, top: float, at: t.Callable[[tuple[float, float]], tuple[float, float]]) -> t.Iterator[str]:
    for number in range(5):
        value = top * number / 4
        x, y = at((left, value))
        yield f'<line class="grid" x1="{x}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>'
    for size in range(left, right + 1):
        x, y = at((size, 0))
        yield f'<text x="{x}" y="{y + 16}" text-anchor="middle">{size}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">instances in the mean</text>'
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text transform="translate(14,{middle}) rotate(-90)" text-anchor="middle">too few, % of the time</text>'


def _curve(policy: str, places: t.Sequence[tuple[float, float]], colour: str, index: int) -> t.Iterator[str]:
    path = " ".join(f"{x},{y}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in places:
        yield f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
    yield f'<text x="{WIDTH - RIGHT}" y="{TOP + 14 * (index + 1)}" text-anchor="end" style="fill:{colour}">{html.escape(policy)}</text>'


def _nice(value: float) -> float:
    """The next number of the form 1, 2, 4, 8 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 8, 10) if factor * power >= value - 1e-9)

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
LIGHT, DARK = "#ffffff", "#0d1117"
#: of the curves in their order, on the light ground and on the dark one
COLOURS = (("#1f6feb", "#58a6ff"), ("#d1242f", "#ff7b72"), ("#8250df", "#bc8cff"), ("#9a6700", "#d29922"), ("#57606a", "#9ba5b0"))
#: sizes that are written below a panel, and characters of a name above it, at most
SIZES, NAMED = 10, 42


def _colours(ground: int) -> str:
    """The colours of the curves on a ground: their lines, points and names."""
    return " ".join(
        f"polyline.c{index} {{ stroke: {pair[ground]}; }} circle.c{index}, text.c{index} {{ fill: {pair[ground]}; }}"
        for index, pair in enumerate(COLOURS)
    )


STYLE = f"""
svg {{ background: {LIGHT}; color: #1f2328; font: 12px sans-serif; }} .grid {{ stroke: #8c959f; stroke-opacity: .3; }}
text {{ fill: currentColor; }} .title {{ font-weight: bold; font-size: 14px; }} polyline {{ fill: none; stroke-width: 2; }}
{_colours(0)}
@media (prefers-color-scheme: dark) {{ svg {{ background: {DARK}; color: #e6edf3; }}
{_colours(1)} }}
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
    # The first two are what is compared; the picture is theirs and that of single points, and what of others lies outside is left out.
    points = [point for index, curve in enumerate(curves.values()) if index < 2 or len(curve) == 1 for point in curve]
    left, right = (edge(x for x, _y in points) for edge in (min, max))
    left, right = math.floor(left), max(math.ceil(right), math.floor(left) + 1)
    top = _nice(max(y for _x, y in points) or 1.0)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (point[0] - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - point[1] / top * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    parts = [f'<text class="title" x="{LEFT}" y="20"><title>{html.escape(name)}</title>{html.escape(_short(name))}</text>']
    parts += _axes(left, right, top, at)
    for index, (policy, curve) in enumerate(curves.items()):
        inside = [at(point) for point in curve if left <= point[0] <= right and point[1] <= top]
        parts += _curve(policy, inside, index, alone=len(curve) == 1)
    return "".join(parts)


def _short(name: str) -> str:
    """A name that does not run into the next panel; its beginning and its end tell names apart."""
    return name if len(name) <= NAMED else f"{name[: NAMED // 2]}…{name[-(NAMED // 2 - 1) :]}"


def _axes(left: int, right: int, top: float, at: t.Callable[[tuple[float, float]], tuple[float, float]]) -> t.Iterator[str]:
    for number in range(5):
        value = top * number / 4
        x, y = at((left, value))
        yield f'<line class="grid" x1="{x}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>'
    apart = round(_nice(max((right - left) / SIZES, 1), (1, 2, 5, 10)))
    for size in range(math.ceil(left / apart) * apart, right + 1, apart):
        x, y = at((size, 0))
        yield f'<text x="{x}" y="{y + 16}" text-anchor="middle">{size}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">instances in the mean</text>'
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text transform="translate(14,{middle}) rotate(-90)" text-anchor="middle">too few, % of the time</text>'


def _curve(policy: str, places: t.Sequence[tuple[float, float]], index: int, *, alone: bool) -> t.Iterator[str]:
    kind = f"c{index % len(COLOURS)}"
    if not alone:
        yield f'<polyline class="{kind}" points="{" ".join(f"{x},{y}" for x, y in places)}"/>'
    for x, y in places:
        yield f'<circle class="{kind}" cx="{x}" cy="{y}" r="{5 if alone else 3}"/>'
    yield f'<text class="{kind}" x="{WIDTH - RIGHT}" y="{TOP + 14 * (index + 1)}" text-anchor="end">{html.escape(policy)}</text>'


def _nice(value: float, factors: t.Sequence[int] = (1, 2, 4, 8, 10)) -> float:
    """The next number that is one of the factors times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in factors if factor * power >= value - 1e-9)

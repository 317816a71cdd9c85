# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces that are made, and shapes that are drawn by chance."""

from __future__ import annotations

import dataclasses
import math
import random
import typing as t

from replay_model import STEP


def _mean(kind: str, at: float, drift: float) -> float:
    """The expected requests per tick of a shape at a time."""
    if kind == "step":
        return 60.0 if at // 7200 % 2 else 15.0
    if kind == "ramp":
        return 10 + 80 * (at % 14400) / 14400
    if kind == "spike":
        since = at % 10800 - 600
        return 15 + (90 * math.exp(-since / 400) if since >= 0 else 0)
    if kind == "sawtooth":
        return 10 + 80 * (at % 3600) / 3600
    if kind == "diurnal":
        return 50 - 40 * math.cos(2 * math.pi * at / 86400)
    if kind == "levels":
        return (30.0, 75.0, 45.0, 95.0, 12.0, 60.0)[int(at // 4000) % 6]
    if kind == "pulses":
        return 90.0 if at % 3600 < 420 else 30.0
    if kind == "waves":
        return 50 - 25 * math.cos(2 * math.pi * at / 900)
    return 40 * math.exp(drift)


SHAPES = ("step", "ramp", "spike", "sawtooth", "diurnal", "noise")
#: what no constant of the policy was chosen on
UNSEEN = ("levels", "pulses", "waves", "drift", "bursts")
#: how much of a tick's deviation from the mean the next one keeps, and what is added to it, in logarithms
WANDERS = {"noise": (0.9, 0.13), "drift": (0.95, 0.1)}


def made(kind: str, seed: int = 1, days: float = 1.0) -> list[float]:
    """A made trace: Poisson arrivals around one of SHAPES or UNSEEN; noise wanders by itself, in the mean for 150 s, drift for
    300 s; bursts vary by a third more from tick to tick."""
    chance, drift, counts = random.Random(f"{kind} {seed}"), 0.0, []
    kept, added = WANDERS.get(kind, (0.0, 0.13))
    for tick in range(round(days * 86400 / STEP)):
        drift = kept * drift + chance.gauss(0, added)
        mean = 50 * chance.gammavariate(9, 1 / 9) if kind == "bursts" else _mean(kind, tick * STEP, drift)
        counts.append(_poisson(chance, mean))
    return counts


def _poisson(chance: random.Random, mean: float) -> float:
    """A Poisson number, by its normal approximation where that is good enough."""
    if mean > 60:
        return float(max(0, round(chance.gauss(mean, math.sqrt(mean)))))
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return float(count)


# --- shapes drawn by chance ---


@dataclasses.dataclass(frozen=True)
class Shape:
    """A load drawn by chance, in requests per tick.

    :param kind: one of KINDS
    :param low, high: requests per tick between which it moves
    :param period: seconds until it repeats itself
    :param share: of a period, how much of it a pulse lasts or how fast a spike fades
    :param levels: requests per tick of each period in turn, for the kind of that name
    :param noise: standard deviation of the logarithm of what each tick differs by, beside that of Poisson arrivals
    :param whole_minutes: whether only the mean of each minute is known, as of many logs
    """

    kind: str
    low: float
    high: float
    period: float
    share: float
    levels: tuple[float, ...]
    noise: float
    whole_minutes: bool

    @property
    def middle(self) -> float:
        """Requests per tick halfway."""
        return (self.low + self.high) / 2

    def mean(self, at: float) -> float:
        """The expected requests per tick at a time, without what is chance."""
        return KINDS[self.kind](self, at / self.period)

    def __str__(self) -> str:
        minutes = ", whole minutes" if self.whole_minutes else ""
        return f"{self.kind} of {self.low:.0f} to {self.high:.0f} in {self.period:.0f} s, noise {100 * self.noise:.0f} %{minutes}"


#: the expected requests per tick after so many periods; drift and bursts are chance around the middle
KINDS: t.Mapping[str, t.Callable[[Shape, float], float]] = {
    "step": lambda shape, at: shape.high if at % 2 >= 1 else shape.low,
    "ramp": lambda shape, at: shape.low + (shape.high - shape.low) * (at % 1),
    "sawtooth": lambda shape, at: shape.low + (shape.high - shape.low) * (1 - abs(2 * (at % 1) - 1)),
    "spike": lambda shape, at: shape.low + (shape.high - shape.low) * math.exp(-(at % 1) / shape.share * 4),
    "wave": lambda shape, at: shape.middle - (shape.high - shape.low) / 2 * math.cos(2 * math.pi * at),
    "levels": lambda shape, at: shape.levels[int(at) % len(shape.levels)],
    "pulses": lambda shape, at: shape.high if at % 1 < shape.share else shape.low,
    "drift": lambda shape, at: shape.middle,
    "bursts": lambda shape, at: shape.middle,
}


def drawn(seed: int) -> Shape:
    """A shape that nobody chose: two to eight times its trough at its peak, a quarter of an hour to four hours long, with 5 to 1000
    requests a tick."""
    chance = random.Random(f"shape {seed}")
    scale = math.exp(chance.uniform(math.log(0.5), math.log(50)))
    low = scale * chance.uniform(5, 30)
    high = low * chance.uniform(2, 8)
    return Shape(
        chance.choice(sorted(KINDS)),
        low,
        high,
        math.exp(chance.uniform(math.log(900), math.log(14400))),
        chance.uniform(0.05, 0.5),
        tuple(chance.uniform(low, high) for _ in range(7)),
        chance.choice((0.0, 0.0, 0.05, 0.1, 0.2, 0.3)),
        chance.random() < 0.25,
    )


def traced(shape: Shape, seed: int, days: float = 0.5) -> list[float]:
    """Requests per tick of a shape: Poisson arrivals around its mean and its noise. Drift keeps 0.95 of a tick's deviation from the
    middle, in logarithms, and deviates by 0.45; bursts vary by a third from tick to tick."""
    chance, drift, counts = random.Random(f"trace {seed}"), 0.0, []
    for tick in range(round(days * 86400 / STEP)):
        drift = 0.95 * drift + chance.gauss(0, 0.45 * math.sqrt(1 - 0.95**2))
        more = {"drift": math.exp(drift), "bursts": chance.gammavariate(9, 1 / 9)}.get(shape.kind, 1.0)
        counts.append(_poisson(chance, shape.mean(tick * STEP) * more * math.exp(chance.gauss(0, shape.noise))))
    if not shape.whole_minutes:
        return counts
    ticks = round(60 / STEP)
    minutes = (counts[first : first + ticks] for first in range(0, len(counts), ticks))
    return [math.fsum(minute) / len(minute) for minute in minutes for _ in minute]

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Floors and ceilings by time of day and zone. Pure but for the zone database, which is read once."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
import typing as t
import zoneinfo

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)
_FIELDS = frozenset({"name", "days", "from", "to", "timezone", "min", "max"})
MIDNIGHT = 24 * 60
#: the largest number that an option may be, as in config.csv; nothing that is computed with it becomes infinite
MOST = 1e9


@dataclasses.dataclass(frozen=True)
class Schedule:
    """From ``begin`` to ``end`` (minutes of the day in ``zone``) on ``days`` the fleet has at least ``min`` and at most ``max``.

    An end that is not after the beginning lies on the next day; ``days`` are those of the beginning (0 is Monday).
    """

    name: str
    begin: int
    end: int
    days: frozenset[int] = frozenset(range(7))
    zone: str = "UTC"
    min: int | None = None
    max: int | None = None

    def holds(self, time: float) -> bool:
        """Whether it is in force at a time, in seconds since the epoch; summer time is the zone's own."""
        there = datetime.datetime.fromtimestamp(time, zone_of(self.zone))
        minute, day = there.hour * 60 + there.minute, there.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


@functools.lru_cache(maxsize=64)
def zone_of(name: str) -> datetime.tzinfo:
    """The time zone of that name.

    :raises InvalidInput: this machine does not know it
    """
    if name == "UTC":
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"timezone is {name!r}, which this machine does not know; give a name such as Europe/Berlin or UTC, "
            "or install the package tzdata."
        ) from error


def schedule_of(given: t.Mapping[str, t.Any], number: int, most: int) -> Schedule:
    """One entry of ``gb_autoscale.schedules``.

    :param number: its place in the list, from 1
    :param most: scale-max-instances
    :raises InvalidInput: it cannot be meant so; the message begins with its place
    """
    place = f"schedules[{number}]"
    if not isinstance(given, t.Mapping):
        raise InvalidInput(f"{place} is {given!r}; it must be a mapping with from, to, and min or max.")
    unknown = sorted(set(map(str, given)) - _FIELDS)
    if unknown:
        raise InvalidInput(f"{place} has {', '.join(unknown)}; a schedule has {', '.join(sorted(_FIELDS))}.")
    zone = str(given.get("timezone") or "UTC")
    zone_of(zone)
    low, high = (_bound(given, name, place, most) for name in ("min", "max"))
    if low is None and high is None:
        raise InvalidInput(f"{place} has neither min nor max; give at least one of them.")
    if low is not None and high is not None and low > high:
        raise InvalidInput(f"{place} has min {low} above max {high}; lower one or raise the other.")
    begin, end = _minute(given, "from", place), _minute(given, "to", place)
    return Schedule(str(given.get("name") or f"schedule {number}"), begin, end, _days(given.get("days"), place), zone, low, high)


def _bound(given: t.Mapping[str, t.Any], name: str, place: str, most: int) -> int | None:
    value = given.get(name)
    try:
        return None if value is None else int(numbered(1, most, whole=True)(value))
    except (TypeError, ValueError):
        raise InvalidInput(f"{place} has {name} {value!r}; it must be a number from 1 to scale-max-instances ({most}).") from None


def numbered(low: float, high: float = MOST, *, whole: bool = False) -> t.Callable[[t.Any], float | int]:
    """What reads a number from ``low`` to ``high``, also as text, as a template gives it; ValueError or TypeError: it is none."""

    def read(value: t.Any) -> float | int:
        if isinstance(value, (bool, type(None))):
            raise ValueError
        try:
            number = float(value)
        except OverflowError as error:
            raise ValueError from error
        if not low <= number <= high or (whole and number != int(number)):
            raise ValueError
        return int(number) if whole else number

    return read


def _minute(given: t.Mapping[str, t.Any], name: str, place: str) -> int:
    value = given.get(name)
    # YAML 1.1 reads an unquoted 8:30 as a number to the base 60. It leaves 0:30 a text, so a number below 60 was meant as an hour.
    text = f"{value // 60:02}:{value % 60:02}" if isinstance(value, int) and value >= 60 else str(value)
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise InvalidInput(f'{place} has {name} {value!r}; it must be a time of day in quotes, such as "08:30" or "24:00".')
    return MIDNIGHT if match[1] is None else int(match[1]) * 60 + int(match[2])


def _days(given: t.Any, place: str) -> frozenset[int]:
    if given in (None, ""):
        return frozenset(range(7))
    if given == []:
        raise InvalidInput(f"{place} has no day in days; leave days out for every day, or the schedule out for none.")
    names = [given] if isinstance(given, str) else given
    wrong = [day for day in names if str(day).lower() not in DAYS] if isinstance(names, list) else [given]
    if wrong:
        raise InvalidInput(f"{place} has the day {wrong[0]!r}; days are a list of {', '.join(DAYS)}.")
    return frozenset(DAYS.index(str(day).lower()) for day in names)


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The bounds that hold at a time, and what set each of them, in words."""

    low: int
    high: int
    floor: str
    ceiling: str


def bounds_at(time: float, low: int, high: int, schedules: t.Sequence[Schedule]) -> Bounds:
    """The highest floor and the lowest ceiling in force; where a floor lies above a ceiling, the ceiling counts."""
    floors = [(low, f"scale-min-instances ({low})")]
    ceilings = [(high, f"scale-max-instances ({high})")]
    for one in schedules:
        if not one.holds(time):
            continue
        if one.min is not None:
            floors.append((one.min, f"the floor of {one.name} ({one.min})"))
        if one.max is not None:
            ceilings.append((one.max, f"the ceiling of {one.name} ({one.max})"))
    floor, ceiling = max(floors, key=lambda item: item[0]), min(ceilings, key=lambda item: item[0])
    if floor[0] > ceiling[0]:
        floor = ceiling
    return Bounds(floor[0], ceiling[0], floor[1], ceiling[1])

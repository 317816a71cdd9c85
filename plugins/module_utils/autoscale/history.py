# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a decision adds to the history, and the history as JSON. Pure, and bounded whatever the interval is."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Direction, History, Load
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import amount, finite
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.sizing import NOISE
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import HOUR

#: entries of each list; where ticks come faster than that fills its window, neighbours are merged
MOST = 60
#: failed starts and slots that are remembered
SLOTS = 1000


def learn(history: History, decision: Decision) -> History:
    """The history with this tick in it."""
    now, seen = decision.time, decision.seen
    loads = [one for one in history.loads if now - NOISE <= one.time < now]
    if seen.totals:
        loads = _spaced(loads, Load(now, {name: round(total, 2) for name, total in seen.totals.items()}), NOISE, _mean)
    needs = [one for one in history.needs if now - 2 * seen.window - HOUR / 60 <= one[0] < now]
    if seen.need is not None:
        needs = _spaced_needs(needs, (now, round(seen.need, 3)), max(seen.window, 1.0))
    return dataclasses.replace(
        history,
        loads=tuple(loads),
        needs=tuple(needs),
        unhealthy={slot: min(history.unhealthy.get(slot, now), now) for slot in sorted(seen.unhealthy)[:SLOTS]},
        replacing=_replacing(history, decision),
        replaced=(*(at for at in history.replaced if 0 <= now - at < HOUR), *[now] * seen.relapsed)[-MOST:],
        mended=_within_hour(history.mended, seen.mended, now),
    )


def _replacing(history: History, decision: Decision) -> dict[int, int]:
    """Substitutes that are still members, or are started now, for slots that are still unhealthy."""
    seen = decision.seen
    kept = {slot: new for slot, new in history.replacing.items() if slot in seen.unhealthy and new in seen.members}
    return {**kept, **seen.substitutes}


def _spaced(loads: list[Load], new: Load, window: float, merge: t.Callable[[Load, Load], Load]) -> list[Load]:
    """The list with one more; into the last entry where that one is not yet a full share of the window apart from its neighbour."""
    if len(loads) >= 2 and new.time - loads[-2].time < window / MOST:
        return [*loads[:-1], merge(loads[-1], new)]
    return [*loads, new]


def _mean(before: Load, new: Load) -> Load:
    return Load(new.time, {name: (before.totals.get(name, total) + total) / 2 for name, total in new.totals.items()})


def _spaced_needs(needs: list[tuple[float, float]], new: tuple[float, float], window: float) -> list[tuple[float, float]]:
    """The same for needs, of which the larger is kept, at the later time."""
    if len(needs) >= 2 and new[0] - needs[-2][0] < window / MOST:
        return [*needs[:-1], (new[0], max(needs[-1][1], new[1]))]
    return [*needs, new]


# --- as JSON -------------------------------------------------------------------------------------------------------


def as_dict(history: History) -> dict[str, t.Any]:
    """For JSON, whose keys are text."""
    plain = dataclasses.asdict(history)
    return {
        **plain,
        "loads": [{"time": one.time, "totals": dict(one.totals)} for one in history.loads],
        "needs": [list(one) for one in history.needs],
        "replaced": list(history.replaced),
        "unhealthy": {str(slot): since for slot, since in history.unhealthy.items()},
        "stuck": {str(slot): at for slot, at in history.stuck.items()},
        "mended": {str(slot): at for slot, at in history.mended.items()},
        "replacing": {str(slot): new for slot, new in history.replacing.items()},
    }


def from_dict(data: t.Mapping[str, t.Any]) -> History:
    """The inverse of :func:`as_dict`; what an older release did not write is empty.

    :raises KeyError, TypeError, ValueError, AttributeError: it is none
    """
    return History(
        last_out=amount(data["last_out"]),
        last_in=amount(data["last_in"]),
        loads=tuple(Load(_number(one["time"]), {str(k): _number(v) for k, v in one["totals"].items()}) for one in data.get("loads", ()))[
            -2 * MOST :
        ],
        needs=tuple((_number(at), _number(need)) for at, need in data.get("needs", ()))[-4 * MOST :],
        unhealthy={int(slot): _number(since) for slot, since in data.get("unhealthy", {}).items()},
        replacing={int(slot): int(new) for slot, new in data.get("replacing", {}).items()},
        replaced=tuple(_number(at) for at in data.get("replaced", ()))[-MOST:],
        failed_starts=int(data.get("failed_starts", 0)),
        last_failed=amount(data.get("last_failed")),
        stuck={int(slot): _number(at) for slot, at in data.get("stuck", {}).items()},
        mended={int(slot): _number(at) for slot, at in data.get("mended", {}).items()},
    )


def not_after(history: History, now: float) -> History:
    """The history without anything from the future: a clock that was set back must stretch no cooldown and no window."""

    def clip(at: float | None) -> float | None:
        return None if at is None else min(at, now)

    return dataclasses.replace(
        history,
        last_out=clip(history.last_out),
        last_in=clip(history.last_in),
        last_failed=clip(history.last_failed),
        loads=tuple(one for one in history.loads if one.time <= now),
        needs=tuple(one for one in history.needs if one[0] <= now),
        stuck={slot: min(at, now) for slot, at in history.stuck.items()},
        mended={slot: min(at, now) for slot, at in history.mended.items()},
        unhealthy={slot: min(since, now) for slot, since in history.unhealthy.items()},
        replaced=tuple(min(at, now) for at in history.replaced),
    )


def stepped(history: History, direction: Direction, when: float) -> History:
    """The history after a step that came true."""
    if direction == "out":
        return dataclasses.replace(history, last_out=when)
    return dataclasses.replace(history, last_in=when)


def failed(history: History, lost: int, came: int, now: float) -> History:
    """The history after starts of which some were lost: they are counted in a row until one comes true."""
    if came:
        return dataclasses.replace(history, failed_starts=0, last_failed=None)
    return dataclasses.replace(history, failed_starts=history.failed_starts + lost, last_failed=now) if lost else history


def stuck(history: History, slots: t.Collection[int], now: float) -> History:
    """The history after a run in which slots could be neither started nor marked as failed; they are remembered for an hour."""
    return dataclasses.replace(history, stuck=_within_hour(history.stuck, slots, now))


def _within_hour(before: t.Mapping[int, float], slots: t.Collection[int], now: float) -> dict[int, float]:
    """Slots with a time, those of before within the last hour."""
    return {**{slot: at for slot, at in before.items() if now - at < HOUR}, **dict.fromkeys(sorted(slots)[:SLOTS], now)}


def _number(value: t.Any) -> float:
    found = finite(value)
    if found is None:
        raise ValueError(f"{value!r} is no number")
    return found

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report on the autoscaler says, out of its decision log and its state; pages and texts only put it into shape. Pure.

Times are seconds since the epoch. A line of the log that cannot be read, as a run that was killed leaves it, is counted and
never stops a report.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import statistics
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import textfile
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.facts import AHEAD
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import finite
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.rules import HEALING

Mapping = t.Mapping[str, t.Any]
Mood = t.Literal["steady", "held", "out", "in", "alert", "error"]

#: what a tick was, in words, in the order of a legend
MOODS: t.Mapping[str, str] = {
    "out": "scaled out",
    "in": "scaled in",
    "held": "wanted to, held back",
    "steady": "nothing to do",
    "alert": "blind or alarmed",
    "error": "went wrong",
}
#: labels of metrics whose names do not make one
LABELS = {"cpu": "CPU", "response-time": "Response time", "queue": "Queue depth"}
#: intervals without a tick after which the autoscaler counts as silent
SILENT = 3
#: reversals in an hour from which the fleet counts as flapping
FLAPPING = 4
HOUR = 3600.0
#: what is beyond it in a log is nothing that was measured or counted, and beyond what can be drawn
MOST = 1e15
#: points that a timeline has at most; each stands for some ticks
POINTS = 480


@dataclasses.dataclass(frozen=True)
class Reading:
    """A metric in one tick; ``value`` is None where it is unknown, ``missing`` counts those that could not be asked."""

    value: float | None
    threshold: float | None
    unit: str = ""
    missing: int = 0

    @property
    def known(self) -> bool:
        """Whether it is known of everyone it was asked of."""
        return self.value is not None and not self.missing

    @property
    def over(self) -> bool:
        """Whether it lies above its threshold."""
        return self.value is not None and self.threshold is not None and self.value > self.threshold

    def words(self, number: float | None) -> str:
        """A number in this metric's unit."""
        if number is None:
            return "unknown"
        figure = f"{number:,.0f}" if abs(number) >= 10 or number == int(number) else f"{number:.1f}"
        return f"{figure} {self.unit}" if self.unit and not self.unit.startswith("/") else f"{figure}{self.unit}"


@dataclasses.dataclass(frozen=True)
class Tick:
    """One line of the log."""

    time: float
    action: str
    current: int
    desired: int
    rule: str
    reason: str
    next: str = ""
    metrics: t.Mapping[str, Reading] = dataclasses.field(default_factory=dict)
    guards: tuple[str, ...] = ()
    alert: bool = False
    notes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    took: float | None = None
    holder: str = ""
    dry_run: bool = False
    sized: bool = True
    """Whether it came to know the fleet's size; otherwise ``current`` and ``desired`` are those of the tick before it."""
    undone: bool = False
    """Whether nothing came of its step."""
    unknown: bool = False
    """Whether no tick up to this one came to know it, and ``current`` and ``desired`` say nothing."""
    instances: tuple[Mapping, ...] = ()
    controls: Mapping = dataclasses.field(default_factory=dict)
    """The pause and the pin in force; empty in lines of older releases, and where it did not get to know them."""

    @property
    def mood(self) -> Mood:
        """What kind of tick it was; what went wrong comes before what was done."""
        if self.errors:
            return "error"
        if self.action in ("out", "in"):
            return "out" if self.action == "out" else "in"
        if self.alert:
            return "alert"
        return "held" if self.guards else "steady"

    def size(self, change: str = " → ") -> str:
        """The fleet's size in words, with what it shall be behind ``change`` where that differs."""
        if self.unknown:
            return "unknown"
        return f"{self.current}{change}{self.desired}" if self.desired != self.current else f"{self.current}"

    @property
    def stepped(self) -> bool:
        """Whether it changed the fleet, or tried to."""
        return self.action in ("out", "in") and not self.dry_run


@dataclasses.dataclass(frozen=True)
class Episode:
    """Ticks in a row that said the same; ``last`` is the latest of ``count``."""

    first: Tick
    last: Tick
    count: int


@dataclasses.dataclass(frozen=True)
class Concern:
    """Something that wants a look. ``grave`` ones cannot wait until the morning."""

    text: str
    grave: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that is known at ``now`` about the time from ``since``."""

    now: float
    since: float
    ticks: tuple[Tick, ...] = ()
    unreadable: int = 0
    ahead: int = 0
    """Ticks that were left out, for by this clock they are yet to come."""
    state: Mapping = dataclasses.field(default_factory=dict)
    lock: Mapping = dataclasses.field(default_factory=dict)
    fleet: tuple[Mapping, ...] = ()
    settings: Mapping = dataclasses.field(default_factory=dict)
    trouble: str = ""
    """Why the present state, or a log, could not be read."""
    title: str = "generalbots"

    @property
    def last(self) -> Tick | None:
        """The latest tick."""
        return self.ticks[-1] if self.ticks else None

    @functools.cached_property
    def interval(self) -> float:
        """Seconds from tick to tick, as set, or else as seen."""
        wanted = finite(self.settings.get("scale-check-interval"))
        steps = [later.time - earlier.time for earlier, later in itertools.pairwise(self.ticks)]
        return wanted or (statistics.median(steps) if steps else 30.0) or 30.0

    @functools.cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, those of the latest tick first."""
        return tuple(dict.fromkeys(name for tick in reversed(self.ticks) for name in tick.metrics))

    @functools.cached_property
    def gap(self) -> float:
        """Seconds without a tick from which a timeline shows a gap: it was a silence, and there is room to show it."""
        return max(SILENT * self.interval, (self.now - self.ticks[0].time) / POINTS if self.ticks else 0.0)

    @functools.cached_property
    def runs(self) -> tuple[tuple[Tick, ...], ...]:
        """The ticks, parted where none came for a while."""
        found: list[list[Tick]] = []
        for tick in self.ticks:
            if found and tick.time - found[-1][-1].time <= self.gap:
                found[-1].append(tick)
            else:
                found.append([tick])
        return tuple(map(tuple, found))

    @functools.cached_property
    def episodes(self) -> tuple[Episode, ...]:
        """The ticks, those in a row that said the same as one; the earliest first."""
        groups = (list(group) for run in self.runs for _key, group in itertools.groupby(run, key=_same))
        return tuple(Episode(group[0], group[-1], len(group)) for group in groups)

    @property
    def controls(self) -> Mapping:
        """``pause`` and ``pin``: those set at run time, or else those that were in force in the latest tick that knew."""
        set_now = self.state.get("controls") or {}
        in_force = next((tick.controls for tick in reversed(self.ticks) if tick.controls), {})
        return {name: in_force.get(name) if set_now.get(name) is None else set_now[name] for name in ("pause", "pin")}

    @functools.cached_property
    def steps(self) -> tuple[Tick, ...]:
        """The ticks that changed the fleet."""
        return tuple(tick for tick in self.ticks if tick.stepped)

    def reversals(self, since: float) -> int:
        """How often a step after ``since`` went the other way than the step before it; what mends the fleet, or failed, is left aside."""
        resized = (tick for tick in self.steps if tick.rule not in HEALING and not tick.undone)
        return sum(a.action != b.action for a, b in itertools.pairwise(resized) if b.time >= since)

    @functools.cached_property
    def mean_instances(self) -> float | None:
        """The fleet's mean size over the ticks that came to know it."""
        sizes = [tick.current for tick in self.ticks if tick.sized]
        return statistics.fmean(sizes) if sizes else None

    @functools.cached_property
    def concerns(self) -> tuple[Concern, ...]:
        """What wants a look, grave things first."""
        found = [said for check in CHECKS for said in check(self)]
        return tuple(sorted(found, key=lambda one: not one.grave))


def build(lines: t.Iterable[str], now: float, hours: float, **present: t.Any) -> Report:
    """A report on the last ``hours``, from 1970 on at most. Ticks of more than AHEAD seconds after ``now`` are counted and left out.

    :param lines: the decision log, one JSON object per line, in any order
    :param present: what Report has besides: ``state``, ``lock``, ``fleet``, ``settings``, ``trouble``, ``title``. The decisions that
        ``state`` remembers stand in for those that the log does not have
    """
    since = max(now - hours * HOUR, 0.0)
    read = [parse(line) for line in lines if line.strip()]
    logged = {round(tick.time, 3): tick for tick in read if tick is not None}
    remembered = (_parsed(data) for data in (present.get("state") or {}).get("decisions") or ())
    known = {round(tick.time, 3): tick for tick in remembered if tick is not None} | logged
    ticks = sorted((tick for tick in known.values() if since <= tick.time <= now + AHEAD), key=lambda tick: tick.time)
    ahead = sum(tick.time > now + AHEAD for tick in known.values())
    fleet = _with_load(tuple(present.pop("fleet", ())), ticks[-1] if ticks else None)
    return Report(now, since, tuple(_carried(ticks)), read.count(None), ahead, fleet=fleet, **present)


def _carried(ticks: t.Iterable[Tick]) -> t.Iterator[Tick]:
    """The ticks; one that did not get to know the fleet's size has that of the one before it."""
    size: int | None = None
    for tick in ticks:
        yield tick if tick.sized else dataclasses.replace(tick, current=size or 0, desired=size or 0, unknown=size is None)
        size = tick.current if tick.sized else size


def _with_load(fleet: tuple[Mapping, ...], last: Tick | None) -> tuple[Mapping, ...]:
    """The instances as they are, with the load that the last tick saw; only that where they could not be read."""
    seen = {str(one.get("name")): one for one in (last.instances if last else ())}
    return tuple({**seen.get(str(one.get("name")), {}), **one} for one in fleet) or tuple(seen.values())


def parse(line: str) -> Tick | None:
    """A line of the log, or None where it is none."""
    try:
        return _parsed(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _parsed(data: t.Any) -> Tick | None:
    try:
        return _tick(data)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _same(tick: Tick) -> t.Any:
    """What a tick has in common with its neighbours of the same episode."""
    return tick.mood, tick.rule, tick.guards, tick.current, tick.unknown, tick.errors, tick.dry_run


def label(metric: str) -> str:
    """What a metric is called in a heading."""
    return LABELS.get(metric) or metric.replace("-", " ").replace("_", " ").capitalize()


def _tick(data: Mapping) -> Tick:
    sized = data.get("current") is not None
    notes = tuple(map(str, data.get("notes") or ()))
    moment = finite(data["time"])
    if moment is None or moment < 0:
        raise ValueError(f"{data['time']!r} is no time")
    return Tick(
        time=moment,
        action=str(data["action"]),
        current=_count(data["current"]) if sized else 0,
        desired=_count(data["desired"]) if sized else 0,
        rule=str(data.get("rule") or ""),
        reason=str(data.get("reason") or "") or " ".join(notes),
        next=str(data.get("next") or ""),
        metrics={str(name): _reading(one) for name, one in (data.get("metrics") or {}).items()},
        guards=tuple(str(one["name"]) for one in data.get("guards") or ()),
        alert=bool(data.get("alert")),
        notes=tuple(note for note in notes if data.get("reason") and note not in data["reason"]),
        errors=_errors(data.get("errors")),
        took=finite(data.get("took_seconds")),
        holder=str(data.get("holder") or ""),
        dry_run=bool(data.get("dry_run")),
        sized=sized,
        undone=data["action"] != "hold" and not textfile.stepped(data),
        controls=_flat(data.get("controls") or {}),
        instances=tuple(_flat(one) for one in data.get("instances") or ()),
    )


def _count(data: t.Any) -> int:
    """A number of instances; raises ValueError for what can be none."""
    count = int(data)
    if not 0 <= count <= MOST:
        raise ValueError(f"{count} is no number of instances")
    return count


def _flat(data: Mapping) -> Mapping:
    """What is told of an instance or of the controls; all of it is plain, and what is not could be of any depth."""
    return {str(key): value for key, value in data.items() if value is None or isinstance(value, (str, int, float))}


def _reading(data: Mapping) -> Reading:
    missing = int(data.get("missing") or 0)
    value, threshold = (_clamped(finite(data.get(key))) for key in ("value", "threshold"))
    return Reading(value, threshold, str(data.get("unit") or "").strip(), missing)


def _clamped(value: float | None) -> float | None:
    return None if value is None else min(max(value, -MOST), MOST)


def _errors(data: t.Any) -> tuple[str, ...]:
    """Errors are counts by kind or sentences."""
    if isinstance(data, t.Mapping):
        return tuple(f"{kind} ({count})" if count != 1 else str(kind) for kind, count in data.items() if count)
    return tuple(map(str, data or ()))


# --- what wants a look -------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """A length of time in words, rounded: 45 s, 12 min, 3 h 20 min, 2 days."""
    seconds = max(seconds, 0.0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{minutes / 1440:.0f} days"


Said = t.Iterator[Concern]


def _fault(tick: Tick) -> str:
    """What went wrong in a tick: the kinds, and the words that were found for it."""
    words = " ".join(tick.notes) if tick.rule else tick.reason
    return ", ".join(tick.errors) + (f": {words}" if words else ".")


def _unreadable_state(report: Report) -> Said:
    if report.trouble:
        yield Concern(f"What follows lacks what could not be read: {report.trouble.strip()}", grave=True)


def _silent(report: Report) -> Said:
    if report.last is None:
        yield Concern(f"There was no tick in the last {duration(report.now - report.since)}, as far as the log and LXD know.", grave=True)
    elif report.now - report.last.time > SILENT * report.interval:
        ago = duration(report.now - report.last.time)
        if (finite(report.lock.get("expires")) or 0.0) > report.now:
            yield Concern(
                f"The last tick ended {ago} ago; {report.lock.get('holder')} is at work meanwhile, for {report.lock.get('purpose')}."
            )
            return
        yield Concern(f"Silent: the last tick was {ago} ago; there should be one every {duration(report.interval)}.", grave=True)


def _last_tick(report: Report) -> Said:
    if report.last is None:
        return
    if report.last.errors:
        yield Concern(f"The last tick went wrong: {_fault(report.last)}", grave=True)
    if report.last.alert:
        yield Concern(f"The autoscaler asks for help: {report.last.reason}", grave=True)
    unknown = [label(name) for name, reading in report.last.metrics.items() if not reading.known]
    if unknown and not report.last.alert:
        yield Concern(f"Not known of every instance: {', '.join(unknown)}. Nothing is taken in while that lasts.")


def _bounds(report: Report) -> Said:
    last, low, high = report.last, finite(report.settings.get("scale-min-instances")), finite(report.settings.get("scale-max-instances"))
    if last is None or last.unknown:
        return
    if low is not None and last.current < low:
        yield Concern(f"{last.current} instances, and scale-min-instances is {low:.0f}.", grave=True)
    over = [label(name) for name, reading in last.metrics.items() if reading.over]
    if high is not None and last.current >= high and over:
        yield Concern(f"At scale-max-instances ({high:.0f}) and {', '.join(over)} over the threshold: it cannot grow further.", grave=True)


def _controls(report: Report) -> Said:
    pause, pin, set_now = report.controls["pause"], report.controls["pin"], report.state.get("controls") or {}
    # What the last tick had and is not set at run time stands in the inventory, or was lifted since.
    ends = {name: "" if set_now.get(name) is not None else f" or takes {name} out of gb_autoscale" for name in ("pause", "pin")}
    if pause:
        which = "in any direction" if pause == "both" else pause
        yield Concern(f"Paused: no step {which} is taken until somebody resumes it{ends['pause']}.")
    if pin is not None:
        yield Concern(f"Pinned to {pin} instances until somebody unpins it{ends['pin']}.")
    if report.settings.get("scale-enabled") is False:
        yield Concern("scale-enabled is false: the autoscaler looks on and does nothing.")


def _recent(report: Report) -> Said:
    recent = [tick for tick in report.ticks[:-1] if tick.errors and tick.time >= report.now - HOUR]
    if recent:
        ticks = f"{len(recent)} tick{'s' if len(recent) > 1 else ''}"
        yield Concern(f"{ticks} went wrong in the last hour, the latest: {_fault(recent[-1])}")
    reversals = report.reversals(report.now - HOUR)
    if reversals >= FLAPPING:
        yield Concern(f"Flapping: {reversals} steps in the last hour undid the step before. Thresholds may lie too close together.")


def _instances(report: Report) -> Said:
    failed = [f"{one.get('name')} ({one['failure']})" if one.get("failure") else str(one.get("name")) for one in _in(report, "failed")]
    if failed:
        yield Concern(f"Failed and kept for inspection: {', '.join(failed)}.")
    late = [str(one.get("name")) for one in _in(report, "draining") if (finite(one.get("drain_deadline")) or math.inf) < report.now]
    if late:
        yield Concern(f"Draining past the deadline: {', '.join(late)}.", grave=True)


def _lock(report: Report) -> Said:
    expires = finite(report.lock.get("expires"))
    if expires is not None and expires < report.now:
        yield Concern(f"{report.lock.get('holder')} died holding the lock; the next tick takes it over.")


def _log(report: Report) -> Said:
    if report.unreadable:
        lines, were = (f"{report.unreadable} lines", "were") if report.unreadable > 1 else ("1 line", "was")
        yield Concern(f"{lines} of the log could not be read and {were} left out.")
    if report.ahead:
        ticks = f"{report.ahead} ticks carry" if report.ahead > 1 else "1 tick carries"
        yield Concern(f"{ticks} a time ahead of this clock, which the report leaves out. Compare the clocks of both machines.")


def _in(report: Report, state: str) -> list[Mapping]:
    return [one for one in report.fleet if one.get("state") == state]


#: asked in order; a further warning is a further entry
CHECKS: tuple[t.Callable[[Report], Said], ...] = (
    _unreadable_state,
    _silent,
    _last_tick,
    _bounds,
    _controls,
    _recent,
    _instances,
    _lock,
    _log,
)

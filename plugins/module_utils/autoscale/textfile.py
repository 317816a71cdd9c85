# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tick as metrics, in the format of node exporter's textfile collector. Pure; the caller writes the file atomically.

FAMILIES is the whole list: a new metric is a new entry. Gauges show this tick. Counters go on from the text that is being
replaced, so that the file itself remembers them; without it they begin at 0, which Prometheus takes for a reset.

``cpu_usage``, ``container_count``, ``max_instances`` and ``scaling_errors`` are the names that General Bots documents for
its alerts; they break Prometheus' customs for names and say the same as the ``generalbots_`` ones beside them.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils import prometheus
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import finite
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.rules import HEALING

Mapping = t.Mapping[str, t.Any]
Labels = tuple[tuple[str, str], ...]
Values = t.Mapping[Labels, float]

#: what can go wrong in a tick; each is there from the first tick on, so that its first increase is seen as one
ERROR_KINDS = ("start", "unready", "drain_timeout", "stop", "source", "engine", "proxy", "settings", "other")
#: those that are no failure of a step: the tick goes on without what it could not read, and says so by other metrics
READING = frozenset({"source", "proxy", "settings"})
DIRECTIONS = ("out", "in")
ACTIONS = (*DIRECTIONS, "hold")
STATES = ("active", "draining", "warm", "failed")

#: which key of config.csv switches a group of metrics off; the first switches all of them
MAIN_SWITCH = "metrics-scaling-enabled"
COUNT, EVENTS, LOAD = "metrics-container-count", "metrics-scaling-events", "metrics-load-distribution"


def render(
    decision: Mapping,
    fleet: t.Sequence[Mapping],
    state: Mapping,
    took: float,
    errors: t.Mapping[str, int],
    *,
    settings: Mapping | None = None,
    previous: str = "",
    labels: t.Mapping[str, str] | None = None,
) -> str:
    """The file's text after a tick; empty if ``metrics-scaling-enabled`` is false, and then there should be no file.

    :param decision: ``Decision.as_dict()``; empty if the tick came to none. Times are seconds since the epoch. ``controls`` with the
        pause and the pin in force may be with it; otherwise those count that ``state`` has. ``undone`` may be with it: the slots of
        ``start`` and ``drain`` of which nothing came, or not that one knew
    :param fleet: one entry per instance with ``name`` and ``state``, and where they are known ``cpu`` and ``memory``
        (per cent of its limits), ``in_flight`` and ``ready``
    :param state: what is remembered; ``controls`` and ``history`` are asked
    :param took: seconds that the tick took
    :param errors: how often each kind of ERROR_KINDS happened in this tick; kinds that it does not have count as "other"
    :param settings: typed settings by their config.csv names; without them everything is published
    :param previous: the text that is replaced
    :param labels: labels that every sample gets, to tell several fleets on one host apart
    """
    settings = settings or {}
    if not settings.get(MAIN_SWITCH, True):
        return ""
    seen = Seen(decision, fleet, state, took, _by_kind(errors), settings, Counters.read(previous, labels or {}))
    published = (one for one in FAMILIES if not one.switch or settings.get(one.switch, True))
    return "".join(_text(one, one.values(seen), labels or {}) for one in published)


@dataclasses.dataclass(frozen=True)
class Counters:
    """The counters of an earlier text, by name and labels."""

    values: t.Mapping[tuple[str, Labels], float] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, text: str, without: t.Mapping[str, str]) -> Counters:
        """Those in a text of ours; ``without`` are the labels that every sample got."""
        found: dict[tuple[str, Labels], float] = {}
        for name, labels, value in prometheus.samples(text):
            if math.isfinite(value):
                found[name, _labels(**{key: _unquoted(one) for key, one in labels.items() if key not in without})] = value
        return cls(found)

    def get(self, name: str, labels: Labels) -> float:
        """The value so far, 0 for one that was not there."""
        return self.values.get((name, labels), 0.0)

    def of(self, name: str) -> dict[Labels, float]:
        """All samples of one name."""
        return {labels: value for (one, labels), value in self.values.items() if one == name}


@dataclasses.dataclass(frozen=True)
class Seen:
    """Everything that a family may ask."""

    decision: Mapping
    fleet: t.Sequence[Mapping]
    state: Mapping
    took: float
    errors: t.Mapping[str, int]
    settings: Mapping
    counters: Counters

    @property
    def decided(self) -> bool:
        """Whether the tick came to a decision; one that failed before only says that it was there, and when."""
        return bool(self.decision.get("rule"))

    @functools.cached_property
    def metrics(self) -> t.Mapping[str, Mapping]:
        """The decision's metrics by name."""
        return self.decision.get("metrics") or {}

    @functools.cached_property
    def moved(self) -> str | None:
        """The direction of this tick's step, if it took one; a step of which nothing came is none."""
        return str(self.decision["action"]) if stepped(self.decision) else None

    @property
    def resized(self) -> str | None:
        """The same, if the step was not there to mend the fleet."""
        return None if self.decision.get("rule") in HEALING else self.moved

    @functools.cached_property
    def controls(self) -> Mapping | None:
        """The pause and the pin in force; None where nobody came to know."""
        return self.decision.get("controls") or self.state.get("controls")

    @property
    def last_tick(self) -> float | None:
        """When the tick looked at the fleet, or the later time at which it said that it was still at work.

        What lies behind its end is of a clock that was set back since.
        """
        looked, said = _value(self.decision.get("time")), self.counters.values.get((LAST_TICK, ()))
        if looked is None or said is None:
            return looked
        return said if looked < said <= looked + self.took else looked

    def last_step(self, direction: str) -> float | None:
        """When the last step in a direction was, this tick's included; seconds since the epoch."""
        if self.moved == direction:
            return _value(self.decision.get("time"))
        kept = self.counters.values.get((LAST_STEP, _labels(direction=direction)))
        return _value((self.state.get("history") or {}).get(f"last_{direction}")) or kept

    def last_resized(self, direction: str) -> float | None:
        """The same of steps that were not there to mend the fleet, as far as this file knows of them."""
        if self.resized == direction:
            return _value(self.decision.get("time"))
        return self.resizes.get(_labels(direction=direction))

    @functools.cached_property
    def resizes(self) -> Values:
        """When such steps were before this tick; those that a clock that was set back says are still to come are forgotten."""
        now = _value(self.decision.get("time"))
        return {labels: at for labels, at in self.counters.of(LAST_RESIZED).items() if now is None or at <= now}

    @property
    def reversed(self) -> bool:
        """Whether this tick's step undoes the one before it, those that mend the fleet left aside."""
        before = self.resizes
        latest = max(before, key=lambda labels: before[labels], default=None)
        return self.resized is not None and latest is not None and latest != _labels(direction=self.resized)


@dataclasses.dataclass(frozen=True)
class Family:
    """A metric: its name, type, help, the switch that it obeys, and how its samples come out of a tick."""

    name: str
    kind: t.Literal["gauge", "counter"]
    help: str
    read: t.Callable[[Seen], Values]
    switch: str = ""

    def values(self, seen: Seen) -> Values:
        """Samples by labels; those of a counter are added to what it had before."""
        now = self.read(seen)
        if self.kind == "gauge":
            return now
        total = collections.Counter(seen.counters.of(self.name))
        for labels, value in now.items():
            total[labels] += value  # type: ignore[assignment]
        return total


def stepped(line: Mapping) -> bool:
    """Whether a tick's decision came to a step, as far as its line in the log says: not if nothing came of any of its slots."""
    slots = {*(line.get("start") or ()), *(line.get("drain") or ())}
    return line.get("action") in DIRECTIONS and not (slots and slots <= {*(line.get("undone") or ())})


# --- what is read ------------------------------------------------------------------------------------------------------


def _plain(read: t.Callable[[Seen], t.Any]) -> t.Callable[[Seen], Values]:
    """One sample without labels, or none where the value is unknown."""

    def values(seen: Seen) -> Values:
        value = _value(read(seen))
        return {} if value is None else {(): value}

    return values


def _decided(name: str) -> t.Callable[[Seen], Values]:
    return _plain(lambda seen: seen.decision.get(name))


def _setting(name: str) -> t.Callable[[Seen], Values]:
    return _plain(lambda seen: seen.settings.get(name))


def _one_of(label: str, names: t.Sequence[str], read: t.Callable[[Seen], t.Container[t.Any]]) -> t.Callable[[Seen], Values]:
    """1 for those of ``names`` that ``read`` holds and 0 for the others."""
    return lambda seen: {_labels(**{label: name}): float(name in read(seen)) for name in names}


def _of_metrics(pick: t.Callable[[Mapping], t.Any]) -> t.Callable[[Seen], Values]:
    """One sample per metric of the decision; none where its value is unknown."""

    def values(seen: Seen) -> Values:
        found = {name: _value(pick(metric)) for name, metric in seen.metrics.items()}
        return {_labels(metric=name): value for name, value in found.items() if value is not None}

    return values


def _ratio(metric: Mapping) -> float | None:
    value, threshold = _value(metric.get("value")), _value(metric.get("threshold"))
    return None if value is None or not threshold else value / threshold


def _known(metric: Mapping) -> bool:
    return metric.get("value") is not None and not metric.get("missing")


def _per_instance(key: str, scale: float = 1.0) -> t.Callable[[Seen], Values]:
    def values(seen: Seen) -> Values:
        found = {str(one.get("name")): _value(one.get(key)) for one in seen.fleet}
        return {_labels(name=name): value * scale for name, value in found.items() if value is not None}

    return values


def _cpu_usage(seen: Seen) -> Values:
    """Per instance, or the fleet's mean where instances are not to be told apart: the mean over either is the same."""
    each = _per_instance("cpu")(seen) if seen.settings.get(LOAD, True) else {}
    mean = _value((seen.metrics.get("cpu") or {}).get("value"))
    return each or ({} if mean is None else {(): mean})


def _action(seen: Seen) -> tuple[t.Any, ...]:
    return (seen.decision.get("action"),) if seen.decided else ()


def _by_state(seen: Seen) -> Values:
    if not seen.decided and not seen.fleet:
        return {}
    count = collections.Counter(str(one.get("state")) for one in seen.fleet)
    return {_labels(state=name): float(count[name]) for name in STATES}


def _ready(seen: Seen) -> float | None:
    said = [one["ready"] for one in seen.fleet if one.get("state") == "active" and isinstance(one.get("ready"), bool)]
    return float(sum(said)) if said else None


def _paused(seen: Seen) -> Values:
    """What is paused; where that is not known, what was."""
    if seen.controls is None:
        return seen.counters.of(PAUSED)
    pause = seen.controls.get("pause")
    return {_labels(direction=one): float(pause in ("both", one)) for one in DIRECTIONS}


def _pinned(seen: Seen) -> Values:
    """The size that is pinned; where that is not known, what was."""
    if seen.controls is None:
        return seen.counters.of(PINNED)
    pin = _value(seen.controls.get("pin"))
    return {} if pin is None else {(): pin}


def _bound(side: str, name: str) -> t.Callable[[Seen], Values]:
    """A bound that is in force; where the tick did not look at it, the one that was."""

    def values(seen: Seen) -> Values:
        value = _value((seen.decision.get("bounds") or {}).get(side))
        return seen.counters.of(name) if value is None else {(): value}

    return values


def _guards(seen: Seen) -> Values:
    """Guards that hold now, and as 0 those that the file has from before."""
    before = dict.fromkeys(seen.counters.of(GUARD), 0.0)
    return {**before, **{_labels(guard=str(one.get("name"))): 1.0 for one in seen.decision.get("guards") or ()}}


def _rule(seen: Seen) -> Values:
    return {_labels(rule=str(seen.decision["rule"])): 1.0} if seen.decision.get("rule") else {}


def _changes(seen: Seen) -> Values:
    lists = {"out": "start", "in": "drain"}
    return {_labels(direction=one): float(len(seen.decision.get(lists[one]) or ())) for one in DIRECTIONS}


def _of_directions(read: t.Callable[[Seen, str], float | None]) -> t.Callable[[Seen], Values]:
    """One sample per direction; none where its value is unknown."""

    def values(seen: Seen) -> Values:
        found = {one: read(seen, one) for one in DIRECTIONS}
        return {_labels(direction=one): value for one, value in found.items() if value is not None}

    return values


def _failed(seen: Seen) -> int:
    return sum(count for kind, count in seen.errors.items() if kind not in READING)


def _decisions(seen: Seen) -> Values:
    """The decision of this tick, if it came to one; there are as many series as the policy has rules."""
    if not seen.decided:
        return {}
    return {_labels(action=str(seen.decision.get("action")), rule=str(seen.decision.get("rule"))): 1.0}


# --- the families --------------------------------------------------------------------------------------------------------

FLOOR = "generalbots_autoscaler_floor_instances"
CEILING = "generalbots_autoscaler_ceiling_instances"
LAST_TICK = "generalbots_autoscaler_last_tick_timestamp_seconds"
GUARD = "generalbots_autoscaler_guard"
LAST_STEP = "generalbots_autoscaler_last_step_timestamp_seconds"
LAST_RESIZED = "generalbots_autoscaler_last_resize_timestamp_seconds"
PAUSED = "generalbots_autoscaler_paused"
PINNED = "generalbots_autoscaler_pinned_instances"


def _own(name: str, kind: t.Literal["gauge", "counter"], text: str, read: t.Callable[[Seen], Values], switch: str = "") -> Family:
    return Family(f"generalbots_autoscaler_{name}", kind, text, read, switch)


FAMILIES: tuple[Family, ...] = (
    Family(LAST_TICK, "gauge", "When a tick last looked at the fleet, or saw a run at work.", _plain(lambda seen: seen.last_tick)),
    _own("last_tick_duration_seconds", "gauge", "What the last tick took.", _plain(lambda seen: seen.took)),
    _own("check_interval_seconds", "gauge", "Time from one tick to the next.", _setting("scale-check-interval")),
    _own("enabled", "gauge", "Whether the autoscaler may change the fleet.", _setting("scale-enabled")),
    _own("decision", "gauge", "1 for what the last tick decided.", _one_of("action", ACTIONS, _action)),
    _own("rule_info", "gauge", "The rule that spoke in the last tick.", _rule),
    _own("guard", "gauge", "1 for each guard that held a step back in the last tick.", _guards),
    _own("alert", "gauge", "1 if the last tick wants somebody to look.", _plain(lambda seen: bool(seen.decision.get("alert")))),
    _own("metric_value", "gauge", "A metric's mean over what is known, in its own unit.", _of_metrics(lambda one: one.get("value"))),
    _own("metric_threshold", "gauge", "The threshold of a metric, in its own unit.", _of_metrics(lambda one: one.get("threshold"))),
    _own(
        "metric_threshold_ratio",
        "gauge",
        "A metric as a share of its threshold; above 1 it need not ask for instances: a tolerance and its forecast decide.",
        _of_metrics(_ratio),
    ),
    _own("metric_known", "gauge", "1 if a metric is known of everyone it was asked of.", _of_metrics(_known)),
    _own(
        "metrics_unknown",
        "gauge",
        "Metrics that are not known of everyone they were asked of.",
        _plain(lambda seen: sum(not _known(one) for one in seen.metrics.values()) if seen.decided else None),
    ),
    _own(
        "metric_unknown_total",
        "counter",
        "Ticks in which a metric was not known of everyone that it was asked of.",
        lambda seen: {_labels(metric=name): float(not _known(one)) for name, one in seen.metrics.items()},
    ),
    Family(PAUSED, "gauge", "1 for each direction in which steps are paused.", _paused),
    Family(PINNED, "gauge", "The size to which the fleet is pinned, while it is.", _pinned),
    _own(
        "replacing_instances",
        "gauge",
        "Instances whose replacement is under way.",
        _plain(lambda seen: len(seen.decision.get("replace") or ())),
    ),
    _own(
        "errors_total",
        "counter",
        "What went wrong in ticks.",
        lambda seen: {_labels(kind=name): float(n) for name, n in seen.errors.items()},
    ),
    Family("scaling_errors", "counter", "Steps and ticks that failed, whatever the kind.", _plain(_failed)),
    _own("current_instances", "gauge", "Instances that make up the fleet.", _decided("current"), COUNT),
    _own("desired_instances", "gauge", "Instances that shall make up the fleet.", _decided("desired"), COUNT),
    _own("min_instances", "gauge", "The lower bound of config.csv.", _setting("scale-min-instances"), COUNT),
    _own("max_instances", "gauge", "The upper bound of config.csv.", _setting("scale-max-instances"), COUNT),
    Family(FLOOR, "gauge", "The least instances that there may be now, schedules included.", _bound("min", FLOOR), COUNT),
    Family(CEILING, "gauge", "The most instances that there may be now, schedules included.", _bound("max", CEILING), COUNT),
    Family("generalbots_fleet_instances", "gauge", "Instances by state.", _by_state, COUNT),
    Family("generalbots_fleet_ready_instances", "gauge", "Active instances that the load balancer finds healthy.", _plain(_ready), COUNT),
    Family("container_count", "gauge", "Instances that make up the fleet.", _decided("current"), COUNT),
    Family("max_instances", "gauge", "Upper bound of the fleet.", _setting("scale-max-instances"), COUNT),
    _own("decisions_total", "counter", "Ticks by what they decided and the rule that spoke.", _decisions, EVENTS),
    _own(
        "scaling_events_total",
        "counter",
        "Ticks that changed the fleet.",
        lambda seen: {_labels(direction=one): float(seen.moved == one) for one in DIRECTIONS},
        EVENTS,
    ),
    _own("instance_changes_total", "counter", "Instances that were to be started or drained.", _changes, EVENTS),
    _own(
        "reversals_total",
        "counter",
        "Steps that went the other way than the step before, those that mend the fleet left aside.",
        _plain(lambda seen: seen.reversed),
        EVENTS,
    ),
    Family(LAST_STEP, "gauge", "When the fleet last took a step.", _of_directions(Seen.last_step), EVENTS),
    Family(LAST_RESIZED, "gauge", "When it last took one that was not to mend it.", _of_directions(Seen.last_resized), EVENTS),
    Family("cpu_usage", "gauge", "CPU use in per cent of the limit.", _cpu_usage),
    Family("generalbots_instance_cpu_ratio", "gauge", "CPU use as a share of the limit.", _per_instance("cpu", 0.01), LOAD),
    Family("generalbots_instance_memory_ratio", "gauge", "Memory in use as a share of the limit.", _per_instance("memory", 0.01), LOAD),
    Family(
        "generalbots_instance_requests_in_flight", "gauge", "Requests that the load balancer waits for.", _per_instance("in_flight"), LOAD
    ),
    Family("generalbots_instance_ready", "gauge", "1 if the load balancer finds it healthy.", _per_instance("ready"), LOAD),
)


# --- the format ----------------------------------------------------------------------------------------------------------


def _text(family: Family, values: Values, more: t.Mapping[str, str]) -> str:
    if not values:
        return ""
    head = f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
    return head + "".join(f"{family.name}{_braces({**more, **dict(labels)})} {_figure(value)}\n" for labels, value in values.items())


def _braces(labels: t.Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _unquoted(value: str) -> str:
    return value.replace("\\\\", "\0").replace("\\n", "\n").replace('\\"', '"').replace("\0", "\\")


def _figure(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def _labels(**labels: str) -> Labels:
    return tuple(sorted(labels.items()))


def _value(value: t.Any) -> float | None:
    """A finite number, a truth as 1 or 0; None for anything else."""
    return finite(int(value) if isinstance(value, bool) else value)


def _by_kind(errors: t.Mapping[str, int]) -> dict[str, int]:
    """Every kind with its count."""
    counts = dict.fromkeys(ERROR_KINDS, 0)
    for kind, count in errors.items():
        counts[kind if kind in counts else "other"] += int(count)
    return counts

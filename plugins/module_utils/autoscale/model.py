# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the autoscaler knows and says, as values.

``None`` always means unknown and never zero. Times are seconds since the epoch, durations seconds, shares per cent.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.schedules import Schedule

Action = t.Literal["out", "in", "hold"]
Direction = t.Literal["out", "in"]
Pause = t.Literal["in", "out", "both"]
Sizing = t.Literal["proportional", "steps"]

#: LXD's states in which an instance takes up its slot and does, or is about to do, work
LIVE = frozenset({"Running", "Ready", "Starting"})


@dataclasses.dataclass(frozen=True)
class StepRule:
    """A rule of config.csv: one instance more while its metric is above ``level``, or one less while it is below."""

    name: str
    """What follows ``scale-rule-``."""
    metric: str
    level: float
    direction: Direction

    @property
    def key(self) -> str:
        """Its key in config.csv."""
        return f"scale-rule-{self.name}"

    def speaks(self, value: float) -> bool:
        """Whether a value of its metric is beyond the level."""
        return value > self.level if self.direction == "out" else value < self.level


@dataclasses.dataclass(frozen=True)
class Limit:
    """The most that one step may change the fleet: the larger of a count of instances and a share of its size in per cent."""

    count: int = 1
    percent: float = 0.0

    def of(self, size: int) -> int:
        """The most for a fleet of that size, at least 1."""
        return max(self.count, math.floor(size * self.percent / 100), 1)


CPU_LOW = StepRule("cpu-low", "cpu", 30.0, "in")


@dataclasses.dataclass(frozen=True)
class Policy:
    """The user's wishes: what config.csv says, and below that what ``gb_autoscale`` says.

    The thresholds of CPU, memory and requests are what instances shall be used at; None means that nothing is aimed at.
    Why each default is what it is stands in docs/autoscaling.md.
    """

    enabled: bool = False
    min: int = 1
    max: int = 10
    cpu: float | None = 70.0
    memory: float | None = 80.0
    requests: float | None = 1000.0
    """Requests per minute and instance."""
    cooldown: float = 300.0
    interval: float = 30.0
    steps: tuple[StepRule, ...] = (CPU_LOW,)

    sizing: Sizing = "proportional"
    tolerance_out: float = 0.1
    tolerance_in: float = 0.1
    stabilisation: float | None = None
    """Seconds; a step in must have been right for so long. None is the cooldown."""
    cooldown_out: float = 0.0
    cooldown_in: float = 0.0
    """Seconds from one proportional step to the next in that direction; step rules rest for ``cooldown``."""
    limit_out: Limit = Limit(4, 100.0)
    limit_in: Limit = Limit(1, 50.0)
    start_time: float = 60.0
    """Seconds from a decision to the first request that a new instance serves; the load is extrapolated so far."""
    margin: float = 1.25
    """Standard deviations of the load's noise that are kept free above its forecast."""
    response_time: str = "p95"
    """Which response time is meant: mean, or p1 to p99."""
    start_patience: float = 120.0
    """How long a started instance may take to become healthy before it counts as unhealthy and not as starting."""
    warmup: float = 30.0
    """Seconds from its start in which an instance's own figures count for no more than the others' mean."""
    panic_share: float = 0.5
    """Below this share of healthy instances the cause is shared: nothing is taken in and nothing replaced."""
    heal: bool = True
    heal_patience: float = 60.0
    """Seconds for which an instance must have been unhealthy before it is replaced."""
    max_unavailable: int = 1
    """Replacements that may be under way at once."""
    give_up_after: int = 3
    """Starts in a row that may fail, and replacements in an hour that do not help, before no more are tried and a person is called."""
    give_up_for: float = 600.0
    """Seconds after which a start is tried again, and for which what a replacement brings must be well to have been of help."""
    pause: Pause | None = None
    pin: int | None = None
    schedules: tuple[Schedule, ...] = ()

    remember: float | None = None
    """Seconds for which needs are remembered. None is the stabilisation window."""

    @property
    def calm(self) -> float:
        """The stabilisation window in seconds."""
        return self.cooldown if self.stabilisation is None else self.stabilisation

    @property
    def window(self) -> float:
        """Seconds for which needs are remembered; a forced tick forgets none that later ones look back on."""
        return self.calm if self.remember is None else self.remember

    def forced(self) -> Policy:
        """The policy without what stands in the way of an evaluation now: the switch, the cooldowns and the stabilisation window."""
        return dataclasses.replace(
            self, enabled=True, cooldown=0.0, cooldown_out=0.0, cooldown_in=0.0, stabilisation=0.0, remember=self.window
        )

    @classmethod
    def from_settings(
        cls, settings: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any] | None = None, sources: t.Collection[str] | None = None
    ) -> Policy:
        """See :func:`options.policy_of`."""
        from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.options import policy_of

        return policy_of(settings, options, sources)

    def under(self, pause: Pause | None, pin: int | None) -> Policy:
        """The policy with what an operator has set at run time, which wins over the inventory."""
        return dataclasses.replace(self, pause=pause or self.pause, pin=pin or self.pin)

    def target(self, metric: str) -> float | None:
        """What instances shall be used at by that metric, in its unit; None for metrics that only step rules ask."""
        return {"cpu": self.cpu, "memory": self.memory, "requests": self.requests}.get(metric)


@dataclasses.dataclass(frozen=True)
class InstanceFacts:
    """One instance as it was seen: ``cpu`` and ``memory`` are per cent of its own limits."""

    name: str
    slot: int
    status: str = "Running"
    state: str = "active"
    ready: bool | None = None
    """What the load balancers' health checks say; None where none of them says anything."""
    started_at: float | None = None
    protected: bool = False
    cpu: float | None = None
    memory: float | None = None
    in_flight: int | None = None
    image: str = ""
    """The version of its image; the one that was started last has the current one."""

    @property
    def counts(self) -> bool:
        """Whether it is part of the fleet's size: running for work, not draining, not kept warm, not failed."""
        return self.state == "active" and self.status in LIVE

    @property
    def startable(self) -> bool:
        """Whether its slot can be started again: kept warm, or meant to run, and stopped. LXD starts no frozen or broken one."""
        return self.state in ("warm", "active") and self.status == "Stopped"


@dataclasses.dataclass(frozen=True)
class Facts:
    """The fleet at one moment. ``requests`` is per minute over all proxies whose rate is known."""

    time: float
    instances: tuple[InstanceFacts, ...] = ()
    requests: float | None = None
    requests_missing: int = 0
    """How many proxies' rates are unknown; ``requests`` is then only a lower bound."""
    notes: tuple[str, ...] = ()
    """Why something is unknown, one sentence each."""
    readings: t.Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    """What other sources say of the whole fleet, by metric; None where a source could not be read."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What the fleet as a whole was asked for at a time, by metric: per cent of one instance, requests per minute."""

    time: float
    totals: t.Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class History:
    """What decisions look back on. All of it is bounded by :mod:`history`.

    :param loads: totals of the metrics that move with the fleet, oldest first
    :param needs: (time, instances) that the load asked for by proportional sizing, oldest first
    :param unhealthy: since when each slot has been unhealthy without a break
    :param replacing: unhealthy slots whose replacement was started, with the slot that replaces them
    :param replaced: when what a replacement had brought was replaced in turn, as it had not helped; oldest first
    :param failed_starts: starts that failed since the last one that succeeded
    :param stuck: slots that could be neither started nor marked as failed, with when that was tried
    :param mended: slots that were started in place of unhealthy ones, or because they stood still, with when
    """

    last_out: float | None = None
    last_in: float | None = None
    loads: tuple[Load, ...] = ()
    needs: tuple[tuple[float, float], ...] = ()
    unhealthy: t.Mapping[int, float] = dataclasses.field(default_factory=dict)
    replacing: t.Mapping[int, int] = dataclasses.field(default_factory=dict)
    replaced: tuple[float, ...] = ()
    failed_starts: int = 0
    last_failed: float | None = None
    stuck: t.Mapping[int, float] = dataclasses.field(default_factory=dict)
    mended: t.Mapping[int, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric over the fleet.

    ``value`` is the mean over what is known. ``floor`` counts unknown instances as idle, so that what is unknown never
    adds to the wish to scale out; ``ceiling`` counts them as used up to the threshold, for a step in (HPA's rule for
    missing pods). ``moves`` says whether an instance's share goes to the others when it leaves; ``count`` is how many
    instances share it. ``projected`` is what it would be with one instance less.
    """

    name: str
    label: str
    unit: str
    threshold: float | None = None
    value: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    missing: int = 0
    count: int = 0
    moves: bool = False
    whole: bool = True
    """False if a part is missing that no rule can fill in, such as a proxy's requests."""

    @property
    def known(self) -> bool:
        """Whether it is known of everyone it was asked of."""
        return self.value is not None and not self.missing

    @property
    def usable(self) -> bool:
        """Whether a step in may rely on it: known, or unknown only of instances for which HPA's rule fills in."""
        return self.value is not None and self.whole

    @property
    def over(self) -> bool:
        """Whether it is beyond its threshold even if whatever is unknown were idle."""
        return self.floor is not None and self.threshold is not None and self.floor > self.threshold

    @property
    def projected(self) -> float | None:
        """What it would be with one instance less; infinite if none were left."""
        return self.on(self.count - 1)

    def on(self, count: int) -> float | None:
        """What it would be if ``count`` instances shared it, what is unknown counted as in ``ceiling``."""
        if self.ceiling is None or not self.moves:
            return self.ceiling
        return self.ceiling * self.count / count if count > 0 else math.inf

    @property
    def total(self) -> float | None:
        """What the fleet as a whole is asked for, what is unknown counted as idle."""
        return None if self.floor is None else self.floor * self.count

    def number(self, value: float | None) -> str:
        """A value of this metric in words."""
        if value is None:
            return "unknown"
        digits = 0 if abs(value) >= 10 or value == round(value) else 1
        return f"{value:.{digits}f}{self.unit}"

    def __str__(self) -> str:
        partly = f" ({self.number(self.floor)} with {self.missing} unknown as idle)" if self.missing and self.value is not None else ""
        return f"{self.label} {self.number(self.value)}{partly}"

    def as_dict(self) -> dict[str, t.Any]:
        """For a module's result; values rounded to a tenth. A projection onto no instance at all is null."""
        rounded = {name: _rounded(getattr(self, name)) for name in ("value", "floor", "projected", "threshold")}
        return {**rounded, "unit": self.unit.strip(), "missing": self.missing, "over": self.over}


def _rounded(number: float | None) -> float | None:
    return round(number, 1) if number is not None and math.isfinite(number) else None


@dataclasses.dataclass(frozen=True)
class Held:
    """A guard that held a step back, and why in words that complete "held back: …"."""

    guard: str
    why: str

    def as_dict(self) -> dict[str, str]:
        """For a module's result."""
        return {"name": self.guard, "reason": self.why}


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a tick adds to the history.

    :param totals: of the metrics that move, where they are wholly known
    :param need: instances that the load asks for, before rounding; None where that cannot be told
    :param window: seconds for which needs are worth remembering
    :param unhealthy: slots of members that are not healthy
    :param members: slots of the fleet
    :param substitutes: for unhealthy slots, the one that is started now to replace them
    :param mended: slots that are started now for nothing but the fleet's health
    :param relapsed: how many of those in whose place that is were started so themselves, lately
    """

    totals: t.Mapping[str, float] = dataclasses.field(default_factory=dict)
    need: float | None = None
    window: float = 0.0
    unhealthy: frozenset[int] = frozenset()
    members: frozenset[int] = frozenset()
    substitutes: t.Mapping[int, int] = dataclasses.field(default_factory=dict)
    mended: frozenset[int] = frozenset()
    relapsed: int = 0


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to do now. ``rule`` is the one that spoke, also if it was held back.

    ``start`` and ``drain`` are slots; at most one of them has any. ``replace`` are the unhealthy slots whose replacement
    is under way; theirs is among ``start`` now or was in an earlier decision. ``recommended`` is the size that the load
    alone asks for, before guards. ``bounds`` are the least and the most instances that there may be now, schedules included; None
    where the size was asked for by hand. ``next`` says what comes next. ``seen`` is for the history and in no result.
    """

    action: Action
    current: int
    desired: int
    rule: str
    reason: str
    time: float
    start: tuple[int, ...] = ()
    drain: tuple[int, ...] = ()
    replace: tuple[int, ...] = ()
    recommended: int | None = None
    bounds: tuple[int, int] | None = None
    metrics: tuple[Metric, ...] = ()
    guards: tuple[Held, ...] = ()
    alert: bool = False
    next: str = ""
    seen: Seen = dataclasses.field(default_factory=Seen)

    @property
    def slot(self) -> int | None:
        """The first slot to start or to drain."""
        return next(iter(self.start or self.drain), None)

    def as_dict(self) -> dict[str, t.Any]:
        """For a module's result and the log."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        slots = {name: list(getattr(self, name)) for name in ("start", "drain", "replace")}
        return {
            **plain,
            **slots,
            "bounds": None if self.bounds is None else dict(zip(("min", "max"), self.bounds, strict=True)),
            "metrics": {m.name: m.as_dict() for m in self.metrics},
            "guards": [held.as_dict() for held in self.guards],
        }


_PLAIN = ("action", "current", "desired", "recommended", "slot", "rule", "reason", "next", "time", "alert")

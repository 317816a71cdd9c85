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

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

Action = t.Literal["out", "in", "hold"]
Direction = t.Literal["out", "in"]
Pause = t.Literal["in", "out", "both"]

#: LXD's states in which an instance takes up its slot and does, or is about to do, work
LIVE = frozenset({"Running", "Ready", "Starting"})


@dataclasses.dataclass(frozen=True)
class Policy:
    """The user's wishes. A threshold of None means that its metric is not asked at all."""

    enabled: bool = False
    min: int = 1
    max: int = 10
    cpu: float | None = 70.0
    memory: float | None = 80.0
    requests: float | None = 1000.0
    """Requests per minute and instance."""
    cpu_low: float | None = 30.0
    cooldown: float = 300.0
    interval: float = 30.0
    start_patience: float = 120.0
    """How long a started instance may take to become healthy before it counts as unhealthy and not as starting."""
    headroom: float = 0.1
    """What must stay free below every threshold after a step in, as a share of it: 0.1 is HPA's tolerance."""
    panic_share: float = 0.5
    """Below this share of healthy instances the cause is shared, and nothing is taken in."""

    def __post_init__(self) -> None:
        for broken, message in _contradictions(self):
            if broken:
                raise InvalidInput(message)

    @classmethod
    def from_settings(cls, settings: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any] | None = None) -> Policy:
        """The policy that typed settings, keyed by their config.csv names, ask for; a key that is absent has its default.

        ``options`` is the mapping ``gb_autoscale``: what config.csv has no keys for.

        :raises InvalidInput: two settings contradict each other, or one asks for what this autoscaler cannot do
        """
        action = settings.get("scale-rule-cpu-low-action") or "down"
        if action != "down":
            raise InvalidInput(f"scale-rule-cpu-low-action is {action!r}; a rule on low CPU can only scale in: set it to down.")
        given = {field: settings[key] for key, field in _SETTINGS.items() if key in settings}
        return cls(**given)


_SETTINGS: t.Mapping[str, str] = {
    "scale-enabled": "enabled",
    "scale-min-instances": "min",
    "scale-max-instances": "max",
    "scale-cpu-threshold": "cpu",
    "scale-memory-threshold": "memory",
    "scale-request-threshold": "requests",
    "scale-rule-cpu-low": "cpu_low",
    "scale-cooldown-seconds": "cooldown",
    "scale-check-interval": "interval",
}


def _contradictions(policy: Policy) -> t.Iterator[tuple[bool, str]]:
    yield policy.min < 1, f"scale-min-instances is {policy.min}; it must be at least 1."
    bounds = f"scale-min-instances ({policy.min}) is greater than scale-max-instances ({policy.max})"
    yield policy.min > policy.max, f"{bounds}; lower one or raise the other."
    clash = policy.cpu is not None and policy.cpu_low is not None and policy.cpu_low >= policy.cpu
    levels = f"scale-rule-cpu-low ({policy.cpu_low}) is not below scale-cpu-threshold ({policy.cpu})"
    yield clash, f"{levels}: the fleet would grow and shrink at once. Leave room between them."
    yield policy.cooldown < 0, f"scale-cooldown-seconds is {policy.cooldown}; it cannot be negative."
    yield policy.interval <= 0, f"scale-check-interval is {policy.interval}; it must be above 0."


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

    @property
    def counts(self) -> bool:
        """Whether it is part of the fleet's size: running for work, not draining, not kept warm, not failed."""
        return self.state == "active" and self.status in LIVE

    @property
    def startable(self) -> bool:
        """Whether its slot can be started again: kept warm, or meant to run and stopped."""
        return self.state == "warm" or (self.state == "active" and self.status == "Stopped")


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


@dataclasses.dataclass(frozen=True)
class History:
    """When the fleet last took a step in each direction."""

    last_out: float | None = None
    last_in: float | None = None


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric over the fleet.

    ``value`` is the mean over what is known. ``floor`` counts unknown instances as idle, so that what is unknown never
    adds to the wish to scale out. ``projected`` is what the metric would be with one instance less.
    """

    name: str
    label: str
    unit: str
    threshold: float
    value: float | None = None
    floor: float | None = None
    projected: float | None = None
    missing: int = 0

    @property
    def known(self) -> bool:
        """Whether it is known of everyone it was asked of."""
        return self.value is not None and not self.missing

    @property
    def over(self) -> bool:
        """Whether it asks for another instance, even if whatever is unknown were idle."""
        return self.floor is not None and self.floor > self.threshold

    def number(self, value: float | None) -> str:
        """A value of this metric in words."""
        return "unknown" if value is None else f"{value:.0f}{self.unit}"

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
class Decision:
    """What to do now. ``rule`` is the one that spoke, also if it was held back.

    ``start`` and ``drain`` are slots; at most one of them has any. ``replace`` are the unhealthy slots whose replacement
    is under way; theirs is among ``start`` now or was in an earlier decision. ``recommended`` is the size that the load
    alone asks for, before guards. ``next`` says what comes next.
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
    metrics: tuple[Metric, ...] = ()
    guards: tuple[Held, ...] = ()
    alert: bool = False
    next: str = ""

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
            "metrics": {m.name: m.as_dict() for m in self.metrics},
            "guards": [held.as_dict() for held in self.guards],
        }


_PLAIN = ("action", "current", "desired", "recommended", "slot", "rule", "reason", "next", "time", "alert")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A decision log as a fleet leaves it: a day with a rise, a peak above what it can carry, a blind hour, a dead autoscaler."""

from __future__ import annotations

import dataclasses
import json
import math
import typing as t

#: Wednesday, 25 November 2026, 03:12 in UTC
NOW = 1_795_576_320.0
INTERVAL = 30.0
SETTINGS: dict[str, t.Any] = {
    "scale-enabled": True,
    "scale-min-instances": 1,
    "scale-max-instances": 8,
    "scale-cpu-threshold": 70,
    "scale-memory-threshold": 80,
    "scale-request-threshold": 1000,
    "scale-cooldown-seconds": 300,
    "scale-check-interval": 30,
    "scale-rule-cpu-low": 30,
}


def line(time: float = NOW, action: str = "hold", **more: t.Any) -> dict[str, t.Any]:
    """One line of the log, steady unless told otherwise; ``cpu`` and ``requests`` are the metrics' values."""
    current = more.pop("current", 2)
    readings = {
        "cpu": metric(more.pop("cpu", 41.0), 70, "%", more.pop("missing", 0)),
        "memory": metric(38.0, 80, "%"),
        "requests": metric(more.pop("requests", 420.0), 1000, "/min"),
    }
    return {
        "action": action,
        "current": current,
        "desired": current + {"out": 1, "in": -1}.get(action, 0),
        "start": [],
        "drain": [],
        "replace": [],
        "rule": "steady",
        "reason": "Nothing asks for a step: CPU 41 % of 70 %.",
        "next": "Looked at again in 30 s.",
        "time": time,
        "metrics": readings,
        "guards": [],
        "alert": False,
        "notes": [],
        "took_seconds": 1.1,
        "holder": "control-1/4711",
        "dry_run": False,
        "errors": {},
        **more,
    }


def metric(value: float | None, threshold: float, unit: str, missing: int = 0) -> dict[str, t.Any]:
    return {"value": value, "threshold": threshold, "unit": unit, "missing": missing, "floor": value, "projected": value, "over": False}


def text(lines: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    return [json.dumps(one) for one in lines]


@dataclasses.dataclass
class Day:
    """Hours of a fleet under a load that one can foresee, by a rule of thumb in place of the autoscaler."""

    hours: float = 24.0
    size: int = 2
    rested: float = 0.0

    def lines(self) -> list[dict[str, t.Any]]:
        begin = NOW - self.hours * 3600
        moments = [begin + INTERVAL * index for index in range(int(self.hours * 3600 / INTERVAL))]
        return [self._tick(moment, (moment - begin) / (self.hours * 3600)) for moment in moments if not self._dead(moment - begin)]

    def _dead(self, elapsed: float) -> bool:
        return 0.55 < elapsed / (self.hours * 3600) < 0.575

    def _load(self, share: float, moment: float) -> float:
        """Instances' worth of work."""
        wave = 1.1 + 3.2 * math.sin(math.pi * min(max((share - 0.12) / 0.75, 0.0), 1.0)) ** 2
        peak = 5.5 * math.exp(-(((share - 0.42) / 0.022) ** 2))
        jitter = 0.16 * math.sin(moment / 97.0) + 0.1 * math.sin(moment / 31.0) + 0.06 * math.sin(moment / 11.0)
        return max(wave + peak + jitter * wave / 2, 0.2)

    def _tick(self, moment: float, share: float) -> dict[str, t.Any]:
        load = self._load(share, moment)
        cpu = min(55.0 * load / self.size, 99.0)
        seen: dict[str, t.Any] = {"cpu": cpu, "requests": 760 * load / self.size, "current": self.size}
        if 0.70 < share < 0.735:
            return line(moment, **{**seen, "cpu": None, "missing": self.size}, rule="blind", alert=share > 0.72, **_blind(self.size))
        if cpu > 70:
            return self._out(moment, seen, cpu)
        if self.size > 1 and cpu * self.size / (self.size - 1) < 54:
            return self._in(moment, seen, cpu)
        reason = f"Nothing asks for a step: CPU {cpu:.0f} % of 70 %, requests {seen['requests']:.0f}/min of 1000/min."
        return line(moment, **seen, reason=reason)

    def _out(self, moment: float, seen: t.Mapping[str, t.Any], cpu: float) -> dict[str, t.Any]:
        why = f"CPU {cpu:.0f} % is over its threshold of 70 %"
        if self.size >= 8:
            held = [{"name": "at-max", "reason": "the fleet is at scale-max-instances (8)"}]
            reason = f"{why}, but the step out is held back: the fleet is at scale-max-instances (8). Still 8 instances."
            return line(moment, **seen, rule="over-threshold", guards=held, reason=reason)
        if moment - self.rested < 60:
            held = [{"name": "warm-up", "reason": f"botserver-{self.size} is still starting"}]
            reason = f"{why}, but the step out is held back: botserver-{self.size} is still starting. Still {self.size} instances."
            return line(moment, **seen, rule="over-threshold", guards=held, reason=reason)
        more = min(2 if cpu > 90 else 1, 8 - self.size)
        slots = list(range(self.size + 1, self.size + more + 1))
        self.rested, self.size = moment, self.size + more
        reason = f"{why}: start slot {', '.join(map(str, slots))}, {self.size - more} to {self.size} instances."
        wrong = {"start": 1} if self.size == 5 and more == 1 else {}
        return line(moment, "out", **seen, start=slots, desired=self.size, rule="over-threshold", reason=reason, errors=wrong)

    def _in(self, moment: float, seen: t.Mapping[str, t.Any], cpu: float) -> dict[str, t.Any]:
        why = f"CPU {cpu:.0f} % is below what {self.size} instances are needed for"
        left = 300 - (moment - self.rested)
        if left > 0:
            held = [{"name": "cooldown", "reason": f"cooldown, {left:.0f} s to go"}]
            reason = f"{why}, but the step in is held back: cooldown, {left:.0f} s to go. Still {self.size} instances."
            return line(moment, **seen, rule="cpu-low", guards=held, reason=reason)
        self.rested, self.size = moment, self.size - 1
        reason = f"{why} and every metric agrees: drain slot {self.size + 1}, {self.size + 1} to {self.size} instances."
        return line(moment, "in", **seen, drain=[self.size + 1], desired=self.size, rule="cpu-low", reason=reason)


def _blind(size: int) -> dict[str, t.Any]:
    notes = [f"CPU of botserver-{slot}: it cannot be read" for slot in range(1, size + 1)]
    return {"notes": notes, "reason": f"CPU is unknown of {size} instances: nothing is taken in. Still {size} instances."}


def fleet(size: int) -> list[dict[str, t.Any]]:
    """The fleet as it stands: the active ones, a warm one, a failed one."""
    active = [
        {
            "name": f"botserver-{slot}",
            "slot": slot,
            "state": "active",
            "status": "Running",
            "ready": True,
            "cpu": 38.0 + 3 * slot,
            "memory": 31.0 + slot,
        }
        | {"in_flight": slot, "started_at": NOW - 7000.0 * slot, "image": "2026.11-3"}
        for slot in range(1, size + 1)
    ]
    warm = {"name": f"botserver-{size + 1}", "slot": size + 1, "state": "warm", "status": "Stopped", "image": "2026.11-3"}
    failed = {
        "name": f"botserver-{size + 2}",
        "slot": size + 2,
        "state": "failed",
        "status": "Stopped",
        "failure": "not healthy within 120 s",
    }
    return [*active, warm, failed]

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays recorded request counts through the autoscaler's own decide() and through Kubernetes' HPA at its defaults.

    python tests/bench/replay.py [trace.csv …]

A trace is a CSV file with a column ``requests`` that counts them per 15 seconds. Without an argument every trace in the
folder that GB_SHARED names (default: ``../shared``) under ``traces`` is replayed. Only ratios mean something: the
simulated fleet is a model (load spreads evenly, an instance serves as soon as it has started).
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import math
import os
import pathlib
import sys
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.history import learn, stepped
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Facts, History, InstanceFacts, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide

STEP = 15.0
LARGEST = 10
START = 60.0  # seconds from the decision to the first request served
SATURATED = 85.0  # per cent of CPU above which users wait
PEAK = 0.999  # the share of time in which the largest fleet is enough
QUICK = 600.0  # two opposite steps within these seconds are a reversal
ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Fleet:
    """The simulated fleet: when each instance was started, oldest first, and what became of it over time."""

    started: list[float]
    under: int = 0
    ticks: int = 0
    instances: int = 0
    reversals: int = 0
    last: tuple[float, int] = (-math.inf, 0)

    def ready(self, now: float) -> int:
        """How many serve."""
        return sum(now - at >= START for at in self.started)

    def resize(self, wanted: int, now: float) -> None:
        """Start or stop the youngest at once."""
        change = wanted - len(self.started)
        if not change:
            return
        self.started = self.started[:wanted] + [now] * max(change, 0)
        self.reversals += self.last[1] * change < 0 and now - self.last[0] <= QUICK
        self.last = (now, change)

    def observe(self, cpu: float) -> None:
        """Count this tick."""
        self.ticks, self.instances, self.under = self.ticks + 1, self.instances + len(self.started), self.under + (cpu > SATURATED)


class Scaler(t.Protocol):
    """Decides the size of the fleet from the CPU of its ready instances, in per cent, capped at 100."""

    def __call__(self, now: float, cpu: float, fleet: Fleet) -> int: ...


def ours() -> Scaler:
    """decide() with the settings' defaults; the trace has no memory, and requests say the same as CPU."""
    policy, history = Policy(enabled=True, min=1, max=LARGEST, memory=None, requests=None, interval=STEP), History()

    def size(now: float, cpu: float, fleet: Fleet) -> int:
        nonlocal history
        seen = tuple(
            InstanceFacts(f"botserver-{slot}", slot, ready=now - at >= START, started_at=at, cpu=cpu)
            for slot, at in enumerate(fleet.started, start=1)
        )
        decision = decide(Facts(now, seen), policy, history)
        history = learn(history, decision)
        if decision.action != "hold":
            history = stepped(history, decision.action, now)
        return decision.desired

    return size


def hpa(target: float = 70.0) -> Scaler:
    """HPA v2 at its defaults: tolerance 0.1, 300 s of stabilisation down, up by 100 % or 4 pods in 15 s."""
    wishes: collections.deque[int] = collections.deque(maxlen=round(300 / STEP))

    def size(now: float, cpu: float, fleet: Fleet) -> int:
        current, ready = len(fleet.started), fleet.ready(now)
        ratio = cpu / target
        if ratio > 1 and ready < current:  # pods that are not ready count as idle on the way up
            ratio = max(ratio * ready / current, 1.0)
        wish = current if abs(1 - ratio) <= 0.1 else math.ceil((current if ratio > 1 else ready) * ratio)
        wish = max(1, min(wish, LARGEST, max(2 * current, current + 4)))
        wishes.append(wish)
        return max(wish, min(max(wishes), current))

    return size


def replay(counts: t.Sequence[int], scaler: Scaler) -> Fleet:
    """Run a trace; the peak is scaled to what the largest fleet serves at 70 % of its CPU."""
    capacity = max(sorted(counts)[int(PEAK * (len(counts) - 1))], 1) / LARGEST / 0.7
    fleet = Fleet([-START])
    for tick, count in enumerate(counts):
        now = tick * STEP
        cpu = min(100 * count / capacity / max(fleet.ready(now), 1), 100.0)
        fleet.observe(cpu)
        fleet.resize(scaler(now, cpu, fleet), now)
    return fleet


def traces(arguments: t.Sequence[str]) -> list[pathlib.Path]:
    """The files to replay."""
    shared = pathlib.Path(os.environ.get("GB_SHARED") or ROOT.parent / "shared")
    return [pathlib.Path(name) for name in arguments] or sorted((shared / "traces").glob("*.csv"))


def compare(counts: t.Sequence[int]) -> dict[str, tuple[float, float, float]]:
    """Under-provisioned per cent of the time, reversals per day, and mean instances, by policy."""
    days = len(counts) * STEP / 86400
    runs = {"ours": replay(counts, ours()), "HPA": replay(counts, hpa())}
    return {name: (100 * run.under / run.ticks, run.reversals / days, run.instances / run.ticks) for name, run in runs.items()}


def main(arguments: t.Sequence[str]) -> int:
    """Print the table."""
    files = traces(arguments)
    if not files:
        print("No traces: name CSV files with a column requests (per 15 s), or set GB_SHARED to the folder that holds traces/.")
        return 0
    print(f"{'trace':34}{'':8}{'under-provisioned %':>21}{'reversals per day':>19}{'mean instances':>16}")
    for path in files:
        with path.open(encoding="utf-8", newline="") as stream:
            found = compare([int(line["requests"]) for line in csv.DictReader(stream)])
        for name, (under, reversals, instances) in found.items():
            print(f"{path.stem:34}{name:8}{under:21.2f}{reversals:19.1f}{instances:16.2f}")
        ratios = [f"{a / b:.2f}" if b else ("1.00" if a == b else "-") for a, b in zip(found["ours"], found["HPA"], strict=True)]
        print(f"{'':34}{'ratio':8}{ratios[0]:>21}{ratios[1]:>19}{ratios[2]:>16}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

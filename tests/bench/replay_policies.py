# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies that are compared: decide() unchanged, and what others do at their defaults, written from their manuals."""

from __future__ import annotations

import collections
import dataclasses
import math

from replay_model import STEP, Fleet, Scaler

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.history import learn, stepped
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import CPU_LOW, Facts, History, InstanceFacts, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide

#: the metric that a trace has: its requests say the same as CPU, and of memory, response times and queues it says nothing
MEASURED = "cpu"


def left_out(policy: Policy) -> list[str]:
    """The keys of config.csv that a policy is replayed without, for unknown metrics would hold steps back."""
    thresholds = {"scale-memory-threshold": policy.memory, "scale-request-threshold": policy.requests}
    return [key for key, value in thresholds.items() if value is not None] + [rule.key for rule in policy.steps if rule.metric != MEASURED]


def ours(policy: Policy) -> Scaler:
    """decide() under a policy, as often as its interval says, without what :func:`left_out` names."""
    every = max(round(policy.interval / STEP), 1)
    steps = tuple(rule for rule in policy.steps if rule.metric == MEASURED)
    asked = dataclasses.replace(policy, enabled=True, memory=None, requests=None, steps=steps, interval=every * STEP)
    history = History()
    since: list[float] = []

    def size(now: float, cpu: float, fleet: Fleet) -> int:
        nonlocal history
        since.append(cpu)
        if len(since) < every:
            return fleet.size
        mean = math.fsum(since) / every
        since.clear()
        seen = tuple(
            InstanceFacts(f"botserver-{slot}", slot, ready=now - at >= fleet.start, started_at=at, cpu=mean)
            for slot, at in enumerate(fleet.started, start=1)
        )
        decision = decide(Facts(now, seen), asked, history)
        history = learn(history, decision)
        if decision.action != "hold":
            history = stepped(history, decision.action, now)
        return decision.desired

    return size


def default(target: float = 70.0, *, start: float = 60.0, largest: int = 10) -> Policy:
    """Our defaults as often as HPA looks, with a target and the time that a start takes here."""
    return Policy(max=largest, cpu=target, start_time=start, steps=(CPU_LOW,), interval=STEP)


def hpa(target: float = 70.0, *, largest: int = 10) -> Scaler:
    """Kubernetes' HPA v2: tolerance 0.1, 300 s of stabilisation down, up by 100 % or 4 pods in 15 s, pods not ready idle on the way up."""
    wishes: collections.deque[int] = collections.deque(maxlen=round(300 / STEP))

    def size(now: float, cpu: float, fleet: Fleet) -> int:
        current, ready = fleet.size, fleet.ready(now)
        ratio = cpu / target
        if ratio > 1 and ready < current:
            ratio = max(ratio * ready / current, 1.0)
        wish = current if abs(1 - ratio) <= 0.1 else math.ceil((current if ratio > 1 else ready) * ratio)
        wish = max(1, min(wish, largest, max(2 * current, current + 4)))
        wishes.append(wish)
        return max(wish, min(max(wishes), current))

    return size


def nomad(target: float = 70.0, *, largest: int = 10) -> Scaler:
    """Nomad Autoscaler's target-value: threshold 0.01, cooldown 5 min after each step; it counts what runs, ready or not."""
    last = -math.inf

    def size(now: float, cpu: float, fleet: Fleet) -> int:
        nonlocal last
        factor = cpu / target
        if now - last < 300 or abs(1 - factor) <= 0.01:
            return fleet.size
        wish = max(1, min(math.ceil(fleet.size * factor), largest))
        last = now if wish != fleet.size else last
        return wish

    return size


def script(target: float = 70.0, *, low: float = 30.0, largest: int = 10) -> Scaler:
    """The usual shell script: one more above the threshold, one less below 30 %, 300 s of rest after either."""
    last = -math.inf

    def size(now: float, cpu: float, fleet: Fleet) -> int:
        nonlocal last
        if now - last < 300 or low <= cpu <= target:
            return fleet.size
        wish = max(1, min(fleet.size + (1 if cpu > target else -1), largest))
        last = now if wish != fleet.size else last
        return wish

    return size


def static(count: int = 10) -> Scaler:
    """Always as many."""
    return lambda now, cpu, fleet: count

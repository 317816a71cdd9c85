# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the autoscaler remembers from tick to tick: bounded, serialisable, and never worth stopping for.

A step is recorded as *pending* before it is taken. The next tick asks LXD what became of it: done, and the cooldown runs
from when it was decided; or not done, and it is counted as a failure without any cooldown. So it does not matter at
which moment a run dies.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import history as past
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.facts import Counter, Sample
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.latency import Histogram
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import (
    Decision,
    Direction,
    Facts,
    History,
    InstanceFacts,
    Pause,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import amount
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

VERSION = 2
#: what is kept of a decision
LINE = frozenset({"time", "action", "current", "desired", "start", "drain", "replace", "rule", "reason", "alert"})
#: decisions that are kept; older ones are forgotten
REMEMBERED = 20


@dataclasses.dataclass(frozen=True)
class Pending:
    """A step that was decided and whose outcome has not been seen yet."""

    direction: Direction
    slots: tuple[int, ...]
    time: float


@dataclasses.dataclass(frozen=True)
class Controls:
    """What an operator has set at run time: a direction that is paused, or a size that is pinned."""

    pause: Pause | None = None
    pin: int | None = None

    def __post_init__(self) -> None:
        if self.pause not in (None, "in", "out", "both"):
            raise InvalidInput(f"pause is {self.pause!r}; it must be in, out or both, or null to resume.")
        if self.pin is not None and (isinstance(self.pin, bool) or not isinstance(self.pin, int) or self.pin < 1):
            raise InvalidInput(f"pin is {self.pin!r}; it must be a number of instances from 1 up, or null to unpin.")


@dataclasses.dataclass(frozen=True)
class State:
    """Everything that is remembered. ``failures`` counts steps that did not succeed, by direction, since the state was new."""

    history: History = dataclasses.field(default_factory=History)
    sample: Sample | None = None
    pending: Pending | None = None
    failures: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    decisions: tuple[t.Mapping[str, t.Any], ...] = ()
    controls: Controls = dataclasses.field(default_factory=Controls)

    def with_controls(self, **changes: t.Any) -> State:
        """The state with another ``pause`` or ``pin``; None resumes or unpins.

        :raises InvalidInput: a pause that is none of in, out, both, or a pin that is no count of instances
        """
        return dataclasses.replace(self, controls=dataclasses.replace(self.controls, **changes))

    def as_dict(self) -> dict[str, t.Any]:
        """For JSON; ``from_dict`` is its inverse."""
        plain = dataclasses.asdict(self)
        return {"version": VERSION, **plain, "history": past.as_dict(self.history), "decisions": [dict(one) for one in self.decisions]}


def settle(state: State, facts: Facts) -> State:
    """Turn a pending step into an event or a failure, by what the fleet looks like; events from the future become now."""
    history = past.not_after(state.history, facts.time)
    pending = state.pending
    if pending is None:
        return dataclasses.replace(state, history=history)
    there = {one.slot: one for one in facts.instances}
    lost = [slot for slot in pending.slots if not _came_true(pending, there.get(slot))]
    if len(lost) < len(pending.slots):
        when = min(pending.time, facts.time)
        history = past.stepped(history, pending.direction, when)
    if pending.direction == "out":
        history = past.failed(history, len(lost), len(pending.slots) - len(lost), facts.time)
    failures = collections.Counter(state.failures)
    failures[pending.direction] += len(lost)
    return dataclasses.replace(state, history=history, pending=None, failures=dict(+failures))


def remember(state: State, sample: Sample, decision: Decision) -> State:
    """The state with this tick's sample and decision in it, and its step pending."""
    line = {name: value for name, value in decision.as_dict().items() if name in LINE}
    pending = None
    if decision.action != "hold":
        pending = Pending(decision.action, decision.start or decision.drain, decision.time)
    history = past.learn(state.history, decision)
    decisions = (*state.decisions, line)[-REMEMBERED:]
    return dataclasses.replace(state, history=history, sample=sample, pending=pending, decisions=decisions)


def from_json(text: str | None) -> tuple[State, str]:
    """The state in a config key's text and a note; text that cannot be read gives a fresh state and the note says so."""
    if not text:
        return State(), ""
    try:
        data = json.loads(text)
    except ValueError as error:
        return State(), f"The autoscaler's recorded state is not JSON ({error}); it starts afresh."
    return from_dict(data)


def from_dict(data: t.Any) -> tuple[State, str]:
    """The state in a mapping and a note. What cannot be read of it is as in a fresh state, and the note says so.

    What an operator has set is read whatever the rest is: a pause must not end because a sample is damaged.
    """
    if data in (None, {}):
        return State(), ""
    if not isinstance(data, dict) or data.get("version") != VERSION:
        return State(), f"The autoscaler's recorded state is not of version {VERSION}; it starts afresh."
    found: dict[str, t.Any] = {}
    lost: dict[str, str] = {}
    for name, read in _PARTS.items():
        try:
            found[name] = read(data[name])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, InvalidInput) as error:
            lost[name] = f"{type(error).__name__}: {error}"
    if lost:
        why = next(iter(lost.values()))
        return State(**found), f"The autoscaler's recorded state is damaged ({why}); of its {', '.join(lost)} it starts afresh."
    return State(**found), ""


def _came_true(pending: Pending, here: InstanceFacts | None) -> bool:
    return (here is not None and here.counts) == (pending.direction == "out")


def _sample(data: t.Mapping[str, t.Any]) -> Sample:
    durations = {str(name): _histogram(one) for name, one in data.get("durations", {}).items()}
    return Sample(float(data["time"]), _counters(data["cpu"]), _counters(data["requests"]), durations)


def _histogram(data: t.Mapping[str, t.Any]) -> Histogram:
    buckets = {str(bound): float(count) for bound, count in data["buckets"].items()}
    return Histogram(
        float(data["time"]), amount(data["started_at"]), buckets, float(data["count"]), float(data["sum"]), amount(data.get("since"))
    )


def _counters(data: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, Counter]:
    return {str(name): Counter(amount(one["value"]), amount(one["time"]), amount(one["started_at"])) for name, one in data.items()}


def _pending(data: t.Mapping[str, t.Any]) -> Pending:
    if data["direction"] not in ("out", "in"):
        raise ValueError(f"a pending step {data['direction']!r}")
    return Pending(data["direction"], tuple(int(slot) for slot in data["slots"]), float(data["time"]))


def _controls(data: t.Mapping[str, t.Any]) -> Controls:
    return Controls(data["pause"], data["pin"])


def _failures(data: t.Mapping[str, t.Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in data.items()}


def _decisions(data: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[t.Mapping[str, t.Any], ...]:
    return tuple(dict(one) for one in data)[-REMEMBERED:]


def _or_none(read: t.Callable[[t.Any], t.Any]) -> t.Callable[[t.Any], t.Any]:
    return lambda data: None if data is None else read(data)


#: how each part of a recorded state is read; what it raises says that the part is damaged
_PARTS: t.Mapping[str, t.Callable[[t.Any], t.Any]] = {
    "sample": _or_none(_sample),
    "pending": _or_none(_pending),
    "history": past.from_dict,
    "failures": _failures,
    "decisions": _decisions,
    "controls": _controls,
}

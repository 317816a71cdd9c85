# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tick of the autoscaler, from what was measured and remembered to a decision and the next memory. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.facts import Sample, keep, observe, sample_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Facts, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import amount
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State, from_dict, remember, settle
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

#: check intervals, and at least seconds, after which an earlier tick's counters say nothing about now
OLD_INTERVALS, OLD_SECONDS = 10, 120.0


@dataclasses.dataclass(frozen=True)
class Tick:
    """What to do, what to remember, and why something is unknown; ``facts`` and ``policy`` are what was decided on."""

    decision: Decision
    state: State
    notes: tuple[str, ...] = ()
    facts: Facts | None = None
    policy: Policy | None = None


def tick(
    settings: t.Mapping[str, t.Any],
    fleet: t.Sequence[t.Mapping[str, t.Any]],
    traffic: t.Sequence[t.Mapping[str, t.Any]],
    remembered: t.Mapping[str, t.Any],
    time: float,
    *,
    options: t.Mapping[str, t.Any] | None = None,
    readings: t.Sequence[t.Mapping[str, t.Any]] = (),
    force: bool = False,
) -> Tick:
    """Decide.

    :param settings: typed settings by their config.csv names
    :param fleet: ``fleet`` of lxc_botserver_info
    :param traffic: one caddy_upstreams_info per proxy
    :param remembered: the state that the last tick left, or an empty mapping
    :param time: when the fleet was sampled, seconds since the epoch
    :param options: ``gb_autoscale``, what config.csv has no keys for
    :param readings: what other sources say, each ``{"name", "value", "time", "why"}``; value None is unknown
    :param force: decide although scaling is switched off, or an earlier step is not long ago
    :raises InvalidInput: settings that contradict each other, or a fleet entry without its name, slot, status or state
    """
    policy, facts, sample, settled, notes = look(settings, fleet, traffic, remembered, time, options=options, readings=readings)
    policy = policy.forced() if force else policy
    decision = decide(facts, policy, settled.history)
    return Tick(decision, remember(settled, sample, decision), notes, facts, policy)


def look(
    settings: t.Mapping[str, t.Any],
    fleet: t.Sequence[t.Mapping[str, t.Any]],
    traffic: t.Sequence[t.Mapping[str, t.Any]],
    remembered: t.Mapping[str, t.Any],
    time: float,
    *,
    options: t.Mapping[str, t.Any] | None = None,
    readings: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> tuple[Policy, Facts, Sample, State, tuple[str, ...]]:
    """Policy and facts of this moment, the sample to keep, the state in which an earlier step has its outcome, and notes."""
    _check(fleet)
    before, note = from_dict(remembered)
    policy = Policy.from_settings(settings, options, [str(one["name"]) for one in readings])
    policy = policy.under(before.controls.pause, before.controls.pin)
    now = sample_of(fleet, traffic, time)
    longest = max(OLD_INTERVALS * policy.interval, OLD_SECONDS)
    asked = policy.response_time if any(rule.metric == "response-time" for rule in policy.steps) else None
    facts = observe(fleet, traffic, now, before.sample, longest=longest, statistic=asked)
    facts = with_readings(facts, readings)
    return policy, facts, keep(before.sample, now), settle(before, facts), ((note,) if note else ()) + facts.notes


def with_readings(facts: Facts, readings: t.Sequence[t.Mapping[str, t.Any]]) -> Facts:
    """The facts with what other sources say, and why some of them say nothing."""
    values = {str(one["name"]): amount(one.get("value")) for one in readings}
    notes = (f"{one['name']}: {one.get('why') or 'it is no number from 0 up'}" for one in readings if values[str(one["name"])] is None)
    return dataclasses.replace(facts, readings={**facts.readings, **values}, notes=(*facts.notes, *notes))


def _check(fleet: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    for one in fleet:
        absent = [key for key in ("name", "slot", "status", "state") if one.get(key) in (None, "")]
        if absent or not str(one["slot"]).isdigit():
            raise InvalidInput(
                f"The fleet entry {one.get('name') or '(without a name)'} has no usable {', '.join(absent) or 'slot'}: "
                "hand on the fleet that lxc_botserver_info returned."
            )

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person asked for, as a decision: a size, slots to renew, or a fleet to be rolled onto the current image. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import refresh
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import frozen, serving
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import Job
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.words import listed, slots_words
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance

Observed = t.Mapping[str, Instance]
#: how slots are renewed or rolled
IN_TURN = "one after the other"


def decide(job: Job, observed: Observed, values: t.Mapping[str, t.Any], view: View) -> Decision:
    """The decision that the job asks for.

    :param values: the settings by their config.csv names
    :raises InvalidInput: a size that is out of bounds, or for which there are not so many slots, or too many protected ones
    """
    active, count, now = serving(observed, job.how.spec), job.count, view.facts.time
    if count is None:
        reason = _to_be_rolled(observed, job.how.spec) if job.refresh else _to_be_renewed(job.restart)
        return Decision("hold", len(active), len(active), "by-hand", reason, now)
    low, high = int(values["scale-min-instances"]), int(values["scale-max-instances"])
    if not low <= count <= high:
        raise InvalidInput(
            f"count is {count}; it must be from {low} (scale-min-instances) to {high} (scale-max-instances). "
            "Give -e count=N in that range, or change the bounds."
        )
    start = _to_come(observed, job.how.spec.max_slots, max(count - len(active), 0))
    drain = _to_go(view, active, max(len(active) - count, 0))
    action: t.Literal["out", "in", "hold"] = "out" if start else "in" if drain else "hold"
    reason = f"{count} {'instance was' if count == 1 else 'instances were'} asked for by hand"
    still = frozen(observed)
    reason += f"; {slots_words(still)} is frozen (lxc pause), does not count and is left alone" if still else ""
    return Decision(action, len(active), count, "by-hand", reason, now, start=start, drain=drain, next="nothing")


def pass_over(job: Job, observed: Observed) -> tuple[Job, str]:
    """The job without restarts of what was put away, by a tick perhaps since it was named: that has what is new when it is started.

    :return: with a note on them, empty where there are none
    :raises InvalidInput: a slot has no instance, or a failed one, which would forget why it was set aside
    """
    now = fleet.slots(observed, job.how.spec.max_slots)
    able = sorted([*now["active"], *now["draining"]])
    away = [slot for slot in job.restart if slot in now["warm"]]
    wrong = [slot for slot in job.restart if slot not in (*able, *away)]
    if wrong:
        raise InvalidInput(
            f"Slot {listed(wrong)} cannot be restarted, because it has no instance, or one that failed. "
            f"Slots that can be are {listed(able) or 'none'}; name only those (restart, in the playbooks autoscaler_slots)."
        )
    note = f"Not restarted, as it was put away and is started with what is new: {slots_words(away)}." if away else ""
    return dataclasses.replace(job, restart=[slot for slot in job.restart if slot not in away]), note


def _to_be_renewed(slots: t.Sequence[int]) -> str:
    """What a restart has to do, in words."""
    return f"{slots_words(slots)} is to be renewed, {IN_TURN}" if slots else "no slot is to be renewed"


def _to_be_rolled(observed: Observed, spec: fleet.FleetSpec) -> str:
    """What a refresh has to do, in words."""
    old, still = refresh.versions(observed, spec), refresh.left_frozen(observed, spec)
    doing = f"every {'other ' if still else ''}slot is of the current image"
    if old:
        doing = f"{slots_words(old)} is to be rolled onto image {spec.image_version}, {IN_TURN}"
    return f"{doing}. {still}" if still else doing


def _to_come(observed: Observed, limit: int, missing: int) -> tuple[int, ...]:
    """The slots that a person's larger size starts: the lowest that are warm or free.

    :raises InvalidInput: there are not so many
    """
    now = {**fleet.slots(observed, limit), "frozen": frozen(observed)}
    spare = fleet.spare(now, limit)
    if missing > len(spare):
        held = {state: now[state] for state in ("draining", "failed", "frozen") if now[state]}
        raise InvalidInput(
            f"{missing} more instances are wanted, but only {len(spare)} of {limit} slots are to be had"
            + (f" (others are held: {held})" if held else "")
            + ". Raise scale-max-instances, remove failed instances, or go on with frozen ones (lxc start)."
        )
    return tuple(spare[:missing])


def _to_go(view: View, active: t.Collection[int], count: int) -> tuple[int, ...]:
    """The slots that a person's smaller size takes in: those unhealthy beyond their patience first, then the highest, no protected one.

    :raises InvalidInput: too many are protected
    """
    kept = {one.slot for one in view.facts.instances if one.protected} & {*active}
    doomed = {one.slot for one in view.doomed}
    able = sorted({*active} - kept, key=lambda slot: (slot not in doomed, -slot))
    if len(able) < count:
        raise InvalidInput(
            f"{count} of {len(active)} instances would have to go, and {slots_words(sorted(kept))} is protected "
            f"(user.gb.protected): give a count of {len(active) - len(able)} or more, or unset the key."
        )
    return tuple(able[:count])

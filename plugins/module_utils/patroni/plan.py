# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a Patroni cluster shall be and what it is to the calls between. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni import config as dynamic
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Json
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.health import behind
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import Member, View
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Action, Plan


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked for; what is None or empty is left as it is.

    :param config: dynamic configuration, merged into the running one or with ``replace`` instead of it
    :param pause: whether automatic failover is off
    :param leader: the member that shall lead
    :param lossy: whether ``leader`` may be reached by a failover, which can lose acknowledged writes
    :param restart: whether members with a pending restart are restarted
    :param reinitialize: standbys that throw their data away, whatever state they are in
    :param members: how many members there will be
    """

    config: t.Mapping[str, t.Any] | None = None
    replace: bool = False
    pause: bool | None = None
    leader: str | None = None
    lossy: bool = False
    restart: bool = False
    reinitialize: t.Sequence[str] = ()
    members: int = 1


def plan(wanted: Wanted, view: View, broken: t.Sequence[str] = ()) -> Plan:
    """The calls, in order: configuration, pause, copies, leader, restarts.

    :param broken: standbys that are to be copied anew because they do not follow
    :raises InvalidInput: the configuration cannot do what it says
    :raises Refused: the step would be unsafe
    """
    steps = Plan()
    patch = _configure(steps, wanted, view)
    _pause(steps, wanted, view)
    _reinitialize(steps, wanted, view, broken)
    _lead(steps, wanted, view)
    if wanted.restart:
        _restart(steps, wanted, view, patch)
    return steps


def patch_for(wanted: Wanted, running: Json) -> Json:
    """The smallest change of the running configuration; {} where it holds what is wanted."""
    if wanted.config is None:
        return {}
    return dynamic.minimal_patch(dynamic.modern(wanted.config), dynamic.modern(running), replace=wanted.replace)


def restart_order(members: t.Iterable[Member], primary_first: bool) -> list[Member]:
    """Standbys first, by name, unless ``primary_first``."""
    return sorted(members, key=lambda member: (member.leads != primary_first, member.name))


def restart_step(name: str) -> Action:
    """The restart of a member."""
    return Action("restart", name, note="a setting needs it")


def _configure(steps: Plan, wanted: Wanted, view: View) -> Json:
    if wanted.config is None:
        return {}
    if "pause" in wanted.config:
        raise InvalidInput("config sets pause, which the option pause of this module is for. Take it out; nothing was changed.")
    running = dynamic.modern(view.config)
    patch = patch_for(wanted, view.config)
    after = dynamic.merged(running, patch)
    dynamic.check(dynamic.modern(wanted.config), after, view.newest, max(wanted.members, len(view.members)))
    keys = dynamic.paths(patch)
    for key in keys:
        steps.differ(key, _at(running, key), _at(after, key))
    if patch:
        steps.act(
            "configure",
            "the cluster",
            ", ".join(keys),
            patch=patch,
            primary_first=dynamic.lowers(dynamic.changed_parameters(patch, running)),
        )
    return patch


def _at(config: Json, path: str) -> t.Any:
    """The value at a dotted path; a parameter's own name may hold dots, so the longest name that is there wins."""
    for name, value in config.items():
        if path == name:
            return value
        if path.startswith(f"{name}.") and isinstance(value, dict):
            return _at(value, path[len(name) + 1 :])
    return None


def _pause(steps: Plan, wanted: Wanted, view: View) -> None:
    if wanted.pause is None:
        return
    unaware = [member.name for member in view.members if member.paused is not None and member.paused != wanted.pause]
    if view.paused == wanted.pause and not unaware:
        return
    steps.differ("pause", view.paused, wanted.pause)
    steps.act("pause" if wanted.pause else "resume", "automatic failover", pause=wanted.pause)


def _reinitialize(steps: Plan, wanted: Wanted, view: View, broken: t.Sequence[str]) -> None:
    for name in sorted({*wanted.reinitialize, *broken}):
        member = view.named(name)
        if member is None:
            raise InvalidInput(f"{name} is to be copied anew and is no member of the cluster ({_names(view)}). Nothing was changed.")
        if member.leads:
            raise Refused(f"{name} leads the cluster; its data is the one that others copy. Let another member lead first.")
        if view.leader is None or not view.leader.well:
            raise Refused(f"{name} cannot be copied anew: there is no leader to copy from. Nothing was changed.")
        found = f"it does not follow (it is {member.state}, timeline {member.timeline})"
        why = "it was asked for" if name in wanted.reinitialize else found
        steps.differ(f"{name}.data", "its own", f"a copy of {view.leader.name}'s")
        steps.act("reinitialize", name, why)


def _lead(steps: Plan, wanted: Wanted, view: View) -> None:
    if wanted.leader is None or (view.leader and view.leader.name == wanted.leader):
        return
    before = view.leader.name if view.leader else None
    obstacle = _obstacle(wanted.leader, view)
    if obstacle and not wanted.lossy:
        raise Refused(
            f"{wanted.leader} cannot take the lead from {before or 'nobody'}: {obstacle}. Remove the cause; or, if writes that were "
            "acknowledged may be lost, say so with allow_data_loss. Nothing was changed."
        )
    if view.named(wanted.leader) is None:
        raise InvalidInput(f"{wanted.leader} shall lead and is no member of the cluster ({_names(view)}). Nothing was changed.")
    steps.differ("leader", before, wanted.leader)
    if obstacle:
        steps.act("fail over", wanted.leader, f"although {obstacle}", candidate=wanted.leader)
    else:
        steps.act("switch over", wanted.leader, f"from {before}", candidate=wanted.leader, leader=before)


def _obstacle(name: str, view: View) -> str:
    """Why a switchover to this member would not do or not be safe; empty if nothing is in the way."""
    member = view.named(name)
    if member is None:
        return f"it is no member of the cluster ({_names(view)})"
    if view.leader is None:
        return "no member leads, so there is nobody to hand over"
    if member.silent:
        return f"it does not answer ({member.silent})"
    if dynamic.canonical(member.tags.get("nofailover")):
        return "it has the tag nofailover"
    if not member.well:
        return f"it is {member.state}"
    if dynamic.canonical(view.config.get("synchronous_mode")):
        return "" if member.synchronous else "it is no synchronous standby, and may lack writes that were acknowledged"
    most = int(view.config.get("maximum_lag_on_failover", 1048576))
    if member.lag is None or member.lag > most:
        return f"it is {behind(member)}, more than maximum_lag_on_failover ({most})"
    return ""


def _restart(steps: Plan, wanted: Wanted, view: View, patch: Json) -> None:
    changes = dynamic.changed_parameters(patch, dynamic.modern(view.config))
    needed = bool(set(changes) & dynamic.NEED_RESTART)
    due = [member for member in view.members if member.pending_restart or needed]
    leads = wanted.leader or (view.leader.name if view.leader else None)
    as_it_will_be = [dataclasses.replace(member, role="leader" if member.name == leads else "replica") for member in due]
    down = dynamic.lowers(changes)
    steps.differ("pending_restart", sorted(member.name for member in view.members if member.pending_restart), [])
    for member in restart_order(as_it_will_be, down):
        steps.actions.append(restart_step(member.name))


def _names(view: View) -> str:
    return ", ".join(member.name for member in view.members) or "which has none"

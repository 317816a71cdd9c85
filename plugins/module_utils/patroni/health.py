# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Patroni cluster is healthy, and what is missing, in words. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import Member, View

#: states in which a standby is on its way and nobody should interfere
_ON_THE_WAY = ("creating replica", "starting", "restarting", "stopping", "in archive recovery", "initializing new cluster")


@dataclasses.dataclass(frozen=True)
class Need:
    """What healthy means.

    :param members: how many members there must be at least
    :param synchronous: how many standbys must be synchronous at least
    :param lag: bytes that a standby may be behind
    :param restarted: whether a restart that is pending is a fault
    """

    members: int = 1
    synchronous: int = 0
    lag: int = 16 * 2**20
    restarted: bool = True


def problems(view: View, need: Need) -> list[str]:
    """What is missing to health, as sentences; empty if nothing is."""
    found = [] if view.leader else ["no member leads"]
    if len(view.members) < need.members:
        names = ", ".join(member.name for member in view.members) or "none"
        found.append(f"{len(view.members)} of {need.members} members are there ({names})")
    found += [problem for member in view.members for problem in _of_member(member, view.leader, need)]
    synchronous = [member for member in view.standbys if member.synchronous and member.well]
    if len(synchronous) < need.synchronous:
        found.append(f"{len(synchronous)} of {need.synchronous} synchronous standbys are there")
    return found


def unsettled(view: View, members: int) -> list[str]:
    """What a plan has to wait for: a leader, members that are missing or on their way. What is broken is not waited for."""
    found = [] if view.leader else ["no member leads"]
    if len(view.members) < members:
        found.append(f"{len(view.members)} of {members} members are there ({', '.join(member.name for member in view.members) or 'none'})")
    found += [f"{member.name} does not answer ({member.silent})" for member in view.members if member.silent]
    return found + [f"{member.name} is {member.state}" for member in view.members if not member.silent and member.state in _ON_THE_WAY]


def broken(view: View) -> list[str]:
    """Standbys that do not follow the leader and are not on their way to."""
    return [member.name for member in view.standbys if view.leader and _is_broken(member, view.leader)]


def _is_broken(member: Member, leader: Member) -> bool:
    if member.silent or member.state in _ON_THE_WAY:
        return False
    return not member.well or _forked(member, leader)


def _forked(member: Member, leader: Member) -> bool:
    """Whether it stands on another timeline than its leader."""
    return member.timeline is not None and leader.timeline is not None and member.timeline != leader.timeline


def behind(member: Member) -> str:
    """How far a standby is behind, in words."""
    return "an unknown number of bytes behind" if member.lag is None else f"{member.lag} bytes behind"


def _of_member(member: Member, leader: Member | None, need: Need) -> t.Iterator[str]:
    if member.silent:
        yield f"{member.name} does not answer ({member.silent})"
        return
    if not member.well:
        yield f"{member.name} is {member.state or 'in no state'}"
    elif leader and not member.leads:
        if _forked(member, leader):
            yield f"{member.name} is on timeline {member.timeline}, and {leader.name}, which leads, on {leader.timeline}"
        if member.lag is None or member.lag > need.lag:
            yield f"{member.name} is {behind(member)} (at most {need.lag} allowed)"
    if need.restarted and member.pending_restart:
        yield f"{member.name} waits for a restart that a setting needs"

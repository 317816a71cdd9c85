# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members an etcd cluster has: what is wanted and what is there, the steps between, and what is missing to its health."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.client import Etcd, Member, Status
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Action, Plan
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked for.

    :param members: name → peer URL of every member there shall be
    :param replace: members whose data is lost; what the cluster knows of them is removed first
    :param join: the one member that may be added now, because it is about to start
    :param learner: add it without a vote until it has caught up
    :param purge: remove members that are not wanted
    """

    members: t.Mapping[str, str]
    replace: t.Collection[str] = ()
    join: str | None = None
    learner: bool = True
    purge: bool = False

    def check(self) -> None:
        """Refuse what cannot be meant.

        :raises InvalidInput: two members of one URL, or names that are not among the members
        """
        urls = list(self.members.values())
        twice = sorted({url for url in urls if urls.count(url) > 1})
        if twice:
            raise InvalidInput(f"Two etcd members share the peer URL {twice[0]}; each has one of its own. Nothing was changed.")
        unknown = sorted({*self.replace, *([self.join] if self.join else [])} - set(self.members))
        if unknown:
            raise InvalidInput(f"{', '.join(unknown)} is to be replaced or to join, and is not among members. Nothing was changed.")


def plan(wanted: Wanted, observed: t.Sequence[Member], healthy: t.Collection[str] = ()) -> Plan:
    """The steps, in order: remove what is lost or not wanted, correct addresses, promote learners, add the one that joins.

    :param healthy: ids of members that answer
    :raises Refused: a removal would leave a cluster without a majority that answers
    """
    wanted.check()
    steps = Plan()
    leavers = [member for member in observed if _leaves(member, wanted)]
    stay = [member for member in observed if member not in leavers]
    steps.differ("members", _shown(observed), _shown_after(wanted, stay))
    for member in leavers:
        _require_majority(member, stay, healthy)
        steps.act("remove", _label(member), "its data is lost" if _lost(member, wanted) else "it is not wanted", id=member.id)
    for member in stay:
        url = wanted.members.get(member.name)
        if url and url not in member.peer_urls:
            steps.act("update", member.name, f"peer URL {url}", id=member.id, url=url)
    # Before the next one joins, for etcd takes one learner at a time.
    for member in stay:
        if member.learner and member.started and member.name in wanted.members:
            steps.act("promote", member.name, "it votes when it has caught up", id=member.id)
    if wanted.join and not any(_is(member, wanted.join, wanted) for member in stay):
        note = "as a learner" if wanted.learner else "with a vote at once"
        steps.act("add", wanted.join, note, url=wanted.members[wanted.join], learner=wanted.learner)
    return steps


def run(etcd: Etcd, steps: Plan, *, timeout: float, clock: Clock = Clock()) -> None:
    """Take the steps; each waits up to ``timeout`` seconds where etcd is not ready for it yet.

    :raises WaitTimeout: it did not become so
    """
    for step in steps.actions:
        if step.verb == "update":
            etcd.update(step.detail["id"], step.detail["url"])
        else:
            _take(etcd, step, timeout, clock)


def _take(etcd: Etcd, step: Action, timeout: float, clock: Clock) -> None:
    connected = "Every member that votes must have been connected to the others for five seconds; look at the journal of etcd on them."
    ways: dict[str, tuple[str, t.Callable[[], bool], str]] = {
        "remove": ("etcd to let {} be removed", lambda: etcd.remove(step.detail["id"]), connected),
        "add": ("etcd to let {} join", lambda: etcd.add(step.detail["url"], learner=step.detail["learner"]), connected),
        "promote": (
            "etcd member {} to catch up with the leader",
            lambda: etcd.promote(str(step.detail["id"])),
            f"Look at the journal of etcd on {step.target}.",
        ),
    }
    what, attempt, hint = ways[step.verb]
    wait_for(
        what.format(step.target), attempt, bool, timeout=timeout, interval=0.5, describe=lambda _done: "it has not", hint=hint, clock=clock
    )


def initial_cluster(wanted: Wanted, observed: t.Sequence[Member]) -> str:
    """What a joining member is started with, C(name=url,…): every member that the cluster knows, the joining one among them."""
    named = {url: name for name, url in wanted.members.items()}
    known = [(member.name or named.get(url, ""), url) for member in observed for url in member.peer_urls]
    return ",".join(f"{name}={url}" for name, url in sorted(known) if name)


def known(wanted: Wanted, observed: t.Sequence[Member]) -> list[str]:
    """Names of the wanted members that the cluster knows, started or not."""
    return [name for name in sorted(wanted.members) if any(_is(member, name, wanted) for member in observed)]


def missing(wanted: Wanted, observed: t.Sequence[Member], statuses: t.Mapping[str, Status]) -> list[str]:
    """What is missing until every wanted member votes and answers, as sentences; empty if nothing is.

    :param statuses: by member id
    """
    found = [problem for name in sorted(wanted.members) for problem in _problems(name, wanted, observed, statuses)]
    leaders = {status.leader for status in statuses.values() if not status.error}
    if len(leaders) > 1:
        found.append("the members do not agree on a leader")
    return found


def _problems(name: str, wanted: Wanted, observed: t.Sequence[Member], statuses: t.Mapping[str, Status]) -> t.Iterator[str]:
    member = next((one for one in observed if _is(one, name, wanted)), None)
    if member is None:
        yield f"{name} is no member"
    elif not member.started:
        yield f"{name} was added and has not started"
    elif member.learner:
        yield f"{name} has no vote yet"
    elif statuses.get(member.id, Status(error="it was not asked")).error:
        yield f"{name}: {statuses.get(member.id, Status(error='it was not asked')).error}"


def _is(member: Member, name: str, wanted: Wanted) -> bool:
    return member.name == name or (not member.name and wanted.members.get(name) in member.peer_urls)


def _lost(member: Member, wanted: Wanted) -> bool:
    """Whether it is what the cluster still knows of a member that lost its data. One that has not started yet has lost nothing."""
    return any(member.started and (member.name == name or wanted.members[name] in member.peer_urls) for name in wanted.replace)


def _leaves(member: Member, wanted: Wanted) -> bool:
    stranger = wanted.purge and not any(_is(member, name, wanted) for name in wanted.members)
    return stranger or _lost(member, wanted)


def _require_majority(leaver: Member, stay: t.Sequence[Member], healthy: t.Collection[str]) -> None:
    voters = [member for member in stay if not member.learner]
    answer = [member for member in voters if member.id in healthy]
    if len(answer) < len(voters) // 2 + 1:
        raise Refused(
            f"etcd member {_label(leaver)} cannot be removed: of the {len(voters)} voting members that would be left, {len(answer)} "
            f"{'answers' if len(answer) == 1 else 'answer'}, and {len(voters) // 2 + 1} are needed. Bring the others back first; "
            "nothing was changed."
        )


def _label(member: Member) -> str:
    return member.name or " ".join(member.peer_urls)


def _shown(observed: t.Sequence[Member]) -> dict[str, str]:
    vote = {True: " (no vote)", False: ""}
    return {_label(member): " ".join(member.peer_urls) + vote[member.learner] for member in observed}


def _shown_after(wanted: Wanted, stay: t.Sequence[Member]) -> dict[str, str]:
    after = [
        dataclasses.replace(member, learner=False, peer_urls=(wanted.members[member.name],)) if member.name in wanted.members else member
        for member in stay
    ]
    shown = _shown(after)
    if wanted.join and not any(_is(member, wanted.join, wanted) for member in stay):
        shown[wanted.join] = wanted.members[wanted.join] + (" (no vote)" if wanted.learner else "")
    return shown

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading an etcd cluster: its members and what each of them says, all asked at once."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.client import Etcd, Member, Status
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.members import Wanted, missing
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for


@dataclasses.dataclass(frozen=True)
class View:
    """The members, and by id what each one says of itself."""

    members: tuple[Member, ...]
    statuses: t.Mapping[str, Status]

    @property
    def healthy(self) -> frozenset[str]:
        """Ids of the members that answer and see a leader."""
        return frozenset(member for member, status in self.statuses.items() if not status.error)

    def as_dicts(self) -> list[dict[str, t.Any]]:
        """The members as a module returns them."""
        return [_as_dict(member, self.statuses.get(member.id, Status())) for member in self.members]


def look(etcd: Etcd, *, patience: float = 0, clock: Clock = Clock()) -> View:
    """Ask for the members, and each started one for its status.

    :param patience: seconds for which one that answers is waited for
    :raises Unreachable: nobody answers
    """
    deadline = clock.now() + patience
    while True:
        try:
            return _look(etcd)
        except Unreachable:
            if clock.now() >= deadline:
                raise
        clock.sleep(0.5)


def _look(etcd: Etcd) -> View:
    members = etcd.members()
    started = [member for member in members if member.client_urls]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(started))) as pool:
        statuses = pool.map(lambda member: etcd.status(member.client_urls[0]), started)
        return View(tuple(members), dict(zip((member.id for member in started), statuses, strict=True)))


def wait_healthy(etcd: Etcd, wanted: Wanted, *, timeout: float, clock: Clock = Clock()) -> View:
    """Wait until every wanted member votes and answers.

    :raises WaitTimeout: with what is missing
    """

    def observe() -> tuple[View | None, list[str]]:
        try:
            view = look(etcd)
        except ScalingError as error:
            return None, [str(error)]
        return view, missing(wanted, view.members, view.statuses)

    view, _nothing = wait_for(
        "every member of etcd to be healthy",
        observe,
        lambda seen: not seen[1],
        timeout=timeout,
        interval=0.5,
        describe=lambda seen: "; ".join(seen[1]),
        hint="Look at the journal of etcd on those members.",
        clock=clock,
    )
    return t.cast("View", view)


def _as_dict(member: Member, status: Status) -> dict[str, t.Any]:
    return {
        "id": member.id,
        "name": member.name,
        "peer_urls": list(member.peer_urls),
        "client_urls": list(member.client_urls),
        "learner": member.learner,
        "leader": bool(status.leader) and status.leader == member.id,
        "healthy": member.started and not status.error and bool(status.version),
        "version": status.version,
        "db_size": status.db_size,
        "error": status.error,
    }

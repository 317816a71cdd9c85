# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Patroni cluster as one value, the same for 3.x and 4.x.

What differs: the primary is called C(master) up to 3.x; up to 3.0.3 a standby that streams says C(running), and whether it
streams is only known from the primary's list of replication connections.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Refused, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Json, Patroni

LEADERS = ("leader", "standby_leader")
SYNCHRONOUS = ("sync_standby", "quorum_standby")
_ROLES = {"master": "leader", "primary": "leader"}
#: from this version on a standby says itself that it streams
_SAYS_STREAMING = (3, 0, 4)


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of the cluster.

    ``role`` is leader, standby_leader, sync_standby, quorum_standby or replica; ``state`` is running (a leader), streaming
    (a standby), or what Patroni says is wrong; ``lag`` counts bytes, None if unknown; ``seen`` is when its loop last read
    the cluster's store, in seconds of its clock. What only the member itself tells is
    None where it did not answer, and then ``silent`` has the reason.
    """

    name: str
    role: str
    state: str
    url: str
    host: str = ""
    port: int = 5432
    timeline: int | None = None
    lag: int | None = None
    pending_restart: bool = False
    tags: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    version: str = ""
    scope: str | None = None
    system: str | None = None
    server_version: int | None = None
    paused: bool | None = None
    seen: int | None = None
    silent: str = ""

    @property
    def leads(self) -> bool:
        """Whether it holds the leader's lock."""
        return self.role in LEADERS

    @property
    def synchronous(self) -> bool:
        """Whether every acknowledged write is known to be with it."""
        return self.role in SYNCHRONOUS

    @property
    def well(self) -> bool:
        """Whether it does what its role asks."""
        return self.state in ("running", "streaming") if self.leads else self.state == "streaming"


@dataclasses.dataclass(frozen=True)
class View:
    """The whole cluster, seen at one moment. ``config`` is the dynamic configuration."""

    members: tuple[Member, ...]
    config: Json
    paused: bool = False

    @property
    def leader(self) -> Member | None:
        """Who leads."""
        return next((member for member in self.members if member.leads), None)

    @property
    def standbys(self) -> tuple[Member, ...]:
        """Everybody else."""
        return tuple(member for member in self.members if not member.leads)

    @property
    def newest(self) -> tuple[int, ...]:
        """The newest version of Patroni among the members; () if nobody tells."""
        return max((version_tuple(member.version) for member in self.members), default=())

    def named(self, name: str) -> Member | None:
        """The member of that name."""
        return next((member for member in self.members if member.name == name), None)


def version_tuple(version: str) -> tuple[int, ...]:
    """C(3.0.2) as (3, 0, 2), for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def observe(patroni: Patroni, scope: str) -> View:
    """Ask for the cluster and its configuration, and each member for itself, all at once.

    :raises Unreachable: nobody answers
    :raises Refused: a member belongs to another cluster, or members hold different databases
    """
    cluster, config = patroni.cluster(), patroni.config()
    raw = [entry for entry in cluster.get("members", []) if entry.get("api_url")]
    urls = [_base(entry["api_url"]) for entry in raw]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(urls))) as pool:
        own = list(pool.map(lambda url: _own(patroni, url), urls))
    streaming = {name for said in own for name in _streaming(said)}
    members = tuple(_member(entry, said, streaming) for entry, said in zip(raw, own, strict=True))
    _require_one_cluster(members, scope)
    return View(members, config, bool(cluster.get("pause")))


def _own(patroni: Patroni, url: str) -> Json:
    try:
        return patroni.member(url)
    except ScalingError as error:
        return {"silent": str(error)}


def _streaming(said: Json) -> t.Iterator[str]:
    for connection in said.get("replication") or ():
        if connection.get("state") == "streaming":
            yield str(connection.get("application_name", ""))


def _member(entry: Json, said: Json, streaming: t.Collection[str]) -> Member:
    patroni = said.get("patroni", {})
    version = str(patroni.get("version", ""))
    role = _ROLES.get(str(entry.get("role", "")), str(entry.get("role", "")))
    state = str(said.get("state") or entry.get("state", ""))
    if role not in LEADERS and state == "running":
        tells = version_tuple(version) >= _SAYS_STREAMING
        # What it says itself: in an upgrade the cluster may be told of by a member that knows only "running".
        own = str(said.get("replication_state") or entry.get("state", ""))
        state = own if tells else "streaming" if entry["name"] in streaming else "running"
    lag = entry.get("lag", entry.get("receive_lag"))
    return Member(
        name=str(entry["name"]),
        role=role,
        state=state,
        url=_base(entry["api_url"]),
        host=str(entry.get("host", "")),
        port=int(entry.get("port", 5432)),
        timeline=said.get("timeline") or entry.get("timeline"),
        lag=lag if isinstance(lag, int) else None,
        pending_restart=bool(said.get("pending_restart", entry.get("pending_restart", False))),
        tags=dict(entry.get("tags", {})),
        version=version,
        scope=patroni.get("scope"),
        system=said.get("database_system_identifier"),
        server_version=said.get("server_version"),
        paused=None if "silent" in said else bool(said.get("pause")),
        seen=said.get("dcs_last_seen"),
        silent=str(said.get("silent", "")),
    )


def _base(api_url: str) -> str:
    """C(https://host:8008) of C(https://host:8008/patroni)."""
    return "/".join(api_url.split("/")[:3])


def _require_one_cluster(members: t.Sequence[Member], scope: str) -> None:
    for member in members:
        if member.scope is not None and member.scope != scope:
            raise Refused(
                f"{member.name} at {member.url} belongs to the Patroni cluster {member.scope!r} and not to {scope!r}. "
                "Correct urls or scope; nothing was changed."
            )
    systems = {member.system: member.name for member in members if member.system}
    if len(systems) > 1:
        said = ", ".join(f"{name} {system}" for system, name in sorted(systems.items(), key=lambda item: item[1]))
        raise Refused(
            f"Members of {scope!r} hold databases of different origin (system identifiers: {said}). One of them must not be here: move its "
            "data directory away, and Patroni copies the cluster's data to it. Nothing was changed."
        )

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as a drill sees it: from within its containers, because nobody else may ask Patroni and etcd."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe, running
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni import inside
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.config import canonical
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import SYNCHRONOUS

POSTGRES, ETCD, CLIENT = inside.COMPONENT, "etcd", "botserver"
ETCDCTL = (
    "env", "ETCDCTL_API=3", "etcdctl", "--cacert=/etc/etcd/ca.crt", "--cert=/etc/etcd/member.crt", "--key=/etc/etcd/member.key",
    "--command-timeout=3s",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of the PostgreSQL cluster as the others know it. ``lag`` counts bytes, None if unknown."""

    name: str
    role: str
    state: str
    timeline: int | None
    lag: int | None

    @property
    def leads(self) -> bool:
        """Whether it holds the leader's lock."""
        return self.role in inside.LEADS

    @property
    def well(self) -> bool:
        """Whether it runs as its role asks. A standby of Patroni before 3.0.4 says running where a later one says streaming."""
        return self.state in ("running", "streaming") and (self.leads or self.lag is not None)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Instances of the tier by name with their status, members as Patroni knows them, and who leads etcd ("" if nobody can say).

    ``synchronous`` says whether a commit waits for a standby, so that one of them has to be synchronous.
    """

    instances: t.Mapping[str, str]
    members: tuple[Member, ...]
    etcd_leader: str = ""
    synchronous: bool = True

    @property
    def leader(self) -> str:
        """The name of the primary; "" if there is none."""
        return next((one.name for one in self.members if one.leads), "")

    @property
    def timeline(self) -> int | None:
        """The timeline of the primary, which each promotion makes anew."""
        return next((one.timeline for one in self.members if one.leads), None)

    def names(self, component: str) -> list[str]:
        """The instances of a component, in order."""
        return sorted(name for name in self.instances if name.rpartition("-")[0] == component)

    def problems(self) -> list[str]:
        """Why the cluster is not healthy, in words; empty if it is."""
        found = [f"{name} is {status.lower()}" for name, status in sorted(self.instances.items()) if status != "Running"]
        if not self.leader:
            found.append("nobody leads")
        known = {one.name for one in self.members}
        found += [f"{name} is no member" for name in self.names(POSTGRES) if name not in known]
        found += [f"{one.name} ({one.role}) is {one.state}, {_lag(one)}" for one in self.members if not one.well]
        timelines = {one.timeline for one in self.members}
        if len(timelines) > 1:
            found.append(f"members are on timelines {', '.join(str(one) for one in sorted(timelines, key=str))}")
        waits = self.synchronous and len(self.names(POSTGRES)) > 1
        if waits and not any(one.role in SYNCHRONOUS for one in self.members):
            found.append("no standby is synchronous")
        return found if self.etcd_leader else [*found, "etcd has no leader"]


def look(lxd: Lxd, subnet: str) -> Cluster:
    """The cluster as it is now; what does not answer is left out and shows among its problems."""
    observed = observe(lxd)
    tier = {name: one for name, one in observed.items() if one.component in (POSTGRES, ETCD)}
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        told = pool.submit(_first, running(tier, POSTGRES), lambda name: _told(lxd, subnet, name), ((), True))
        leader = pool.submit(_first, running(tier, ETCD), lambda name: _etcd_leader(lxd, subnet, name), "")
        members, synchronous = told.result()
        return Cluster({name: one.status for name, one in tier.items()}, members, leader.result(), synchronous)


T = t.TypeVar("T")


def _first(names: t.Iterable[str], ask: t.Callable[[str], T], nothing: T) -> T:
    """The first answer that says anything; during a fault some do not."""
    for name in names:
        try:
            answer = ask(name)
        except (ScalingError, ValueError, KeyError):
            continue
        if answer:
            return answer
    return nothing


def _told(lxd: Lxd, subnet: str, name: str) -> tuple[tuple[Member, ...], bool]:
    """The members as one of them knows them, and whether a commit waits for a standby."""
    said = inside.ask(lxd, name, subnet, config=True)
    members = tuple(sorted((_member(one) for one in said["cluster"]["members"]), key=lambda one: one.name))
    return members, canonical(said["config"].get("synchronous_mode")) not in (None, False)


def _member(said: t.Mapping[str, t.Any]) -> Member:
    lag = said.get("lag", said.get("receive_lag"))
    return Member(str(said["name"]), str(said["role"]), str(said["state"]), said.get("timeline"), lag if isinstance(lag, int) else None)


def _etcd_leader(lxd: Lxd, subnet: str, name: str) -> str:
    """The name of etcd's leader, if this instance is it; the others are asked after it."""
    where = address(subnet, ETCD, int(name.rpartition("-")[2]))
    code, out, _err = lxd.execute(name, [*ETCDCTL, f"--endpoints=https://{where}:2379", "endpoint", "status", "-w", "json"], timeout=10)
    if code != 0:
        return ""
    status = json.loads(out)[0]["Status"]
    return name if status["leader"] and status["leader"] == status["header"]["member_id"] else ""


def _lag(one: Member) -> str:
    return "lag unknown" if one.lag is None else f"{one.lag} bytes behind"

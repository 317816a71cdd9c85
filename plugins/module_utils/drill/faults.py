# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of a drill: whom each hits, what is done, and what undoes it. A table; :data:`FAULTS` is all there is.

Steps are values: what they do to an instance is in ``steps.py``. A fault is chosen by what the cluster looks like at that moment.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import CLIENT, ETCD, POSTGRES, Cluster
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import SYNCHRONOUS

Verb = t.Literal[
    "stop", "start", "freeze", "unfreeze", "kill-postgres", "kill-patroni", "kill-both", "kill-etcd", "cut", "mend", "starve", "feed",
    "burden", "fill", "clear", "follow", "unfollow", "switchover", "reinit", "new-leader", "kill-etcd-leaders",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Step:
    """Something done to an instance. ``peers`` are other instances that it concerns, ``ways`` the directions that are cut."""

    verb: Verb
    target: str
    peers: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()

    def __str__(self) -> str:
        link = {"follow": "after", "switchover": "to"}.get(self.verb, "from")
        peers = [link, ", ".join(self.peers)] if self.peers else []
        return " ".join([self.verb, self.target, *peers, *(f"({way})" for way in self.ways)])


@dataclasses.dataclass(frozen=True)
class Fault:
    """A kind of fault.

    :param hold: seconds for which it lasts at least
    :param steps: what is done, given the cluster and the instance that is hit
    :param target: the instance that is hit where nobody names one
    :param recovers: whether writes are to be acknowledged again while it lasts
    :param limit: seconds that the outage may last at p95; None where the fault itself keeps writers out
    :param stays: whether the lead has to stay where it is, because nothing happens that is a reason to move it
    """

    title: str
    steps: t.Callable[[Cluster, str], list[Step]]
    target: t.Callable[[Cluster], str]
    hold: float = 3.0
    limit: float | None = None
    recovers: bool = True
    stays: bool = False


@dataclasses.dataclass(frozen=True)
class Planned:
    """A fault as it is going to happen: ``inject`` in this order, then ``heal``."""

    name: str
    target: str
    inject: tuple[Step, ...]
    heal: tuple[Step, ...]
    hold: float
    limit: float | None
    recovers: bool = True
    stays: bool = False


def plan(name: str, cluster: Cluster, target: str | None = None) -> Planned:
    """What a drill would do to this cluster.

    :raises InvalidInput: there is no such fault, or no such instance
    :raises Refused: nothing can be hit now, because nobody leads
    """
    if name not in FAULTS:
        raise InvalidInput(f"fault is {name!r}; it must be one of {', '.join(FAULTS)}.")
    fault = FAULTS[name]
    hit = target or fault.target(cluster)
    if not hit:
        raise Refused(f"The fault {name} has nobody to hit: {'; '.join(cluster.problems()) or 'there is no such instance'}. Name a target.")
    if hit not in cluster.instances:
        there = ", ".join(sorted(cluster.instances)) or "etcd's and PostgreSQL's instances, of which there is none"
        raise InvalidInput(f"target is {hit!r}; it must be one of {there}.")
    steps = fault.steps(cluster, hit)
    undo = [UNDO[step.verb] for step in steps if step.verb in UNDO]
    hit_by = [step.target for step in steps if step.verb in UNDO]
    heal = tuple(dict.fromkeys(Step(verb, where) for verb, where in zip(undo, hit_by, strict=True)))
    return Planned(name, hit, tuple(steps), heal, fault.hold, fault.limit, fault.recovers, fault.stays)


UNDO: t.Mapping[Verb, Verb] = {
    "stop": "start", "freeze": "unfreeze", "cut": "mend", "starve": "feed", "burden": "feed", "fill": "clear", "follow": "unfollow",
}  # fmt: skip


def _primary(cluster: Cluster) -> str:
    return cluster.leader


def _standby(cluster: Cluster) -> str:
    return next((one.name for one in cluster.members if not one.leads), "")


def _etcd(cluster: Cluster) -> str:
    return cluster.etcd_leader


def _only(verb: Verb) -> t.Callable[[Cluster, str], list[Step]]:
    return lambda _cluster, hit: [Step(verb, hit)]


def _cut(components: t.Collection[str], *ways: str) -> t.Callable[[Cluster, str], list[Step]]:
    """Cut the instance that is hit off from others; of the client only the component is named, for its instances come and go."""

    def steps(cluster: Cluster, hit: str) -> list[Step]:
        others = [name for part in (POSTGRES, ETCD) if part in components for name in cluster.names(part) if name != hit]
        return [Step("cut", hit, (*others, *([CLIENT] if CLIENT in components else [])), ways)]

    return steps


def _with_etcd(cluster: Cluster, hit: str) -> list[Step]:
    return [Step("stop", cluster.etcd_leader), Step("stop", hit)] if cluster.etcd_leader else [Step("stop", hit)]


def _majority(cluster: Cluster, hit: str) -> list[Step]:
    others = [name for name in cluster.names(ETCD) if name != hit]
    return [Step("stop", hit), *(Step("stop", name) for name in others[: len(cluster.names(ETCD)) // 2])]


def _succession(_cluster: Cluster, hit: str) -> list[Step]:
    """The primary, and its follower as soon as there is one, which is killed and not stopped so that one of three can take over."""
    return [Step("stop", hit), Step("new-leader", hit), Step("kill-both", "")]


def _while_reinit(cluster: Cluster, hit: str) -> list[Step]:
    return [Step("reinit", _standby(cluster)), Step("kill-both", hit)]


def _switchover(cluster: Cluster, hit: str) -> list[Step]:
    """As the role does it: the other standbys follow the next leader before it leads, so that one can confirm a write at once."""
    standbys = [one for one in cluster.members if one.name != hit and not one.leads]
    following = next((one.name for one in standbys if one.role in SYNCHRONOUS or not cluster.synchronous), "")
    if not following:
        raise Refused(f"{hit} has no standby that could take the lead: {'; '.join(cluster.problems()) or 'nobody else is there'}.")
    others = [one.name for one in standbys if one.name != following] if cluster.synchronous else []
    return [*(Step("follow", other, (following,)) for other in others), Step("switchover", hit, (following,))]


def _while_switchover(cluster: Cluster, hit: str) -> list[Step]:
    *before, switchover = _switchover(cluster, hit)
    return [*before, dataclasses.replace(switchover, ways=("without waiting",)), Step("kill-both", hit)]


def _busy(cluster: Cluster, hit: str) -> list[Step]:
    """Every member has to make do with little, and etcd loses one leader after the other meanwhile."""
    members = [*cluster.names(POSTGRES), *cluster.names(ETCD)]
    return [*(Step("burden", name) for name in members), Step("kill-etcd-leaders", hit)]


ALL, BOTH = (POSTGRES, ETCD, CLIENT), ("in", "out")
#: seconds; the bars of a crashed node and of a planned switchover
CRASH, PLANNED = 10.0, 2.5

FAULTS: t.Mapping[str, Fault] = {
    "switchover": Fault("a planned switchover", _switchover, _primary, limit=PLANNED),
    "power-off": Fault("the primary's power is cut", _only("stop"), _primary, limit=CRASH),
    "freeze": Fault("the primary's host hangs", _only("freeze"), _primary, limit=CRASH),
    "kill-postgres": Fault("PostgreSQL is killed", _only("kill-postgres"), _primary, limit=CRASH),
    "kill-patroni": Fault("Patroni is killed, PostgreSQL lives on", _only("kill-patroni"), _primary, limit=CRASH),
    "kill-both": Fault("Patroni and PostgreSQL are killed", _only("kill-both"), _primary, limit=CRASH),
    "kill-etcd-leader": Fault("the leader of etcd is killed", _only("kill-etcd"), _etcd, hold=8, limit=CRASH, stays=True),
    "power-off-both-leaders": Fault("the leader of etcd and the primary lose their power", _with_etcd, _primary),
    "etcd-majority": Fault("two of three members of etcd lose their power", _majority, _etcd, hold=15),
    "cut": Fault("nothing passes to and from the primary", _cut(ALL, *BOTH), _primary, limit=CRASH),
    "cut-in": Fault("nothing reaches the primary", _cut(ALL, "in"), _primary, limit=CRASH),
    "cut-out": Fault("nothing leaves the primary", _cut(ALL, "out"), _primary, limit=CRASH),
    "cut-etcd": Fault("the primary and etcd are apart", _cut((ETCD,), *BOTH), _primary, hold=10, limit=CRASH),
    "cut-clients": Fault("the primary and its clients are apart", _cut((CLIENT,), *BOTH), _primary, hold=8, recovers=False),
    "disk-full": Fault("the primary's disk is full", _only("fill"), _primary, hold=10),
    "starve": Fault("the primary gets next to no CPU", _only("starve"), _primary, hold=20),
    "busy": Fault("all members get little CPU, and etcd loses its leader again and again", _busy, _primary, limit=CRASH, stays=True),
    "succession": Fault("the primary, and its follower as soon as it leads", _succession, _primary),
    "while-reinit": Fault("the primary is killed while a standby copies it", _while_reinit, _primary),
    "while-switchover": Fault("the primary is killed in the middle of a switchover", _while_switchover, _primary),
}  # fmt: skip

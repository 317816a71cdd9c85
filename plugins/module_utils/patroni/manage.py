# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for Patroni do: their connection's options, and the way from observing to waiting."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Access, Json, Patroni
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.config import leftover
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.health import Need, problems, unsettled
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import View
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.plan import Wanted, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.run import Cluster, lasting, run

CONNECTION = ArgumentSpec(
    options={
        "urls": {"type": "list", "elements": "str", "required": True},
        "scope": {"type": "str", "required": True},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "ca_file": {"type": "path"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "timeout": {"type": "float", "default": 5},
    },
    required_together=[("username", "password"), ("client_cert", "client_key")],
)
HEALTH = ArgumentSpec(
    options={
        "members": {"type": "int", "default": 1},
        "synchronous": {"type": "int", "default": 0},
        "maximum_lag": {"type": "int", "default": 16777216},
    },
)


def connect(params: t.Mapping[str, t.Any]) -> Patroni:
    """The cluster that a module's options lead to."""
    access = Access(params["username"], params["password"], params["ca_file"], params["client_cert"], params["client_key"])
    return Patroni(params["urls"], access, params["timeout"])


def need_of(params: t.Mapping[str, t.Any]) -> Need:
    """What the options say of health."""
    return Need(params["members"], params["synchronous"], params["maximum_lag"])


def shown(view: View, need: Need) -> Json:
    """A cluster as the modules return it."""
    return {
        "leader": view.leader.name if view.leader else None,
        "members": [dataclasses.asdict(member) for member in view.members],
        "paused": view.paused,
        "pending_restart": [member.name for member in view.members if member.pending_restart],
        "problems": problems(view, need),
    }


@dataclasses.dataclass(frozen=True)
class Manner:
    """How a run goes about it.

    :param act: take the steps; without it they are only computed
    :param wait: wait until the cluster is healthy
    :param repair: copy standbys anew that have not followed for this many seconds; None leaves them alone
    """

    act: bool
    wait: bool
    repair: float | None = None


def manage(cluster: Cluster, wanted: Wanted, need: Need, manner: Manner) -> Json:
    """Observe, plan, and where it is to act take the steps and wait; returns a module's result."""
    waits = manner.wait and manner.act
    view = cluster.find() if waits else cluster.look()
    if waits and not wanted.lossy:
        view = cluster.until("the members to be there", lambda seen: unsettled(seen, need.members))
    broken = lasting(cluster, view, manner.repair) if manner.repair is not None else []
    steps = plan(wanted, view, broken)
    if manner.act and steps.changed:
        steps.actions = run(cluster, wanted, steps)
        view = cluster.look()
    if waits:
        view = cluster.healthy(need)
    left = [] if wanted.replace else leftover(wanted.config or {}, view.config)
    return steps.result(**shown(view, need), leftover_parameters=left)


def warning_of(result: Json, scope: str) -> str:
    """What to tell a person about parameters that are left in the cluster; empty if there are none."""
    left = ", ".join(result["leftover_parameters"])
    return left and (
        f"The cluster {scope} sets parameters of PostgreSQL that config does not name: {left}. They stay as they are, for a line that is "
        "taken out of postgres_parameters takes nothing back. Set a parameter to null there to have PostgreSQL's default again, or write "
        "it there with its value."
    )

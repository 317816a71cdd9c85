# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between LXD and Incus, in one table; nowhere else does the code ask which one it speaks to."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    InvalidInput,
    Unreachable,
)


@dataclasses.dataclass(frozen=True)
class Engine:
    """One container engine: where its sockets are, what its client and Ansible connection are called."""

    name: str
    title: str
    sockets: tuple[str, ...]
    client: str
    connection: str
    connection_prefix: str
    metric_prefix: str


ENGINES: t.Mapping[str, Engine] = {
    "lxd": Engine(
        name="lxd",
        title="LXD",
        sockets=("/var/lib/lxd/unix.socket", "/var/snap/lxd/common/lxd/unix.socket"),
        client="lxc",
        connection="generalbots.scaling.lxd_exec",
        connection_prefix="ansible_lxd",
        metric_prefix="lxd_",
    ),
    "incus": Engine(
        name="incus",
        title="Incus",
        sockets=("/var/lib/incus/unix.socket",),
        client="incus",
        connection="community.general.incus",
        connection_prefix="ansible_incus",
        metric_prefix="incus_",
    ),
}


def engine_named(name: str) -> Engine:
    """The engine of that name; raises InvalidInput for any other name."""
    try:
        return ENGINES[name]
    except KeyError:
        raise InvalidInput(f"engine is {name!r}, which is none of {', '.join(ENGINES)}. Set gb_engine to one of them.") from None


def find_socket(engine: Engine, exists: t.Callable[[str], bool] = os.path.exists) -> str:
    """The first unix socket of the engine that exists; the error names the ones that were tried."""
    for path in engine.sockets:
        if exists(path):
            return path
    tried = ", ".join(engine.sockets)
    raise Unreachable(
        f"{engine.title} is not running here, or not installed: no unix socket at {tried}. "
        f"Run the role generalbots.scaling.lxd_host, start {engine.title}, or give its address as url.",
        tried=list(engine.sockets),
    )

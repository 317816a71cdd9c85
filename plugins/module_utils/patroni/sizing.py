# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL does with the memory of its container, and how many connections botserver needs. Pure."""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import size_bytes

MIB = 1024 * 1024
#: botserver's pools, which it does not let anybody change: connections to the main database, and to each bot's
MAIN_POOL, BOT_POOL = 10, 5
#: MiB that Patroni, the log and PostgreSQL's own processes take
OVERHEAD = 80
#: MiB of its own that a connection takes when it has worked for a while
CONNECTION = 3
#: the share of the memory that may be spoken for; the rest keeps the kernel's page cache alive
USABLE = 0.95
#: Patroni takes no fewer
FEWEST_CONNECTIONS = 25
#: MiB of its log that every member keeps for standbys that were away or cannot keep pace: as much as its memory, within these
LEAST_KEPT, MOST_KEPT = 2048, 8192

_POSTGRES_UNITS = {"": 8192, "B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


@dataclasses.dataclass(frozen=True)
class Need:
    """Who connects.

    :param botservers: how many botservers there may be at most
    :param bots: bots that each of them serves
    :param reserved: connections of everybody else
    """

    botservers: int
    bots: int
    reserved: int

    @property
    def connections(self) -> int:
        """The most connections there can be at once. One botserver more, which runs while another is replaced."""
        return (self.botservers + 1) * (MAIN_POOL + BOT_POOL * self.bots) + self.reserved


def settings(memory: str, need: Need, own: t.Mapping[str, t.Any] | None = None) -> dict[str, t.Any]:
    """PostgreSQL's parameters for a container.

    :param memory: the container's limit as LXD takes it, such as C(1GiB)
    :param own: parameters of the user, which win
    :returns: parameters by name, as Patroni's configuration takes them
    :raises InvalidInput: the limit is none, or what is needed does not fit into it
    """
    limit = memory_bytes(memory)
    chosen = {**computed(limit, need), **dict(own or {})}
    _require_connections(chosen, need)
    _require_memory(chosen, limit, memory, need)
    return chosen


def computed(limit: int, need: Need) -> dict[str, t.Any]:
    """The parameters that follow from the limit in bytes: a quarter is shared, three fifths are hoped to be cached.

    What is kept of the log is at least twice ``max_wal_size``, so that a standby may miss two checkpoints and follow again.
    """
    shared = max(limit // 4 // MIB, 16)
    return {
        "max_connections": max(need.connections, FEWEST_CONNECTIONS),
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(limit * 6 // 10 // MIB, 32)}MB",
        "maintenance_work_mem": f"{min(max(limit // 20 // MIB, 16), 512)}MB",
        "work_mem": "4MB",
        "max_wal_size": f"{min(max(limit // 2 // MIB, 256), 4096)}MB",
        "min_wal_size": "80MB",
        "wal_keep_size": f"{min(max(limit // MIB, LEAST_KEPT), MOST_KEPT)}MB",
    }


def memory_bytes(limit: str) -> int:
    """A limit of LXD in bytes.

    :raises InvalidInput: it is a share of the host's memory, or no size
    """
    size = size_bytes(str(limit))
    if size is None:
        raise InvalidInput(
            f"gb_postgres_limits.memory is {limit!r}, from which PostgreSQL's settings cannot be computed. "
            "Write a size with its unit, such as 1GiB; nothing was changed."
        )
    return size


def postgres_bytes(name: str, value: t.Any) -> int:
    """A size of PostgreSQL in bytes; without a unit it counts pages of 8 kB.

    :raises InvalidInput: it is none
    """
    found = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", str(value).strip())
    if not found or found.group(2) not in _POSTGRES_UNITS:
        raise InvalidInput(f"postgres_parameters.{name} is {value!r}; it must be a size such as 256MB. Nothing was changed.")
    return int(found.group(1)) * _POSTGRES_UNITS[found.group(2)]


def _require_connections(chosen: t.Mapping[str, t.Any], need: Need) -> None:
    if not str(chosen["max_connections"]).isdigit() or int(chosen["max_connections"]) < need.connections:
        raise InvalidInput(
            f"max_connections is {chosen['max_connections']}, and {need.connections} are needed: {need.botservers} botservers and one "
            f"that replaces another, each with {MAIN_POOL} connections and {BOT_POOL} for each of {need.bots} bots, and {need.reserved} "
            "for others. Leave max_connections out, or lower scale-max-instances or gb_bots; nothing was changed."
        )


def _require_memory(chosen: t.Mapping[str, t.Any], limit: int, memory: str, need: Need) -> None:
    shared = postgres_bytes("shared_buffers", chosen["shared_buffers"])
    connections = int(chosen["max_connections"])
    needed = shared + (OVERHEAD + connections * CONNECTION) * MIB
    if needed <= limit * USABLE:
        return
    enough = math.ceil((OVERHEAD + connections * CONNECTION) / (USABLE - 0.25) / 64) * 64
    raise InvalidInput(
        f"gb_postgres_limits.memory is {memory}, and PostgreSQL needs {needed // MIB} MiB: {shared // MIB} MiB shared_buffers, "
        f"{CONNECTION} MiB for each of {connections} connections ({need.botservers} botservers at most, {need.bots} bots), and "
        f"{OVERHEAD} MiB for itself. Set it to {enough}MiB or more, or lower scale-max-instances or gb_bots; nothing was changed."
    )

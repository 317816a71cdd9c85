# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may speak to whom, on which port: the one table. Rule sets and the network page of the docs are made from it.

What is not in it is refused: every container drops what comes in and is not answered for by a door.
"""

from __future__ import annotations

import dataclasses
import typing as t

#: the bridge's own address: this host, whatever it passes on in its own name, and the controller if it runs here
HOST = "host"
#: any address
ANYWHERE = "anywhere"

#: ports that are variables: name → (variable, its default)
PORTS: t.Mapping[str, tuple[str, int]] = {
    "botserver": ("gb_botserver_port", 8080),
    "gate": ("gb_gate_port", 8079),
}

#: component → what it is; every one has a range of addresses in lxd/addresses.py
COMPONENTS: t.Mapping[str, str] = {
    "proxy": "Caddy, in front of the fleet",
    "etcd": "etcd, which PostgreSQL's members elect their leader with",
    "postgres": "PostgreSQL under Patroni",
    "redis": "Redis",
    "sentinel": "Redis Sentinel",
    "qdrant": "Qdrant",
    "shard": "PostgreSQL of the shards, and PgBouncer",
    "monitoring": "Prometheus",
    "control": "the autoscaler",
    "botserver": "botserver and its health gate",
}


@dataclasses.dataclass(frozen=True)
class Door:
    """What a component accepts.

    :param to: the component that listens
    :param ports: numbers, or names of :data:`PORTS`; none for a protocol that has no ports
    :param sources: components, :data:`HOST`, :data:`ANYWHERE`, or addresses and networks in CIDR notation
    :param purpose: what for, in a few words
    :param protocol: tcp, udp or vrrp
    """

    to: str
    ports: tuple[int | str, ...]
    sources: tuple[str, ...]
    purpose: str
    protocol: str = "tcp"


DOORS: tuple[Door, ...] = (
    Door("proxy", (80, 443), (ANYWHERE,), "visitors"),
    Door("proxy", (443,), (ANYWHERE,), "visitors, HTTP/3", "udp"),
    Door("proxy", (), ("proxy",), "who holds the virtual address", "vrrp"),
    Door("botserver", ("botserver",), ("proxy",), "visitors' requests"),
    Door("botserver", ("gate",), ("proxy", HOST, "control"), "health checks"),
    Door("etcd", (2379,), ("etcd", "postgres", "control", "monitoring"), "clients"),
    Door("etcd", (2380,), ("etcd",), "peers"),
    Door("postgres", (5432,), ("postgres", "botserver", "shard", "control"), "queries and replication"),
    Door("postgres", (8008,), ("postgres", "botserver", "shard", "control", "monitoring"), "Patroni: who is the primary"),
    Door("redis", (6379,), ("redis", "sentinel", "botserver", "control", "monitoring"), "commands and replication"),
    Door("redis", (16379,), ("redis",), "bus of a Redis Cluster"),
    Door("sentinel", (26379,), ("sentinel", "redis", "botserver", "control", "monitoring"), "who is the master"),
    Door("qdrant", (6333,), ("qdrant", "botserver", "control", "monitoring"), "REST"),
    Door("qdrant", (6334,), ("botserver",), "gRPC"),
    Door("qdrant", (6335,), ("qdrant",), "peers"),
    Door("shard", (5432,), ("shard", "postgres", "botserver", "control"), "queries and replication"),
    Door("shard", (6432,), ("botserver",), "PgBouncer"),
    Door("monitoring", (9090,), (HOST, "control"), "Prometheus"),
    Door("monitoring", (9093,), (HOST, "control"), "Alertmanager"),
    Door("monitoring", (3000,), (HOST,), "Grafana"),
)

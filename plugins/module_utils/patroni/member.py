# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member before Patroni is let at it: its data on disk, what etcd knows of the cluster, and why the two do not go together."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import struct
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.client import Etcd

ABSENT, EMPTY, CLUSTER, PART, OTHER = "absent", "empty", "cluster", "part", "other"
MIB = 2**20
#: what PostgreSQL, pg_basebackup and Patroni put into a data directory
_POSTGRES = re.compile(
    r"base|global|log|PG_VERSION|pg_[a-z_]+(\.conf(\.\w+)?)?|postgresql\..+|postmaster\.(pid|opts)|patroni\.dynamic\.json"
    r"|(standby|recovery)\.\w+|(backup_(label|manifest)|tablespace_map|current_logfiles)(\.\w+)?"
)
_NAME = re.compile(r"""^name: *['"]?([^'"\n]+?)['"]? *$""", re.MULTILINE)
_DATA_DIR = re.compile(r"""^ +data_dir: *['"]?([^'"\n]+?)['"]? *$""", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Data:
    """A data directory: whether there is a database in it, of which major version and origin; ``found`` names some other content.

    ``part`` of a database is there while a copy is under way, or since it was broken off.
    """

    state: str
    version: str = ""
    system: str = ""
    free_mib: int = 0
    found: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Database:
    """A database in another folder than the expected one; ``configured`` says that Patroni's configuration on this host names it."""

    folder: str
    version: str
    system: str = ""
    configured: bool = False


@dataclasses.dataclass(frozen=True)
class Store:
    """What etcd knows of a cluster: the origin of its database, who leads, and the host of each member that runs, by name."""

    system: str = ""
    leader: str = ""
    members: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def initialized(self) -> bool:
        """Whether a database was ever made for this cluster."""
        return bool(self.system)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What should be there: scope, major version of PostgreSQL, MiB of free disk, and the host of every member by name.

    ``name`` is this host's own, as Patroni was configured with it; empty where it never was.
    """

    scope: str
    version: str
    minimum_free: int
    members: t.Mapping[str, str]
    name: str = ""


def read_data(folder: str) -> Data:
    """What is in a data directory, without PostgreSQL's help."""
    path = pathlib.Path(folder)
    free = _free_mib(path)
    if not path.is_dir():
        return Data(ABSENT, free_mib=free)
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return Data(EMPTY, free_mib=free)
    if "PG_VERSION" not in names:
        state = PART if all(map(_POSTGRES.fullmatch, names)) else OTHER
        return Data(state, free_mib=free, found=tuple(names[:3]))
    return Data(CLUSTER, (path / "PG_VERSION").read_text(encoding="ascii").strip(), _system(path / "global" / "pg_control"), free)


def read_others(folder: str, config_file: str) -> list[Database]:
    """Databases that are not in ``folder``: where Debian has those of other versions, and where Patroni was configured to have its own.

    :param folder: the expected data directory, such as C(/var/lib/postgresql/15/main), beside which C(/var/lib/postgresql/*/main) are
    :param config_file: of Patroni; it need not be there
    """
    expected = pathlib.Path(folder)
    configured = {pathlib.Path(value) for value in _DATA_DIR.findall(_text(config_file))}
    others = {*expected.parent.parent.glob(f"*/{expected.name}"), *configured} - {expected}
    found = [(other, read_data(str(other))) for other in sorted(others)]
    return [Database(str(other), data.version, data.system, other in configured) for other, data in found if data.state == CLUSTER]


def read_name(config_file: str) -> str:
    """The member's name in Patroni's configuration; empty where there is none."""
    return next(iter(_NAME.findall(_text(config_file))), "")


def _text(file: str) -> str:
    path = pathlib.Path(file)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _system(control: pathlib.Path) -> str:
    """The system identifier, which pg_control begins with as 64 bits of the machine's order (src/include/catalog/pg_control.h)."""
    if not control.is_file():
        return ""
    with control.open("rb") as file:
        return str(struct.unpack("=Q", file.read(8))[0])


def _free_mib(path: pathlib.Path) -> int:
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize // MIB


def read_store(etcd: Etcd, namespace: str, scope: str) -> Store:
    """What etcd knows; raises Unreachable where it does not answer."""
    prefix = f"/{namespace.strip('/')}/{scope}/"
    keys = etcd.below(prefix)
    members = {key[len(prefix) + len("members/") :]: value for key, value in keys.items() if key.startswith(f"{prefix}members/")}
    return Store(
        system=keys.get(f"{prefix}initialize", ""),
        leader=keys.get(f"{prefix}leader", ""),
        members={name: _host(value) for name, value in members.items()},
    )


def _host(value: str) -> str:
    """The host of a member's C(conn_url), C(postgres://10.87.0.31:5432/postgres)."""
    url = str(json.loads(value).get("conn_url", ""))
    return url.partition("://")[2].partition("/")[0].rpartition(":")[0]


def problems(data: Data, store: Store, expected: Expected, folder: str, others: t.Sequence[Database] = ()) -> list[str]:
    """Why Patroni must not be started with this, as sentences; empty if nothing speaks against it.

    :param others: databases of this host that are not in ``folder``
    """
    found = [*_of_data(data, store, expected, folder), *_of_others(data, store, expected, others), *_of_store(store, expected)]
    if data.system and store.system and data.system != store.system:
        found.append(
            f"{folder} holds a database of another origin (system identifier {data.system}) than the cluster {expected.scope} has "
            f"({store.system}). If it is not needed, move it away, and the member copies the cluster's; else give this cluster another "
            "postgres_scope."
        )
    return found


def _of_data(data: Data, store: Store, expected: Expected, folder: str) -> t.Iterator[str]:
    if data.state == OTHER:
        yield f"{folder} is not empty and holds no database ({', '.join(data.found)}…). Move its content away; nothing was configured."
    # A member whose Patroni runs, which etcd knows by its lease, is copying.
    elif data.state == PART and expected.name not in store.members:
        yield (
            f"{folder} holds a part of a database ({', '.join(data.found)}…, no PG_VERSION), and no Patroni runs here that could be "
            "copying it. Move its content away, and the member copies the cluster's; nothing was configured."
        )
    elif data.state == CLUSTER and data.version != expected.version:
        yield _of_another_version(folder, data.version, expected)
    if data.free_mib < expected.minimum_free:
        yield (
            f"The disk of {folder} has {data.free_mib} MiB free, and postgres_minimum_free asks for {expected.minimum_free}. Make room or "
            "enlarge it: PostgreSQL stops when its disk is full. Nothing was configured."
        )


def _of_others(data: Data, store: Store, expected: Expected, others: t.Sequence[Database]) -> t.Iterator[str]:
    """The cluster's database of another version, from whose folder a changed version only looks away."""
    has_its_own = data.state == CLUSTER and store.system in ("", data.system)
    for other in () if has_its_own else others:
        if other.version != expected.version and _is_in_use(other, store):
            yield _of_another_version(other.folder, other.version, expected)


def _is_in_use(other: Database, store: Store) -> bool:
    """Whether it is the cluster's. Debian's own ones, and what was left after an upgrade by hand, are of another origin."""
    return other.system == store.system if other.system and store.system else other.configured


def _of_another_version(folder: str, version: str, expected: Expected) -> str:
    return (
        f"{folder} holds a database of PostgreSQL {version}, and postgres_version is {expected.version}. No run brings one to another "
        f"major version. Set postgres_version to {version} again; to upgrade, dump it into a cluster of the new version, or use pg_upgrade "
        "by hand. See docs/postgres.md; nothing was configured."
    )


def _of_store(store: Store, expected: Expected) -> t.Iterator[str]:
    for name, host in sorted(store.members.items()):
        if name not in expected.members:
            yield (
                f"The scope {expected.scope} is taken by another cluster: its member {name} runs at {host}, and this inventory has no such "
                "member. Choose another postgres_scope, or another etcd; nothing was configured."
            )
        elif host != expected.members[name]:
            yield (
                f"The name {name} is taken: a member of {expected.scope} runs under it at {host}, and not at {expected.members[name]} as "
                "in this inventory. Stop that one, or choose another postgres_scope; nothing was configured."
            )

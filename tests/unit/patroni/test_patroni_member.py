# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member before Patroni is started: its data, what etcd knows, and what must not be put together."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import struct
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.client import Etcd
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.member import (
    Data,
    Database,
    Expected,
    Store,
    problems,
    read_data,
    read_name,
    read_others,
    read_store,
)

EXPECTED = Expected("gb", "15", 512, {"postgres-1": "10.0.0.31", "postgres-2": "10.0.0.32"})
GOOD = Data("cluster", "15", "71", 9999)
FOLDER = "/data"


def database(folder: pathlib.Path, version: str = "15", system: int = 7123456789012345678) -> pathlib.Path:
    (folder / "global").mkdir(parents=True)
    (folder / "PG_VERSION").write_text(f"{version}\n")
    (folder / "global" / "pg_control").write_bytes(struct.pack("=Q", system) + bytes(100))
    return folder


def test_a_database_is_read_without_postgresql(tmp_path: pathlib.Path) -> None:
    found = read_data(str(database(tmp_path / "main")))
    assert (found.state, found.version, found.system) == ("cluster", "15", "7123456789012345678")
    assert found.free_mib > 0


def test_what_is_no_database_is_told_apart(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photos").touch()
    assert read_data(str(tmp_path / "absent" / "main")).state == "absent"
    assert read_data(str(tmp_path / "empty")).state == "empty"
    assert (read_data(str(tmp_path / "other")).state, read_data(str(tmp_path / "other")).found) == ("other", ("photos",))


@pytest.mark.parametrize(
    ("names", "state"),
    [
        (["pg_wal"], "part"),
        (["base", "global", "pg_wal", "backup_label", "tablespace_map", "postgresql.base.conf", "pg_hba.conf.backup"], "part"),
        (["patroni.dynamic.json", "standby.signal", "backup_manifest.tmp", "pg_stat_tmp"], "part"),
        (["base", "pg_wal", "photos"], "other"),
        (["base", "pg_wal", "PG_VERSION"], "cluster"),
    ],
)  # fmt: skip
def test_a_copy_under_way_is_told_from_anything_else(tmp_path: pathlib.Path, names: list[str], state: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert read_data(str(tmp_path)).state == state


PART = Data("part", free_mib=9999, found=("base", "global", "pg_wal"))


@pytest.mark.parametrize(
    ("name", "running", "problem"),
    [
        ("postgres-2", {"postgres-2": "10.0.0.32"}, False),
        ("postgres-2", {"postgres-1": "10.0.0.31"}, True),
        ("", {"postgres-1": "10.0.0.31"}, True),
    ],
)  # fmt: skip
def test_a_copy_is_no_problem_where_somebody_makes_it(name: str, running: dict[str, str], problem: bool) -> None:
    found = problems(PART, Store("71", "postgres-1", running), dataclasses.replace(EXPECTED, name=name), FOLDER)
    assert ["/data holds a part of a database (base, global, pg_wal…" in said for said in found] == [True] * problem


def test_the_members_name_is_that_of_its_configuration(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "config.yml"
    assert read_name(str(config)) == ""
    config.write_text("scope: gb\nname: postgres-2\npostgresql:\n  authentication:\n    superuser: {username: postgres}\n")
    assert read_name(str(config)) == "postgres-2"


def test_what_goes_together_is_let_through() -> None:
    store = Store("71", "postgres-1", {"postgres-1": "10.0.0.31"})
    assert problems(GOOD, store, EXPECTED, FOLDER) == []
    assert problems(Data("absent", free_mib=600), store, EXPECTED, FOLDER) == []
    assert problems(GOOD, Store(), EXPECTED, FOLDER) == []


@pytest.mark.parametrize(
    ("data", "store", "said"),
    [
        (Data("other", free_mib=9999, found=("photos",)), Store(), "/data is not empty and holds no database (photos…)"),
        (Data("cluster", "13", "71", 9999), Store(), "/data holds a database of PostgreSQL 13, and postgres_version is 15"),
        (Data("empty", free_mib=100), Store(), "has 100 MiB free, and postgres_minimum_free asks for 512"),
        (GOOD, Store("72"), "another origin (system identifier 71) than the cluster gb has (72)"),
        (Data("empty", free_mib=9999), Store("72", "", {"db-1": "10.9.9.9"}), "taken by another cluster: its member db-1 runs at 10.9.9.9"),
        (Data("empty", free_mib=9999), Store("72", "", {"postgres-2": "10.9.9.9"}), "The name postgres-2 is taken"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(data: Data, store: Store, said: str) -> None:
    [problem] = problems(data, store, EXPECTED, FOLDER)
    assert said in problem


OLD = Database("/pg/13/main", "13", "71")
NOTHING = Data("absent", free_mib=9999)


@pytest.mark.parametrize(
    ("data", "store", "other"),
    [
        (NOTHING, Store("71"), OLD),
        (Data("empty", free_mib=9999), Store("71"), OLD),
        (NOTHING, Store(), Database("/pg/13/main", "13", "71", configured=True)),
        (NOTHING, Store("71"), Database("/pg/13/main", "13", "", configured=True)),
    ],
)  # fmt: skip
def test_the_clusters_database_of_another_version_is_seen_where_it_lies(data: Data, store: Store, other: Database) -> None:
    [problem] = problems(data, store, EXPECTED, "/pg/15/main", [other])
    assert "/pg/13/main holds a database of PostgreSQL 13, and postgres_version is 15" in problem
    assert "Set postgres_version to 13 again" in problem


def test_a_foreign_database_in_the_new_folder_hides_the_clusters_not() -> None:
    version, origin = problems(Data("cluster", "15", "9", 9999), Store("71"), EXPECTED, "/pg/15/main", [OLD])
    assert "/pg/13/main holds a database of PostgreSQL 13" in version
    assert "another origin" in origin


@pytest.mark.parametrize(
    ("data", "store", "other"),
    [
        (NOTHING, Store("72"), OLD),  # Debian's own, or what another cluster left
        (NOTHING, Store("72"), Database("/pg/13/main", "13", "71", configured=True)),  # upgraded by hand on another member
        (NOTHING, Store(), OLD),
        (GOOD, Store("71"), OLD),
        (GOOD, Store(), Database("/pg/13/main", "13", "70", configured=True)),  # upgraded by hand here
        (NOTHING, Store("71"), Database("/copy/main", "15", "71")),
    ],
)  # fmt: skip
def test_a_database_beside_it_that_is_not_the_clusters_is_no_problem(data: Data, store: Store, other: Database) -> None:
    assert problems(data, store, EXPECTED, "/pg/15/main", [other]) == []


def test_databases_beside_the_data_directory_are_found(tmp_path: pathlib.Path) -> None:
    database(tmp_path / "13" / "main", "13", 71)
    database(tmp_path / "15" / "main", "15", 72)
    database(tmp_path / "elsewhere", "14", 73)
    (tmp_path / "16" / "main").mkdir(parents=True)
    config = tmp_path / "config.yml"
    expected = str(tmp_path / "15" / "main")
    old = Database(str(tmp_path / "13" / "main"), "13", "71")
    assert read_others(expected, str(config)) == [old]
    config.write_text(f"name: a\npostgresql:\n  data_dir: '{tmp_path}/elsewhere'\n  bin_dir: /usr\n")
    assert read_others(expected, str(config)) == [old, Database(str(tmp_path / "elsewhere"), "14", "73", configured=True)]


class Keys(Etcd):
    """An etcd of which only the keys are read."""

    def __init__(self, keys: dict[str, str]) -> None:
        super().__init__(["http://127.0.0.1:1"], t.cast("t.Any", None))
        self._keys = keys

    def below(self, prefix: str) -> dict[str, str]:
        return {key: value for key, value in self._keys.items() if key.startswith(prefix)}


def test_what_etcd_knows_is_read_from_the_keys_of_this_scope_only() -> None:
    member = {"conn_url": "postgres://10.0.0.31:5432/postgres", "api_url": "https://10.0.0.31:8008/patroni"}
    keys = {
        "/service/gb/initialize": "71", "/service/gb/leader": "postgres-1", "/service/gb/members/postgres-1": json.dumps(member),
        "/service/gb2/initialize": "99", "/service/gb/config": "{}",
    }  # fmt: skip
    store = read_store(Keys(keys), "service", "gb")
    assert store == Store("71", "postgres-1", {"postgres-1": "10.0.0.31"})
    assert store.initialized
    assert not read_store(Keys({}), "/service/", "gb").initialized

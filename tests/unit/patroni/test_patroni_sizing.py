# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's settings from the memory of its container, and the connections that botserver needs."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.sizing import MIB, Need, memory_bytes, postgres_bytes, settings


def test_the_budget_is_ten_and_five_for_each_bot_and_one_botserver_more() -> None:
    assert Need(10, 3, 20).connections == 11 * 25 + 20
    assert settings("4GiB", Need(10, 3, 20))["max_connections"] == 295


def test_a_quarter_is_shared_and_everything_fits() -> None:
    chosen = settings("2GiB", Need(4, 1, 20))
    assert chosen["shared_buffers"] == "512MB"
    assert postgres_bytes("effective_cache_size", chosen["effective_cache_size"]) < 2048 * MIB


@pytest.mark.parametrize(("memory", "kept"), [("256MiB", 2048), ("2GiB", 2048), ("4GiB", 4096), ("64GiB", 8192)])
def test_the_log_is_kept_for_standbys_that_were_away(memory: str, kept: int) -> None:
    chosen = settings(memory, Need(0, 0, 0))
    assert postgres_bytes("wal_keep_size", chosen["wal_keep_size"]) == kept * MIB
    assert kept * MIB >= 2 * postgres_bytes("max_wal_size", chosen["max_wal_size"])
    assert settings(memory, Need(0, 0, 0), {"wal_keep_size": "3GB"})["wal_keep_size"] == "3GB"


def test_patroni_takes_no_fewer_than_25_connections() -> None:
    assert settings("512MiB", Need(0, 0, 0))["max_connections"] == 25


def test_what_the_user_sets_wins() -> None:
    assert settings("1GiB", Need(2, 1, 20), {"work_mem": "1MB", "max_connections": 90}) | {} == {
        **settings("1GiB", Need(2, 1, 20)),
        "work_mem": "1MB",
        "max_connections": 90,
    }


@pytest.mark.parametrize(
    ("memory", "need", "own", "said"),
    [
        ("512MiB", Need(10, 3, 20), {}, "gb_postgres_limits.memory is 512MiB, and PostgreSQL needs"),
        ("1GiB", Need(2, 1, 20), {"max_connections": 40}, "max_connections is 40, and 65 are needed"),
        ("1GiB", Need(2, 1, 20), {"max_connections": "many"}, "max_connections is many"),
        ("1GiB", Need(2, 1, 20), {"shared_buffers": "900MB"}, "900 MiB shared_buffers"),
        ("1GiB", Need(2, 1, 20), {"shared_buffers": "lots"}, "postgres_parameters.shared_buffers is 'lots'"),
        ("50%", Need(2, 1, 20), {}, "gb_postgres_limits.memory is '50%'"),
    ],
)
def test_what_does_not_fit_is_refused(memory: str, need: Need, own: dict[str, t.Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        settings(memory, need, own)
    assert said in str(refused.value)
    assert "othing was changed" in str(refused.value)


def test_the_size_that_is_named_is_enough() -> None:
    need = Need(10, 3, 20)
    with pytest.raises(InvalidInput) as refused:
        settings("512MiB", need)
    enough = str(refused.value).split("Set it to ")[1].split(" ")[0]
    assert settings(enough, need)["max_connections"] == need.connections


@pytest.mark.parametrize(("value", "size"), [("128MB", 128 * MIB), ("1GB", 1024 * MIB), (16384, 128 * MIB), ("8kB", 8192)])
def test_sizes_are_read_as_postgresql_reads_them(value: t.Any, size: int) -> None:
    assert postgres_bytes("x", value) == size


def test_a_limit_is_read_as_lxd_reads_it() -> None:
    assert memory_bytes("1GiB") == 1024 * MIB

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's dynamic configuration: comparing, the smallest change, and what is refused."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.config import (
    canonical,
    changed_parameters,
    check,
    check_timers,
    lowers,
    merged,
    minimal_patch,
    modern,
    paths,
)

OLD, NEW = (3, 0, 2), (4, 1, 5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("100", 100), (100, 100.0), ("on", True), ("off", False), ("1GB", "1024MB"), ("5s", "5000ms"), ("1min", "60s"), ({}, None),
        ({"a": None}, None), ({"a": "1", "b": None}, {"a": 1}), (["a", "1"], ["a", 1]),
    ],
)  # fmt: skip
def test_values_that_mean_the_same_are_equal(one: t.Any, other: t.Any) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [("100", "101"), (0, False), ("1GB", 1), ("5s", 5), (["a"], ["b"]), ("a", "A"), (None, False)])
def test_values_that_mean_different_things_differ(one: t.Any, other: t.Any) -> None:
    assert canonical(one) != canonical(other)


def test_the_patch_holds_the_differences_only() -> None:
    running = {"ttl": 30, "postgresql": {"use_slots": True, "parameters": {"work_mem": "4MB", "max_connections": 100}}}
    wanted = {"ttl": "30", "postgresql": {"parameters": {"work_mem": "8MB", "max_connections": "100"}}}
    assert minimal_patch(wanted, running) == {"postgresql": {"parameters": {"work_mem": "8MB"}}}
    assert minimal_patch(running, running) == {}


def test_null_removes_what_is_there_and_nothing_else() -> None:
    assert minimal_patch({"slots": None, "failsafe_mode": None}, {"slots": {"a": {}, "b": {"type": "logical"}}}) == {"slots": None}
    assert minimal_patch({"postgresql": {"parameters": {"a": None, "b": 1}}}, {}) == {"postgresql": {"parameters": {"b": 1}}}


def test_replacing_removes_the_rest_but_never_the_pause() -> None:
    running = {"ttl": 30, "pause": True, "postgresql": {"parameters": {"a": 1, "b": 2}}}
    assert minimal_patch({"postgresql": {"parameters": {"a": 1}}}, running, replace=True) == {
        "ttl": None,
        "postgresql": {"parameters": {"b": None}},
    }


def test_merging_is_what_the_patch_will_do() -> None:
    running = {"ttl": 30, "postgresql": {"parameters": {"a": 1, "b": 2}}}
    after = merged(running, {"ttl": None, "postgresql": {"parameters": {"a": None, "c": 3}}})
    assert after == {"postgresql": {"parameters": {"b": 2, "c": 3}}}
    assert running["ttl"] == 30


def test_former_names_are_known() -> None:
    assert modern({"master_start_timeout": 0}) == {"primary_start_timeout": 0}


def test_keys_are_shown_with_their_path() -> None:
    found = paths({"ttl": 5, "postgresql": {"parameters": {"a": 1, "b": None}}})
    assert found == ["postgresql.parameters.a", "postgresql.parameters.b", "ttl"]


def test_only_what_standbys_need_at_least_counts_as_lowered() -> None:
    running = {"postgresql": {"parameters": {"max_connections": 100, "shared_buffers": "1GB"}}}

    def change(**parameters: t.Any) -> bool:
        return lowers(changed_parameters({"postgresql": {"parameters": parameters}}, running))

    assert change(max_connections="90")
    assert not change(max_connections=110)
    assert not change(shared_buffers="512MB")
    assert change(max_worker_processes=4), "Patroni starts with 8 where nothing is said"
    assert not change(max_connections=None)


@pytest.mark.parametrize(
    ("value", "changed"),
    [
        ({"max_worker_processes": "8"}, {}),
        ({"max_worker_processes": 9}, {"max_worker_processes": (8, 9)}),
        ({"max_connections": None}, {"max_connections": (200, 100)}),
        ({"max_wal_senders": None}, {}),
        ({"logging_collector": False}, {}),
        ({"wal_buffers": "16MB"}, {"wal_buffers": (None, "16MB")}),
    ],
)  # fmt: skip
def test_a_parameter_that_is_written_with_its_default_does_not_change(value: dict[str, t.Any], changed: dict[str, t.Any]) -> None:
    running = {"postgresql": {"parameters": {"max_connections": 200, "max_wal_senders": 10}}}
    assert changed_parameters({"postgresql": {"parameters": value}}, running) == changed


@pytest.mark.parametrize(
    ("timers", "version", "said"),
    [
        ({"ttl": 20, "loop_wait": 10, "retry_timeout": 10}, OLD, "<= ttl (ttl 20, loop_wait 10, retry_timeout 10, so 30 > 20)"),
        ({"ttl": 20}, OLD, "so 30 > 20"),
        ({"ttl": 5, "loop_wait": 1, "retry_timeout": 2}, NEW, "Patroni 4.1.5 takes no ttl below 20"),
        ({"ttl": 20, "loop_wait": 1, "retry_timeout": 2}, (3, 2, 0), "takes no retry_timeout below 3"),
        ({"ttl": "soon"}, OLD, "ttl is 'soon'; it must be a whole number of seconds"),
        ({"loop_wait": 0}, OLD, "loop_wait is 0"),
    ],
)  # fmt: skip
def test_timers_that_cannot_be_are_refused(timers: dict[str, t.Any], version: tuple[int, ...], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_timers(timers, version)
    assert said in str(refused.value)
    assert "othing was changed" in str(refused.value)


@pytest.mark.parametrize(("timers", "version"), [({"ttl": 5, "loop_wait": 1, "retry_timeout": 2}, OLD), ({}, NEW), ({"ttl": 40}, ())])
def test_timers_that_keep_the_rule_are_taken(timers: dict[str, t.Any], version: tuple[int, ...]) -> None:
    check_timers(timers, version)


@pytest.mark.parametrize(
    ("config", "version", "members", "said"),
    [
        ({"postgresql": {"parameters": {"port": 1, "Wal_Log_Hints": "on"}}}, OLD, 3, "postgresql.parameters sets Wal_Log_Hints, port"),
        ({"synchronous_mode": True, "postgresql": {"parameters": {"synchronous_standby_names": "*"}}}, OLD, 3, "synchronous_standby_names"),
        ({"postgresql": {"parameters": {"max_connections": 10}}}, OLD, 3, "max_connections is 10; Patroni takes whole numbers from 25 on"),
        ({"synchronous_mode": "quorum"}, OLD, 3, "synchronous_mode is quorum, which Patroni has from 4.0 on; a member runs 3.0.2"),
        ({"synchronous_mode": True, "synchronous_mode_strict": True}, OLD, 1, "a single member is a database that nobody can write to"),
    ],
)
def test_what_cannot_do_what_it_says_is_refused(config: dict[str, t.Any], version: tuple[int, ...], members: int, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check(config, config, version, members)
    assert said in str(refused.value)


def test_a_parameter_may_be_removed_and_names_of_standbys_set_without_synchronous_mode() -> None:
    config = {"postgresql": {"parameters": {"port": None, "synchronous_standby_names": "*"}}}
    check(config, config, OLD, 1)
    check({"synchronous_mode": "quorum"}, {"synchronous_mode": "quorum"}, NEW, 3)

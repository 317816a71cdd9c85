# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules for Patroni as Ansible runs them: options in, result out."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from patroni_fakes import PASSWORD, SCOPE, STRICT, USER, FakeCluster, fake_cluster

from ansible_collections.generalbots.scaling.plugins.modules import patroni_cluster, patroni_cluster_info


def call(
    capsys: pytest.CaptureFixture[str], module: types.ModuleType, fake: FakeCluster, check: bool = False, **options: t.Any
) -> dict[str, t.Any]:
    given = {"urls": fake.urls(), "scope": SCOPE, "username": USER, "password": PASSWORD, **options}
    with patch_module_args({**given, "_ansible_check_mode": check, "_ansible_diff": True}), pytest.raises(SystemExit):
        module.main()
    return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


def test_info_tells_the_cluster_and_its_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_cluster(config=STRICT) as fake:
        told = call(capsys, patroni_cluster_info, fake, members=4, synchronous=1)
    assert (told["leader"], told["changed"], told["config"]["synchronous_mode"]) == ("pg-1", False, True)
    assert told["problems"] == ["3 of 4 members are there (pg-1, pg-2, pg-3)"]
    assert told["members"][1]["role"] == "sync_standby"


@pytest.mark.parametrize(("given", "wrong"), [({}, True), ({"restarted": True}, True), ({"restarted": False}, False)])
def test_a_pending_restart_is_a_problem_unless_it_is_put_off(
    capsys: pytest.CaptureFixture[str], given: dict[str, t.Any], wrong: bool
) -> None:
    with fake_cluster() as fake:
        fake.members["pg-1"].pending = True
        found = call(capsys, patroni_cluster_info, fake, **given)
    assert found["pending_restart"] == ["pg-1"]
    assert found["problems"] == (["pg-1 waits for a restart that a setting needs"] if wrong else [])


def test_a_run_and_a_second_one(capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, t.Any] = {"config": {"loop_wait": 2}, "members": 3}
    with fake_cluster() as fake:
        assert call(capsys, patroni_cluster, fake, check=True, **options)["actions"] == ["configure the cluster: loop_wait"]
        assert fake.writes == []
        first = call(capsys, patroni_cluster, fake, **options)
        second = call(capsys, patroni_cluster, fake, **options)
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["members"][0]["name"] == "pg-1"


def test_an_error_is_one_sentence_without_the_password(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_cluster() as fake:
        told = call(capsys, patroni_cluster, fake, password="not-this-one", pause=True, wait_timeout=1)
    assert told["failed"] is True
    assert "the password of patroni is not the one" in told["msg"]
    assert "not-this-one" not in json.dumps(told)


def test_replacing_removes_what_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_cluster(config={"maximum_lag_on_failover": 5}) as fake:
        call(capsys, patroni_cluster, fake, config={"ttl": 20, "loop_wait": 1, "retry_timeout": 5}, config_state="replaced")
        assert fake.config == {"ttl": 20, "loop_wait": 1, "retry_timeout": 5}


def test_repairs_and_restarts_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_cluster() as fake:
        fake.members["pg-2"].pending = True
        fake.members["pg-3"].state = "start failed"
        left = call(capsys, patroni_cluster, fake, check=True)
        told = call(capsys, patroni_cluster, fake, check=True, restart="pending", reinitialize="broken", reinitialize_after=0)
    assert left["actions"] == []
    assert [action.split(":")[0] for action in told["actions"]] == ["reinitialize pg-3", "restart pg-2"]


@pytest.mark.parametrize("restart", ["never", "pending"])
def test_a_pending_restart_is_waited_for_only_where_it_is_wanted(capsys: pytest.CaptureFixture[str], restart: str) -> None:
    with fake_cluster() as fake:
        fake.members["pg-1"].pending = True
        told = call(capsys, patroni_cluster, fake, restart=restart, wait_timeout=1)
        left = ["pg-1"] if restart == "never" else []
    assert "failed" not in told
    assert (told["pending_restart"], told["problems"]) == (left, [])


@pytest.mark.parametrize(
    ("config", "left"),
    [
        ({"postgresql": {"parameters": {"work_mem": "8MB"}}}, ["jit", "log_min_duration_statement"]),
        ({"postgresql": {"parameters": {"Work_Mem": "8MB", "jit": None, "log_min_duration_statement": 5}}}, []),
        ({"loop_wait": 1}, []),
        (None, []),
    ],
)  # fmt: skip
def test_parameters_that_are_not_named_any_more_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, config: dict[str, t.Any] | None, left: list[str]
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    running = {"postgresql": {"parameters": {"work_mem": "4MB", "jit": "off", "log_min_duration_statement": 5, "max_wal_size": None}}}
    with fake_cluster(config=running) as fake:
        told = call(capsys, patroni_cluster, fake, check=True, config=config)
    assert told["leftover_parameters"] == left
    assert [f"does not name: {', '.join(left)}. They stay" in text for text in warned] == [True] * bool(left)


def test_a_parameter_that_is_null_is_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_cluster(config={"postgresql": {"parameters": {"jit": "off"}}}) as fake:
        for changed in (True, False):
            told = call(capsys, patroni_cluster, fake, config={"postgresql": {"parameters": {"jit": None}}})
            assert (told["changed"], fake.config["postgresql"]["parameters"], told["leftover_parameters"]) == (changed, {}, [])

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that are called where their task is: what they are told and what they answer is what it would be elsewhere."""

from __future__ import annotations

import importlib
import json
import pathlib
import subprocess
import sys
import types
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run
from ansible_collections.generalbots.scaling.plugins.plugin_utils.in_process import InProcess, called

COLLECTION = "ansible_collections.generalbots.scaling.plugins"
FOLDER = pathlib.Path(__file__).parents[3] / "plugins/action"
ACTIONS = sorted(path.stem for path in FOLDER.glob("*.py") if "class ActionModule(InProcess)" in path.read_text(encoding="utf-8"))
SPEC = ArgumentSpec(
    options={
        "name": {"type": "str", "required": True},
        "count": {"type": "int", "default": 2},
        "token": {"type": "str", "no_log": True},
        "other": {"type": "str"},
    },
    mutually_exclusive=[["count", "other"]],
)


def answer(body: t.Callable[[t.Any], dict[str, t.Any]], *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    return called(t.cast(types.ModuleType, types.SimpleNamespace(SPEC=SPEC, body=body)), arguments, check=check)


def params(task: t.Any) -> dict[str, t.Any]:
    return {"params": task.params, "check": task.check_mode}


def test_options_are_converted_and_have_their_defaults() -> None:
    given = {"name": "a", "count": 3, "token": None, "other": None}
    assert answer(params, name="a", count="3") == {"changed": False, "params": given, "check": False}
    assert answer(params, name="a", check=True) == {"changed": False, "params": {**given, "count": 2}, "check": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "missing required arguments: name"),
        ({"name": "a", "count": "many"}, "argument 'count' is of type str"),
        ({"name": "a", "nmae": "b"}, "nmae. Supported parameters include: count, name, other, token"),
        ({"name": "a", "count": 1, "other": "b"}, "parameters are mutually exclusive: count|other"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_is_done(arguments: dict[str, t.Any], said: str) -> None:
    def body(_task: t.Any) -> dict[str, t.Any]:
        raise AssertionError("called")

    refused = answer(body, **arguments)
    assert refused["failed"] and said in refused["msg"]


def test_secrets_are_removed_from_what_is_answered_and_from_what_went_wrong() -> None:
    def tells(task: t.Any) -> dict[str, t.Any]:
        return {"url": f"https://{task.params['token']}@host", "of": {"secret": [task.params["token"]]}}

    def fails(task: t.Any) -> dict[str, t.Any]:
        raise InvalidInput(f"{task.params['token']} is wrong")

    for body in (tells, fails):
        assert "hunter22" not in json.dumps(answer(body, name="a", token="hunter22"))


ENVIRONMENT = {
    "THREADS": "64",
    "PORT": 8080,
    "DEMO": "true",
    "OFF": False,
    "LEVEL": "info",
    "BYTES": "1000000",
    "TOKEN": "hunter22-of-vault",
}
#: as a tick says it
SAID = {
    "reason": "CPU 64 % of 70 %",
    "time": 1_764_000_064.5,
    "count": 64,
    "port": "8080",
    "bytes": 1_000_000,
    "alert": True,
    "words": "true info",
}


#: what the module needs to be told
PLAIN = {"config_csv": "/a/config.csv", "subnet": "10.87.0.0/24", "network": "gbbr0"}


def spec_of_a_run() -> ArgumentSpec:
    return t.cast(ArgumentSpec, importlib.import_module(f"{COLLECTION}.modules.autoscale_run").SPEC)


def answer_of_a_run(told: str, **more: t.Any) -> dict[str, t.Any]:
    said = types.SimpleNamespace(SPEC=spec_of_a_run(), body=lambda _task: {**SAID, "told": told})
    return called(t.cast(types.ModuleType, said), {**PLAIN, **more}, check=False)


def test_numbers_and_words_of_an_environment_are_no_secrets_and_a_token_in_it_is() -> None:
    sources = [{"name": "queue", "command": {"argv": ["depth"], "environment": {"DEPTH": 64, "KEY": "hunter33-of-vault"}}}]
    found = answer_of_a_run("it said hunter22-of-vault and hunter33-of-vault", environment=ENVIRONMENT, sources=sources)
    assert {name: found[name] for name in SAID} == SAID
    assert "hunter" not in found["told"]


@pytest.mark.parametrize("password", ["64", "12345678", "true", "short"])
def test_what_stands_in_an_environment_as_well_is_as_secret_as_elsewhere(password: str) -> None:
    sources = [{"name": "queue", "redis_list": {"list": "jobs", "password": password}}]
    found = answer_of_a_run(f"it said {password}.", environment={**ENVIRONMENT, "AGAIN": password}, sources=sources)
    assert found["told"] == "it said ********."


def test_they_are_none_either_where_the_module_runs_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with patch_module_args({**PLAIN, "environment": ENVIRONMENT}), pytest.raises(SystemExit):
        run(spec_of_a_run(), lambda _module: {**SAID, "told": "it said hunter22-of-vault"})
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in SAID} == SAID
    assert "hunter" not in json.dumps(found)


def fails_at(told: str) -> t.Callable[[t.Any], dict[str, t.Any]]:
    def body(_module: t.Any) -> dict[str, t.Any]:
        raise ScalingError(told, left=64)

    return body


@pytest.mark.parametrize("body", [lambda _module: {**SAID}, fails_at("64 are left")])
def test_the_arguments_are_shown_without_any_value_of_an_environment(
    capsys: pytest.CaptureFixture[str], body: t.Callable[[t.Any], dict[str, t.Any]]
) -> None:
    sources = [{"name": "queue", "command": {"argv": ["depth"], "environment": {"DEPTH": 77, "PIN": "p4ss"}}}]
    with patch_module_args({**PLAIN, "environment": ENVIRONMENT, "sources": sources}), pytest.raises(SystemExit):
        run(spec_of_a_run(), body)
    found = json.loads(capsys.readouterr().out)
    arguments = found["invocation"]["module_args"]
    hidden = {**arguments["environment"], **arguments["sources"][0]["command"]["environment"]}
    # Of false, and of true that is no text, Ansible makes no secret.
    assert {name: value for name, value in hidden.items() if value != "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"} == {"OFF": False}
    assert {*hidden} == {*ENVIRONMENT, "DEPTH", "PIN"}
    assert arguments["config_csv"] == "/a/config.csv" and "64" in found.get("msg", found.get("reason"))


def test_an_error_of_ours_fails_with_its_details_and_what_was_warned_of_is_shown() -> None:
    def body(task: t.Any) -> dict[str, t.Any]:
        task.warn("look out")
        raise ScalingError("it is full", left=3)

    assert answer(body, name="a") == {"failed": True, "msg": "it is full", "left": 3, "warnings": ["look out"]}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_calls_the_module_of_its_name(name: str) -> None:
    module = importlib.import_module(f"{COLLECTION}.modules.{name}")
    assert importlib.import_module(f"{COLLECTION}.action.{name}").ActionModule.module is module
    assert isinstance(module.SPEC, ArgumentSpec) and callable(module.body)


@pytest.mark.parametrize(
    ("here", "task", "transport", "interpreter"),
    [
        (True, {}, "local", sys.executable),
        (True, {"delegate_to": "localhost"}, "local", "that of the host of the play"),
        (True, {}, "local", str(pathlib.Path(sys.executable).with_name("python"))),
        (False, {"delegate_to": "control-1"}, "local", sys.executable),
        (False, {}, "community.general.lxd", sys.executable),
        (False, {}, "local", "/usr/bin/python3.99"),
        (False, {}, "local", None),
        (False, {"become": True}, "local", sys.executable),
        (False, {"async_val": 30}, "local", sys.executable),
        (False, {"environment": [{}, {"GB_LXD_PROJECT": "other"}]}, "local", sys.executable),
    ],
)
def test_a_module_runs_elsewhere_where_the_task_says_so(
    here: bool, task: dict[str, t.Any], transport: str, interpreter: str | None
) -> None:
    action = InProcess.__new__(InProcess)
    plain: dict[str, t.Any] = {"delegate_to": None, "become": None, "async_val": 0, "environment": [{}]}
    action._task = types.SimpleNamespace(**{**plain, **task})
    action._connection = types.SimpleNamespace(transport=transport)
    action._templar = types.SimpleNamespace(template=lambda value: value)
    delegated = {
        "localhost": {"ansible_python_interpreter": sys.executable},
        "control-1": {"ansible_python_interpreter": "/usr/bin/python3"},
    }
    assert action._is_here({"ansible_python_interpreter": interpreter, "ansible_delegated_vars": delegated}) == here


def test_a_playbook_hears_the_same_wherever_a_module_runs(tmp_path: pathlib.Path) -> None:
    asked = {
        "ports": [{"address": "127.0.0.1", "port": 1}, {"address": "localhost", "port": 2, "variable": "gb_port"}],
        "project": "{{ '2026-01-01' | to_datetime('%Y-%m-%d') }}",
    }
    tasks: list[dict[str, t.Any]] = []
    for number, environment in enumerate(({}, {"GB_ELSEWHERE": "1"})):
        ask = {"generalbots.scaling.host_ports_info": asked, "register": f"way_{number}", "ignore_errors": True}
        tasks.append({**ask, "environment": environment})
    content = "{{ [way_0.msg, way_1.msg, 'invocation' in way_0] | to_json }}"
    tasks.append({"ansible.builtin.copy": {"dest": f"{tmp_path}/results", "content": content, "mode": "0600"}})
    hosts = {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    argv = ["ansible-playbook", "-i", f"{tmp_path}/hosts.json", f"{tmp_path}/play.json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    here, elsewhere, shows_arguments = json.loads((tmp_path / "results").read_text())
    assert here == elsewhere and here.startswith("gb_port: ")
    assert not shows_arguments, "they would be shown with what is short in an environment"

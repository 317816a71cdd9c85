# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What control-1 is handed, so that the instances it starts are those that site.yml would have started."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = pathlib.Path(__file__).resolve().parents[3]
PASSWORD = "OnlyInVault1"
SITES: dict[str, dict[str, t.Any]] = {
    "with a database of its own": {"botserver_demo": True, "gb_postgres_members": 3, "postgres_user_password": PASSWORD},
    "with secrets in Vault": {
        "botserver_binary": "https://example.com/botserver",
        "botserver_binary_checksum": "sha256:" + 64 * "0",
        "botserver_vault_addr": "https://vault.example:8200",
        "botserver_vault_token": "s.read",
        "botserver_vault_secrets": {"gbo/cache": {"password": PASSWORD}},
        "botserver_environment_extra": {"RUST_LOG": "info"},
    },
}


def compute(into: pathlib.Path) -> list[dict[str, t.Any]]:
    """Tasks that compute the environment of new instances and write it to a file."""
    role = {"name": "generalbots.scaling.botserver", "tasks_from": "environment"}
    return [{"ansible.builtin.include_role": role}, write("{{ botserver_environment }}", into)]


def handed_over() -> str:
    """The content of the file of variables that the role writes in control-1."""
    tasks = yaml.safe_load((ROOT / "roles/autoscaler/tasks/configure.yml").read_text(encoding="utf-8"))
    files = next(task["loop"] for task in tasks if task["name"] == "Bring the deployment's variables")
    return next(str(one["content"]) for one in files if one["path"] == "group_vars/all.yml")


def play_through(folder: pathlib.Path, plays: list[dict[str, t.Any]], **environment: str) -> None:
    (folder / "play.json").write_text(json.dumps(plays), encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(folder / "play.json")]
    environ = os.environ | {"ANSIBLE_LOCALHOST_WARNING": "false", **environment}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def write(value: str, into: pathlib.Path, **variables: t.Any) -> dict[str, t.Any]:
    return {"ansible.builtin.copy": {"content": value, "dest": str(into), "mode": "0600"}, "vars": variables}


@pytest.mark.parametrize("site", SITES)
def test_control_1_gives_a_new_instance_the_environment_that_site_yml_gives_it(site: str, tmp_path: pathlib.Path) -> None:
    plays = yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8"))
    [computes, configures] = next(play["tasks"] for play in plays if play.get("hosts") == "control")
    wanted, handed, found = tmp_path / "wanted.json", tmp_path / "handed.yml", tmp_path / "found.json"
    common = {"hosts": "localhost", "gather_facts": False}
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    roles_own = str(ROOT / "roles/autoscaler/vars/main.yml")
    hand_over = write(handed_over(), handed, **configures["vars"])
    play = [
        {**common, "vars": {**python, **SITES[site]}, "tasks": compute(wanted)},
        {**common, "vars": {**python, **SITES[site]}, "vars_files": [roles_own], "tasks": [computes, hand_over]},
        {**common, "vars": python, "tasks": [{"ansible.builtin.include_vars": {"file": str(handed)}}, *compute(found)]},
    ]
    play_through(tmp_path, play)
    assert json.loads(wanted.read_text())["GB_SECRETS"]
    assert json.loads(found.read_text()) == json.loads(wanted.read_text())
    assert PASSWORD not in handed.read_text(), "control-1 has no use for it"


def vaulted(value: str) -> str:
    """A value of YAML, as ``ansible-vault encrypt_string`` gives it."""
    lines = VaultLib([("default", VaultSecret(b"word"))]).encrypt(value).decode().splitlines()
    return "!vault |\n" + "".join(f"    {line}\n" for line in lines)


def test_control_1_needs_no_vault_password_and_takes_no_text_for_a_template(tmp_path: pathlib.Path) -> None:
    site = ["gb_autoscale_sources:\n- name: n\n  command: {argv: [docker, inspect, --format, !unsafe '{{.State.Pid}}']}\n"]
    site += ["botserver_demo: true\nbotserver_vault_addr: https://vault.example:8200\n", f"botserver_vault_token: {vaulted('s.read')}"]
    site += [f"{name}:\n  SOME_KEY: {vaulted('sk-x')}" for name in ("botserver_environment_extra", "gb_settings_overrides")]
    (tmp_path / "site.yml").write_text("".join(site), encoding="utf-8")
    (tmp_path / "word").write_text("word\n", encoding="utf-8")
    common = {"hosts": "localhost", "gather_facts": False, "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}}
    handed, own = tmp_path / "handed.yml", str(ROOT / "roles/autoscaler/vars/main.yml")
    used = {"name": "generalbots.scaling.botserver", "tasks_from": "environment"}
    hand_over = write(handed_over(), handed, autoscaler_environment="{{ botserver_environment }}")
    computing = [{"ansible.builtin.include_role": used}, hand_over]
    play_through(
        tmp_path, [{**common, "vars_files": ["site.yml", own], "tasks": computing}], ANSIBLE_VAULT_PASSWORD_FILE=f"{tmp_path}/word"
    )
    names = ["botserver_vault_token", "botserver_environment_extra", "gb_settings_overrides", "gb_autoscale_sources"]
    found = f"{{{{ [{', '.join(names)}] | to_json }}}}"
    play_through(tmp_path, [{**common, "vars_files": ["handed.yml"], "tasks": [write(found, tmp_path / "found.json")]}])
    token, environment, overrides, [source] = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert (token, environment["SOME_KEY"], overrides["SOME_KEY"]) == ("s.read", "sk-x", "sk-x")
    assert source["command"]["argv"][-1] == "{{.State.Pid}}"


@pytest.mark.parametrize("site", SITES)
def test_nothing_of_a_ticks_playbook_refuses_a_config_csv_that_broke(site: str, tmp_path: pathlib.Path) -> None:
    """That is left to the run, which remembers the last one that was sound. Here it is not come to: nobody is at the other end."""
    (tmp_path / "config.csv").write_text("scale-min-instances,many\n", encoding="utf-8")
    given = {"gb_config_csv": str(tmp_path / "config.csv"), "gb_lxd_url": f"unix:{tmp_path}/nobody.socket", **SITES[site]}
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "gb_decision_log": "", "gb_autoscale_textfile": ""}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", "generalbots.scaling.autoscale"]
    environment = os.environ | {"ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [*command, "-e", json.dumps({**python, **given})], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2 and f"LXD does not answer at unix:{tmp_path}/nobody.socket" in said, said
    assert "scale-min-instances" not in said, said


@pytest.mark.parametrize(
    ("tag", "tasks"),
    [
        ("", {"{{ __autoscaler_title }}", "Show the decision"}),
        ("force", {"{{ __autoscaler_title }}", "Show the decision"}),
        *((tag, {tag.capitalize(), "Show what is set"}) for tag in ("pause", "resume", "pin", "unpin")),
    ],
)
def test_a_tag_of_autoscale_yml_does_what_it_says_and_nothing_else(tag: str, tasks: set[str]) -> None:
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "generalbots.scaling.autoscale", "--list-tasks"]
    done = subprocess.run([*command, *(["--tags", tag] if tag else [])], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    listed = {line.partition(" : ")[2].partition("\t")[0].strip() for line in done.stdout.splitlines() if ".autoscaler : " in line}
    assert {name for name in listed if not name.startswith("Validating arguments")} == tasks

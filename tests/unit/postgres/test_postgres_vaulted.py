# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of the database that a user keeps vaulted, as ``ansible-vault encrypt_string`` gives them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from postgres_site import SITE

ROOT = pathlib.Path(__file__).resolve().parents[3]
PASSWORDS = {f"postgres_{name}_password": f"OnlyFor{name}1" for name in ("superuser", "rest", "replication", "rewind")}


def vaulted(values: dict[str, str]) -> str:
    """The values as YAML, each of them encrypted."""
    vault = VaultLib([("default", VaultSecret(b"word"))])
    lines = {name: vault.encrypt(value).decode().splitlines() for name, value in values.items()}
    return "".join(f"{name}: !vault |\n" + "".join(f"  {line}\n" for line in cipher) for name, cipher in lines.items())


def test_patroni_reads_a_password_that_was_vaulted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "vaulted.yml").write_text(vaulted(PASSWORDS), encoding="utf-8")
    (tmp_path / "word").write_text("word\n", encoding="utf-8")
    (tmp_path / "hosts.json").write_text(
        json.dumps({"postgres": {"hosts": {"postgres-2": {"ansible_connection": "local", "gb_slot": "2", "gb_component": "postgres"}}}})
    )
    role = {"name": "generalbots.scaling.postgres", "tasks_from": "preflight", "public": True}
    template = {"src": str(ROOT / "roles/postgres/templates/patroni.yml.j2"), "dest": str(tmp_path / "config.yml"), "mode": "0600"}
    shared: dict[str, t.Any] = {**SITE, "gb_etcd_members": 3, "gb_secrets_dir": str(tmp_path), "gb_cache_dir": str(tmp_path)}
    play = {
        "hosts": "postgres-2",
        "gather_facts": False,
        "vars": {**shared, "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "vars_files": ["vaulted.yml"],
        "tasks": [{"ansible.builtin.include_role": role}, {"ansible.builtin.template": template}],
    }
    (tmp_path / "play.json").write_text(json.dumps([play]), encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts.json"), str(tmp_path / "play.json")]
    environment = os.environ | {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "word")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    written = yaml.safe_load((tmp_path / "config.yml").read_text(encoding="utf-8"))
    logins = {**written["postgresql"]["authentication"], "rest": written["restapi"]["authentication"]}
    assert {f"postgres_{name}_password": login["password"] for name, login in logins.items()} == PASSWORDS

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role endpoints refuses, lists and hands on, without a HAProxy."""

from __future__ import annotations

import ast
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import typing as t

import pytest
import yaml
from endpoints_real import rendered

ROLE = pathlib.Path(__file__).parents[3] / "roles" / "endpoints"
GIVEN: dict[str, t.Any] = {"gb_subnet": "10.87.0.0/24", "gb_secrets_dir": "/nowhere", "endpoints_postgres_members": 3}

REFUSED: dict[str, tuple[dict[str, t.Any], str]] = {
    "one port for both": ({"endpoints_postgres_replica_port": 5432}, "give two different ports"),
    "a port that is none": ({"endpoints_postgres_primary_port": 70000}, "from 1 to 65535"),
    "no time for an answer": ({"endpoints_check_timeout": 0}, "endpoints_check_timeout (0)"),
    "a lag with a blank": ({"endpoints_postgres_lag": "16 MB"}, "right behind it, as in 16MB"),
}


def servers(config: str) -> dict[str, list[str]]:
    """The servers of each address, name and address as they are listed."""
    found: dict[str, list[str]] = {}
    listener = ""
    for words in (line.split() for line in config.splitlines()):
        if words[:1] == ["listen"]:
            listener = words[1]
        elif words[:1] == ["server"]:
            found.setdefault(listener, []).append(f"{words[1]} {words[2]} {words[3]} {words[4]}")
    return found


def test_every_slot_is_listed_so_that_a_new_member_needs_no_change() -> None:
    one = rendered(json.dumps({**GIVEN, "endpoints_postgres_members": 1}))
    three = rendered(json.dumps(GIVEN))
    assert one == three
    listed = [f"postgres-{number} 10.87.0.{30 + number}:5432 verifyhost postgres-{number}" for number in range(1, 6)]
    assert servers(three["haproxy.cfg"]) == {"postgres-primary": listed, "postgres-replicas": listed}


def test_more_members_than_slots_are_listed_all_the_same() -> None:
    config = rendered(json.dumps({**GIVEN, "endpoints_postgres_members": 7}))["haproxy.cfg"]
    assert len(servers(config)["postgres-primary"]) == 7


def test_at_the_start_no_server_is_taken_for_well() -> None:
    lines = rendered(json.dumps(GIVEN))["servers.state"].splitlines()[2:]
    assert [(line.split()[1], line.split()[3], line.split()[5]) for line in lines] == [
        (address, f"postgres-{number}", "0") for address in ("postgres-primary", "postgres-replicas") for number in range(1, 6)
    ]


def installing(case: str, packages: list[str]) -> list[dict[str, t.Any]]:
    """Tasks that ask dpkg as the role does, and keep whether it would go on to apt."""
    ask, install = yaml.safe_load((ROLE / "tasks/install.yml").read_text())[1:3]
    assert "ansible.builtin.apt" in install
    keep = {"refusals": f"{{{{ refusals | combine({{'{case}': ({install['when']}) | string}}) }}}}"}
    return [ask, {"ansible.builtin.set_fact": keep, "vars": {"__endpoints_packages": packages}}]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every refusal in one run of ansible-playbook."""
    folder = tmp_path_factory.mktemp("role")
    tasks: list[dict[str, t.Any]] = []
    for name, (variables, _words) in {**REFUSED, "nothing": ({}, "")}.items():
        keep = {"refusals": "{{ refusals | default({}) | combine({case: ansible_failed_result.msg}) }}"}
        role = {"name": "generalbots.scaling.endpoints", "tasks_from": "preflight"}
        use = {"ansible.builtin.include_role": role, "vars": {**GIVEN, **variables}}
        tasks.append({"vars": {"case": name}, "block": [use], "rescue": [{"ansible.builtin.set_fact": keep}]})
    (folder / "ca.crt").write_text("an authority")
    inputs = {"name": "generalbots.scaling.endpoints", "tasks_from": "inputs"}
    tasks.append({"ansible.builtin.include_role": inputs, "vars": {**GIVEN, "endpoints_postgres_ca_file": f"{folder}/ca.crt"}})
    tasks.append({"ansible.builtin.set_fact": {"refusals": "{{ refusals | combine({'inputs': endpoints_inputs | to_json}) }}"}})
    for case, packages in {"all there": ["dpkg"], "one missing": ["dpkg", "no-such-package"]}.items():
        tasks += installing(case, packages)
    tasks.append({"ansible.builtin.copy": {"content": "{{ refusals | to_json }}", "dest": f"{folder}/result.json", "mode": "0600"}})
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (folder / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": python, "tasks": tasks}]))
    (folder / "ansible.cfg").write_text("[defaults]\n")
    environment = os.environ | {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(folder / "play.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return t.cast("dict[str, str]", json.loads((folder / "result.json").read_text()))


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_why(refusals: dict[str, str], name: str) -> None:
    assert REFUSED[name][1] in refusals.get(name, "was not refused")


def test_refuses_nothing_that_is_right(refusals: dict[str, str]) -> None:
    assert "nothing" not in refusals


def test_apt_is_left_alone_where_all_packages_are_there(refusals: dict[str, str]) -> None:
    assert (refusals["all there"], refusals["one missing"]) == ("False", "True")


def test_an_image_is_made_of_the_role_and_of_the_authority(refusals: dict[str, str]) -> None:
    inputs = json.loads(refusals["inputs"])
    assert re.fullmatch("[0-9a-f]{12,64}", inputs["role"])
    assert inputs["ca"] == "an authority"


def test_what_haproxy_knows_is_kept_whole(tmp_path: pathlib.Path) -> None:
    given = {**GIVEN, "__endpoints_socket": f"{tmp_path}/admin.sock", "__endpoints_state": f"{tmp_path}/servers.state"}
    program = rendered(json.dumps(given))["gb-endpoints-state"]
    ast.parse(program)
    known = b"1\n# header\n" + b"a line of a server\n" * 10_000
    heard: list[bytes] = []

    def answer(listening: socket.socket) -> None:
        session, _address = listening.accept()
        heard.append(session.recv(100))
        session.sendall(known)
        session.close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/admin.sock")
        listening.listen()
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
        thread.join()
    assert heard == [b"show servers state\n"]
    assert (tmp_path / "servers.state").read_bytes() == known
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin.sock", "servers.state"]

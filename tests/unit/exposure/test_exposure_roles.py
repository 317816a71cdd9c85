# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles refuse before anything is made, what keepalived is told, and the check by which a proxy keeps the address."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import typing as t

import pytest

ROLES = pathlib.Path(__file__).parents[3] / "roles"
CHECK = ROLES / "virtual_address" / "files" / "gb-caddy-answers"
CLOSED = ROLES / "firewall" / "files" / "closed.nft"

# name: (role, variables, what the refusal says); {port} is one that a socket of the test has
REFUSED: dict[str, tuple[str, dict[str, t.Any], str]] = {
    "a loopback address": ("virtual_address", {"gb_publish_address": "127.0.0.1"}, "gb_publish_address is 127.0.0.1. Several proxies"),
    "all addresses": ("virtual_address", {"gb_publish_address": "0.0.0.0"}, "needs one IPv4 address of the host's network card"),
    "a name": ("virtual_address", {"gb_publish_address": "bots.example.org"}, "or set gb_proxies to 1"),
    "a slot's address": (
        "virtual_address",
        {"gb_publish_address": "192.0.2.1", "gb_virtual_address": "10.87.0.11"},
        "the addresses 10.87.0.2 to 10.87.0.9 are kept for this",
    ),
    "a door to nowhere": ("firewall", {"gb_exposure_extra": [{"to": "x", "ports": [1], "from": ["host"]}]}, "gb_exposure_extra[0]: to is"),
    "a port that is none": ("firewall", {"gb_gate_port": 0}, "gb_gate_port is 0; a port is a number from 1 to 65535"),
    "a port that is taken": (
        "instances",
        {"gb_publish_http_port": "{port}"},
        "gb_publish_http_port is {port}, and on 127.0.0.1 that port is",
    ),
}
SOUND: dict[str, dict[str, t.Any]] = {
    "virtual_address": {"gb_publish_address": "192.0.2.1", "gb_virtual_address": "10.87.0.3"},
    "firewall": {"gb_exposure_extra": [{"to": "redis", "ports": [6380], "from": ["host"]}]},
    "instances": {"gb_lxd_url": "https://192.0.2.1:8443", "gb_publish_http_port": "{port}"},
}
SHARED = {
    "gb_subnet": "10.87.0.0/24", "gb_proxies": 3, "gb_virtual_address": "", "gb_publish_address": "127.0.0.1", "gb_lxd_url": "",
    "gb_publish_http_port": 1, "gb_publish_https_port": 2, "gb_botserver_port": 8080, "gb_gate_port": 8079, "gb_exposure_extra": [],
    "gb_lxd_project": "generalbots", "ansible_python_interpreter": "{{ ansible_playbook_python }}",
}  # fmt: skip


def include(role: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"ansible.builtin.include_role": {"name": f"generalbots.scaling.{role}", "tasks_from": "preflight"}, "vars": variables}


def refusal(name: str, role: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    keep = {"refusals": "{{ refusals | default({}) | combine({case: ansible_failed_result.msg}) }}"}
    return {"vars": {"case": name}, "block": [include(role, variables)], "rescue": [{"ansible.builtin.set_fact": keep}]}


class Run(t.NamedTuple):
    refusals: dict[str, str]
    port: int
    keepalived: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every case in one run, for a start of ansible-playbook costs as much as all of them."""
    folder = tmp_path_factory.mktemp("roles")
    template = str(ROLES / "virtual_address" / "templates" / "keepalived.conf.j2")
    render = {
        "ansible.builtin.include_role": {"name": "generalbots.scaling.virtual_address", "tasks_from": "preflight", "public": True},
        "vars": SOUND["virtual_address"],
    }
    keepalived = {
        "ansible.builtin.template": {"src": template, "dest": f"{folder}/keepalived.conf", "mode": "0644"},
        "vars": {**SOUND["virtual_address"], "gb_slot": 2},
    }
    result = {"ansible.builtin.copy": {"content": "{{ refusals | to_json }}", "dest": f"{folder}/result.json", "mode": "0600"}}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        cases = json.loads(json.dumps([REFUSED, SOUND]).replace("{port}", port))
        tasks = [refusal(name, role, variables) for name, (role, variables, _why) in cases[0].items()]
        tasks += [include(role, variables) for role, variables in cases[1].items()]
        play = {"hosts": "localhost", "gather_facts": False, "vars": SHARED, "tasks": [*tasks, render, keepalived, result]}
        (folder / "play.json").write_text(json.dumps([play]))
        (folder / "ansible.cfg").write_text("[defaults]\n")
        environment = os.environ | {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(folder / "play.json")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(json.loads((folder / "result.json").read_text()), int(port), (folder / "keepalived.conf").read_text())


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_why(run: Run, name: str) -> None:
    assert REFUSED[name][2].replace("{port}", str(run.port)) in run.refusals.get(name, "was not refused")


def test_nothing_else_is_refused(run: Run) -> None:
    assert set(run.refusals) == set(REFUSED)


def test_a_proxy_speaks_to_each_other_one_and_keeps_the_address_when_one_comes_back(run: Run) -> None:
    lines = [line.strip() for line in run.keepalived.splitlines()]
    peers = lines[lines.index("unicast_peer {") + 1 : lines.index("virtual_ipaddress {") - 1]
    assert peers == ["10.87.0.11", "10.87.0.13"]
    assert {"unicast_src_ip 10.87.0.12", "10.87.0.3/32", "state BACKUP", "nopreempt", "priority 108", "vrrp_version 3"} <= set(lines)
    assert 'script "/usr/local/libexec/gb-caddy-answers 80"' in lines


class Answers(http.server.BaseHTTPRequestHandler):
    """What Caddy's plain port does, with a status that is no success."""

    def do_HEAD(self) -> None:
        self.send_error(421)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def ask(port: int) -> int:
    return subprocess.run(["bash", str(CHECK), str(port)], capture_output=True, check=False, timeout=10).returncode


def test_the_check_takes_any_status_for_an_answer() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert ask(server.server_address[1]) == 0


def test_the_check_fails_where_nothing_listens_and_where_something_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        begun = time.monotonic()
        assert ask(port) != 0
        assert time.monotonic() - begun < 2, "keepalived gives it two seconds"
    assert ask(port) == 1


@pytest.mark.skipif(not shutil.which("nft", path="/usr/sbin:/usr/bin"), reason="there is no nft here")
def test_an_instance_that_was_not_told_its_rules_accepts_nothing_but_what_it_needs_to_boot() -> None:
    command = ["unshare", "--map-root-user", "--net", "--", "/bin/sh", "-c", f"nft -f {CLOSED} && nft list ruleset"]
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "policy drop" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if " accept" in line] == [
        "ct",
        "iifname",
        "icmp",
        "icmpv6",
        "icmpv6",
        "udp",
    ]

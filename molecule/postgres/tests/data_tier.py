# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the data tier need: playbooks as a user runs them, SQL in an instance, and who leads."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import look
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "molecule/postgres/inventory"
PROJECT = "gb-postgres"
SUBNET = "10.97.0.0/24"
HTTPS = 18543
CERTIFICATE = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
BOTSERVERS = ("botserver-1", "botserver-2")
MEMBERS = ("postgres-1", "postgres-2", "postgres-3")
PSQL = ("psql", "-U", "postgres", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "botserver", "-c")

# Run in an instance, because nothing of the data tier is reached from the host: method, URL, authority, certificate and key.
ASK = (
    "python3",
    "-c",
    "import requests, sys\n"
    "method, url, ca, *pair = sys.argv[1:]\n"
    "told = requests.request(method, url, verify=ca, cert=tuple(pair) or None, json={'ttl': 30}, timeout=5)\n"
    "print(told.status_code, told.text)",
)


class Tier:
    """The data tier under test."""

    def __init__(self, lxd: Lxd) -> None:
        self.lxd = lxd

    def play(self, name: str, *arguments: str, fails: bool = False) -> str:
        """Run a playbook of the collection by its full name and return what it printed; ``fails`` says that it must."""
        command = ["ansible-playbook", "-i", str(INVENTORY), f"generalbots.scaling.{name}", *arguments]
        environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_FORCE_COLOR": "0"}
        done = subprocess.run(command, text=True, capture_output=True, check=False, env=environment, cwd=ROOT)
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{text[-6000:]}"
        return " ".join(text.split())

    def run(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must succeed; returns its output."""
        code, out, err = self.lxd.execute(name, argv)
        assert code == 0, f"{argv} in {name} ended with {code}: {err or out}"
        return out.strip()

    def refused(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must fail; returns what it said."""
        code, out, err = self.lxd.execute(name, argv)
        assert code != 0, f"{argv} in {name} was let through: {out}"
        return f"{out}{err}"

    def sql(self, name: str, statement: str) -> str:
        """Run SQL on a member as the superuser over the socket."""
        return self.run(name, *PSQL, statement)

    def cluster(self, asked: str) -> dict[str, t.Any]:
        """The cluster as a member tells of it."""
        told = self.run(asked, *ASK, "GET", api(asked, "/cluster"), "/etc/patroni/ca.crt")
        return t.cast("dict[str, t.Any]", json.loads(told.split(" ", 1)[1]))

    def config(self) -> dict[str, t.Any]:
        """The dynamic configuration."""
        told = self.run(MEMBERS[0], *ASK, "GET", api(MEMBERS[0], "/config"), "/etc/patroni/ca.crt")
        return t.cast("dict[str, t.Any]", json.loads(told.split(" ", 1)[1]))

    def leader(self, asked: str = MEMBERS[0]) -> str:
        """Who leads, by what a member says; empty if nobody does."""
        return next((member["name"] for member in self.cluster(asked)["members"] if member["role"] == "leader"), "")

    def new_leader(self, asked: str, lost: str) -> str:
        """Wait for a leader that is not the lost one."""
        return wait_for("a new leader", lambda: self.leader(asked), lambda name: name not in ("", lost), timeout=60, interval=0.5)

    def settled(self) -> str:
        """Wait until all members are as they should be, and return who leads them then."""
        now = wait_for(
            "the data tier to be healthy",
            lambda: look(self.lxd, SUBNET),
            lambda seen: not seen.problems(),
            timeout=90,
            interval=0.5,
            describe=lambda seen: "; ".join(seen.problems()),
        )
        return now.leader

    def power(self, action: str, *names: str) -> None:
        """Start instances, or cut their power, all at once."""
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(names)) as pool:
            list(pool.map(lambda name: self.lxd.put(f"instances/{name}/state", {"action": action, "force": True, "timeout": 30}), names))


class Site(Tier):
    """The fleet above the data tier, as its visitors and its operator see it."""

    def __init__(self, lxd: Lxd, authority: str) -> None:
        super().__init__(lxd)
        self._trust = ssl.create_default_context(cadata=authority)

    def ask(self, path: str) -> tuple[int, str]:
        """One request through Caddy: the status, and which instance answered."""
        with contextlib.closing(http.client.HTTPSConnection("localhost", HTTPS, timeout=20, context=self._trust)) as link:
            link.request("GET", path)
            answer = link.getresponse()
            answer.read()
            return answer.status, answer.getheader("X-Instance", "")

    def direct(self, name: str, path: str, **knobs: bool) -> tuple[int, dict[str, t.Any]]:
        """What a botserver answers within its own instance: status and JSON. With knobs they are turned."""
        body = ("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(knobs)) if knobs else ()
        said = self.run(name, "curl", "-s", "-m", "15", "-w", "\n%{http_code}", *body, f"http://127.0.0.1:8080{path}")
        text, _newline, status = said.rpartition("\n")
        return int(status), json.loads(text)


def api(member: str, path: str) -> str:
    """A URL of a member's REST API."""
    return f"https://10.97.0.3{member[-1]}:8008{path}"


def changes(text: str) -> list[str]:
    """The hosts of a recap on which something changed."""
    found = re.findall(r"(\S+) : ok=\d+ changed=(\d+)", text.split("PLAY RECAP")[1])
    assert found, "the run has no recap"
    return [host for host, changed in found if changed != "0"]


@pytest.fixture(scope="session")
def tier() -> Tier:
    """The data tier."""
    return Tier(connect({"engine": "lxd", "project": PROJECT}))


@pytest.fixture(scope="session")
def site() -> Site:
    """The fleet, with trust in the authority of its Caddy."""
    lxd = connect({"engine": "lxd", "project": PROJECT})
    certificate = lxd.read_file("proxy-1", CERTIFICATE)
    assert certificate, "Caddy has not made its authority"
    return Site(lxd, certificate.decode())

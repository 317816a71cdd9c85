# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of a data tier need: playbooks as a user runs them, SQL in an instance, who leads, and a client that writes meanwhile."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import re
import typing as t

import yaml
from scenario import ROOT, play, run_in
from visits import Front

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import POSTGRES, look
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.recording import Recording
from ansible_collections.generalbots.scaling.plugins.module_utils.history.judge import Verdict, judge, words
from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import parse
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

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

# What was done → what the client that wrote meanwhile saw, for the end of the run.
FIGURES: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a scenario runs, by its inventory: LXD project, subnet, and the port on which visitors come.

    :param extra: arguments of every run of a playbook, beside the inventory
    """

    scenario: str
    project: str
    subnet: str
    https: int
    extra: tuple[str, ...] = ()

    @classmethod
    def of(cls, scenario: str, *extra: str) -> Place:
        """The place of the scenario of this name."""
        told = yaml.safe_load((ROOT / "molecule" / scenario / "inventory/group_vars/all.yml").read_text(encoding="utf-8"))
        return cls(scenario, told["gb_lxd_project"], told["gb_subnet"], told["gb_publish_https_port"], extra)

    @property
    def inventory(self) -> pathlib.Path:
        """The folder of its inventory."""
        return ROOT / "molecule" / self.scenario / "inventory"

    @property
    def secrets(self) -> pathlib.Path:
        """Where its passwords are."""
        return ROOT / ".build" / self.scenario / "secrets"

    def at(self, name: str) -> str:
        """The address of an instance."""
        component, _dash, slot = name.rpartition("-")
        return address(self.subnet, component, int(slot))


class Seen:
    """What a client saw; ``verdict`` is there when it has ended."""

    verdict: Verdict


class Tier:
    """The data tier under test."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lxd: Lxd = connect({"engine": "lxd", "project": place.project})

    def play(self, name: str, *arguments: str, fails: bool = False) -> str:
        """Run a playbook of the collection by its full name and return what it printed; ``fails`` says that it must."""
        return play(name, self.place.inventory, *self.place.extra, *arguments, fails=fails)

    def run(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must succeed; returns its output."""
        return run_in(self.lxd, name, *argv).strip()

    def refused(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must fail; returns what it said."""
        code, out, err = self.lxd.execute(name, argv)
        assert code != 0, f"{argv} in {name} was let through: {out}"
        return f"{out}{err}"

    def sql(self, name: str, statement: str) -> str:
        """Run SQL on a member as the superuser over the socket."""
        return self.run(name, *PSQL, statement)

    def api(self, member: str, path: str) -> str:
        """A URL of a member's REST API."""
        return f"https://{self.place.at(member)}:8008{path}"

    def asked(self, member: str, path: str) -> dict[str, t.Any]:
        """What a member's REST API answers."""
        told = self.run(member, *ASK, "GET", self.api(member, path), "/etc/patroni/ca.crt")
        return t.cast("dict[str, t.Any]", json.loads(told.split(" ", 1)[1]))

    def cluster(self, asked: str = MEMBERS[0]) -> dict[str, t.Any]:
        """The cluster as a member tells of it."""
        return self.asked(asked, "/cluster")

    def config(self) -> dict[str, t.Any]:
        """The dynamic configuration."""
        return self.asked(MEMBERS[0], "/config")

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
            lambda: look(self.lxd, self.place.subnet),
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

    @contextlib.contextmanager
    def recorded(self, what: str) -> t.Iterator[Seen]:
        """Write as botserver does while the block runs; afterwards nothing may be lost, and there is a figure under the name ``what``."""
        database = {"host": "127.0.0.1", "port": 5432, "dbname": "botserver", "user": "gbuser", "password": self.secret("user")}
        recording = Recording(self.lxd, self.place.subnet, "botserver-1", database, seconds=1800.0)
        recording.start(look(self.lxd, self.place.subnet).names(POSTGRES))
        seen = Seen()
        try:
            recording.wait_flow("before anything is done", 30)
            yield seen
            recording.wait_flow("when all was done", 30)
        finally:
            seen.verdict = judge(parse(recording.stop()))
            self.note(what, words(seen.verdict))
        assert seen.verdict.good, FIGURES[what]

    def note(self, what: str, seen: str) -> None:
        """Keep a figure for the end of the run, and in a file for a run that does not come to its end."""
        FIGURES[what] = seen
        with (ROOT / ".build" / self.place.scenario / "figures.txt").open("a", encoding="utf-8") as file:
            file.write(f"{what}: {seen}\n")

    def secret(self, name: str) -> str:
        """A password as the controller keeps it."""
        return (self.place.secrets / f"postgres_{name}").read_text(encoding="utf-8").strip()


class Site(Tier):
    """The fleet above the data tier, as its visitors and its operator see it."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._front = Front(self.lxd, place.https)

    def ask(self, path: str) -> tuple[int, str]:
        """One request through Caddy: the status, and which instance answered."""
        return self._front.ask(path)

    @contextlib.contextmanager
    def visited(self, what: str) -> t.Iterator[list[tuple[int, str]]]:
        """Visit the site without a pause while the block runs; every visit is to be answered well. The list is of :class:`Front`."""
        visits: list[tuple[int, str]] = []
        try:
            with self._front.visited("/api/demo/echo", 0.05) as visits:
                yield visits
        finally:
            failed = [visit for visit in visits if visit[0] != 200]
            self.note(what, f"{len(visits) - len(failed)} visits were answered, {len(failed)} were not")
        assert not failed and len(visits) > 50, f"{FIGURES[what]}: {failed[:5]}"

    def direct(self, name: str, path: str, **knobs: bool) -> tuple[int, dict[str, t.Any]]:
        """What a botserver answers within its own instance: status and JSON. With knobs they are turned."""
        body = ("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(knobs)) if knobs else ()
        said = self.run(name, "curl", "-s", "-m", "15", "-w", "\n%{http_code}", *body, f"http://127.0.0.1:8080{path}")
        text, _newline, status = said.rpartition("\n")
        return int(status), json.loads(text)


def changes(text: str) -> list[str]:
    """The hosts of a recap on which something changed."""
    found = re.findall(r"(\S+) : ok=\d+ changed=(\d+)", text.split("PLAY RECAP")[1])
    assert found, "the run has no recap"
    return [host for host, changed in found if changed != "0"]


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """The figures, one line each; a conftest imports it."""
    if FIGURES:
        terminalreporter.section("what the client saw")
        for what, seen in FIGURES.items():
            terminalreporter.write_line(f"{what}: {seen}")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the load balancer need: the fleet, ways to break it, visitors that count what they see, and the figures."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import http.client
import json
import ssl
import threading
import time
import typing as t

import pytest
from scenario import ROOT, play, run_in

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for
from tools.authority import root_certificate

INVENTORY = ROOT / "molecule/caddy/inventory"
WORK = ROOT / ".build/caddy"
PROJECT = "gb-caddy"
HTTPS = 18743
NAMES = ("botserver-1", "botserver-2", "botserver-3")

# What happened → what visitors saw, for the end of the run.
FIGURES: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Seen:
    """One request and what came of it: a status, or the words of an error. Times in seconds of the monotonic clock."""

    method: str
    begin: float
    end: float
    status: int
    instance: str
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether it was not answered well."""
        return self.status != 200


class Visitors:
    """Some visitors, half of whom read and half of whom write, each with a connection of its own, one request after the other."""

    def __init__(self, fleet: Fleet, pause: float = 0.02) -> None:
        self._fleet, self._pause = fleet, pause
        self._ended = threading.Event()
        self.seen: list[Seen] = []
        self._threads = [threading.Thread(target=self._visit, args=(method,)) for method in ("GET", "POST") * 2]

    def _visit(self, method: str) -> None:
        while not self._ended.wait(self._pause):
            begin = time.monotonic()
            try:
                status, headers, _body = self._fleet.ask("/api/demo/echo", method)
                self.seen.append(Seen(method, begin, time.monotonic(), status, headers.get("x-instance", "")))
            except (OSError, http.client.HTTPException) as error:
                self.seen.append(Seen(method, begin, time.monotonic(), 0, "", f"{type(error).__name__}: {error}"))

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def failures(self, method: str) -> list[Seen]:
        """What was not answered well."""
        return [one for one in self.seen if one.method == method and one.failed]

    def window(self, method: str) -> float:
        """Seconds from the begin of the first failure to the end of the last; 0 where there is none."""
        failed = self.failures(method)
        return max(one.end for one in failed) - min(one.begin for one in failed) if failed else 0.0

    def figure(self, what: str) -> str:
        """What was seen in words, which goes into the summary as well."""
        parts = []
        for method in ("GET", "POST"):
            sent = [one for one in self.seen if one.method == method]
            slowest = max((one.end - one.begin for one in sent), default=0)
            failed = self.failures(method)
            kinds = dict(collections.Counter(str(one.status or one.error) for one in failed))
            parts.append(
                f"{method} {len(failed)} of {len(sent)} failed {kinds or ''} within {self.window(method):.1f} s, slowest {slowest:.1f} s"
            )
        FIGURES[what] = "; ".join(parts)
        return FIGURES[what]


class Fleet:
    """One proxy and three botservers, as site.yml brought them up."""

    def __init__(self, lxd: Lxd, root: str) -> None:
        self.lxd = lxd
        self.root = root
        self._trust = ssl.create_default_context(cadata=root)

    def ask(self, path: str, method: str = "GET", source: str = "127.0.0.1", **headers: str) -> tuple[int, dict[str, str], str]:
        """One HTTPS request from an address of loopback: status, headers in lower case, body."""
        link = http.client.HTTPSConnection("localhost", HTTPS, timeout=20, context=self._trust, source_address=(source, 0))
        with contextlib.closing(link):
            link.request(method, path, headers=headers)
            answer = link.getresponse()
            return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read().decode()

    def run(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must succeed; returns its output."""
        return run_in(self.lxd, name, *argv)

    def turn(self, *names: str, **knobs: t.Any) -> None:
        """Turn knobs of demo botservers."""
        program = (
            "import sys, urllib.request as u\n"
            "u.urlopen(u.Request('http://127.0.0.1:8080/api/demo/knobs', sys.argv[1].encode(), {'Content-Type': 'application/json'}))"
        )
        for name in names:
            self.run(name, "python3", "-c", program, json.dumps(knobs))

    def state(self, name: str, action: str) -> None:
        """Freeze, unfreeze, start, or stop at once an instance."""
        self.lxd.put(f"instances/{name}/state", {"action": action, "force": True, "timeout": 30})

    def caddy(self, what: str) -> t.Any:
        """What Caddy's admin endpoint answers: JSON, or the text of its metrics."""
        said = self.run("proxy-1", "curl", "-s", "--unix-socket", "/run/caddy/admin.sock", f"http://localhost{what}")
        return said if what == "/metrics" else json.loads(said)

    def play(self, *arguments: str, fails: bool = False) -> str:
        """Run site.yml as a user does; ``fails`` says that it must."""
        return play("site", INVENTORY, *arguments, fails=fails)

    def until_served_by(self, *names: str, within: float = 40) -> None:
        """Wait until the API is answered by these instances and no others."""
        wait_for(
            f"{', '.join(names)} to serve",
            lambda: {self.ask("/api/demo/echo")[1].get("x-instance") for _ in range(4 * len(NAMES))},
            lambda seen: seen == set(names),
            timeout=within,
            interval=0.1,
        )


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    """The fleet, with trust in the authority of its Caddy."""
    lxd = connect({"engine": "lxd", "project": PROJECT})
    return Fleet(lxd, root_certificate(lxd).decode())


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """The figures, one line each."""
    if FIGURES:
        terminalreporter.section("what visitors saw")
        for what, seen in FIGURES.items():
            terminalreporter.write_line(f"{what}: {seen}")

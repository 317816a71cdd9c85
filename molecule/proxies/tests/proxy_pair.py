# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of two proxies need: who has the address, visitors that count what they see, and the figures."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import ssl
import threading
import time
import typing as t

import pytest
from scenario import ROOT, play, run_in

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address, gateway
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for
from tools.authority import root_certificate

INVENTORY = ROOT / "molecule/proxies/inventory"
PROJECT = "gb-proxies"
SUBNET = "10.92.0.0/24"
SITE, HTTPS = gateway(SUBNET), 18843
SHARED = "10.92.0.2"
NAMES = ("proxy-1", "proxy-2")

# What happened → what visitors saw, for the end of the run.
FIGURES: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Seen:
    """One request and whether it was answered well. Times in seconds of the monotonic clock."""

    begin: float
    end: float
    well: bool


class Visitors:
    """Four visitors, each of whom comes anew, by a connection of its own, twenty times a second, and waits two seconds at most."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._ended = threading.Event()
        self.seen: list[Seen] = []
        self._threads = [threading.Thread(target=self._visit) for _ in range(4)]

    def _visit(self) -> None:
        while not self._ended.wait(0.05):
            begin = time.monotonic()
            try:
                well = self._pair.ask("/api/demo/echo", timeout=2)[0] == 200
            except (OSError, http.client.HTTPException):
                well = False
            self.seen.append(Seen(begin, time.monotonic(), well))

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def failed(self) -> list[Seen]:
        """What was not answered well."""
        return [one for one in self.seen if not one.well]

    @property
    def gap(self) -> float:
        """Seconds from the begin of the first failure until the last one was over; 0 where there is none."""
        return max(one.end for one in self.failed) - min(one.begin for one in self.failed) if self.failed else 0.0

    def served_after(self, moment: float) -> bool:
        """Whether somebody who came after that moment was answered well."""
        return any(one.well and one.begin > moment for one in list(self.seen))

    def figure(self, what: str) -> str:
        """What was seen in words, which goes into the summary as well."""
        FIGURES[what] = f"{len(self.failed)} of {len(self.seen)} failed, within {self.gap:.1f} s"
        return FIGURES[what]


class Pair:
    """Two proxies and a botserver, as site.yml brought them up."""

    def __init__(self, lxd: Lxd, trust: ssl.SSLContext) -> None:
        self.lxd = lxd
        self._trust = trust

    def ask(self, path: str, at: tuple[str, int] = (SITE, HTTPS), timeout: float = 20) -> tuple[int, str]:
        """One HTTPS request: status and the instance that answered.

        :param at: where to connect to; the site's name is its published address, and so says the certificate, wherever it is shown
        """
        with contextlib.closing(http.client.HTTPSConnection(SITE, HTTPS, timeout=timeout)) as link:
            plain = socket.create_connection(at, timeout=timeout)
            link.sock = self._trust.wrap_socket(plain, server_hostname=SITE)
            link.request("GET", path)
            answer = link.getresponse()
            answer.read()
            return answer.status, answer.headers.get("X-Instance", "")

    def holders(self) -> list[str]:
        """Who has the shared address."""
        found = []
        for name in NAMES:
            state, _etag = self.lxd.get(f"instances/{name}/state")
            cards = (state["network"] or {}).get("eth0", {"addresses": []})
            if state["status"] == "Running" and SHARED in {item["address"] for item in cards["addresses"]}:
                found.append(name)
        return found

    def holder(self) -> str:
        """The one that has it, once it is one."""
        return wait_for("one proxy to have the address", self.holders, lambda seen: len(seen) == 1, timeout=15)[0]

    def other(self) -> str:
        """The one that does not."""
        return next(name for name in NAMES if name != self.holder())

    def state(self, name: str, action: str) -> None:
        """Freeze, unfreeze, start, or stop at once an instance."""
        self.lxd.put(f"instances/{name}/state", {"action": action, "force": True, "timeout": 30})

    def run(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must succeed; returns its output."""
        return run_in(self.lxd, name, *argv)

    def restored(self) -> None:
        """Bring both proxies back, and wait until the one that does not have the address would take it."""
        for name in NAMES:
            state, _etag = self.lxd.get(f"instances/{name}/state")
            if state["status"] != "Running":
                self.state(name, "start" if state["status"] == "Stopped" else "unfreeze")
        wait_for("both proxies to be ready", lambda: [self._is_ready(name) for name in NAMES], all, timeout=30)
        self.holder()

    def _is_ready(self, name: str) -> bool:
        ready = "systemctl is-active --quiet keepalived && /usr/local/libexec/gb-caddy-answers 80"
        return self.lxd.execute(name, ["sh", "-c", ready])[0] == 0

    def play(self, name: str, *arguments: str) -> str:
        """Run a playbook of the collection as a user does."""
        return play(name, INVENTORY, *arguments)

    def own_address(self, name: str) -> str:
        """A proxy's own address."""
        return address(SUBNET, "proxy", NAMES.index(name) + 1)


@pytest.fixture(scope="session")
def pair() -> Pair:
    """The pair, with trust in the authorities of both."""
    lxd = connect({"engine": "lxd", "project": PROJECT})
    trust = ssl.create_default_context(cadata=b"".join(root_certificate(lxd, name) for name in NAMES).decode())
    return Pair(lxd, trust)


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """The figures, one line each."""
    if FIGURES:
        terminalreporter.section("what visitors saw")
        for what, seen in FIGURES.items():
            terminalreporter.write_line(f"{what}: {seen}")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real botserver without its database, and how it ends: what the demo botserver's knobs imitate.

Only where ``make real`` has brought one up in the project gb-real; otherwise skipped.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import time
import typing as t
import urllib.parse

import pytest
import websockets.exceptions
import websockets.sync.client

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

REAL = os.environ.get("GB_BOTSERVER_URL", "")
PROJECT, BOTSERVER, BACKEND = "gb-real", "botserver-1", "backend-1"
DATABASE = "postgresql@15-main"
GATE = ("gb-gate.socket", "gb-gate.service")
ENVIRONMENT, ERRORS = "/opt/gbo/bin/.env", "/opt/gbo/logs/err.log"
PATIENCE = 60.0

pytestmark = pytest.mark.skipif(not REAL, reason="no real botserver: GB_BOTSERVER_URL names none (make real brings one up)")


def inside(instance: str, *command: str) -> str:
    """What a command in an instance prints."""
    run = ["lxc", "--project", PROJECT, "exec", instance, "--", *command]
    return subprocess.run(run, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout.strip()


def ask(path: str, timeout: float = PATIENCE) -> tuple[int, dict[str, t.Any], float]:
    """Status, body and seconds; raises TimeoutError after so many seconds without an answer."""
    address = urllib.parse.urlsplit(REAL)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
    begun = time.monotonic()
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or "{}"), time.monotonic() - begun


def healthy() -> None:
    """Wait until it is."""

    def status() -> int:
        try:
            return ask("/api/health", timeout=10.0)[0]
        except (OSError, http.client.HTTPException):
            return 0

    wait_for("botserver to be healthy", status, lambda seen: seen == 200, timeout=PATIENCE, interval=0.1)


def sessions() -> int:
    """How many sessions the database has."""
    return int(inside(BACKEND, "su", "postgres", "-c", "psql -qAt botserver -c 'SELECT count(*) FROM user_sessions'"))


@pytest.fixture(autouse=True)
def as_it_was() -> t.Iterator[None]:
    """After each test the database runs, a botserver that was started after it, and its gate is open."""
    yield
    inside(BACKEND, "systemctl", "start", DATABASE)
    inside(BOTSERVER, "systemctl", "restart", "botserver")
    inside(BOTSERVER, "systemctl", "start", GATE[0])
    healthy()


def test_without_its_database_it_is_unhealthy_after_five_seconds_at_the_earliest_and_alive() -> None:
    """So a health check with a timeout of 5 s or less sees no answer at all; the demo's knobs: fail_health, hang_health 5.

    Its own tasks ask for the database too, and each question holds a worker for 5 s: this one stands in line with them.
    """
    healthy()
    # The proxy's own checks come through the gate, each second, and would stand in line before this one as well.
    inside(BOTSERVER, "systemctl", "stop", *GATE)
    inside(BACKEND, "systemctl", "stop", DATABASE)
    answers = [ask("/api/health", timeout=2 * PATIENCE) for _ in range(3)]
    assert [(status, body["status"], body["database"]) for status, body, _took in answers] == [(503, "degraded", False)] * 3
    assert min(took for _status, _body, took in answers) >= 4.0
    status, _body, alive = ask("/health", timeout=2 * PATIENCE)
    assert status == 200
    print(f"503 after {', '.join(f'{took:.1f}' for _status, _body, took in answers)} s, /health after {alive:.1f} s")


def test_checks_that_come_faster_than_they_end_leave_nothing_answered_until_the_database_is_back() -> None:
    """The proxy asks every second, and each question holds a worker for five: why health-interval should be longer than that."""
    healthy()
    inside(BACKEND, "systemctl", "stop", DATABASE)

    def status() -> int:
        try:
            return ask("/health", timeout=3.0)[0]
        except TimeoutError:
            return 0

    assert wait_for("nothing to be answered", status, lambda seen: seen != 200, timeout=PATIENCE, interval=0.5) == 0
    inside(BACKEND, "systemctl", "start", DATABASE)
    begun = time.monotonic()
    healthy()
    print(f"healthy {time.monotonic() - begun:.1f} s after the database was back")


def test_after_a_failover_it_stores_no_session_and_nothing_shows_it() -> None:
    """The demo's knob failover_trap; why a fleet is restarted after a failover."""
    healthy()
    before = sessions()
    assert ask("/api/auth?bot_name=default")[0] == 200
    assert sessions() == before + 1
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'gbuser'"
    assert int(inside(BACKEND, "su", "postgres", "-c", f'psql -qAt -c "{cut}"')) > 0
    for _again in range(3):
        assert ask("/api/auth?bot_name=default")[0] == 200
    assert ask("/api/health")[0] == 200
    assert sessions() == before + 1


def test_sigterm_ends_it_at_once_and_cuts_websockets_without_a_word() -> None:
    healthy()
    address = REAL.replace("http", "ws", 1)
    query = "session_id=00000000-0000-0000-0000-000000000001&user_id=00000000-0000-0000-0000-000000000002&bot_name=default"
    with websockets.sync.client.connect(f"{address}/ws/default?{query}", open_timeout=PATIENCE, proxy=None) as channel:
        assert json.loads(channel.recv(PATIENCE))["type"] == "connected"
        begun = time.monotonic()
        inside(BOTSERVER, "systemctl", "stop", "botserver")
        assert time.monotonic() - begun < 5.0
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            while True:
                channel.recv(PATIENCE)
    assert closed.value.rcvd is None


def test_systemd_does_not_start_it_without_a_vault() -> None:
    healthy()
    inside(BOTSERVER, "sed", "-i.kept", "/^VAULT_ADDR=/d", ENVIRONMENT)
    try:
        inside(BOTSERVER, "systemctl", "restart", "botserver")
        shown = inside(BOTSERVER, "systemctl", "show", "botserver", "--property", "ActiveState,Result,MainPID").splitlines()
        assert sorted(shown) == ["ActiveState=inactive", "MainPID=0", "Result=exec-condition"]
        assert "which names no Vault on another machine" in inside(BOTSERVER, "tail", "-n", "3", ERRORS)
    finally:
        inside(BOTSERVER, "mv", f"{ENVIRONMENT}.kept", ENVIRONMENT)

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
import pathlib
import subprocess
import threading
import time
import typing as t
import urllib.parse

import pytest
import websockets.exceptions
import websockets.sync.client
import yaml
from scenario import ROOT, run_ansible
from visits import Front

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

REAL = os.environ.get("GB_BOTSERVER_URL", "")
PROJECT, BOTSERVER, BACKEND = "gb-real", "botserver-1", "backend-1"
DATABASE = "postgresql@15-main"
ENVIRONMENT, ERRORS = "/opt/gbo/bin/.env", "/opt/gbo/logs/err.log"
PATIENCE = 60.0
INVENTORY = ROOT / "tests/real/inventory"
#: where Caddy serves, gb_publish_https_port
HTTPS = 28543
SESSION = "/api/auth?bot_name=default"
#: seconds without a database: several times what one question to it takes
LONG = 20.0

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
    """After each test the database runs, and a botserver that was started after it."""
    yield
    inside(BACKEND, "systemctl", "start", DATABASE)
    inside(BOTSERVER, "systemctl", "restart", "botserver")
    healthy()


def test_without_its_database_it_is_unhealthy_after_five_seconds_and_alive() -> None:
    """So a health check with a timeout of 5 s or less sees no answer at all; the demo's knobs: fail_health, hang_health 5."""
    healthy()
    inside(BACKEND, "systemctl", "stop", DATABASE)
    answers = [ask("/api/health") for _ in range(3)]
    assert [(status, body["status"], body["database"]) for status, body, _took in answers] == [(503, "degraded", False)] * 3
    # One that came to a thread that was held already waits for that one first.
    assert all(4.0 < took < 12.0 for _status, _body, took in answers)
    print(f"503 after {', '.join(f'{took:.1f}' for _status, _body, took in answers)} s")


def test_checks_that_come_faster_than_they_end_leave_it_answering() -> None:
    """Every pool of the proxy asks each second, and each question holds a thread for five: what botserver_worker_threads is for.

    Now and then a request waits all the same, for one of those threads had taken it before it was held.
    """
    healthy()
    inside(BACKEND, "systemctl", "stop", DATABASE)
    begun, answers = time.monotonic(), []
    while time.monotonic() < begun + LONG:
        status, _body, took = ask("/health")
        answers.append((status, took))
        threading.Event().wait(0.1)
    assert {status for status, _took in answers} == {200}
    waited = [took for _status, took in answers if took > 1.0]
    inside(BACKEND, "systemctl", "start", DATABASE)
    begun = time.monotonic()
    healthy()
    print(f"/health {len(answers)} times in {LONG:.0f} s, {len(waited)} waited: {', '.join(f'{took:.1f}' for took in waited)} s;")
    print(f"healthy {time.monotonic() - begun:.1f} s after the database was back")
    assert len(waited) < len(answers) / 10


def cut() -> None:
    """End every connection of botserver once, as a failover does."""
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'gbuser'"
    assert int(inside(BACKEND, "su", "postgres", "-c", f'psql -qAt -c "{cut}"')) > 0


def test_after_a_failover_it_stores_no_session_and_nothing_shows_it() -> None:
    """The demo's knob failover_trap; why a fleet is restarted after a failover."""
    healthy()
    before = sessions()
    assert ask(SESSION)[0] == 200
    assert sessions() == before + 1
    cut()
    for _again in range(3):
        assert ask(SESSION)[0] == 200
    assert ask("/api/health")[0] == 200
    assert sessions() == before + 1


def test_a_rolling_restart_heals_it_while_visitors_are_served(tmp_path: pathlib.Path) -> None:
    """What the autoscaler does by itself after a failover of the collection's own database."""

    def use(role: str, entry: str, **variables: t.Any) -> dict[str, t.Any]:
        return {"ansible.builtin.import_role": {"name": f"generalbots.scaling.{role}", "tasks_from": entry}, "vars": variables}

    tasks = [
        use("gb", "variables"),
        use("botserver", "environment"),
        use("autoscaler", "restart", autoscaler_slots=[1], autoscaler_environment="{{ botserver_environment }}"),
    ]
    defaults = {"group/generalbots.scaling.lxd": "{{ gb_lxd_connection }}"}
    play = [{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]
    (tmp_path / "restart.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    healthy()
    cut()
    before = sessions()
    assert ask(SESSION)[0] == 200
    assert sessions() == before, "it is not in the trap, so there is nothing to heal"
    with Front(connect({"engine": "lxd", "project": PROJECT}), HTTPS).visited(SESSION, 0.2) as visits:
        run_ansible(["ansible-playbook", str(tmp_path / "restart.yml")], INVENTORY)
    print(f"{len(visits)} visits during the restart: {sorted({*visits})}")
    assert {status for status, _instance in visits} == {200}
    before = sessions()
    assert ask(SESSION)[0] == 200
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

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every botserver answers to somebody who is not logged in: asked of the demo, and of the real one where there is one.

``GB_BOTSERVER_URL=http://10.96.0.101:8080`` names a real one that runs; ``make real`` brings one up from GB_BOTSERVER_BINARY and
runs these tests on it. So what the demo botserver answers is what the real one was seen to answer.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import typing as t
import urllib.parse
import uuid

import pytest
import websockets.sync.client
from botserver_process import Answer, listens
from ports import free_port

PROGRAM = pathlib.Path(__file__).parents[3] / "roles" / "botserver" / "files" / "demo_botserver.py"
REAL = os.environ.get("GB_BOTSERVER_URL", "")
PATIENCE = 10.0


class Botserver:
    """One that runs at an address."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def ask(self, path: str, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read().decode())

    def connect(self, path: str) -> websockets.sync.client.ClientConnection:
        return websockets.sync.client.connect(f"ws://{self.host}:{self.port}{path}", open_timeout=PATIENCE, proxy=None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Botserver]:
    """A demo botserver as a process of its own."""
    port = free_port()
    given = {"PATH": os.environ["PATH"], "PORT": str(port), "GB_DEMO_STANDALONE": "true"}
    process = subprocess.Popen([sys.executable, str(PROGRAM)], env=given, cwd=tmp_path_factory.mktemp("demo"), stdout=subprocess.DEVNULL)
    listens(process, port, "the demo botserver", PATIENCE)
    yield Botserver("127.0.0.1", port)
    process.kill()
    process.wait()


@pytest.fixture(params=["demo", "real"])
def botserver(request: pytest.FixtureRequest) -> Botserver:
    if request.param == "demo":
        return t.cast("Botserver", request.getfixturevalue("demo"))
    if not REAL:
        pytest.skip("no real botserver: GB_BOTSERVER_URL names none (make real brings one up from GB_BOTSERVER_BINARY)")
    address = urllib.parse.urlsplit(REAL)
    return Botserver(address.hostname or "", address.port or 80)


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/health", 200, ""), ("GET", "/api/health", 200, ""), ("GET", "/api/auth?bot_name=default", 200, ""),
        ("GET", "/ws", 400, ""), ("GET", "/ws/default", 400, ""), ("GET", "/healthz", 404, ""), ("OPTIONS", "/api/health", 200, ""),
        ("GET", "/api/config/reload", 401, "missing_token"), ("POST", "/api/config/reload", 401, "missing_token"),
        ("GET", "/api/chat", 401, "missing_token"), ("GET", "/api/files/list", 401, "missing_token"),
        ("GET", "/api/no/such", 401, "missing_token"), ("GET", "/nosuch", 401, "missing_token"),
        ("GET", "/", 401, "unauthorized"), ("DELETE", "/", 401, "unauthorized"), ("GET", "/metrics", 401, "unauthorized"),
        ("GET", "/favicon.ico", 401, "unauthorized"), ("GET", "/auth/login", 401, "unauthorized"), ("GET", "/health/", 401, "unauthorized"),
        ("POST", "/health", 401, "unauthorized"), ("POST", "/api/auth", 401, "unauthorized"), ("HEAD", "/health", 401, ""),
    ],
)  # fmt: skip
def test_answers_an_anonymous_caller(botserver: Botserver, method: str, path: str, status: int, error: str) -> None:
    """Health is asked for by GET alone: HEAD, which some load balancers use, is refused."""
    answer = botserver.ask(path, method)
    assert answer.status == status
    assert not error or answer.body["error"] == error


def test_liveness(botserver: Botserver) -> None:
    body = botserver.ask("/health").body
    assert set(body) == {"status", "service", "version", "commit"}
    assert (body["status"], body["service"]) == ("ok", "botserver")


def test_readiness(botserver: Botserver) -> None:
    body = botserver.ask("/api/health").body
    assert set(body) == {"status", "service", "version", "build_date", "commit", "database"}
    assert (body["status"], body["service"], body["database"]) == ("healthy", "botserver", True)


def test_an_anonymous_session(botserver: Botserver) -> None:
    one, two = (botserver.ask("/api/auth?bot_name=default").body for _ in range(2))
    assert {"user_id", "session_id", "bot_id", "bot_name", "status"} <= set(one)
    assert (one["status"], one["bot_name"], one["bot_id"]) == ("anonymous", "default", two["bot_id"])
    assert str(uuid.UUID(one["session_id"])) == one["session_id"] != two["session_id"]


@pytest.mark.parametrize(("query", "name"), [("?bot_name=no-such-bot", "no-such-bot"), ("", "")])
def test_a_bot_that_is_not_there_gets_a_session_too(botserver: Botserver, query: str, name: str) -> None:
    body = botserver.ask(f"/api/auth{query}").body
    assert (body["bot_id"], body["bot_name"], body["status"]) == (str(uuid.UUID(int=0)), name, "anonymous")


def test_a_websocket_is_greeted_and_answered(botserver: Botserver) -> None:
    session = botserver.ask("/api/auth?bot_name=default").body
    query = urllib.parse.urlencode({"session_id": session["session_id"], "user_id": session["user_id"], "bot_name": "default"})
    with botserver.connect(f"/ws/default?{query}") as channel:
        first = json.loads(channel.recv(PATIENCE))
        channel.send(json.dumps({**session, "message_type": 1, "channel": "web", "content": "hello", "timestamp": "2026-01-01T00:00:00Z"}))
        assert channel.recv(PATIENCE)
    ours = {name: session[name] for name in ("session_id", "user_id", "bot_id")}
    greeting = {"type": "connected", "message": "Connected to bot server", "tools": [], **ours}
    assert {name: first.get(name) for name in greeting} == greeting

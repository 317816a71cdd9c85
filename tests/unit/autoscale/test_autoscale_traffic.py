# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the one command per load balancer; the shell of it is run for real, against an admin socket and gates of the test."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import shutil
import socketserver
import subprocess
import threading
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import traffic
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Unreachable

NOW = 1_760_000_000.0
METRICS = """\
caddy_http_requests_total{handler="subroute",server="site"} 40
caddy_http_request_duration_seconds_bucket{code="200",handler="subroute",le="0.1",server="site"} 38
caddy_http_request_duration_seconds_bucket{code="200",handler="subroute",le="+Inf",server="site"} 40
caddy_http_request_duration_seconds_sum{code="200",handler="subroute",server="site"} 2.5
caddy_http_request_duration_seconds_count{code="200",handler="subroute",server="site"} 40
process_start_time_seconds 1759990000
"""
ROUTES = "/config/apps/http/servers/site/routes"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the command that is tested is curl's")


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a unix socket."""

    daemon_threads = True

    def get_request(self) -> tuple[t.Any, t.Any]:
        request, _address = super().get_request()
        return request, ("admin", 0)


def answering(pages: t.Mapping[str, tuple[int, str]]) -> type[http.server.BaseHTTPRequestHandler]:
    """A handler that answers by path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = pages.get(self.path, (404, "{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_args: t.Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> t.Iterator[t.Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Here:
    """Commands run on this machine as they would in a proxy."""

    def __init__(self) -> None:
        self.calls = 0

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
        self.calls += 1
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def admin(tmp_path: pathlib.Path) -> t.Iterator[str]:
    """Caddy's admin socket as it answers with one site and metrics."""
    upstreams = [{"address": "127.0.0.1:1", "num_requests": 0, "fails": 0}, {"address": "10.0.0.9:8080", "num_requests": 3, "fails": 1}]
    pages = {
        "/metrics": (200, METRICS),
        "/reverse_proxy/upstreams": (200, json.dumps(upstreams)),
        "/config/apps/http/metrics": (200, "{}"),
        f"{ROUTES}/0/match": (200, "null"),
        f"{ROUTES}/0/handle/0/handler": (200, '"subroute"'),
        f"{ROUTES}/1/handle/0/handler": (400, '{"error": "no such index"}'),
    }
    path = str(tmp_path / "admin.sock")
    with serving(Unix(path, answering(pages))):
        yield path


@pytest.fixture
def gate() -> t.Iterator[int]:
    """The port of a gate that is healthy at /ok only."""
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering({"/ok": (200, "fine"), "/ill": (503, "")}))) as server:
        yield server.server_address[1]


def test_one_command_gives_traffic_and_health(admin: str, gate: int) -> None:
    here = Here()
    found = traffic.read_all(here, ["proxy-1"], ["127.0.0.1:1"], Health("/ok", port=gate, timeout=2), socket=admin, now=lambda: NOW)
    [entry] = found
    assert here.calls == 1
    assert (entry["name"], entry["time"], entry["started_at"], entry["requests_total"]) == ("proxy-1", NOW, 1759990000.0, 40)
    assert entry["durations"] == {"buckets": {"0.1": 38.0, "+Inf": 40.0}, "sum": 2.5, "count": 40.0}
    assert {one["address"]: (one["in_flight"], one["healthy"]) for one in entry["upstreams"]} == {
        "127.0.0.1:1": (0, True),
        "10.0.0.9:8080": (3, None),
    }
    assert traffic.in_flight(found, "10.0.0.9:8080") == 3 and traffic.in_flight(found, "10.0.0.7:8080") == 0
    assert traffic.silent(found) == []


@pytest.mark.parametrize("uri", ["/ill", "/none"])
def test_a_gate_that_says_no_is_unhealthy(admin: str, gate: int, uri: str) -> None:
    [entry] = traffic.read_all(Here(), ["proxy-1"], ["127.0.0.1:1"], Health(uri, port=gate, timeout=2), socket=admin)
    assert {one["address"]: one["healthy"] for one in entry["upstreams"]}["127.0.0.1:1"] is False


def test_a_proxy_without_its_caddy_is_unknown_and_says_why(tmp_path: pathlib.Path) -> None:
    found = traffic.read_all(Here(), ["proxy-1"], [], Health("/ok"), socket=str(tmp_path / "none.sock"))
    assert found[0].keys() == {"name", "error"}
    assert "none.sock in proxy-1 gave no answer" in found[0]["error"] and "Is caddy.service running there?" in found[0]["error"]
    assert traffic.in_flight(found, "10.0.0.9:8080") is None
    assert traffic.silent(found) == [found[0]["error"]]


def test_waiting_ends_when_all_are_healthy(gate: int) -> None:
    health = Health("/ok", port=gate, timeout=2, passes=2)
    assert traffic.wait_healthy(Here(), "proxy-1", ["127.0.0.1:1"], health, 20) == {}


def test_waiting_that_runs_out_names_the_last_answer(gate: int) -> None:
    ill = traffic.wait_healthy(Here(), "proxy-1", ["127.0.0.1:1"], Health("/ill", port=gate, timeout=2), 1)
    assert ill == {"127.0.0.1:1": "HTTP 503"}
    gone = traffic.wait_healthy(Here(), "proxy-1", ["127.0.0.1:1"], Health("/ok", port=1, timeout=1), 1)
    assert gone == {"127.0.0.1:1": "no answer"}


def test_what_cannot_be_run_is_unreachable() -> None:
    class Broken:
        def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
            return 127, "", "sh: 4: curl: not found"

    with pytest.raises(Unreachable, match="curl is missing there"):
        traffic.read(Broken(), "proxy-1", [], Health("/ok"))
    with pytest.raises(Unreachable, match="curl: not found"):
        traffic.wait_healthy(Broken(), "proxy-1", ["127.0.0.1:1"], Health("/ok"), 1)


def test_bodies_that_look_like_marks_inside_a_line_are_kept() -> None:
    assert traffic.answers_of('{"a": "@@ 200 x"}\n@@ 200 http://a/b\n\n@@ 404 http://a/c\n') == {
        "http://a/b": ("200", '{"a": "@@ 200 x"}'),
        "http://a/c": ("404", ""),
    }

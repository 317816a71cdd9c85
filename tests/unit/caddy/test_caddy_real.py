# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's configuration and the modules on a real Caddy; skipped where there is none (see C(caddy_real.binary))."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import typing as t

import pytest
from caddy_fakes import Call
from caddy_real import RealCaddy, configure, needs_caddy, slot, until

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Conflict
from ansible_collections.generalbots.scaling.plugins.modules import caddy_config, caddy_upstreams_info

pytest_plugins = ["caddy_fixtures"]

pytestmark = needs_caddy


def test_the_roles_configuration_loads_once(call: Call, caddy: RealCaddy) -> None:
    assert configure(call, caddy) == [True, False]
    before = Caddy(caddy.socket).read()
    assert configure(call, caddy) == [False, False]
    assert Caddy(caddy.socket).read() == before


def test_a_restart_brings_back_what_ran(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy)
    before, _etag = Caddy(caddy.socket).read()
    caddy.stop()
    caddy.start()
    assert Caddy(caddy.socket).read()[0] == before
    assert configure(call, caddy) == [False, False]


def test_a_new_structure_keeps_the_pools_and_new_slots_keep_the_structure(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy, slots=2)
    assert configure(call, caddy, slots=2, caddy_grace_period="9s") == [True, False]
    assert configure(call, caddy, slots=3, caddy_grace_period="9s") == [False, True]
    listed = {one["address"] for one in call(caddy_upstreams_info, caddy)["upstreams"]}
    assert listed == {f"127.0.0.{100 + number}:{caddy.port}" for number in (1, 2, 3)}


def test_check_mode_tells_what_a_new_route_changes(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy)
    before = Caddy(caddy.socket).read()
    widget = {"name": "widget", "path": ["/widget/*"], "policy": "cookie"}
    for policy, told in (("first", [True, False]), ("random", [True, True])):
        routes = [widget, {"name": "web", "policy": policy}]
        assert configure(call, caddy, check=True, gb_routes=routes) == told and Caddy(caddy.socket).read() == before
    assert configure(call, caddy, gb_routes=routes) == told


def test_what_caddy_refuses_changes_nothing(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy)
    before = Caddy(caddy.socket).read()
    wrong = caddy.role()["__caddy_site"]["config"]
    wrong["apps"]["http"]["servers"]["site"]["routes"].append({"handle": [{"handler": "nope"}]})
    result = call(caddy_config, caddy, config=wrong)
    assert result["failed"] and "unknown module: http.handlers.nope" in result["msg"]
    assert Caddy(caddy.socket).read() == before


def test_a_write_that_is_late_is_refused_by_caddy(call: Call, caddy: RealCaddy) -> None:
    admin = Caddy(caddy.socket)
    config, stale = admin.read()
    configure(call, caddy)
    with pytest.raises(Conflict, match="412"):
        admin.write(config, stale)


def test_every_request_is_counted_once(call: Call, caddy: RealCaddy) -> None:
    with slot(caddy, 1):
        configure(call, caddy)
        until("slot 1 to serve", lambda: caddy.get("/api/x")[0] == 200)
        before = call(caddy_upstreams_info, caddy)
        sent = ["/", "/api/health", "/api/a", "/api/b", "/page", "/ws-like"] * 3
        for path in sent:
            caddy.get(path) if path != "/ws-like" else caddy.get("/", host="elsewhere.example")
        after = call(caddy_upstreams_info, caddy)
        assert after["requests_total"] - before["requests_total"] == len(sent)
        assert after["started_at"] == before["started_at"] < after["time"]
        configure(call, caddy, caddy_grace_period="9s")
        again = call(caddy_upstreams_info, caddy)
        assert again["requests_total"] == 0 and again["started_at"] > after["started_at"]


def test_headers_routes_and_names(call: Call, caddy: RealCaddy) -> None:
    with slot(caddy, 1) as (serving, _gate):
        configure(call, caddy)
        until("slot 1 to serve", lambda: caddy.get("/api/x")[0] == 200)
        claims = {"X-Real-IP": "192.0.2.1", "Forwarded": "for=192.0.2.1", "X-Forwarded-For": "192.0.2.1"}
        status, headers, body = caddy.get("/page?session_id=5ecret&keep=1", Cookie="x=5ecret", **claims)
        assert (status, body) == (200, "botserver-1")
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        assert headers["strict-transport-security"].startswith("max-age=") and "referrer-policy" in headers
        assert "server" not in headers and "alt-svc" not in headers
        assert serving.headers[-1]["x-request-id"] == headers["x-request-id"] != ""
        assert serving.headers[-1]["x-forwarded-for"] == "127.0.0.1" and not {"x-real-ip", "forwarded"} & serving.headers[-1].keys()
        status, headers, _body = caddy.get("/", host="elsewhere.example")
        assert (status, headers["x-frame-options"], "server" in headers) == (421, "DENY", False) and headers["x-request-id"]
        lines = caddy.log("access.log")
        assert any(line["request"]["uri"] == "/page?keep=1&session_id=hidden" for line in lines)
        assert "5ecret" not in json.dumps([*lines, *caddy.log()])


def test_plain_http_is_sent_to_https(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", caddy.http, timeout=10)) as connection:
        connection.request("GET", "/a?b=c", headers={"Host": "localhost:8080"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (308, f"https://localhost:{caddy.https}/a?b=c")
        assert answer.headers["Server"] is None


def test_plain_http_to_an_ipv6_address_is_sent_to_one_with_brackets(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy, gb_site_hosts=["localhost", "::1"])
    for host, place in (("[::1]:8080", "[::1]"), ("[::1]", "[::1]"), ("localhost", "localhost")):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", caddy.http, timeout=10)) as connection:
            connection.request("GET", "/a", headers={"Host": host})
            assert connection.getresponse().headers["Location"] == f"https://{place}:{caddy.https}/a"


def test_with_no_slot_at_all_the_error_has_the_headers_too(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy, caddy_try_duration=0.2)
    status, headers, body = caddy.get("/")
    assert status in (502, 503)
    assert headers["x-frame-options"] == "DENY" and "server" not in headers
    assert headers["x-request-id"] in body


def test_slots_without_an_instance_cost_no_request(call: Call, caddy: RealCaddy) -> None:
    """From the first moment, when Caddy has not noticed yet that slots 1 and 3 to 5 do not exist."""
    with slot(caddy, 2) as (serving, _gate):
        configure(call, caddy, slots=5, caddy_health={**caddy.role()["caddy_health"], "interval": 60, "fails": 3})
        asked = [(path, method) for path in ("/", "/api/x") for method in ("GET", "POST") for _ in range(5)]
        assert [caddy.get(path, method=method)[0] for path, method in asked] == [200] * 20
        with websocket(caddy) as one:
            assert one.echo(b"there") == b"there"
        assert serving.hits == 21


def test_a_slot_that_comes_is_used_without_any_change(call: Call, caddy: RealCaddy) -> None:
    with slot(caddy, 1):
        configure(call, caddy)
        etag = Caddy(caddy.socket).read()[1]
        until("slot 1 to serve", lambda: caddy.get("/api/x")[0] == 200)
        with slot(caddy, 2) as (second, _gate):
            until("slot 2 to serve", lambda: caddy.get("/api/x")[2] == second.name)
        assert Caddy(caddy.socket).read()[1] == etag


def test_a_visitor_stays_where_the_cookie_says(call: Call, caddy: RealCaddy) -> None:
    with slot(caddy, 1), slot(caddy, 2), contextlib.ExitStack() as sockets:
        configure(call, caddy)
        first = sockets.enter_context(websocket(caddy))
        second = sockets.enter_context(websocket(caddy))
        assert first.cookie != second.cookie and {first.cookie, second.cookie} != {""}
        again = [sockets.enter_context(websocket(caddy, first.cookie)) for _ in range(4)]
        assert {one.cookie for one in again} == {""}
        listed = {one["address"]: one["in_flight"] for one in call(caddy_upstreams_info, caddy)["upstreams"]}
        assert sorted(listed.values()) == [1, 5]


def test_a_websocket_outlives_a_change_of_the_structure(call: Call, caddy: RealCaddy) -> None:
    with slot(caddy, 1):
        configure(call, caddy)
        with websocket(caddy) as one:
            assert one.echo(b"before") == b"before"
            assert configure(call, caddy, caddy_grace_period="1s") == [True, False]
            assert one.echo(b"after") == b"after"


def test_a_drain_ends_what_is_new_and_not_what_is_under_way(call: Call, caddy: RealCaddy) -> None:
    with slot(caddy, 1) as (serving, gate), slot(caddy, 2) as (other, _gate):
        configure(call, caddy)
        address = f"127.0.0.101:{caddy.port}"
        until("slot 1 to serve", lambda: caddy.get("/")[2] == serving.name)
        serving.hold.clear()
        held: list[tuple[int, dict[str, str], str]] = []
        request = threading.Thread(target=lambda: held.append(caddy.get("/held")))
        request.start()
        until("the request to be under way", lambda: in_flight(call, caddy, address) == 1)
        gate.status = 503
        health = {"uri": "/api/health-check", "port": caddy.gate}
        result = call(caddy_upstreams_info, caddy, health=health, wait_unhealthy=[address], wait_idle=[address], wait_timeout=1)
        assert (result["idle"], result["in_flight"]) == (False, {address: 1})
        hits = serving.hits
        assert {caddy.get(path)[2] for path in ("/", "/api/x", "/api/health") * 4} == {other.name}
        assert serving.hits == hits
        serving.hold.set()
        request.join(20)
        assert held[0][0] == 200
        assert call(caddy_upstreams_info, caddy, wait_idle=[address], wait_timeout=5)["idle"] is True


def in_flight(call: Call, caddy: RealCaddy, address: str) -> int:
    listed = call(caddy_upstreams_info, caddy)["upstreams"]
    return next(int(one["in_flight"]) for one in listed if one["address"] == address)


class Websocket:
    """The visitor's end of a websocket through Caddy."""

    def __init__(self, connection: socket.socket, cookie: str) -> None:
        self._connection = connection
        self.cookie = cookie

    def echo(self, said: bytes) -> bytes:
        self._connection.sendall(said)
        back = b""
        while len(back) < len(said) and (part := self._connection.recv(1024)):
            back += part
        return back


@contextlib.contextmanager
def websocket(caddy: RealCaddy, cookie: str = "") -> t.Iterator[Websocket]:
    """A websocket; ``cookie`` is what a visitor brings, and in the result what Caddy gave, if it gave one."""
    asked = ["GET /ws/default HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    asked += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *([f"Cookie: {cookie}"] if cookie else []), "", ""]
    with (
        socket.create_connection(("127.0.0.1", caddy.https), 10) as plain,
        caddy.trust().wrap_socket(plain, server_hostname="localhost") as one,
    ):
        one.sendall("\r\n".join(asked).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += one.recv(4096)
        lines = answer.decode().split("\r\n")
        assert lines[0].startswith("HTTP/1.1 101"), answer
        given = [line.split(": ", 1)[1].split(";")[0] for line in lines if line.lower().startswith("set-cookie")]
        yield Websocket(one, given[0] if given else "")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Caddy when things go wrong: nobody is healthy, nobody is there, somebody else writes, it is killed while it is written to."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
import typing as t

import pytest
from caddy_fakes import Call, Upstream, upstream
from caddy_real import RealCaddy, configure, needs_caddy, slot, until

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy, Config, reconcile
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for
from ansible_collections.generalbots.scaling.plugins.modules import caddy_upstreams_info

pytestmark = needs_caddy
pytest_plugins = ["caddy_fixtures"]


@contextlib.contextmanager
def two(call: Call, caddy: RealCaddy, **given: t.Any) -> t.Iterator[list[tuple[Upstream, Upstream]]]:
    """A site with two instances that serve."""
    with slot(caddy, 1) as first, slot(caddy, 2) as second:
        configure(call, caddy, **given)
        until("both to serve", lambda: {caddy.get("/api/x")[2] for _ in range(4)} == {"botserver-1", "botserver-2"})
        yield [first, second]


def all_unhealthy(instances: list[tuple[Upstream, Upstream]], handlers: int = 8) -> None:
    """Every check fails from now on, while the instances live; wait until every pool has noticed."""
    for _serving, gate in instances:
        gate.ready = False
    before = [gate.checks for _serving, gate in instances]
    until(
        "every pool to check",
        lambda: all(gate.checks >= count + 2 * handlers for (_serving, gate), count in zip(instances, before, strict=True)),
        40,
    )


def test_when_what_all_share_is_gone_those_that_live_go_on(call: Call, caddy: RealCaddy) -> None:
    with two(call, caddy) as instances:
        all_unhealthy(instances)
        asked = [(path, method) for path in ("/", "/api/x", "/api/health") for method in ("GET", "POST") for _ in range(4)]
        answers = [caddy.get(path, method=method) for path, method in asked]
        assert {status for status, _headers, _body in answers} == {200}
        assert {body for _status, _headers, body in answers} == {"botserver-1", "botserver-2"}
        assert all(headers["x-frame-options"] == "DENY" and headers["x-request-id"] for _status, headers, _body in answers)


def test_a_sticky_visitor_stays_also_when_all_are_unhealthy(call: Call, caddy: RealCaddy) -> None:
    routes = [{"name": "web", "policy": "cookie", "cookie": {"fallback": "round_robin"}}]
    with two(call, caddy, gb_routes=routes) as instances:
        visitors = [caddy.get("/")[1:] for _ in range(6)]
        known = [(headers["set-cookie"].split(";")[0], body) for headers, body in visitors]
        all_unhealthy(instances, handlers=4)
        assert [caddy.get("/", Cookie=cookie)[2] for cookie, _body in known] == [body for _cookie, body in known]


def test_without_the_panic_route_the_same_is_a_total_outage(call: Call, caddy: RealCaddy) -> None:
    """What the route is for; and that it can be turned off."""
    with two(call, caddy, caddy_panic=False, caddy_try_duration=0.2) as instances:
        all_unhealthy(instances, handlers=4)
        assert {caddy.get("/api/x")[0] for _ in range(4)} == {503}


def test_with_nobody_alive_there_is_a_page_for_people_and_json_for_programs(call: Call, caddy: RealCaddy) -> None:
    configure(call, caddy, caddy_try_duration=0.3, caddy_retry_after=7)
    status, headers, body = caddy.get("/")
    assert (status, headers["retry-after"], headers["content-type"]) == (503, "7", "text/html; charset=utf-8")
    assert "<h1>Back in a moment</h1>" in body and headers["x-request-id"] in body and headers["x-frame-options"] == "DENY"
    for path, accept in (("/api/x", "*/*"), ("/page", "application/json")):
        status, headers, body = caddy.get(path, Accept=accept)
        assert (status, headers["retry-after"], json.loads(body)["error"]) == (503, "7", "unavailable")
        assert json.loads(body)["request_id"] == headers["x-request-id"]


def test_a_page_of_the_users_own_is_shown(call: Call, caddy: RealCaddy, tmp_path: t.Any) -> None:
    (tmp_path / "away.html").write_text("<p>Nobody home</p>")
    configure(call, caddy, caddy_try_duration=0.3, caddy_maintenance_page=str(tmp_path / "away.html"))
    assert "Nobody home" in caddy.get("/")[2]


def test_a_route_may_be_shown_in_frames_and_have_headers_of_its_own(call: Call, caddy: RealCaddy) -> None:
    widget = {
        "name": "widget",
        "path": ["/widget/*"],
        "frames": ["https://www.example.org"],
        "response_headers": {"Cache-Control": "no-store"},
    }
    own = {"name": "own", "path": ["/own/*"], "frames": ["'self'"], "response_headers": {"Content-Security-Policy": "default-src 'self'"}}
    with two(
        call,
        caddy,
        gb_routes=[{"name": "api", "path": ["/api/*"]}, widget, own, {"name": "web"}],
        caddy_headers={"X-Frame-Options": "DENY", "Server": "ours"},
    ):
        _status, headers, _body = caddy.get("/widget/x")
        assert "x-frame-options" not in headers and headers["content-security-policy"] == "frame-ancestors https://www.example.org"
        assert headers["cache-control"] == "no-store"
        with contextlib.closing(http.client.HTTPSConnection("localhost", caddy.https, timeout=20, context=caddy.trust())) as link:
            link.request("GET", "/own/x")
            policies = link.getresponse().headers.get_all("Content-Security-Policy")
        assert policies == ["default-src 'self',frame-ancestors 'self'"], "with a comma between, two policies"
        other = caddy.get("/other")[1]
        assert (other["server"], other["x-frame-options"]) == ("ours", "DENY")


def test_a_body_that_is_too_large_is_refused_where_a_route_says_so(call: Call, caddy: RealCaddy) -> None:
    with two(call, caddy, gb_routes=[{"name": "api", "path": ["/api/*"]}, {"name": "web", "max_body": "10B"}]):
        for path, status in (("/", 413), ("/api/x", 200)):
            link = http.client.HTTPSConnection("localhost", caddy.https, timeout=20, context=caddy.trust())
            with contextlib.closing(link):
                link.request("POST", path, body=b"x" * 11)
                assert link.getresponse().status == status


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 100000\r\n\r\n" + b"x" * 1000,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n",
    ],
    ids=["broken off", "beyond max_body"],
)
def test_an_upload_that_its_visitor_ends_takes_no_instance_out(call: Call, caddy: RealCaddy, sent: bytes) -> None:
    with two(call, caddy, gb_routes=[{"name": "web", "max_body": "1000B" if b"chunked" in sent else None}]) as instances:
        for serving, _gate in instances:
            serving.hold.clear()

        def counted() -> bool:
            with (
                socket.create_connection(("127.0.0.1", caddy.https), 10) as plain,
                caddy.trust().wrap_socket(plain, server_hostname="localhost") as visitor,
            ):
                visitor.sendall(b"POST /held HTTP/1.1\r\nHost: localhost\r\n" + sent)
                visitor.shutdown(socket.SHUT_WR)
                while visitor.recv(4096):
                    pass
            return any(one["fails"] for one in call(caddy_upstreams_info, caddy)["upstreams"])

        # Now and then Caddy sees that the visitor left before it misses the rest, and counts nothing.
        until("Caddy to count it", counted)
        assert {caddy.get("/api/x")[2] for _ in range(4)} == {"botserver-1", "botserver-2"}


@pytest.mark.parametrize("policy", ["first", "cookie"])
@pytest.mark.parametrize("silent, seconds", [(False, 1), (True, 3)], ids=["refuses", "is silent"])
def test_one_dead_slot_of_two_costs_no_request(call: Call, caddy: RealCaddy, policy: str, silent: bool, seconds: float) -> None:
    """Though its check is well: sticky visitors of it, and those for whom it is the first, get through too."""
    routes = [{"name": "web", "policy": policy, **({"cookie": {"fallback": "first"}} if policy == "cookie" else {})}]
    with contextlib.ExitStack() as stack:
        gate = stack.enter_context(upstream("gate", "127.0.0.101", caddy.gate))
        with upstream("botserver-1", "127.0.0.101", caddy.port):
            stack.enter_context(slot(caddy, 2))
            configure(call, caddy, gb_routes=routes)
            headers = next(seen for _status, seen, body in iter(lambda: caddy.get("/"), None) if body == "botserver-1")
        # No connection is left on which botserver-1 would still answer.
        configure(call, caddy, gb_routes=routes, caddy_grace_period="9s")
        if silent:
            stack.enter_context(deaf("127.0.0.101", caddy.port))
        cookie = headers.get("set-cookie", "none=").split(";")[0]
        begin, took = time.monotonic(), []
        for turn in range(8):
            status, _headers, body = caddy.get("/", Cookie=cookie, method="POST" if turn % 2 else "GET")
            took.append(time.monotonic() - begin)
            begin = time.monotonic()
            assert (status, body) == (200, "botserver-2")
        assert max(took) < seconds and gate.checks


@contextlib.contextmanager
def deaf(host: str, port: int) -> t.Iterator[None]:
    """An address that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(0)
        for _waiting in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((host, port))
        yield


def test_what_was_sent_is_repeated_only_if_it_reads(call: Call, caddy: RealCaddy) -> None:
    """The first instance takes requests and closes the connection: a GET is answered by the other, a POST by nobody."""
    with two(call, caddy) as instances:
        broken, other = instances[0][0], instances[1][0]
        broken.drops = True
        before = broken.hits
        assert [caddy.get("/api/x")[0] for _ in range(4)] == [200] * 4
        assert broken.hits > before, "nothing was tried that could have been repeated"
        until("its failure to be forgotten", lambda: caddy.get("/api/x")[0] == 200 and broken.hits > before + 2)
        broken.drops = False
        until("both to serve", lambda: {caddy.get("/api/x")[2] for _ in range(4)} == {"botserver-1", "botserver-2"})
        broken.drops = True
        taken = broken.hits + other.hits
        answers = [caddy.get("/api/x", method="POST") for _ in range(4)]
        assert sorted(answer[0] for answer in answers) == [200, 200, 200, 502] and broken.hits + other.hits == taken + 4
        _status, headers, body = next(answer for answer in answers if answer[0] == 502)
        assert "retry-after" not in headers and headers["x-request-id"] == json.loads(body)["request_id"]
        assert json.loads(body)["error"] == "no_answer"


@pytest.mark.parametrize(
    "body, headers, status",
    [(None, {}, 200), (b"x", {}, 503), ([b"x"], {}, 503), (None, {"Content-Type": "text/plain"}, 503)],
    ids=["no body", "a body", "a body in chunks", "what has a type, as a body over HTTP/2 that has no length"],
)
def test_a_reading_request_with_a_body_is_not_repeated_without_it(
    call: Call, caddy: RealCaddy, body: bytes | list[bytes] | None, headers: dict[str, str], status: int
) -> None:
    with two(call, caddy, caddy_fail_duration=0) as instances:
        for (serving, _gate), drops in zip(instances, (True, False), strict=True):
            serving.drops = drops
        seen = set()
        for _turn in range(2):
            with contextlib.closing(http.client.HTTPSConnection("localhost", caddy.https, timeout=20, context=caddy.trust())) as link:
                link.request("GET", "/api/x", body=body, headers=headers)
                seen.add(link.getresponse().status)
        assert seen == {200, status}


def test_a_form_that_was_cut_off_is_not_told_to_come_again(call: Call, caddy: RealCaddy) -> None:
    """Outside the API it is one line; JSON where the visitor says so."""
    with slot(caddy, 1) as (serving, _gate):
        configure(call, caddy)
        until("it to serve", lambda: caddy.get("/")[0] == 200)
        serving.drops = True
        status, headers, body = caddy.get("/form", method="POST", Accept="text/html")
        assert (status, headers["content-type"]) == (502, "text/plain; charset=utf-8") and "retry-after" not in headers
        assert headers["x-request-id"] in body
        _status, _headers, body = wait_for(
            "its failure to be forgotten",
            lambda: caddy.get("/form", method="POST", Accept="application/json"),
            lambda answer: answer[0] == 502,
            timeout=15,
            interval=0.05,
        )
        assert json.loads(body)["error"] == "no_answer"


def test_an_instance_that_answers_500_is_left_out_by_its_breaker(call: Call, caddy: RealCaddy) -> None:
    settings = {"circuit-breaker-enabled": True, "circuit-breaker-threshold": 3, "circuit-breaker-timeout": 2}
    with two(call, caddy, settings=settings) as instances:
        instances[0][0].status = 500
        seen = [caddy.get("/api/x")[0] for _ in range(16)]
        assert seen.count(500) == 3, "its health is well: only the breaker can have left it out"
        instances[0][0].status = 200
        until("the breaker to close", lambda: {caddy.get("/api/x")[2] for _ in range(4)} == {"botserver-1", "botserver-2"})


def test_a_change_by_another_is_read_again_and_both_stand(caddy: RealCaddy) -> None:
    """The other comes between our reading and our writing, once: Caddy says 412, and nothing of either is lost."""
    admin, turns = Caddy(caddy.socket), []

    def with_logging(running: Config) -> Config:
        turns.append(1)
        if len(turns) == 1:
            current, etag = admin.read()
            admin.write({**current, "storage": {"module": "file_system", "root": f"{caddy.folder}/other"}}, etag)
        return {**running, "logging": {"logs": {"default": {"level": "WARN"}}}}

    assert reconcile(Caddy(caddy.socket), with_logging).changed
    running, _etag = admin.read()
    assert len(turns) == 2 and {"logging", "storage"} <= running.keys()


def test_somebody_who_always_comes_between_is_an_error_after_a_bounded_number_of_tries(caddy: RealCaddy) -> None:
    admin, turns = Caddy(caddy.socket), []

    def never(running: Config) -> Config:
        turns.append(1)
        current, etag = admin.read()
        admin.write({**current, "storage": {"module": "file_system", "root": f"{caddy.folder}/{len(turns)}"}}, etag)
        return {**running, "logging": {}}

    with pytest.raises(Conflict, match="retried 3 times"):
        reconcile(Caddy(caddy.socket), never)
    assert len(turns) == 4


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05])
def test_killed_while_it_is_written_to_the_next_run_repairs(call: Call, caddy: RealCaddy, delay: float) -> None:
    configure(call, caddy, slots=2)
    before, _etag = Caddy(caddy.socket).read()
    after = caddy.role(3)["__caddy_site"]["config"]

    def write() -> None:
        # Killed before it could answer, which is what is wanted here.
        with contextlib.suppress(Unreachable, ApiError):
            Caddy(caddy.socket).write(after, Caddy(caddy.socket).read()[1])

    thread = threading.Thread(target=write)
    thread.start()
    threading.Event().wait(delay)
    caddy.kill()
    thread.join(30)
    caddy.start()
    assert Caddy(caddy.socket).read()[0] in (before, after), "half of a configuration"
    configure(call, caddy, slots=3)
    assert configure(call, caddy, slots=3) == [False, False]
    assert Caddy(caddy.socket).read()[0] == after

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for the tests of Caddy: an admin endpoint that is strict, upstreams that count, time that does not pass."""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import pathlib
import socketserver
import stat
import tempfile
import threading
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock

Json = dict[str, t.Any]
# Runs a module's main() against what has a socket, with options, and returns its result.
Call = t.Callable[..., Json]


class FakeCaddy:
    """The admin endpoint as far as we may use it; anything else that is asked is remembered in ``unexpected``."""

    def __init__(self, config: Json | None) -> None:
        self.config = config
        self.revision = 1
        self.writes: list[Json] = []
        self.unexpected: list[str] = []
        self.upstreams: list[Json] = []
        self.metrics = ""
        self.refusal = ""
        self.intrusions = 0
        self.meddle: t.Callable[[Json], Json] | None = None
        self.with_etag = True
        self.socket = ""

    @property
    def etag(self) -> str:
        return f'"/config/ {self.revision}"'

    def answer(self, method: str, path: str, if_match: str, body: bytes) -> tuple[int, bytes]:
        if (method, path) == ("POST", "/config/"):
            return self._write(if_match, json.loads(body))
        known: dict[str, t.Any] = {"/config/": self.config, "/reverse_proxy/upstreams": self.upstreams}
        if method == "GET" and path == "/metrics":
            return 200, self.metrics.encode()
        if method == "GET" and path in known:
            return 200, json.dumps(known[path]).encode()
        self.unexpected.append(f"{method} {path}")
        return 404, b'{"error":"not found"}'

    def _write(self, if_match: str, wanted: Json) -> tuple[int, bytes]:
        if self.intrusions:
            self.intrusions -= 1
            self.config = {**(self.config or {}), "intruder": self.intrusions}
            self.revision += 1
        if if_match != self.etag:
            return 412, b'{"error":"If-Match header did not match current config hash"}'
        if self.refusal:
            return 400, json.dumps({"error": self.refusal}).encode()
        self.writes.append(copy.deepcopy(wanted))
        self.config = self.meddle(wanted) if self.meddle else wanted
        self.revision += 1
        return 200, b""


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def fake_caddy(config: Json | None) -> t.Iterator[FakeCaddy]:
    """A :class:`FakeCaddy` that listens on a unix socket of its own; afterwards nothing unexpected may have been asked."""
    fake = FakeCaddy(config)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_args: t.Any) -> None:
            pass

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = fake.answer(self.command, self.path, self.headers.get("If-Match", ""), body)
            self.send_response(status)
            if fake.with_etag and self.command == "GET":
                self.send_header("Etag", fake.etag)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _reply

    with tempfile.TemporaryDirectory(prefix="gb-") as folder, _UnixServer(f"{folder}/admin.sock", Handler) as server:
        fake.socket = f"{folder}/admin.sock"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield fake
        finally:
            server.shutdown()
    assert fake.unexpected == []


def fake_binary(folder: pathlib.Path, version: str = "v2.11.9 h1:abc=") -> str:
    """A program that answers ``version`` as Caddy does and finds all valid; its path."""
    path = folder / "caddy"
    path.write_text(f"#!/bin/sh\ncase $1 in version) echo '{version}';; validate) cat > /dev/null;; *) exit 1;; esac\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


class Upstream:
    """A botserver that answers 200 with its name and counts; it can be told to fail, to fail its checks alone, or to hang up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = 200
        self.ready = True
        self.drops = False
        self.hits = 0
        self.checks = 0
        self.headers: list[dict[str, str]] = []
        self.hold = threading.Event()
        self.hold.set()
        self.address = ""

    def status_of(self, path: str) -> int:
        """The status that a request for this path is answered with."""
        if path == "/moved":
            return 302
        return 503 if path == CHECK and not self.ready else self.status


CHECK = "/api/health-check"
_UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class _UpstreamHandler(http.server.BaseHTTPRequestHandler):
    """Answers for the :class:`Upstream` that ``one`` is."""

    protocol_version = "HTTP/1.1"
    #: an answer is sent in two parts, and the second would wait until the proxy acknowledges the first, which takes it 40 ms
    disable_nagle_algorithm = True
    one: Upstream

    def log_message(self, *_args: t.Any) -> None:
        pass

    def do_GET(self) -> None:
        one = self.one
        if self.path.startswith("/ws"):
            self._echo()
            return
        if self.path.endswith("/held"):
            one.hold.wait(20)
        one.hits += self.path != CHECK
        one.checks += self.path == CHECK
        if one.drops:
            self.close_connection = True
            return
        one.headers.append({name.lower(): value for name, value in self.headers.items()})
        self._answer(one.status_of(self.path), one.name.encode())

    do_POST = do_GET

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("Location", CHECK)
        self.send_header("Server", "botserver")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _echo(self) -> None:
        """A websocket for the proxy's eyes: after the upgrade every byte comes back."""
        self.one.hits += 1
        self.wfile.write(_UPGRADED)
        self.close_connection = True
        while said := self.connection.recv(1024):
            self.connection.sendall(said)


@contextlib.contextmanager
def upstream(name: str, host: str = "127.0.0.1", port: int = 0) -> t.Iterator[Upstream]:
    """An :class:`Upstream` that listens; ``/held`` answers when ``hold`` is set."""
    one = Upstream(name)
    server = http.server.ThreadingHTTPServer((host, port), type("Handler", (_UpstreamHandler,), {"one": one}))
    server.daemon_threads = True
    one.address = f"{host}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield one
    finally:
        one.hold.set()
        server.shutdown()
        server.server_close()


class FakeTime:
    """A clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> Clock:
        def sleep(seconds: float) -> None:
            self.seconds += seconds

        return Clock(now=lambda: self.seconds, sleep=sleep)


def site(*handlers: Json) -> Json:
    """A configuration with one server, ``site``, of one route that holds the handlers."""
    routes = [{"handle": [one]} for one in handlers]
    servers = {"site": {"listen": [":443"], "routes": [{"handle": [{"handler": "subroute", "routes": routes}]}]}}
    return {"admin": {"listen": "unix//run/a.sock|0600"}, "apps": {"http": {"metrics": {}, "servers": servers}}}


def proxy(name: str, *addresses: str, **more: t.Any) -> Json:
    """A reverse_proxy handler with an ``@id``."""
    pool: Json = {"upstreams": [{"dial": address} for address in addresses]} if addresses else {}
    return {"@id": name, "handler": "reverse_proxy", **pool, **more}

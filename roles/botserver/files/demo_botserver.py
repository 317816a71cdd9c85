#!/usr/bin/env python3
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""demo botserver: stands in for General Bots' botserver in demos and tests, and does nothing useful.

It answers, starts and stops as botserver 6.3.1 was seen to, as far as that goes without data services: it opens no
connection to Vault, Redis, Qdrant or Drive. Where ``DATABASE_URL`` is given, it asks whether a PostgreSQL answers there, without
logging in and at most once a second, and is as well as the database is: /api/health says 503 after five seconds without one, and a
start without one ends after eight. Its own switches, which the real program does not have:

``GB_DEMO_STANDALONE=true``  run although ``VAULT_ADDR`` names no remote Vault
``GB_DEMO_SLOW_START=60``    seconds before the port is opened
``/api/demo/echo``           query ``burn_ms`` (CPU time), ``delay_ms``, ``alloc_mb`` with ``hold_s`` (memory that is held after
                             the answer), ``cache_mb`` (page cache, by a file in the work folder)
``/api/demo/knobs``          ``fail_health`` (bool), ``hang_health`` (seconds before /api/health answers), ``latency_ms`` and
                             ``fail_requests`` (bool, status 500), both for all but health and knobs; POST is for the loopback
                             of the instance only. The real program without its database is
                             ``{"fail_health": true, "hang_health": 5}``.
                             ``failover_trap`` (bool) arms what a failover of the database does to the real program: once
                             ``fail_health`` was on, or the database did not answer, no session is stored any more until a
                             restart, and nothing shows it but the demo's own ``known`` of websockets and
                             ``sessions_stored`` of the knobs
"""

from __future__ import annotations

import asyncio
import collections.abc
import dataclasses
import hashlib
import json
import logging
import mmap
import os
import pathlib
import re
import signal
import socket
import ssl
import sys
import time
import typing as t
import urllib.parse
import uuid

from aiohttp import WSMsgType, web

VERSION = "0.1.0"
NAME = f"demo botserver {VERSION}"
HARD_EXIT_SECONDS = 15.0
MAX_SESSIONS = 10_000
MAX_MILLISECONDS, MAX_MEGABYTES, MAX_HOLD_SECONDS = 60_000, 4096, 600
MEBIBYTE = 1024 * 1024
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
# What the real program lets pass without a token and then serves to nobody who has none: its own word for it is another one.
TOKENLESS = re.compile(r"/|/(metrics|favicon\.ico|health|api/health|api/auth)|/(health|auth)/.*")
NO_BOT = str(uuid.UUID(int=0))
# What the real program takes until it calls its database gone, while it runs and when it starts; and how long it was not asked again.
HEALTH_SECONDS, START_SECONDS, TRUST_SECONDS = 5.0, 8.0, 1.0
ATTEMPT_SECONDS, RETRY_SECONDS = 1.0, 0.25
# PostgreSQL's SSLRequest: its length, and its code (chapter "Message Formats" of its manual). The answer is S or N.
SSL_REQUEST = bytes.fromhex("0000000804d2162f")

log = logging.getLogger("demo botserver")
Handler = t.Callable[[web.Request], t.Awaitable[web.StreamResponse]]
Text = collections.abc.Mapping[str, str]


def read_environment(folder: pathlib.Path, process: Text) -> dict[str, str]:
    """The variables of the nearest ``.env`` in ``folder`` or above it; those of the process win."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".env").is_file():
            lines = (candidate / ".env").read_text(encoding="utf-8").splitlines()
            pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
            return {**{key.strip(): value.strip().strip("'\"") for key, _, value in pairs}, **process}
    return dict(process)


def needs_private_stack(vault_addr: str) -> bool:
    """Whether the real program would bootstrap its own services: its rule is this search in the text of VAULT_ADDR."""
    return not vault_addr or "localhost" in vault_addr or "127.0.0.1" in vault_addr


def work_folder(environment: Text) -> pathlib.Path:
    """Where the real program keeps its work: GBO_WORK_PATH, else /opt/gbo/work where it is installed, else ./work."""
    installed = pathlib.Path("/opt/gbo/bin/.env").exists()
    return pathlib.Path(environment.get("GBO_WORK_PATH") or ("/opt/gbo/work" if installed else "work"))


def burn(milliseconds: float) -> None:
    """Use this much CPU time in the calling thread; hashing large blocks leaves the interpreter free for others."""
    block = bytes(256 * 1024)
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        hashlib.sha256(block)


def allocate(megabytes: float) -> mmap.mmap:
    """Anonymous private memory with every page touched: it counts as the instance's memory, not as page cache."""
    size = max(1, int(megabytes * MEBIBYTE))
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, size, mmap.PAGESIZE):
        memory[offset] = 1
    return memory


def fill_page_cache(folder: pathlib.Path, megabytes: float) -> None:
    """Write a file of this size in the work folder, over the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "demo-page-cache.bin").open("wb") as file:
        for _ in range(int(megabytes)):
            file.write(bytes(MEBIBYTE))


class Database:
    """Whether a PostgreSQL answers at the address of a URL. ``gone`` is set once it did not, even for a moment."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 5432
        self.gone = False
        self._answer, self._until = False, 0.0
        self._one = asyncio.Lock()

    async def answers(self, patience: float) -> bool:
        """Whether it answers within so many seconds."""
        end = time.monotonic() + patience
        while not await self._now():
            if time.monotonic() >= end:
                return False
            await asyncio.sleep(RETRY_SECONDS)
        return True

    async def _now(self) -> bool:
        """What the last attempt said, if that is fresh, or a new one says. All who ask at once share one."""
        async with self._one:
            if time.monotonic() >= self._until:
                try:
                    await asyncio.wait_for(self._greet(), ATTEMPT_SECONDS)
                    self._answer = True
                except (OSError, EOFError) as error:
                    log.info("no database at %s:%d: %r", self.host, self.port, error)
                    self._answer, self.gone = False, True
                self._until = time.monotonic() + (TRUST_SECONDS if self._answer else RETRY_SECONDS)
            return self._answer

    async def _greet(self) -> None:
        """Go as far as TLS, which leaves no trace in its log. Nothing is sent that had to be kept secret, so nobody is verified."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(SSL_REQUEST)
            if await reader.readexactly(1) == b"S":
                anybody = ssl.create_default_context()
                anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
                await writer.start_tls(anybody)
        finally:
            writer.close()


def bot_id(name: str) -> str:
    """The id of a bot: the demo has the one that every botserver has, and no other."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) if name == "default" else NO_BOT


def bad_request(reason: str) -> web.HTTPBadRequest:
    """The answer 400 with its reason."""
    return web.HTTPBadRequest(text=json.dumps({"error": "bad_request", "message": reason}), content_type="application/json")


def query_number(request: web.Request, name: str, ceiling: float) -> float:
    """A number from the query, 0 where it is not given; raises the answer 400 outside of 0 to ``ceiling``."""
    text = request.query.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= ceiling:
        raise bad_request(f"{name}={text}: give a number from 0 to {ceiling:g}")
    return value


@dataclasses.dataclass
class Knobs:
    """What tests and demos turn while the program runs."""

    fail_health: bool = False
    hang_health: float = 0.0
    latency_ms: float = 0.0
    fail_requests: bool = False
    failover_trap: bool = False

    def turn(self, wanted: t.Any) -> None:
        """Set the named knobs, all or none; raises the answer 400 for an unknown name or a value of the wrong kind."""
        if not isinstance(wanted, dict) or not wanted.keys() <= vars(self).keys():
            raise bad_request(f"give a JSON object with some of: {', '.join(vars(self))}")
        for name, value in wanted.items():
            switch = isinstance(getattr(self, name), bool)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_MILLISECONDS
            if not (isinstance(value, bool) if switch else number):
                raise bad_request(f"{name}: {value!r} is not {'true or false' if switch else f'a number from 0 to {MAX_MILLISECONDS}'}")
        for name, value in wanted.items():
            setattr(self, name, value)


class Botserver:
    """The routes and what they share; one per process."""

    def __init__(self, work: pathlib.Path, database: Database | None = None) -> None:
        self.instance = socket.gethostname()
        self.work = work
        self.database = database
        self.knobs = Knobs()
        # Message counts by session. Only this process knows them: a websocket led elsewhere finds "known": false.
        self.sessions: dict[str, int] = {}
        self.stored = 0
        # The real program keeps one database connection for its sessions, and never opens another when that is cut.
        self.trapped = False
        self.sockets: set[asyncio.Transport] = set()
        self.held: set[asyncio.Task[None]] = set()
        self.cache_lock = asyncio.Lock()

    def application(self) -> web.Application:
        """The aiohttp application with every route; the last one refuses what is left."""
        app = web.Application(middlewares=[self.delay])
        app.on_response_prepare.append(self.sign)
        app.router.add_get("/health", self.health, allow_head=False)
        app.router.add_get("/api/health", self.api_health, allow_head=False)
        app.router.add_get("/api/auth", self.authenticate, allow_head=False)
        app.router.add_get("/ws", self.websocket)
        app.router.add_get("/ws/{bot}", self.websocket)
        app.router.add_get("/api/demo/knobs", self.show_knobs)
        app.router.add_post("/api/demo/knobs", self.turn_knobs)
        app.router.add_get("/api/demo/echo", self.echo)
        app.router.add_post("/api/demo/echo", self.echo)
        app.router.add_route("*", "/{path:.*}", self.refuse)
        return app

    async def sign(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Every answer names its instance and says that this is the demo."""
        response.headers["X-Instance"] = self.instance
        response.headers["Server"] = NAME

    @web.middleware
    async def delay(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The knobs ``latency_ms`` and ``fail_requests``; health and the knobs themselves stay quick and well."""
        if request.path in ("/health", "/api/health", "/api/demo/knobs"):
            return await handler(request)
        await asyncio.sleep(self.knobs.latency_ms / 1000)
        if self.knobs.fail_requests:
            raise web.HTTPInternalServerError(text=f"{NAME}: the knob fail_requests is on\n")
        return await handler(request)

    async def health(self, _request: web.Request) -> web.StreamResponse:
        """Liveness: always 200."""
        return web.json_response({"status": "ok", "service": "botserver", "version": NAME, "commit": "demo"})

    async def api_health(self, _request: web.Request) -> web.StreamResponse:
        """Readiness: 200 or 503. ``database`` is whether there is one, if one was given, and what the knob says."""
        await asyncio.sleep(self.knobs.hang_health)
        there = self.database is None or await self.database.answers(HEALTH_SECONDS)
        self.trap()
        well = there and not self.knobs.fail_health
        body = {"status": "healthy" if well else "degraded", "service": "botserver", "version": NAME, "database": well}
        return web.json_response({**body, "build_date": "demo", "commit": "demo"}, status=200 if well else 503)

    async def authenticate(self, request: web.Request) -> web.StreamResponse:
        """An anonymous session of this process."""
        bot = request.query.get("bot_name", "")
        session = self.remember(str(uuid.uuid4()))
        ids = {"user_id": str(uuid.uuid4()), "session_id": session, "bot_id": bot_id(bot)}
        return web.json_response({**ids, "bot_name": bot, "status": "anonymous", "server": NAME, "instance": self.instance})

    def trap(self) -> None:
        """Be in the failover trap from here on, if it is armed and the database was gone."""
        gone = self.knobs.fail_health or (self.database is not None and self.database.gone)
        self.trapped = self.trapped or (self.knobs.failover_trap and gone)

    def remember(self, session: str) -> str:
        """Keep a session, the oldest giving way when there are too many; in the failover trap keep none, and say nothing."""
        if self.trapped or session in self.sessions:
            return session
        if len(self.sessions) >= MAX_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        self.sessions[session] = 0
        self.stored += 1
        return session

    def count(self, session: str) -> int:
        """The number of this message in its session."""
        number = self.sessions.get(session, 0) + 1
        if not self.trapped:
            self.sessions[session] = number
        return number

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """First a ``connected`` frame, then an echo that names the instance, the session and its message count."""
        channel = web.WebSocketResponse()
        if not channel.can_prepare(request):
            return web.Response(status=400, text=f"{NAME}: this path is for websockets; the request asks for no upgrade")
        wanted = request.query.get("session_id", "")
        known = wanted in self.sessions
        session = self.remember(wanted or str(uuid.uuid4()))
        bot = request.match_info.get("bot") or request.query.get("bot_name", "default")
        await channel.prepare(request)
        transport = request.transport
        if transport is None:
            return channel
        self.sockets.add(transport)
        try:
            names = {"server": NAME, "instance": self.instance, "session_id": session}
            user = request.query.get("user_id") or str(uuid.uuid4())
            greeting = {"type": "connected", "message": "Connected to bot server", "tools": [], "bot_id": bot_id(bot), "user_id": user}
            await channel.send_json({**greeting, **names, "bot_name": bot, "known": known})
            async for message in channel:
                if message.type == WSMsgType.TEXT:
                    await channel.send_json({"type": "message", **names, "messages": self.count(session), "content": message.data})
        except ConnectionError:
            log.info("the peer of a websocket of session %s went away", session)
        finally:
            self.sockets.discard(transport)
        return channel

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """The demo's own endpoint: answers with what it got, after the work that its query asks for."""
        burn_ms, delay_ms = (query_number(request, name, MAX_MILLISECONDS) for name in ("burn_ms", "delay_ms"))
        alloc_mb, cache_mb = (query_number(request, name, MAX_MEGABYTES) for name in ("alloc_mb", "cache_mb"))
        hold_s = query_number(request, "hold_s", MAX_HOLD_SECONDS)
        received = len(await request.read())
        if alloc_mb:
            self.hold(await asyncio.to_thread(allocate, alloc_mb), hold_s)
        if cache_mb:
            async with self.cache_lock:
                await asyncio.to_thread(fill_page_cache, self.work, cache_mb)
        if burn_ms:
            await asyncio.to_thread(burn, burn_ms)
        await asyncio.sleep(delay_ms / 1000)
        request_id = request.headers.get("X-Request-ID")
        about = {"server": NAME, "instance": self.instance, "method": request.method, "path": request.path}
        return web.json_response({**about, "request_id": request_id, "received_bytes": received})

    def hold(self, memory: mmap.mmap, seconds: float) -> None:
        """Keep the memory for this time after the answer, then give it back to the system."""

        async def release_later() -> None:
            await asyncio.sleep(seconds)
            memory.close()

        task = asyncio.create_task(release_later())
        self.held.add(task)
        task.add_done_callback(self.held.discard)

    async def show_knobs(self, _request: web.Request) -> web.StreamResponse:
        """The knobs as they stand."""
        about = {"server": NAME, "instance": self.instance, "sessions_stored": self.stored}
        return web.json_response({**vars(self.knobs), **about})

    async def turn_knobs(self, request: web.Request) -> web.StreamResponse:
        """Turn knobs, from inside the instance. The health gate passes strangers on from loopback, so Host counts as well."""
        host = urllib.parse.urlsplit(f"//{request.host}").hostname
        if request.remote not in LOOPBACK_HOSTS or host not in LOOPBACK_HOSTS:
            raise web.HTTPForbidden(text=f"{NAME}: knobs are turned from inside the instance, at http://127.0.0.1\n")
        try:
            self.knobs.turn(await request.json())
        except json.JSONDecodeError as error:
            raise bad_request(f"not JSON: {error}") from error
        if self.database is not None:
            self.database.gone = False  # what was before counts no more
        self.trap()
        log.info("knobs: %s", self.knobs)
        return await self.show_knobs(request)

    async def refuse(self, request: web.Request) -> web.StreamResponse:
        """What the real program answers where it serves an anonymous caller nothing: 401, and 404 for /healthz; OPTIONS is for anybody."""
        if request.method == "OPTIONS":
            return web.Response(status=200)
        if request.path == "/healthz":
            return web.Response(status=404)
        known = TOKENLESS.fullmatch(request.path)
        words = ("unauthorized", "Authentication required") if known else ("missing_token", "Authentication token is required")
        return web.json_response({"error": words[0], "message": words[1], "server": NAME}, status=401)


async def serve(port: int, slow_start: float, work: pathlib.Path, database_url: str = "") -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if slow_start:
        log.info("GB_DEMO_SLOW_START: the port opens in %g s", slow_start)
        await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=slow_start)
    if stop.is_set():
        return 0
    database = Database(database_url) if database_url else None
    if database and not await database.answers(START_SECONDS):
        log.error("no PostgreSQL answers at %s:%d, where DATABASE_URL leads", database.host, database.port)
        return 1
    botserver = Botserver(work, database)
    runner = web.AppRunner(botserver.application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", port).start()
    except OSError as error:
        log.error("cannot listen on 0.0.0.0:%d: %s", port, error)
        return 1
    log.info("%s listens on 0.0.0.0:%d as %s", NAME, port, botserver.instance)
    await stop.wait()
    log.info("stopping: %d websockets are cut, requests in flight have %g s", len(botserver.sockets), HARD_EXIT_SECONDS)
    for transport in list(botserver.sockets):
        transport.abort()
    _, unfinished = await asyncio.wait([asyncio.ensure_future(runner.cleanup())], timeout=HARD_EXIT_SECONDS)
    log.info("stopped%s", ", requests in flight are lost" if unfinished else "")
    return 0


def main(arguments: collections.abc.Sequence[str]) -> int:
    """As the real program does: every argument it does not know starts a server."""
    if arguments[:1] in (["--version"], ["-v"]):
        print(NAME)
        return 0
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    environment = read_environment(pathlib.Path.cwd(), os.environ)
    vault = environment.get("VAULT_ADDR", "")
    if environment.get("GB_DEMO_STANDALONE", "").lower() == "true":
        log.info("GB_DEMO_STANDALONE: runs without Vault")
    elif needs_private_stack(vault):
        log.error(
            "VAULT_ADDR=%r names no remote Vault: the real botserver would now bootstrap a private stack here, "
            "killing databases and web servers around it; this demo refuses to start",
            vault,
        )
        return 1
    else:
        log.info("Vault at %s: this demo reads nothing from it and uses no data services", vault)
    try:
        port, slow_start = int(environment.get("PORT") or 8080), float(environment.get("GB_DEMO_SLOW_START") or 0)
    except ValueError as error:
        log.error("PORT and GB_DEMO_SLOW_START are numbers: %s", error)
        return 1
    return asyncio.run(leave_at_once(serve(port, slow_start, work_folder(environment), environment.get("DATABASE_URL", ""))))


async def leave_at_once(running: t.Awaitable[int]) -> int:
    """End the process with the code of ``running``, without waiting for threads that still burn."""
    code = await running
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded open-loop load for the demo and the tests: HTTP requests at a given rate, and websockets that talk each second.

Requests leave when their time has come, whether earlier ones have been answered or not, and latency counts from that time, so that
a slow server cannot hide by slowing the load down. Nothing is retried. A request fails by a connection error, by 15 seconds without
a whole answer, by any status but 200, or because too many are in flight to send it. Exit code 1 when a request failed, 2 for wrong
arguments. Only loopback addresses, or those of ``--allow-subnet``, are ever spoken to.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import collections.abc
import dataclasses
import ipaddress
import json
import math
import pathlib
import re
import resource
import signal
import socket
import ssl
import sys
import time
import typing as t
import urllib.parse

import aiohttp
import aiohttp.abc

REQUEST_TIMEOUT = 15.0
ECHO_TIMEOUT = 5.0
MAX_RATE, MAX_SECONDS, MAX_REQUESTS, MAX_WEBSOCKETS = 2000.0, 3600.0, 1_000_000, 2000
MAX_IN_FLIGHT = 4000
BUCKET_SECONDS = 5
MAX_EXAMPLES = 10


class Wrong(Exception):
    """Arguments that are refused; the text says why."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """Load of one rate."""

    seconds: float
    rate: float


def parse_schedule(text: str) -> list[Phase]:
    """Phases of ``20s:10,40s:60`` (seconds and requests/s); raises Wrong for another form and beyond the bounds."""
    phases = []
    for part in text.split(","):
        seconds, _, rate = part.strip().partition("s:")
        try:
            phases.append(Phase(float(seconds), float(rate)))
        except ValueError as error:
            raise Wrong(f"phase {part!r} is not like 20s:10 (seconds, requests per second)") from error
    within = all(0 < phase.seconds <= MAX_SECONDS and 0 <= phase.rate <= MAX_RATE for phase in phases)
    total = sum(phase.seconds * phase.rate for phase in phases)
    if not within or sum(phase.seconds for phase in phases) > MAX_SECONDS or total > MAX_REQUESTS:
        raise Wrong(f"{text!r} is out of bounds: {MAX_SECONDS:g} s and {MAX_REQUESTS} requests in all, {MAX_RATE:g} requests/s")
    return phases


def send_times(phases: collections.abc.Iterable[Phase]) -> t.Iterator[float]:
    """When each request is due, in seconds from the start: evenly spaced within a phase."""
    begin = 0.0
    for phase in phases:
        for number in range(math.floor(phase.seconds * phase.rate + 1e-9)):
            yield begin + number / phase.rate
        begin += phase.seconds


def target_address(url: str, allowed: str = "") -> str:
    """The address that ``url`` leads to. Raises Wrong unless it is loopback or lies in the subnet ``allowed``.

    Names are not looked up but for "localhost": a name could lead anywhere.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Wrong(f"{url!r} is not an http(s) URL with a host")
    try:
        address = ipaddress.ip_address("127.0.0.1" if parts.hostname == "localhost" else parts.hostname)
        within = bool(allowed) and address in ipaddress.ip_network(allowed)
    except ValueError as error:
        raise Wrong(f"{url!r}: {error}; give localhost or an address") from error
    if not (address.is_loopback or within):
        raise Wrong(f"{url!r} is neither loopback nor in --allow-subnet {allowed or '(none)'}: no load is sent there")
    return str(address)


class OneAddress(aiohttp.abc.AbstractResolver):
    """Leads every name to one address, so that TLS and Host carry the site's name."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[aiohttp.abc.ResolveResult]:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        return [{"hostname": host, "host": self.address, "port": port, "family": family, "proto": 0, "flags": socket.AI_NUMERICHOST}]

    async def close(self) -> None:
        """Nothing is held."""


@dataclasses.dataclass
class Bucket:
    """What was due in a few seconds, and how it ended."""

    sent: int = 0
    ok: int = 0
    failed: int = 0
    instances: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass
class Account:
    """Every request and websocket of a run. Times are seconds from its start."""

    latencies: list[float] = dataclasses.field(default_factory=list)
    failures: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    examples: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    buckets: dict[int, Bucket] = dataclasses.field(default_factory=lambda: collections.defaultdict(Bucket))
    websockets: list[Channel] = dataclasses.field(default_factory=list)

    def bucket(self, due: float) -> Bucket:
        """The bucket of a request, by the time at which it was due."""
        return self.buckets[int(due // BUCKET_SECONDS)]

    def sent(self, due: float) -> None:
        """A request was due, and has left or failed to."""
        self.bucket(due).sent += 1

    def ok(self, due: float, latency: float, instance: str) -> None:
        """It was answered with 200 by this instance."""
        self.latencies.append(latency)
        self.bucket(due).ok += 1
        self.bucket(due).instances[instance] += 1

    def failed(self, due: float, reason: str, detail: str = "") -> None:
        """It was not answered with 200; the first examples are kept."""
        self.failures[reason] += 1
        self.bucket(due).failed += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append({"due": round(due, 3), "reason": reason, "detail": detail[:300]})

    def total(self, name: str) -> int:
        """The sum of ``sent``, ``ok`` or ``failed`` over all buckets."""
        return sum(getattr(bucket, name) for bucket in self.buckets.values())

    def instances(self) -> dict[str, int]:
        """Answers by instance."""
        return dict(sorted(sum((bucket.instances for bucket in self.buckets.values()), collections.Counter[str]()).items()))

    def report(self) -> dict[str, t.Any]:
        """The run as JSON; latencies in milliseconds."""
        ranked = sorted(self.latencies)
        opened = [channel for channel in self.websockets if channel.instance]
        lost = [channel for channel in opened if channel.lost_at is not None]
        counts = {name: self.total(name) for name in ("sent", "ok", "failed")}
        return {
            "requests": {**counts, "reasons": dict(self.failures), "examples": self.examples},
            "latency_ms": {f"p{share}": percentile(ranked, share) for share in (50, 95, 99)},
            "instances": self.instances(),
            "timeline": [self.line(number) for number in sorted(self.buckets)],
            "websockets": {
                "wanted": len(self.websockets),
                "opened": len(opened),
                "opened_by_instance": collections.Counter(channel.instance for channel in opened),
                "messages": sum(channel.messages for channel in opened),
                "lost": [dataclasses.asdict(channel) for channel in lost],
                "not_opened": [channel.reason for channel in self.websockets if not channel.instance],
            },
        }

    def line(self, number: int) -> dict[str, t.Any]:
        """One bucket of the timeline."""
        return {"second": number * BUCKET_SECONDS, **vars(self.buckets[number])}


@dataclasses.dataclass
class Channel:
    """One websocket: where it went, how many messages came back, and when and why it was lost."""

    instance: str = ""
    opened_at: float | None = None
    messages: int = 0
    lost_at: float | None = None
    reason: str = ""


def percentile(ranked: collections.abc.Sequence[float], share: float) -> float | None:
    """The smallest value that this percentage does not exceed (nearest rank), seconds to milliseconds; None without values."""
    if not ranked:
        return None
    return round(ranked[max(0, math.ceil(share / 100 * len(ranked)) - 1)] * 1000, 1)


@dataclasses.dataclass
class Load:
    """One run against one site."""

    session: aiohttp.ClientSession
    base: str
    path: str
    account: Account = dataclasses.field(default_factory=Account)
    stop: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    in_flight: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)
    begun: float = dataclasses.field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self.begun

    async def pause(self, seconds: float) -> bool:
        """Wait; true when the run was stopped meanwhile."""
        try:
            await asyncio.wait_for(self.stop.wait(), max(0.0, seconds))
        except TimeoutError:
            return False
        return True

    async def send_all(self, phases: collections.abc.Sequence[Phase]) -> None:
        """Send each request when it is due, wait out the last phase, then wait for the answers."""
        for due in send_times(phases):
            if (due > self.now() and await self.pause(due - self.now())) or self.stop.is_set():
                break
            self.account.sent(due)
            if len(self.in_flight) >= MAX_IN_FLIGHT:
                self.account.failed(due, "not sent: too many in flight")
                continue
            task = asyncio.create_task(self.request(due))
            self.in_flight.add(task)
            task.add_done_callback(self.in_flight.discard)
        await self.pause(sum(phase.seconds for phase in phases) - self.now())
        await asyncio.gather(*self.in_flight)

    async def request(self, due: float) -> None:
        """One request; whatever happens to it is accounted for exactly once."""
        try:
            async with self.session.get(self.base + self.path, allow_redirects=False) as response:
                body = await response.read()
        except TimeoutError:
            self.account.failed(due, "timeout")
        except (aiohttp.ClientError, OSError) as error:
            self.account.failed(due, type(error).__name__, str(error))
        else:
            instance = response.headers.get("X-Instance", "unknown")
            if response.status == 200:
                self.account.ok(due, self.now() - due, instance)
            else:
                self.account.failed(due, f"status {response.status}", f"{instance}: {body[:200].decode(errors='replace')}")

    async def talk(self, channel: Channel) -> None:
        """Open a websocket and send a message each second until the run ends or the websocket is lost."""
        try:
            async with self.session.ws_connect(f"{self.base}/ws/default", timeout=aiohttp.ClientWSTimeout(ws_close=2.0)) as socket_:
                first = await self.frame(socket_)
                channel.instance, channel.opened_at = str(first.get("instance", "unknown")), round(self.now(), 3)
                ended = False
                while not ended:
                    # One last message when the run ends, or a loss in its last second would not show.
                    ended = await self.pause(1.0)
                    message = f"{channel.messages}"
                    await socket_.send_str(message)
                    echo = await self.frame(socket_)
                    if (echo.get("content"), echo.get("instance")) != (message, channel.instance):
                        raise ValueError(f"sent {message!r}, got {echo}")
                    channel.messages += 1
        except (aiohttp.ClientError, OSError, TypeError, ValueError) as error:
            channel.lost_at, channel.reason = round(self.now(), 3), f"{type(error).__name__}: {error}"[:300]

    async def frame(self, socket_: aiohttp.ClientWebSocketResponse) -> dict[str, t.Any]:
        """The next message as JSON; raises ConnectionError when the websocket was cut instead."""
        message = await socket_.receive(ECHO_TIMEOUT)
        if message.type != aiohttp.WSMsgType.TEXT:
            raise ConnectionError(f"{message.type.name} (close code {socket_.close_code}) instead of a message")
        return t.cast("dict[str, t.Any]", json.loads(message.data))

    def progress(self) -> str:
        """One line on how things stand."""
        report = self.account.report()
        requests, channels = report["requests"], report["websockets"]
        instances = " ".join(f"{name}:{count}" for name, count in report["instances"].items())
        return (
            f"{self.now():6.1f}s sent {requests['sent']} ok {requests['ok']} failed {requests['failed']} in flight {len(self.in_flight)} "
            f"p95 {report['latency_ms']['p95']} ms websockets {channels['opened'] - len(channels['lost'])}/{channels['wanted']} {instances}"
        )

    async def show(self, seconds: float) -> None:
        """Print a line each few seconds until the run ends."""
        while not await self.pause(seconds):
            print(self.progress(), flush=True)


async def run(arguments: argparse.Namespace, phases: collections.abc.Sequence[Phase]) -> dict[str, t.Any]:
    """Send the load; returns the report."""
    address = target_address(arguments.url, arguments.allow_subnet)
    parts = urllib.parse.urlsplit(arguments.url)
    name = arguments.host_header or parts.hostname
    host = f"[{name}]" if ":" in name else name
    trust = ssl.create_default_context(cafile=arguments.ca or None) if parts.scheme == "https" else True
    connector = aiohttp.TCPConnector(limit=0, ssl=trust, resolver=OneAddress(address), family=socket.AF_UNSPEC)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    ) as session:
        # aiohttp would send a request again when a kept connection breaks under it: a broken request is what we look for.
        session._retry_connection = False
        load = Load(session, f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}", arguments.path)
        load.account.websockets = [Channel() for _ in range(arguments.websockets)]
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, load.stop.set)
        beside = [asyncio.create_task(load.talk(channel)) for channel in load.account.websockets]
        if arguments.progress:
            beside.append(asyncio.create_task(load.show(arguments.progress)))
        await load.send_all(phases)
        interrupted = load.stop.is_set()
        load.stop.set()
        await asyncio.gather(*beside)
        print(load.progress(), flush=True)
        about = {"url": arguments.url, "path": arguments.path, "seconds": round(load.now(), 1), "interrupted": interrupted}
        return {**about, **load.account.report()}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description="Bounded open-loop load for the demo and the tests.")
    options.add_argument("--url", required=True, help="https://127.0.0.1:8443: scheme, loopback address and port")
    options.add_argument("--path", default="/api/demo/echo", help="path and query of the requests")
    options.add_argument("--ca", default="", help="file with the authority that signed the site's certificate")
    options.add_argument("--host-header", "--sni", default="", help="the site's name in Host and TLS, where the URL has an address")
    options.add_argument("--rate", type=float, default=10.0, help="requests per second, for --seconds")
    options.add_argument("--seconds", type=float, default=10.0, help="length of the load at --rate")
    options.add_argument("--schedule", default="", help="phases instead of --rate and --seconds: 20s:10,40s:60,30s:5")
    options.add_argument("--websockets", type=int, default=0, help="websockets to /ws/default that talk each second")
    options.add_argument("--allow-subnet", default="", help="addresses that may be loaded besides loopback: 10.87.0.0/24")
    options.add_argument("--report", type=pathlib.Path, help="file for the report as JSON; standard output without it")
    options.add_argument(
        "--progress", type=float, nargs="?", const=5.0, default=0.0, metavar="SECONDS", help="a line each 5 seconds, or as said"
    )
    return options


def check_bounds(arguments: argparse.Namespace) -> None:
    """Raises Wrong for arguments that leave the bounds or the address that was checked."""
    if not 0 <= arguments.websockets <= MAX_WEBSOCKETS or not arguments.path.startswith("/"):
        raise Wrong(f"--websockets is 0 to {MAX_WEBSOCKETS}, --path begins with /")
    # An address in its place would be connected to, whatever the URL says.
    if arguments.host_header and not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*", arguments.host_header):
        raise Wrong(f"--host-header {arguments.host_header!r} is not a host name")


def allow_many_connections() -> None:
    """Raise the limit of open files as far as the system lets us: a request that cannot be sent would count as failed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(argv: collections.abc.Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = parser().parse_args(argv)
    try:
        phases = parse_schedule(arguments.schedule or f"{arguments.seconds}s:{arguments.rate}")
        target_address(arguments.url, arguments.allow_subnet)
        check_bounds(arguments)
        allow_many_connections()
        report = asyncio.run(run(arguments, phases))
    except (Wrong, OSError) as error:
        print(f"load.py: {error}", file=sys.stderr)
        return 2
    text = json.dumps(report, indent=2) + "\n"
    if arguments.report:
        arguments.report.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 1 if report["requests"]["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

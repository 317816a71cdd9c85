# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator counts what really happened, keeps its pace and speaks to nobody else."""

from __future__ import annotations

import asyncio
import collections
import importlib.util
import itertools
import json
import pathlib
import sys
import threading
import time
import typing as t

import pytest
from aiohttp import web

PROGRAM = pathlib.Path(__file__).parents[3] / "tools" / "load.py"
SPECIFICATION = importlib.util.spec_from_file_location("load", PROGRAM)
assert SPECIFICATION is not None
assert SPECIFICATION.loader is not None
load = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["load"] = load
SPECIFICATION.loader.exec_module(load)


class Site:
    """A local site that answers well and badly in a known order, from a thread of its own."""

    def __init__(self) -> None:
        self.numbers: dict[str, t.Iterator[int]] = collections.defaultdict(itertools.count)
        self.served: collections.Counter[str] = collections.Counter()
        self.hosts: set[str] = set()
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),))

    async def serve(self) -> None:
        app = web.Application()
        app.router.add_get("/ws/default", self.websocket)
        app.router.add_get("/{kind}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.end = asyncio.Event()
        self.ready.set()
        await self.end.wait()
        await asyncio.wait_for(runner.cleanup(), 5)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kind = request.match_info["kind"]
        number = next(self.numbers[kind])
        self.served[kind] += 1
        self.hosts.add(request.host)
        if kind == "third-fails" and number % 3 == 2:
            return web.Response(status=503, text="degraded", headers={"X-Instance": "b"})
        if kind == "moved":
            raise web.HTTPFound("/ok")
        if kind == "cut" and number % 2 == 1:
            assert request.transport is not None
            request.transport.abort()
        if kind == "slow":
            await asyncio.sleep(3)
        return web.Response(text="fine", headers={"X-Instance": "ab"[number % 2]})

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        number = next(self.numbers["websocket"])
        channel = web.WebSocketResponse()
        await channel.prepare(request)
        await channel.send_json({"type": "connected", "instance": f"ws-{number % 2}"})
        async for message in channel:
            content = "wrong" if number == 2 else message.data
            await channel.send_json({"type": "message", "instance": f"ws-{number % 2}", "content": content})
            if number == 1:
                assert request.transport is not None
                request.transport.abort()
        return channel


@pytest.fixture
def site() -> t.Iterator[Site]:
    """A fresh site."""
    running = Site()
    running.thread.start()
    assert running.ready.wait(5)
    yield running
    running.loop.call_soon_threadsafe(running.end.set)
    running.thread.join(10)


@pytest.fixture
def send(site: Site, tmp_path: pathlib.Path) -> t.Callable[..., tuple[int, dict[str, t.Any]]]:
    """Run the program against the site; gives exit code and report."""

    def sender(*arguments: str) -> tuple[int, dict[str, t.Any]]:
        file = tmp_path / "report.json"
        code = load.main(["--url", site.url, "--report", str(file), *arguments])
        return code, json.loads(file.read_text(encoding="utf-8"))

    return sender


Send = t.Callable[..., tuple[int, dict[str, t.Any]]]


def test_counts_each_request_once_by_instance(site: Site, send: Send) -> None:
    code, report = send("--path", "/ok", "--schedule", "0.5s:40,0.2s:0,0.5s:20")
    assert code == 0
    counts = {key: report["requests"][key] for key in ("sent", "ok", "failed")}
    assert counts == {"sent": 30, "ok": 30, "failed": 0}
    assert site.served["ok"] == 30
    assert report["instances"] == {"a": 15, "b": 15}
    assert sum(line["sent"] for line in report["timeline"]) == 30
    assert report["timeline"][0]["instances"] == {"a": 15, "b": 15}
    assert 1.2 <= report["seconds"] < 3
    assert report["interrupted"] is False


def test_a_status_other_than_200_fails_and_is_the_exit_code(send: Send) -> None:
    code, report = send("--path", "/third-fails", "--rate", "30", "--seconds", "1")
    assert code == 1
    assert (report["requests"]["ok"], report["requests"]["failed"]) == (20, 10)
    assert report["requests"]["reasons"] == {"status 503": 10}
    assert report["requests"]["examples"][0]["detail"] == "b: degraded"


def test_a_redirect_is_not_followed(site: Site, send: Send) -> None:
    code, report = send("--path", "/moved", "--rate", "2", "--seconds", "1")
    assert (code, report["requests"]["reasons"]) == (1, {"status 302": 2})
    assert site.served["ok"] == 0


def test_a_cut_connection_fails_and_is_not_tried_again(site: Site, send: Send) -> None:
    code, report = send("--path", "/cut", "--rate", "10", "--seconds", "1")
    assert code == 1
    assert (report["requests"]["ok"], report["requests"]["failed"], site.served["cut"]) == (5, 5, 10)
    assert report["requests"]["reasons"] == {"ServerDisconnectedError": 5}


def test_nobody_listening_fails(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "report.json"
    assert load.main(["--url", "http://127.0.0.1:1", "--rate", "3", "--seconds", "1", "--report", str(file)]) == 1
    assert json.loads(file.read_text())["requests"]["reasons"] == {"ClientConnectorError": 3}


def test_slow_answers_time_out_and_do_not_slow_the_load_down(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "REQUEST_TIMEOUT", 0.5)
    code, report = send("--path", "/slow", "--rate", "20", "--seconds", "1")
    assert (code, report["requests"]["sent"], report["requests"]["reasons"]) == (1, 20, {"timeout": 20})
    assert report["seconds"] < 2.5


def test_what_cannot_be_sent_fails(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "REQUEST_TIMEOUT", 1.5)
    monkeypatch.setattr(load, "MAX_IN_FLIGHT", 4)
    _, report = send("--path", "/slow", "--rate", "10", "--seconds", "1")
    assert report["requests"]["reasons"] == {"timeout": 4, "not sent: too many in flight": 6}


def test_latency_counts_from_when_the_request_was_due() -> None:
    account = load.Account()
    for latency in range(1, 101):
        account.sent(0.0)
        account.ok(0.0, latency / 1000, "a")
    assert account.report()["latency_ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert load.Account().report()["latency_ms"] == {"p50": None, "p95": None, "p99": None}


def test_examples_are_the_first_ones_only() -> None:
    account = load.Account()
    for number in range(50):
        account.failed(float(number), "why", "x" * 1000)
    assert [example["due"] for example in account.examples] == [float(number) for number in range(10)]
    assert len(account.examples[0]["detail"]) == 300
    assert [line["second"] for line in account.report()["timeline"]] == list(range(0, 50, 5))


def test_websockets_know_their_instance_and_who_was_lost(send: Send) -> None:
    code, report = send("--path", "/ok", "--rate", "1", "--seconds", "3", "--websockets", "4")
    channels = report["websockets"]
    assert code == 0
    assert (channels["wanted"], channels["opened"], channels["opened_by_instance"]) == (4, 4, {"ws-0": 2, "ws-1": 2})
    wrong_echo, cut = sorted(channels["lost"], key=lambda channel: str(channel["instance"]))
    assert (wrong_echo["instance"], wrong_echo["messages"]) == ("ws-0", 0)
    assert wrong_echo["reason"].startswith("ValueError: sent '0', got")
    assert (cut["instance"], cut["messages"]) == ("ws-1", 1)
    assert "Connection" in cut["reason"]
    assert all(1 <= channel["lost_at"] <= 3 for channel in channels["lost"])
    assert channels["messages"] >= 1 + 2 * 2


def test_a_websocket_lost_in_the_last_second_is_lost(send: Send) -> None:
    _, report = send("--schedule", "1.5s:0", "--websockets", "2")
    assert [channel["instance"] for channel in report["websockets"]["lost"]] == ["ws-1"]


def test_a_websocket_that_does_not_open_is_told(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "report.json"
    load.main(["--url", "http://127.0.0.1:1", "--schedule", "0.2s:0", "--websockets", "2", "--report", str(file)])
    channels = json.loads(file.read_text())["websockets"]
    assert (channels["opened"], len(channels["not_opened"]), channels["lost"]) == (0, 2, [])
    assert "ClientConnectorError" in channels["not_opened"][0]


def test_the_site_name_goes_into_host(site: Site, send: Send) -> None:
    port = site.url.rpartition(":")[2]
    assert send("--path", "/ok", "--rate", "1", "--seconds", "1", "--host-header", "bots.example")[0] == 0
    assert site.hosts == {f"bots.example:{port}"}


def test_progress_prints_lines(send: Send, capsys: pytest.CaptureFixture[str]) -> None:
    send("--path", "/ok", "--rate", "10", "--seconds", "1", "--progress", "0.3")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert "sent 10 ok 10 failed 0 in flight 0" in lines[-1]
    assert "a:5 b:5" in lines[-1]


def test_without_a_file_the_report_is_printed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    load.main(["--url", site.url, "--path", "/ok", "--schedule", "0.1s:20"])
    output = capsys.readouterr().out
    assert json.loads(output[output.index("{") :])["requests"]["sent"] == 2


def test_an_interruption_ends_it_with_what_was_done(send: Send) -> None:
    def interrupt() -> None:
        time.sleep(0.5)
        load.signal.raise_signal(load.signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    code, report = send("--path", "/ok", "--rate", "20", "--seconds", "30")
    assert code == 0
    assert report["interrupted"] is True
    assert 0 < report["requests"]["sent"] == report["requests"]["ok"] < 40
    assert report["seconds"] < 5


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://192.0.2.1", ""), ("http://10.87.0.11", ""), ("http://10.88.0.11", "10.87.0.0/24"), ("http://example.com", ""),
        ("ftp://127.0.0.1", ""), ("127.0.0.1:80", ""), ("http://127.0.0.1@192.0.2.1", ""), ("http://0.0.0.0", ""),
        ("http://10.87.0.11", "nonsense"),
    ],
)  # fmt: skip
def test_refuses_every_other_host(url: str, allowed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load.main(["--url", url, "--allow-subnet", allowed]) == 2
    assert url in capsys.readouterr().err


@pytest.mark.parametrize("name", ["192.0.2.1", "2001:db8::1", "0x7f.1", "a@b", "a/b", "a:80"])
def test_the_site_name_cannot_be_an_address(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load.main(["--url", "http://127.0.0.1:1", "--host-header", name]) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize(("url", "allowed"), [("https://localhost:8443", ""), ("http://[::1]", ""), ("http://10.87.0.11", "10.87.0.0/24")])
def test_accepts_loopback_and_the_allowed_subnet(url: str, allowed: str) -> None:
    assert load.target_address(url, allowed) in ("127.0.0.1", "::1", "10.87.0.11")


@pytest.mark.parametrize("schedule", ["", "10:5", "10s", "0s:5", "10s:-1", "10s:3000", "4000s:1", "3600s:2000", "1s:nan"])
def test_refuses_a_schedule_out_of_bounds(schedule: str) -> None:
    with pytest.raises(load.Wrong):
        load.parse_schedule(schedule)


@pytest.mark.parametrize("arguments", [["--websockets", "-1"], ["--websockets", "9999"], ["--path", "no-slash"], ["--rate", "9999"]])
def test_refuses_other_bounds(arguments: list[str]) -> None:
    assert load.main(["--url", "http://127.0.0.1:1", *arguments]) == 2


def test_requests_are_evenly_spaced() -> None:
    phases = load.parse_schedule("1s:4, 0.5s:0, 1s:2")
    assert list(load.send_times(phases)) == [0.0, 0.25, 0.5, 0.75, 1.5, 2.0]

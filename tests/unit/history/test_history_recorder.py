# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder on a database in memory: what it logs of each fault, and that the checker sees the ones that break a promise."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import typing as t

import pytest
from fake_driver import Error, Server

from ansible_collections.generalbots.scaling.plugins.module_utils.history import recorder as module
from ansible_collections.generalbots.scaling.plugins.module_utils.history.judge import Verdict, judge
from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import parse
from ansible_collections.generalbots.scaling.plugins.module_utils.history.recorder import Config, Log, Recorder, outcome
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for


def record(folder: pathlib.Path, server: Server, writes: int = 30, **more: t.Any) -> tuple[int, str]:
    """Let a recorder write until the server has seen so many writes; its exit code and its log."""
    quick = {"writers": 2, "rate": 1000.0, "probe_interval": 0.01, "read_every": 5, "read_seconds": 5.0, "seconds": 30.0, **more}
    config = Config(str(folder / "history.jsonl"), {"host": "127.0.0.1"}, {"postgres-1": {"host": "10.0.0.31"}}, **quick)
    subject = Recorder(config, server, Log(config.log))

    def until_enough() -> None:
        wait_for("writes", lambda: server.inserts, lambda seen: seen >= writes, timeout=20, interval=0.005)
        subject.stop.set()

    return subject.run(until_enough), (folder / "history.jsonl").read_text()


def verdict(folder: pathlib.Path, fault: str) -> Verdict:
    code, log = record(folder, Server({7: fault}))
    assert code == 0
    return judge(parse(log))


def test_a_sound_database_is_found_good(tmp_path: pathlib.Path) -> None:
    code, log = record(tmp_path, Server())
    history = parse(log)
    assert code == 0
    assert judge(history).good
    assert history.members == {"10.0.0.31": "postgres-1"}
    assert len(history.found or ()) >= 30
    assert len(history.reads) >= 4
    assert history.probes
    assert {(one.server, one.timeline) for one in history.writes if one.outcome == "ok"} == {("10.0.0.31", 7)}


@pytest.mark.parametrize(("fault", "kind"), [("lose", "lost"), ("double", "duplicate")])
def test_a_database_that_breaks_its_promise_is_found_out(tmp_path: pathlib.Path, fault: str, kind: str) -> None:
    assert [(one.kind, one.count) for one in verdict(tmp_path, fault).findings] == [(kind, 1)]


@pytest.mark.parametrize(
    ("fault", "logged"),
    [("read-only", "fail"), ("cut before", "unknown"), ("cut after", "unknown"), ("shutdown", "unknown"), ("not replicated", "unknown")],
)
def test_a_fault_that_breaks_no_promise_is_logged_as_what_it_is(tmp_path: pathlib.Path, fault: str, logged: str) -> None:
    found = verdict(tmp_path, fault)
    assert found.good
    assert (found.counts["fail"], found.counts["unknown"]) == ((1, 0) if logged == "fail" else (0, 1))


def test_every_writer_has_ids_of_its_own(tmp_path: pathlib.Path) -> None:
    _code, log = record(tmp_path, Server(), writers=4)
    ids = [one.id for one in parse(log).writes]
    assert len(ids) == len(set(ids))


def test_a_writer_that_never_comes_back_does_not_keep_the_end(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    server = Server({30: "hang"})
    code, log = record(tmp_path, server)
    server.hang.set()
    assert code == 0
    assert '"waiting": 1' in log
    assert judge(parse(log)).counts["unknown"] == 1


def test_before_it_was_sent_nothing_can_have_been_done() -> None:
    assert outcome(Error("connection refused"), sent=False) == "fail"
    assert outcome(Error("gone"), sent=True) == "unknown"
    assert outcome(Error("disk full", "53100"), sent=True) == "fail"
    assert outcome(Error("crash of another server process", "57P02"), sent=True) == "unknown"


def test_it_tries_for_a_while_to_begin_and_says_why_it_could_not(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record(tmp_path, Server(refuse=3))[0] == 0
    (tmp_path / "history.jsonl").unlink()
    assert record(tmp_path, Server(refuse=10**6), read_seconds=0.2)[0] == 1
    assert "could not prepare the table within 0.2 s: connection refused" in capsys.readouterr().err


def test_it_leaves_nothing_in_the_database(tmp_path: pathlib.Path) -> None:
    server = Server()
    record(tmp_path, server)
    assert server.statements[0] == "DROP SCHEMA IF EXISTS gb_drill CASCADE"
    assert server.statements[-1] == "DROP SCHEMA gb_drill CASCADE"


def test_the_program_stands_alone_tells_systemd_and_ends_at_sigterm(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "recorder.py"
    program.write_text(pathlib.Path(module.__file__).read_text())
    shim = "from fake_driver import Error, Server\n_server = Server()\nconnect = _server.connect\n"
    (tmp_path / "psycopg2.py").write_text(shim)
    password = {"host": "127.0.0.1", "password": "not in any list of processes"}
    config = Config(log=str(tmp_path / "log"), endpoint=password, members={}, rate=200.0)
    (tmp_path / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environment = {"PYTHONPATH": f"{tmp_path}:{pathlib.Path(__file__).parent}", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = subprocess.Popen([sys.executable, str(program), str(tmp_path / "config.json")], env=environment, cwd=tmp_path)
        assert manager.recv(100) == b"READY=1"
    assert not (tmp_path / "config.json").exists()
    wait_for("writes", lambda: (tmp_path / "log").read_text().count('"ok"'), lambda seen: seen > 10, timeout=20, interval=0.02)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert judge(parse((tmp_path / "log").read_text())).good
    assert "not in any list" not in (tmp_path / "log").read_text()

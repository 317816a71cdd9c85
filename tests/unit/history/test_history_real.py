# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorder and checker on a real PostgreSQL that is killed: one that keeps its promise, and one that was told not to."""

from __future__ import annotations

import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.history import recorder
from ansible_collections.generalbots.scaling.plugins.module_utils.history.judge import Verdict, judge
from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import parse
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
#: Debian's interpreter has psycopg2 where the package is installed; GB_PSYCOPG2 names a folder of it otherwise
PYTHON = {"PYTHONPATH": os.environ.get("GB_PSYCOPG2", "")}


def has_driver() -> bool:
    command = ["/usr/bin/python3", "-c", "import psycopg2"]
    return os.path.exists(command[0]) and subprocess.run(command, env=PYTHON, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not PROGRAMS or not has_driver(), reason="no PostgreSQL server, or no psycopg2 for /usr/bin/python3")


class Postgres:
    """A server on loopback in a folder of its own; PostgreSQL refuses root, so root becomes its user."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self._become = folder, ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        if self._become:
            shutil.chown(folder, "postgres", "postgres")
        self.call("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "gbuser", "--no-sync")

    def call(self, program: str, *words: str) -> None:
        # The server that pg_ctl starts would keep a pipe open.
        command = [*self._become, f"{PROGRAMS[-1]}/{program}", *words]
        subprocess.run(command, cwd=self.folder, stdout=subprocess.DEVNULL, check=True, timeout=60)

    def start(self, *settings: str) -> None:
        listen = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 {' '.join(f'-c {one}' for one in settings)}"
        self.call("pg_ctl", "-D", str(self.folder / "data"), "-o", listen, "-l", str(self.folder / "log"), "-w", "start")

    def kill(self) -> None:
        """Kill -9 of the server and of everything that it started, as a crash of the node would."""
        parent = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in (parent, *map(int, children)):
            os.kill(process, signal.SIGKILL)
        wait_for("the server to be gone", lambda: os.path.exists(f"/proc/{parent}"), lambda there: not there, timeout=10, interval=0.02)
        (self.folder / "data" / "postmaster.pid").unlink()


@pytest.fixture
def postgres() -> t.Iterator[Postgres]:
    """Not in pytest's own folder, which other users may not enter."""
    with tempfile.TemporaryDirectory(prefix="gb-history-") as name:
        server = Postgres(pathlib.Path(name))
        yield server
        if (server.folder / "data" / "postmaster.pid").exists():
            server.call("pg_ctl", "-D", str(server.folder / "data"), "-m", "immediate", "-w", "stop")


def crash(server: Postgres, folder: pathlib.Path, *settings: str) -> Verdict:
    """Write, kill the server in the middle, start it again, go on, read back, judge."""
    server.start(*settings)
    log = folder / "history.jsonl"
    endpoint = {"host": "127.0.0.1", "port": server.port, "dbname": "postgres", "user": "gbuser", "connect_timeout": 3}
    config = {"log": str(log), "endpoint": endpoint, "members": {"postgres-1": endpoint}, "rate": 50.0, "seconds": 60.0}
    (folder / "config.json").write_text(json.dumps(config))
    command = ["/usr/bin/python3", recorder.__file__, str(folder / "config.json")]
    with subprocess.Popen(command, env=PYTHON) as client:
        acknowledged(log, 150)
        server.kill()
        server.start(*settings)
        acknowledged(log, 250)
        client.terminate()
        assert client.wait(timeout=30) == 0
    return judge(parse(log.read_text()))


def acknowledged(log: pathlib.Path, number: int) -> None:
    """Wait for so many acknowledged writes."""
    wait_for("writes", lambda: log.read_text().count('"ok"') if log.exists() else 0, lambda seen: seen >= number, timeout=30, interval=0.02)


def test_a_crash_of_postgresql_loses_nothing_that_it_had_promised(postgres: Postgres, tmp_path: pathlib.Path) -> None:
    verdict = crash(postgres, tmp_path)
    assert verdict.good, verdict
    assert verdict.counts["unknown"] + verdict.counts["fail"] > 0
    assert verdict.outage > 0.1


def test_a_promise_that_was_not_on_disk_is_found_out(postgres: Postgres, tmp_path: pathlib.Path) -> None:
    verdict = crash(postgres, tmp_path, "synchronous_commit=off", "wal_writer_delay=10s")
    assert verdict.lost > 0, verdict

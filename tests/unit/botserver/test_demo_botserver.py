# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo botserver as a process on a loopback port: what it answers, and how it starts and stops.

``DEMO_BOTSERVER_PYTHON`` runs it with another interpreter, to try the aiohttp of Debian 12.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t

import pytest
import websockets.exceptions
import websockets.sync.client
from botserver_process import Answer
from ports import free_port

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

PROGRAM = pathlib.Path(__file__).parents[3] / "roles" / "botserver" / "files" / "demo_botserver.py"
PYTHON = os.environ.get("DEMO_BOTSERVER_PYTHON", sys.executable)
STANDALONE = {"GB_DEMO_STANDALONE": "true"}
NAME = "demo botserver 0.1.0"
PATIENCE = 8.0


def until(what: str, condition: t.Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    wait_for(what, condition, bool, timeout=PATIENCE, interval=0.01)


class Server:
    """One demo botserver process with its output in a file."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str], *arguments: str, code: str = "") -> None:
        self.port = int(environment["PORT"]) if environment.get("PORT", "-") != "-" else free_port()
        self.output = folder / "output.log"
        # "-" takes a variable away.
        given = {"PATH": os.environ["PATH"], "PORT": str(self.port), "PYTHONUNBUFFERED": "1", **environment}
        given = {name: value for name, value in given.items() if value != "-"}
        command = [PYTHON, "-c", code] if code else [PYTHON, str(PROGRAM), *arguments]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, env=given, cwd=folder, stdout=output, stderr=subprocess.STDOUT)

    def exit_code(self) -> int:
        return self.process.wait(timeout=PATIENCE)

    def log(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ready(self) -> Server:
        until("its port to open", lambda: self.listens() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        return self

    def ask(self, path: str, *, method: str = "GET", body: str | None = None, source: str = "127.0.0.1", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE, source_address=(source, 0))
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read().decode())

    def turn(self, **knobs: t.Any) -> Answer:
        return self.ask("/api/demo/knobs", method="POST", body=json.dumps(knobs))

    def connect(self, path: str) -> websockets.sync.client.ClientConnection:
        return websockets.sync.client.connect(f"ws://127.0.0.1:{self.port}{path}", open_timeout=PATIENCE, proxy=None)

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def anonymous_memory_mb(self) -> float:
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


Start = t.Callable[..., Server]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> t.Iterator[Start]:
    """Start servers that are killed after the test."""
    servers: list[Server] = []

    def starter(environment: dict[str, str], *arguments: str, code: str = "", folder: pathlib.Path = tmp_path) -> Server:
        servers.append(Server(folder, environment, *arguments, code=code))
        return servers[-1]

    yield starter
    for server in servers:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Server]:
    """One server for the tests that leave it as it was."""
    running = Server(tmp_path_factory.mktemp("demo"), STANDALONE).ready()
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def knobs(server: Server) -> t.Iterator[t.Callable[..., Answer]]:
    """Turn knobs of the shared server, and back after the test."""
    yield server.turn
    server.turn(fail_health=False, hang_health=0, latency_ms=0)


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_version_says_that_it_is_the_demo(start: Start, flag: str) -> None:
    server = start({}, flag)
    assert server.exit_code() == 0
    assert server.log() == f"{NAME}\n"


@pytest.mark.parametrize("address", ["-", "", "http://localhost:8200", "https://127.0.0.1:8200"])
def test_refuses_to_run_without_a_remote_vault(start: Start, address: str) -> None:
    server = start({"VAULT_ADDR": address})
    assert server.exit_code() == 1
    assert "the real botserver would now bootstrap a private stack here" in server.log()


def test_with_a_remote_vault_it_runs_and_says_that_it_does_not_read_it(start: Start) -> None:
    server = start({"VAULT_ADDR": "https://vault.example:8200"}).ready()
    assert server.ask("/health").status == 200
    assert "Vault at https://vault.example:8200: this demo reads nothing from it" in server.log()


@pytest.mark.parametrize("argument", ["drain", "--port=1", "bootstrap"])
def test_an_unknown_argument_starts_a_server(start: Start, argument: str) -> None:
    assert start(STANDALONE, argument).ready().ask("/health").status == 200


def test_a_taken_port_ends_it_with_1(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = start({**STANDALONE, "PORT": str(taken.getsockname()[1])})
        assert server.exit_code() == 1
        assert f"cannot listen on 0.0.0.0:{server.port}" in server.log()


def test_a_port_that_is_no_number_ends_it_with_1(start: Start) -> None:
    server = start({**STANDALONE, "GB_DEMO_SLOW_START": "soon"})
    assert server.exit_code() == 1
    assert "PORT and GB_DEMO_SLOW_START are numbers" in server.log()


def test_reads_env_of_a_parent_folder_and_the_process_wins(start: Start, tmp_path: pathlib.Path) -> None:
    port = free_port()
    (tmp_path / ".env").write_text(f"# demo\nGB_DEMO_STANDALONE='true'\nPORT={port}\nVAULT_ADDR=http://localhost\n")
    folder = tmp_path / "deeper"
    folder.mkdir()
    from_file = start({"PORT": "-"}, folder=folder)
    from_file.port = port
    assert from_file.ready().ask("/health").status == 200
    assert start({"GB_DEMO_STANDALONE": "false"}, folder=folder).exit_code() == 1


def test_listens_on_every_address(server: Server) -> None:
    with socket.create_connection(("127.0.0.2", server.port), timeout=PATIENCE) as connection:
        assert connection.getpeername()[0] == "127.0.0.2"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200), ("/api/health", 200), ("/api/auth?bot_name=default", 200), ("/api/demo/echo", 200), ("/api/demo/knobs", 200),
        ("/ws", 400), ("/ws/default", 400), ("/healthz", 404), ("/", 401), ("/api/no/such", 401),
    ],
)  # fmt: skip
def test_signs_what_it_answers_an_anonymous_caller(server: Server, path: str, status: int) -> None:
    answer = server.ask(path)
    assert answer.status == status
    assert answer.headers["X-Instance"] == socket.gethostname()
    assert answer.headers["Server"] == NAME
    assert status != 401 or answer.body["server"] == NAME


def test_health_bodies(server: Server) -> None:
    assert server.ask("/health").body == {"status": "ok", "service": "botserver", "version": NAME, "commit": "demo"}
    healthy = {"status": "healthy", "service": "botserver", "version": NAME, "build_date": "demo", "commit": "demo", "database": True}
    assert server.ask("/api/health").body == healthy


def test_failing_health_is_503_degraded_and_liveness_stays(server: Server, knobs: t.Callable[..., Answer]) -> None:
    assert knobs(fail_health=True).body["fail_health"] is True
    answer = server.ask("/api/health")
    assert (answer.status, answer.body["status"], answer.body["database"]) == (503, "degraded", False)
    assert server.ask("/health").status == 200
    knobs(fail_health=False)
    assert server.ask("/api/health").status == 200


def test_hanging_health_answers_late_and_nothing_else_does(server: Server, knobs: t.Callable[..., Answer]) -> None:
    knobs(hang_health=0.4)
    before = time.monotonic()
    assert server.ask("/health").status == 200
    assert time.monotonic() - before < 0.3
    before = time.monotonic()
    assert server.ask("/api/health").status == 200
    assert time.monotonic() - before >= 0.4


def test_latency_delays_all_but_health(server: Server, knobs: t.Callable[..., Answer]) -> None:
    knobs(latency_ms=300)
    before = time.monotonic()
    server.ask("/api/demo/echo")
    assert time.monotonic() - before >= 0.3
    before = time.monotonic()
    server.ask("/api/health")
    assert time.monotonic() - before < 0.2


def test_knobs_turn_only_from_inside(server: Server) -> None:
    wanted = json.dumps({"fail_health": True})
    through_the_gate = server.ask("/api/demo/knobs", method="POST", body=wanted, Host="10.0.0.7:8079")
    from_elsewhere = server.ask("/api/demo/knobs", method="POST", body=wanted, source="127.0.0.2")
    assert (through_the_gate.status, from_elsewhere.status) == (403, 403)
    assert server.ask("/api/demo/knobs", source="127.0.0.2").body["fail_health"] is False


@pytest.mark.parametrize(
    "body",
    [
        '{"fail_health": 1}',
        '{"failover_trap": 1}',
        '{"latency_ms": true}',
        '{"hang_health": -1}',
        '{"fail_health": true, "typo": 1}',
        "[]",
        "no json",
    ],
)
def test_a_wrong_knob_is_400_and_turns_nothing(server: Server, body: str) -> None:
    assert server.ask("/api/demo/knobs", method="POST", body=body).status == 400
    assert server.ask("/api/demo/knobs").body["fail_health"] is False


def test_auth_gives_an_anonymous_session_of_the_bot(server: Server) -> None:
    one, two = (server.ask("/api/auth?bot_name=sales").body for _ in range(2))
    assert (one["bot_name"], one["status"], one["instance"]) == ("sales", "anonymous", socket.gethostname())
    assert one["bot_id"] == two["bot_id"]
    assert one["session_id"] != two["session_id"]
    assert one["user_id"] != two["user_id"]


def test_websocket_greets_echoes_and_counts_by_session(server: Server) -> None:
    session = server.ask("/api/auth?bot_name=sales").body["session_id"]
    for expected in (1, 2):
        with server.connect(f"/ws/sales?session_id={session}") as channel:
            assert channel.response is not None
            assert channel.response.headers["X-Instance"] == socket.gethostname()
            first = json.loads(channel.recv(PATIENCE))
            channel.send("hello")
            echo = json.loads(channel.recv(PATIENCE))
        assert first["type"] == "connected"
        assert (first["session_id"], first["bot_name"], first["known"]) == (session, "sales", True)
        assert (echo["content"], echo["instance"], echo["session_id"]) == ("hello", socket.gethostname(), session)
        assert (echo["messages"], echo["server"]) == (expected, NAME)


def test_a_session_of_another_process_is_not_known(server: Server) -> None:
    with server.connect("/ws?session_id=from-elsewhere&bot_name=sales") as channel:
        first = json.loads(channel.recv(PATIENCE))
    assert (first["session_id"], first["bot_name"], first["known"]) == ("from-elsewhere", "sales", False)


def sessions_stored(server: Server) -> int:
    return int(server.ask("/api/demo/knobs").body["sessions_stored"])


def test_after_the_database_was_cut_the_failover_trap_stores_no_session_and_answers_as_ever(start: Start) -> None:
    server = start(STANDALONE).ready()
    server.turn(failover_trap=True)
    before = server.ask("/api/auth").body["session_id"]
    assert sessions_stored(server) == 1, "armed, it stores until the database is cut"
    server.turn(fail_health=True)
    server.turn(fail_health=False, failover_trap=False)
    answer = server.ask("/api/auth")
    assert (answer.status, answer.body["status"], server.ask("/api/health").status) == (200, "anonymous", 200)
    for session, known in ((before, True), (answer.body["session_id"], False)):
        for _ in range(2):
            with server.connect(f"/ws?session_id={session}") as channel:
                assert json.loads(channel.recv(PATIENCE))["known"] is known
                channel.send("hello")
                assert json.loads(channel.recv(PATIENCE))["messages"] == 1
    assert sessions_stored(server) == 1


def test_without_the_failover_trap_sessions_are_stored_again_after_the_database_was_gone(start: Start) -> None:
    server = start(STANDALONE).ready()
    server.turn(fail_health=True)
    server.turn(fail_health=False)
    session = server.ask("/api/auth").body["session_id"]
    with server.connect(f"/ws?session_id={session}") as channel:
        assert json.loads(channel.recv(PATIENCE))["known"] is True
    assert sessions_stored(server) == 1


class Postgres:
    """What a PostgreSQL says to an SSLRequest, or nothing at all, on a loopback port."""

    def __init__(self) -> None:
        self.there = True
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgres://gbuser@127.0.0.1:{self._socket.getsockname()[1]}/botserver"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _peer = self._socket.accept()
                with link:
                    if self.there:
                        self.asked.append(link.recv(8))
                        link.sendall(b"N")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def postgres() -> t.Iterator[Postgres]:
    one = Postgres()
    yield one
    one.close()


def test_it_is_as_well_as_its_database(start: Start, postgres: Postgres) -> None:
    server = start({**STANDALONE, "DATABASE_URL": postgres.url}).ready()
    assert server.ask("/api/health").body["database"] is True
    assert postgres.asked == [bytes([0, 0, 0, 8, 4, 210, 22, 47])], "one question is enough for start and health"
    postgres.there = False
    until("the database to be missed", lambda: server.ask("/api/health").status == 503)
    begun = time.monotonic()
    answer = server.ask("/api/health")
    assert (answer.status, answer.body["status"], answer.body["database"]) == (503, "degraded", False)
    assert 4.5 < time.monotonic() - begun < 7
    assert (server.ask("/health").status, server.ask("/api/auth").status) == (200, 200)
    postgres.there = True
    assert server.ask("/api/health").status == 200


def test_without_its_database_it_does_not_start(start: Start, postgres: Postgres) -> None:
    postgres.there = False
    begun = time.monotonic()
    server = start({**STANDALONE, "DATABASE_URL": postgres.url})
    assert server.process.wait(timeout=2 * PATIENCE) == 1
    assert time.monotonic() - begun > 7
    assert "no PostgreSQL answers at 127.0.0.1" in server.log()


def test_the_failover_trap_shuts_when_the_database_is_gone_for_a_moment(start: Start, postgres: Postgres) -> None:
    server = start({**STANDALONE, "DATABASE_URL": postgres.url}).ready()
    server.turn(failover_trap=True)
    server.ask("/api/auth")
    postgres.there = False
    until("the database to be missed", lambda: server.ask("/api/health").status == 503)
    postgres.there = True
    assert [server.ask("/api/health").status, server.ask("/api/auth").status] == [200, 200]
    assert sessions_stored(server) == 1


def test_echo_names_instance_path_and_request_id(server: Server) -> None:
    answer = server.ask("/api/demo/echo", method="POST", body="12345", X_Request_ID="r-1").body
    about = {"method": "POST", "path": "/api/demo/echo", "request_id": "r-1", "received_bytes": 5}
    assert answer == {"server": NAME, "instance": socket.gethostname(), **about}


@pytest.mark.parametrize("query", ["burn_ms=much", "burn_ms=-1", "delay_ms=nan", "alloc_mb=99999", "cache_mb=1e9", "hold_s=601"])
def test_a_knob_in_the_query_out_of_bounds_is_400(server: Server, query: str) -> None:
    answer = server.ask(f"/api/demo/echo?{query}")
    assert answer.status == 400
    assert query in answer.body["message"]


def test_burn_uses_cpu_and_health_answers_meanwhile(server: Server) -> None:
    before = server.cpu_seconds()
    burning = threading.Thread(target=server.ask, args=("/api/demo/echo?burn_ms=600",))
    burning.start()
    until("the burn to begin", lambda: server.cpu_seconds() - before >= 0.1)
    asked = time.monotonic()
    assert server.ask("/api/health").status == 200
    assert time.monotonic() - asked < 0.4
    assert burning.is_alive()
    burning.join()
    assert server.cpu_seconds() - before >= 0.55


def test_burns_at_once_use_the_sum_of_their_cpu(start: Start) -> None:
    server = start(STANDALONE).ready()
    os.sched_setaffinity(server.process.pid, {min(os.sched_getaffinity(0))})
    before = server.cpu_seconds()
    burning = [threading.Thread(target=server.ask, args=("/api/demo/echo?burn_ms=300",)) for _ in range(3)]
    for thread in burning:
        thread.start()
    for thread in burning:
        thread.join()
    assert server.cpu_seconds() - before >= 0.85


def test_delay_waits_without_cpu(server: Server) -> None:
    cpu, before = server.cpu_seconds(), time.monotonic()
    assert server.ask("/api/demo/echo?delay_ms=300").status == 200
    assert time.monotonic() - before >= 0.3
    assert server.cpu_seconds() - cpu < 0.15


def test_alloc_holds_anonymous_memory_after_the_answer_and_gives_it_back(server: Server) -> None:
    before = server.anonymous_memory_mb()
    asked = time.monotonic()
    assert server.ask("/api/demo/echo?alloc_mb=64&hold_s=1").status == 200
    assert time.monotonic() - asked < 0.9
    assert server.anonymous_memory_mb() - before > 60
    until("the memory to be given back", lambda: server.anonymous_memory_mb() - before < 10)


def test_cache_writes_a_file_in_the_work_folder(start: Start, tmp_path: pathlib.Path) -> None:
    server = start({**STANDALONE, "GBO_WORK_PATH": str(tmp_path / "work")}).ready()
    assert server.ask("/api/demo/echo?cache_mb=3").status == 200
    assert [file.stat().st_size for file in (tmp_path / "work").iterdir()] == [3 * 1024 * 1024]


def test_slow_start_keeps_the_port_closed(start: Start) -> None:
    begun = time.monotonic()
    server = start({**STANDALONE, "GB_DEMO_SLOW_START": "0.8"})
    until("it to wait", lambda: "the port opens in 0.8 s" in server.log())
    assert not server.listens()
    server.ready()
    assert time.monotonic() - begun >= 0.8


def test_sigterm_ends_a_slow_start(start: Start) -> None:
    server = start({**STANDALONE, "GB_DEMO_SLOW_START": "60"})
    until("it to wait", lambda: "the port opens in 60 s" in server.log())
    server.process.terminate()
    assert server.exit_code() == 0


def test_sigterm_closes_the_port_and_finishes_the_request_in_flight(start: Start) -> None:
    server = start(STANDALONE).ready()
    answers: list[Answer] = []
    flight = threading.Thread(target=lambda: answers.append(server.ask("/api/demo/echo?delay_ms=900")))
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    idle.request("GET", "/health")
    idle.getresponse().read()
    flight.start()
    until("the request to be in flight", lambda: connections(server.port) >= 2)
    assert server.ask("/health").status == 200
    server.process.send_signal(signal.SIGTERM)
    until("its port to close", lambda: not server.listens())
    assert flight.is_alive(), "the request was cut, or ended before the port closed"
    assert server.exit_code() == 0
    flight.join()
    idle.close()
    assert [answer.status for answer in answers] == [200]


def connections(port: int) -> int:
    """Established connections to the port, from the server's side."""
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


def test_a_request_that_does_not_end_is_cut_at_the_hard_exit(start: Start) -> None:
    code = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import demo_botserver as d; d.HARD_EXIT_SECONDS = 0.5; d.main([])"
    server = start(STANDALONE, code=code).ready()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as request:
        request.sendall(b"GET /api/demo/echo?burn_ms=30000 HTTP/1.1\r\nHost: demo\r\n\r\n")
        until("the request to be in flight", lambda: server.cpu_seconds() > 0.5)
        server.process.terminate()
        terminated = time.monotonic()
        assert server.exit_code() == 0
    assert 0.4 < time.monotonic() - terminated < 4
    assert "requests in flight are lost" in server.log()


def test_the_hard_exit_is_that_of_the_real_program() -> None:
    assert "HARD_EXIT_SECONDS = 15.0\n" in PROGRAM.read_text(encoding="utf-8")


def test_sigterm_cuts_websockets_at_once_without_a_close_frame(start: Start) -> None:
    server = start(STANDALONE).ready()
    with server.connect("/ws/default") as channel:
        channel.recv(PATIENCE)
        server.process.terminate()
        terminated = time.monotonic()
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as cut:
            channel.recv(PATIENCE)
    assert cut.value.rcvd is None
    assert server.exit_code() == 0
    assert time.monotonic() - terminated < 3

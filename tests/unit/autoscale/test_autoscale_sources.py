# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics from elsewhere: each kind's value, and everything that makes it unknown with its reason."""

from __future__ import annotations

import contextlib
import http.server
import json
import math
import pathlib
import socketserver
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import sources
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

NOW = 1_760_000_000.0


class NoLxd:
    """No instance is asked."""

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
        raise AssertionError(f"{argv} in {instance}")


def read(source: t.Mapping[str, t.Any], lxd: t.Any = None) -> tuple[float | None, str]:
    """Value and reason of one source."""
    [found] = sources.read_all(lxd or NoLxd(), [{"name": "queue", **source}], NOW)
    assert found["name"] == "queue"
    return found["value"], found["why"]


@contextlib.contextmanager
def served(server: socketserver.BaseServer) -> t.Iterator[int]:
    """A server of the test; gives its port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield t.cast("tuple[str, int]", server.server_address)[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def redis(answers: t.Sequence[bytes], got: list[bytes], wait: float = 0.0) -> socketserver.BaseServer:
    """A Redis that answers each connection with these lines."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            got.append(self.request.recv(4096))
            threading.Event().wait(wait)
            self.request.sendall(b"".join(answers))

    return socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)


def test_a_redis_list() -> None:
    got: list[bytes] = []
    with served(redis([b"+OK\r\n", b"+OK\r\n", b":17\r\n"], got)) as port:
        assert read({"redis_list": {"port": port, "list": "jobs", "username": "gb", "password": "p w", "db": 2}}) == (17.0, "")
    assert got == [b"*3\r\n$4\r\nAUTH\r\n$2\r\ngb\r\n$3\r\np w\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*2\r\n$4\r\nLLEN\r\n$4\r\njobs\r\n"]


def test_nothing_but_the_length_is_asked_of_the_first_database() -> None:
    got: list[bytes] = []
    with served(redis([b":17\r\n"], got)) as port:
        assert read({"redis_list": {"port": port, "list": "jobs", "db": 0}}) == (17.0, "")
    assert got == [b"*2\r\n$4\r\nLLEN\r\n$4\r\njobs\r\n"]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([b"-NOAUTH Authentication required.\r\n"], "Redis refused LLEN: NOAUTH Authentication required."),
        ([b"-WRONGTYPE no list\r\n"], "Redis refused LLEN: WRONGTYPE no list"),
        ([b"$2\r\n"], "which is no length"),
        ([b":many\r\n"], "which is no length"),
        ([], "it closed the connection"),
    ],
)
def test_a_redis_that_does_not_say(answers: list[bytes], why: str) -> None:
    with served(redis(answers, [])) as port:
        value, said = read({"redis_list": {"port": port, "list": "jobs"}})
    assert value is None and said.startswith("the Redis list: ") and why in said


def test_a_redis_that_hangs_or_is_not_there() -> None:
    with served(redis([b":1\r\n"], [], wait=2)) as port:
        begun = time.monotonic()
        value, said = read({"redis_list": {"port": port, "list": "jobs"}, "timeout": 0.2})
        assert value is None and "gave no answer within 0.2 s" in said and time.monotonic() - begun < 1.5
    value, said = read({"redis_list": {"port": port, "list": "jobs", "password": "secret"}})
    assert value is None and "refused" in said and "secret" not in said


def python(code: str, **more: t.Any) -> dict[str, t.Any]:
    """A command source that runs this code."""
    return {"command": {"argv": [sys.executable, "-c", code]}, "timeout": 20, **more}


def test_a_command() -> None:
    assert read(python("print(4.5)")) == (4.5, "")
    source = python("import os; print(os.environ['DEPTH'])")
    source["command"]["environment"] = {"DEPTH": 3}
    assert read(source) == (3.0, "")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("print('many')", "printed 'many' and not one number"),
        ("print('1_000')", "printed '1_000' and not one number"),
        ("print(1, 2)", "which is no number from 0 up"),
        ("print(-1)", "its value is -1.0, which is no number from 0 up"),
        ("print('nan')", "no number from 0 up"),
        ("print()", "which is no number from 0 up"),
        ("import os; os.write(1, bytes([255, 254]))", "printed '\ufffd\ufffd' and not one number"),
        ("import sys; sys.exit('it is broken')", "ended with 1: it is broken"),
    ],
)
def test_a_command_that_does_not_say(code: str, why: str) -> None:
    value, said = read(python(code))
    assert value is None and said.startswith("the command: ") and why in said


def test_a_command_that_hangs_or_is_none() -> None:
    value, said = read(python("input(open('/dev/zero').read(1) and __import__('time').sleep(30))", timeout=0.5))
    assert value is None and "did not end within 0.5 s" in said
    value, said = read({"command": {"argv": ["/no/such/program"]}})
    assert value is None and "/no/such/program ended with 127: " in said and "No such file or directory" in said


def test_what_a_command_that_hangs_has_started_ends_with_it(tmp_path: pathlib.Path) -> None:
    told = tmp_path / "pid"
    value, said = read({"command": {"argv": ["sh", "-c", f"sleep 60 & echo $! > {told}; wait"]}, "timeout": 0.5})
    assert value is None and "sh did not end within 0.5 s" in said
    process = pathlib.Path("/proc", told.read_text().strip(), "stat")

    def state() -> str:
        """Of a process; that of none, and of one that is dead and not yet waited for, is Z."""
        try:
            return process.read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "Z"

    wait_for("what it started to end", state, lambda seen: seen in "ZX", timeout=10, interval=0.05)


class Here(NoLxd):
    """An instance of which every command is run here."""

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
        return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("instance", [None, "redis-1"], ids=["here", "in an instance"])
@pytest.mark.parametrize(
    ("argv", "value", "why"),
    [
        (["yes"], None, "prints more than a number: over 65536 bytes"),
        (["sh", "-c", "yes >&2"], None, "did not end within 1 s"),
        (["sh", "-c", "yes | head -c 200000 >&2; echo 7"], 7.0, ""),
        (["sh", "-c", "echo 7; echo bad >&2; exit 3"], None, "ended with 3: bad"),
        (["echo", "a b"], None, "which is no number from 0 up"),
        (["printf", "%s", "5"], 5.0, ""),
    ],
)
def test_a_command_that_prints_without_end_is_not_heard_to_the_end(
    argv: list[str], value: float | None, why: str, instance: str | None
) -> None:
    found, said = read({"command": {"argv": argv, "instance": instance}, "timeout": 1}, Here())
    assert (found, why in said) == (value, True)
    assert len(said) < 400


def test_no_more_of_it_is_held_than_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    held, heard = [], sources._heard

    def weighed(process: t.Any, until: float) -> tuple[bytes, bytes]:
        held.append(heard(process, until))
        return held[-1]

    monkeypatch.setattr(sources, "_heard", weighed)
    read({"command": {"argv": ["yes"]}})
    read({"command": {"argv": ["sh", "-c", "yes | head -c 200000 >&2"]}})
    assert [(len(out), len(err)) for out, err in held] == [(65537, 0), (0, 4096)]


def program(path: pathlib.Path, text: str) -> str:
    """A shell script that may be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_command_is_looked_up_in_the_path_of_its_own_environment(tmp_path: pathlib.Path) -> None:
    program(tmp_path / "bin/depth", "echo 6")
    alone = {"PATH": f"{tmp_path}/bin"}
    assert read({"command": {"argv": ["depth"], "environment": alone}}) == (6.0, "")
    assert read({"command": {"argv": ["/usr/bin/printf", "5"], "environment": alone}}) == (5.0, "")
    value, said = read({"command": {"argv": ["printf", "5"], "environment": alone}})
    assert value is None and said == "the command: printf ended with 127: No such file or directory"


@pytest.mark.parametrize("instance", [None, "redis-1"], ids=["here", "in an instance"])
def test_a_command_is_what_it_is_called_whatever_that_looks_like(tmp_path: pathlib.Path, instance: str | None) -> None:
    argv = [program(tmp_path / "a=b/depth", "echo 6")]
    assert read({"command": {"argv": argv, "instance": instance}}, Here()) == (6.0, "")
    value, said = read({"command": {"argv": ["A=b", "printf", "5"], "instance": instance}}, Here())
    assert value is None and "ended with 127: " in said
    value, said = read({"command": {"argv": ["-i", "printf", "5"], "instance": instance}}, Here())
    assert value is None and "the command: -i" in said and "ended with " in said


def test_a_script_that_names_no_interpreter_is_the_shells(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "depth"
    script.write_text('echo "$1"\n', encoding="utf-8")
    script.chmod(0o755)
    assert read({"command": {"argv": [str(script), "7"]}}) == (7.0, "")
    assert read({"command": {"argv": ["depth", "7"], "environment": {"PATH": str(tmp_path)}}}) == (7.0, "")


def test_a_file_that_is_no_program_and_one_that_a_signal_ends(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text").write_text("5", encoding="utf-8")
    assert read({"command": {"argv": [str(tmp_path / "text")]}})[1].endswith("text ended with 126: Permission denied")
    assert "sh ended with 143: " in read({"command": {"argv": ["sh", "-c", "echo 5; kill -TERM $$"]}})[1]


def test_who_has_closed_its_output_is_waited_for_no_longer_than_its_time() -> None:
    assert read({"command": {"argv": ["sh", "-c", "echo 5; exec >&- 2>&-; sleep 0.2"]}}) == (5.0, "")
    begun = time.monotonic()
    assert "did not end within 0.5 s" in read({"command": {"argv": ["sh", "-c", "echo 5; exec >&- 2>&-; sleep 30"]}, "timeout": 0.5})[1]
    assert time.monotonic() - begun < 5


class Instance:
    """An instance that answers a command."""

    def __init__(self, answer: tuple[int, str, str] | Exception) -> None:
        self.answer = answer
        self.argv: list[str] = []

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
        self.argv = [instance, *argv]
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_command_in_an_instance_ends_there_in_time() -> None:
    source = {"command": {"argv": ["depth"], "instance": "redis-1"}, "timeout": 3}
    there = Instance((0, "7\n", ""))
    assert read(source, there) == (7.0, "")
    assert there.argv[:5] == ["redis-1", "timeout", "-k", "1", "3"] and there.argv[-1] == "depth"
    assert "did not end within 3 s" in read(source, Instance((124, "", "")))[1]
    assert "ended with 2: no list" in read(source, Instance((2, "", "no list\n")))[1]
    assert "redis-1 is gone" in read(source, Instance(Unreachable("redis-1 is gone")))[1]


def prometheus(answer: t.Any, got: list[tuple[str, str]], status: int = 200) -> socketserver.BaseServer:
    """A Prometheus with one answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append((self.path, self.headers.get("Authorization", "")))
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args: t.Any) -> None:
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def result(kind: str, value: t.Any) -> dict[str, t.Any]:
    """An instant query's answer."""
    return {"status": "success", "data": {"resultType": kind, "result": value}}


@pytest.mark.parametrize(
    "answer",
    [
        result("scalar", [NOW, "12"]),
        result("vector", [{"metric": {}, "value": [NOW - 60, "12"]}]),
        result("scalar", [NOW, "12"]) | {"warnings": [], "infos": ["it may be no counter"]},
    ],
)
def test_a_prometheus_query(answer: t.Any) -> None:
    got: list[tuple[str, str]] = []
    with served(prometheus(answer, got)) as port:
        source = {"prometheus": {"url": f"http://127.0.0.1:{port}", "query": 'sum(up{job="x"})', "token": "t0"}}
        assert read(source) == (12.0, "")
    assert got == [("/api/v1/query?query=sum%28up%7Bjob%3D%22x%22%7D%29", "Bearer t0")]


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (result("vector", []), 200, "the query gives 0 values; it must give one"),
        (result("vector", [{"value": [NOW, "1"]}, {"value": [NOW, "2"]}]), 200, "the query gives 2 values"),
        (result("scalar", [NOW - 300, "12"]), 200, "its last value is 300 s old, more than 120 s"),
        (result("scalar", [NOW, "NaN"]), 200, "no number from 0 up"),
        ({"data": 1}, 200, "answered something else than an instant query's result"),
        ([1], 200, "answered something else than an instant query's result"),
        (result("scalar", [NOW, "12"]) | {"warnings": ["a store is down"]}, 200, "may not be whole: a store is down"),
        ({"error": "bad_data"}, 400, "400"),
    ],
)
def test_a_prometheus_that_does_not_say(answer: t.Any, status: int, why: str) -> None:
    with served(prometheus(answer, [], status)) as port:
        value, said = read({"prometheus": {"url": f"http://127.0.0.1:{port}", "query": "x"}})
    assert value is None and said.startswith("the Prometheus query: ") and why in said


def test_white_space_around_a_secret_is_no_part_of_it() -> None:
    """A block scalar of YAML and what is piped into ansible-vault end with a line break."""
    got: list[tuple[str, str]] = []
    with served(prometheus(result("scalar", [NOW, "12"]), got)) as port:
        plain = {"url": f"http://127.0.0.1:{port}\n", "query": "x"}
        assert read({"prometheus": {**plain, "token": " t0\r\n"}}) == (12.0, "")
        assert read({"prometheus": {**plain, "username": "gb\n", "password": "p w\n"}}) == (12.0, "")
        assert read({"prometheus": {**plain, "token": "\n"}}) == (12.0, "")
    assert [said for _path, said in got] == ["Bearer t0", "Basic Z2I6cCB3", ""]
    asked: list[bytes] = []
    with served(redis([b"+OK\r\n", b":17\r\n"], asked)) as port:
        assert read({"redis_list": {"port": port, "list": "jobs", "username": "gb\n", "password": "pw\n"}}) == (17.0, "")
    assert asked[0].startswith(b"*3\r\n$4\r\nAUTH\r\n$2\r\ngb\r\n$2\r\npw\r\n")


@pytest.mark.parametrize("kind", ["prometheus", "redis_list"])
@pytest.mark.parametrize("option", ["token", "username", "password"])
@pytest.mark.parametrize("within", ["\n", "\r\n", "\0", "\x7f"])
def test_a_secret_with_a_control_character_inside_is_refused_and_not_quoted(kind: str, option: str, within: str) -> None:
    source = {"name": "a", kind: {"url": "http://127.0.0.1:9", "query": "x", "list": "y", option: f"first{within}second\n"}}
    with pytest.raises(InvalidInput) as caught:
        sources.read_all(NoLxd(), [source], NOW)
    assert f"source 'a' has a line break or another control character in {kind}.{option}" in str(caught.value)
    assert "first" not in str(caught.value) and "second" not in str(caught.value)


def test_a_header_that_is_refused_is_not_quoted() -> None:
    source = {"name": "queue", "prometheus": {"url": "http://127.0.0.1:9", "query": "x", "token": "first\nsecond"}}
    said = sources.read(NoLxd(), source, NOW)["why"]
    assert said == "the Prometheus query: what it is given to log in with cannot be sent in a header"


@pytest.mark.parametrize("secret", ["hunter22", "hunter@22", "hunter 22", "hunter%2F22"])
@pytest.mark.parametrize("status", [200, 400, None])
def test_what_is_before_the_host_in_a_url_is_not_told(secret: str, status: int | None) -> None:
    with served(prometheus({"data": 1}, [], status or 200)) as port:
        where = f"127.0.0.1:{port if status else 9}"
        value, said = read({"prometheus": {"url": f"http://gb:{secret}@{where}", "query": "x"}})
    assert value is None and f"http://***@{where}" in said
    assert "hunter" not in said and "22@" not in said


@pytest.mark.parametrize("secret", ["hunter/22", "hunter?22", "hunter#22", "hunter/@22"])
def test_a_password_that_ends_the_host_of_a_url_is_not_told_either(secret: str) -> None:
    value, said = read({"prometheus": {"url": f"http://gb:{secret}@127.0.0.1:9", "query": "x"}})
    assert value is None and said.endswith("before an @: in a password they are written %2F %3F %23")
    assert "hunter" not in said and "22" not in said


@pytest.mark.parametrize("token", ["t\u20ac", "\u00e4\u20ac"])
def test_a_token_of_other_letters_is_not_told(token: str) -> None:
    said = read({"prometheus": {"url": "http://127.0.0.1:9", "query": "x", "token": token}})[1]
    assert token not in said


def test_nor_that_of_a_url_that_a_command_speaks_of() -> None:
    said = read(python("import sys; sys.exit('no answer from https://gb:hunter22@queue:80/x, ask a@b')"))[1]
    assert said.endswith("no answer from https://***@queue:80/x, ask a@b")


@pytest.mark.parametrize("kind", ["prometheus", "redis_list"])
def test_one_that_answers_bit_by_bit_is_not_waited_for(kind: str) -> None:
    over = threading.Event()

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" if kind == "prometheus" else b"+")
            with contextlib.suppress(OSError):
                while not over.wait(0.05):
                    self.request.sendall(b" ")

    with served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping)) as port:
        asked = {"prometheus": {"url": f"http://127.0.0.1:{port}", "query": "x"}, "redis_list": {"port": port, "list": "jobs"}}
        begun = time.monotonic()
        try:
            value, said = read({kind: asked[kind], "timeout": 0.3})
        finally:
            over.set()
    assert value is None and "it did not say all within 0.3 s" in said
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"command": {"argv": ["true"], "instance": "botserver-1"}}, "the command: AssertionError: ['timeout'"),
        ({"redis_list": {"host": "redis..internal", "list": "jobs"}}, "the Redis list: UnicodeError: "),
        ({"prometheus": {"url": "https://127.0.0.1:9", "query": "x", "ca_cert": "/no/such/ca"}}, "invalid path: /no/such/ca"),
    ],
    ids=["a mistake of our own", "no host name", "no certificate"],
)
def test_one_that_raises_whatever_it_may_is_unknown_and_the_others_are_read(source: dict[str, t.Any], why: str) -> None:
    broken, whole = sources.read_all(NoLxd(), [{"name": "queue", **source}, {"name": "other", **python("print(3)")}], NOW)
    assert broken["value"] is None and why in broken["why"]
    assert (whole["value"], whole["why"]) == (3.0, "")


def test_what_is_raised_is_told_without_secrets() -> None:
    class Broken(NoLxd):
        def execute(self, *_args: t.Any, **_more: t.Any) -> t.NoReturn:
            raise TypeError("it was given hunter22 and 3 for http://gb:swordfish@queue/x")

    source = {"command": {"argv": ["x"], "instance": "a", "environment": {"KEY": "hunter22", "DEPTH": 3}}}
    assert read(source, Broken()) == (None, "the command: TypeError: it was given *** and 3 for http://***@queue/x")


SECRET = "hunter22-" + "swordfish" * 90


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('set -x; : probe --token "$KEY"; exit 3', "sh ended with 3: + : probe --token ***"),
        # Words that are cut off within it, by what is shown of them.
        ('printf "%0190d" 0 >&2; echo "$KEY" >&2; exit 3', "0***"),
        ('printf "%070d" 0; echo "$KEY"', "0***' and not one number"),
        ('echo "of $KEY"; exit 0', "which is no number from 0 up"),
        # And by what is read of them.
        ('for each in $(seq 100); do printf "%s" "$KEY" >&2; done; exit 3', "ended with 3: " + "***\n" * 4 + "***"),
    ],
)
def test_a_command_may_speak_of_its_secret(script: str, said: str) -> None:
    why = read({"command": {"argv": ["sh", "-c", script], "environment": {"KEY": f"{SECRET}\n"}}})[1]
    assert said in why and "hunter" not in why and "fish" not in why


@pytest.mark.parametrize("answer", ["-ERR {}{}", "+{}{}"])
def test_a_redis_may_speak_of_its_secret(answer: str) -> None:
    for before in (1, 70, 190):
        with served(redis([b"+OK\r\n", answer.format("x" * before, SECRET).encode() + b"\r\n"], [])) as port:
            why = read({"redis_list": {"port": port, "list": "jobs", "password": SECRET}})[1]
        assert "hunter" not in why and "fish" not in why


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (result("scalar", [NOW, "12"]) | {"warnings": ["x" * 190 + SECRET]}, 200),
        ({"error": f"bad token {SECRET}"}, 400),
        ({"error": "x" * 370 + SECRET}, 400),
    ],
)
def test_a_prometheus_may_speak_of_its_secret(answer: t.Any, status: int) -> None:
    with served(prometheus(answer, [], status)) as port:
        why = read({"prometheus": {"url": f"http://127.0.0.1:{port}", "query": "x", "token": SECRET}})[1]
    assert "hunter" not in why and "fish" not in why and "***" in why


def test_all_are_asked_at_once() -> None:
    slow = [{**python("import time; time.sleep(0.6); print(1)"), "name": f"q{number}"} for number in range(4)]
    begun = time.monotonic()
    assert [one["value"] for one in sources.read_all(NoLxd(), slow, NOW)] == [1.0] * 4
    assert time.monotonic() - begun < 2.2
    assert sources.read_all(NoLxd(), [], NOW) == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([{"name": "a"}], "source 'a' has no kind; give exactly one of redis_list, command, prometheus"),
        ([{"name": "a", "command": {"argv": ["x"]}, "redis_list": {"list": "y"}}], "source 'a' has redis_list and command"),
        ([{"name": "", "command": {"argv": ["x"]}}], "a source is named ''"),
        ([{"name": "a", "command": {"argv": ["x"]}}] * 2, "every source has a name of its own"),
        ([{"name": "a", "command": {"argv": []}}], "source 'a': command.argv is [], it must begin with the program to run"),
        ([{"name": "a", "command": {"argv": ["", "x"]}}], "command.argv is ['', 'x'], it must begin with the program"),
        ([{"name": "a", "command": {"argv": ["x", "y\0z"]}}], r"command.argv has a NUL in 'y\x00z', which no argument can have; remove it"),
        (
            [{"name": "a", "command": {"argv": ["x"], "environment": {"A=s3cret": 1}}}],
            "environment has a name that begins with 'A'; give one",
        ),
        ([{"name": "a", "command": {"argv": ["x"], "environment": {"": 1}}}], "environment has a name that begins with ''"),
        ([{"name": "a", "command": {"argv": ["x"], "environment": {"A": "s3cret\0"}}}], "has a NUL in the value of 'A', which none can"),
        ([{"name": "a", "command": {"argv": ["x"]}, "timeout": -1.0}], "timeout is -1.0, it must be seconds above 0 and at most 3600;"),
        ([{"name": "a", "command": {"argv": ["x"]}, "timeout": 0.0}], "timeout is 0.0, it must be seconds above 0"),
        ([{"name": "a", "command": {"argv": ["x"]}, "timeout": math.inf}], "timeout is inf, it must be seconds above 0"),
        (
            [{"name": "a", "command": {"argv": ["x"]}, "max_age": 0.0}],
            "max_age is 0.0, it must be seconds above 0; without it",
        ),
        ([{"name": "a", "command": {"argv": ["x"]}, "max_age": math.nan}], "max_age is nan, it must be seconds above 0"),
    ],
)
def test_sources_that_cannot_be_asked_are_refused_before_anything(wrong: list[dict[str, t.Any]], why: str) -> None:
    with pytest.raises(InvalidInput, match="gb_autoscale_sources") as caught:
        sources.read_all(NoLxd(), wrong, NOW)
    assert why in str(caught.value) and "s3cret" not in str(caught.value)

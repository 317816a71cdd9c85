# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a Patroni cluster: one REST API for each member, strict about what may be asked and with what."""

from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import http.server
import json
import threading
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Access, Patroni
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.run import Cluster
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock

Json = dict[str, t.Any]
SCOPE, USER, PASSWORD = "gb", "patroni", "secret-of-the-api"
STRICT: Json = {"synchronous_mode": True, "synchronous_mode_strict": True}
TIMERS: Json = {"ttl": 20, "loop_wait": 1, "retry_timeout": 5}


@dataclasses.dataclass
class FakeMember:
    """What a member says of itself. ``mute`` answers no request, ``copying`` counts looks until a copy is done.

    ``version`` is its Patroni where that is another than the cluster's, in the middle of an upgrade.
    """

    name: str
    port: int = 0
    streaming: bool = True
    state: str = "running"
    timeline: int = 1
    lag: int | str = 0
    pending: bool = False
    tags: Json = dataclasses.field(default_factory=dict)
    scope: str = SCOPE
    system: str = "7000000000000000001"
    mute: bool = False
    copying: int = 0
    pause_known: bool = False
    looks: int = 100
    deaf: bool = False
    version: str = ""


class FakeCluster:
    """The cluster as its REST APIs tell of it. ``writes`` remembers changes that were taken, ``unexpected`` everything we may not ask.

    ``postmaster`` names the parameters for which members want a restart, ``reloads`` counts for each member the changes that it refuses yet
    because it has not read the new password.
    """

    def __init__(self, names: t.Sequence[str], version: str = "3.0.2", config: Json | None = None) -> None:
        self.members = {name: FakeMember(name) for name in names}
        self.version = version
        self.config: Json = {**TIMERS, **(config or {})}
        self.told = self.config  # what a member has read last, which is what it tells
        self.leader: str | None = names[0] if names else None
        self.sync: set[str] = set(names[1:2])
        self.writes: list[tuple[str, str, Json]] = []
        self.unexpected: list[str] = []
        self.postmaster = {"max_connections"}
        self.reloads: dict[str, int] = {}
        self.conflicts = 0
        self.lands_on = ""
        self.answers: dict[str, tuple[int, str]] = {}
        self.lock = threading.Lock()

    @property
    def new(self) -> bool:
        """Whether it is of the 4.x kind."""
        return self.version.startswith("4")

    def runs(self, member: FakeMember) -> str:
        """The Patroni of a member."""
        return member.version or self.version

    def urls(self) -> list[str]:
        """Where the members listen."""
        return [f"http://127.0.0.1:{member.port}" for member in self.members.values()]

    def answer(self, name: str, method: str, path: str, authorization: str, body: bytes) -> tuple[int, str]:
        """What the member says."""
        with self.lock:
            if method == "GET":
                return self._read(name, path)
            if authorization != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
                return 401, "no auth header received"
            if self.reloads.get(name, 0):
                self.reloads[name] -= 1
                return 401, "not authenticated"
            if path in self.answers:
                self.writes.append((name, path, json.loads(body)))
                return self.answers[path]
            return self._write(name, method, path, json.loads(body))

    def _read(self, name: str, path: str) -> tuple[int, str]:
        if path == "/cluster":
            return 200, json.dumps(self._cluster(self.runs(self.members[name])))
        if path == "/config":
            return 200, json.dumps(self.told)
        if path == "/patroni":
            return 200, json.dumps(self._member(self.members[name]))
        self.unexpected.append(f"GET {path}")
        return 404, ""

    def _cluster(self, version: str) -> Json:
        paused = {"pause": True} if self.config.get("pause") else {}
        return {"members": [self._entry(member, version) for member in self.members.values()], **paused}

    def _entry(self, member: FakeMember, version: str) -> Json:
        """A member as one of this version tells of it, which knows nothing of streaming if it is old, nor of old ones' if it is new."""
        leads = member.name == self.leader
        synchronous = self.config.get("synchronous_mode") and member.name in self.sync
        tells = version.startswith("4") and self.runs(member).startswith("4")
        state = "streaming" if tells and not leads and member.state == "running" and member.streaming else member.state
        return {
            "name": member.name,
            "role": "leader" if leads else "sync_standby" if synchronous else "replica",
            "state": state,
            "api_url": f"http://127.0.0.1:{member.port}/patroni",
            "host": "127.0.0.1",
            "port": 5432,
            "timeline": member.timeline,
            **({"pending_restart": True} if member.pending else {}),
            **({"tags": member.tags} if member.tags else {}),
            **({} if leads else {"lag": member.lag}),
        }

    def _member(self, member: FakeMember) -> Json:
        """A look at a member is a turn of its loop: it reads the configuration and goes on with what it does."""
        member.looks += 1
        self._turn(member)
        leads = member.name == self.leader
        followers = [one for one in self.members.values() if one.name != self.leader and one.streaming and one.state == "running"]
        return {
            "state": member.state,
            "role": ("primary" if self.new else "master") if leads else "replica",
            "server_version": 150018,
            "timeline": member.timeline,
            "database_system_identifier": member.system,
            "dcs_last_seen": member.looks,
            "patroni": {"version": self.runs(member), "scope": member.scope},
            **({"replication_state": "streaming"} if self.runs(member).startswith("4") and not leads and member.streaming else {}),
            **({"pending_restart": True} if member.pending else {}),
            **({"pause": True} if member.pause_known else {}),
            **({"replication": [{"application_name": one.name, "state": "streaming"} for one in followers]} if leads else {}),
        }

    def _turn(self, member: FakeMember) -> None:
        self.told = self.config
        if not member.deaf:
            member.pause_known = bool(self.config.get("pause"))
        if member.copying:
            member.copying -= 1
            member.state = "creating replica" if member.copying else "running"
            member.streaming = not member.copying

    def _write(self, name: str, method: str, path: str, body: Json) -> tuple[int, str]:
        calls = {
            ("PATCH", "/config"): self._patch,
            ("POST", "/switchover"): self._switchover,
            ("POST", "/failover"): self._failover,
            ("POST", "/restart"): self._restart,
            ("POST", "/reinitialize"): self._reinitialize,
        }
        if (method, path) not in calls:
            self.unexpected.append(f"{method} {path}")
            return 404, ""
        status, said = calls[method, path](name, body)
        if status == 200:
            self.writes.append((name, path, body))
        return status, said

    def _patch(self, _name: str, body: Json) -> tuple[int, str]:
        if self.conflicts:
            self.conflicts -= 1
            self.config["maximum_lag_on_failover"] = 5000 + self.conflicts
            return 409, ""
        parameters = (body.get("postgresql") or {}).get("parameters") or {}
        for member in self.members.values():
            member.pending = member.pending or bool(set(parameters) & self.postmaster)
        self.config = _merge(self.config, body)
        return 200, json.dumps(self.config)

    def _switchover(self, _name: str, body: Json) -> tuple[int, str]:
        if set(body) != {"leader", "candidate"}:
            return 400, "wrong body"
        if body["leader"] != self.leader:
            return 412, "leader name does not match"
        if self.config.get("synchronous_mode") and body["candidate"] not in self.sync:
            return 412, "candidate name does not match with sync_standby"
        before, self.leader = self.leader, self.lands_on or body["candidate"]
        self.sync = {before} if before else set()
        return 200, f'Successfully switched over to "{self.leader}"'

    def _failover(self, _name: str, body: Json) -> tuple[int, str]:
        self.leader = body["candidate"]
        self.members[self.leader].state = "running"
        return 200, "Successfully failed over"

    def _restart(self, name: str, body: Json) -> tuple[int, str]:
        timeout = body.get("timeout")
        if set(body) != {"restart_pending", "timeout"} or not isinstance(timeout, int) or timeout <= 0:
            return 400, "wrong body"
        if not self.members[name].pending:
            return 503, "restart conditions are not satisfied"
        self.members[name].pending = False
        return 200, "restarted successfully"

    def _reinitialize(self, name: str, _body: Json) -> tuple[int, str]:
        if name == self.leader:
            return 503, "I am the leader, can not reinitialize"
        if any(member.copying for member in self.members.values()):
            self.unexpected.append("two copies at once")
        member = self.members[name]
        member.copying, member.timeline, member.lag = 3, self.members[self.leader or name].timeline, 0
        return 200, "reinitialize started"


def _merge(config: Json, patch: Json) -> Json:
    after = copy.deepcopy(config)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            after[name] = _merge(after.get(name) or {}, value)
        else:
            after[name] = value
    return after


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def _handler(cluster: FakeCluster, name: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: t.Any) -> None:
            pass

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if cluster.members[name].mute:
                self.close_connection = True
                return
            status, said = cluster.answer(name, self.command, self.path, self.headers.get("Authorization", ""), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _reply

    return Handler


@contextlib.contextmanager
def fake_cluster(*names: str, version: str = "3.0.2", config: Json | None = None) -> t.Iterator[FakeCluster]:
    """A :class:`FakeCluster` that listens; the first one leads. Afterwards nothing unexpected may have been asked."""
    cluster = FakeCluster(names or ("pg-1", "pg-2", "pg-3"), version, config)
    with contextlib.ExitStack() as stack:
        for name, member in cluster.members.items():
            server = stack.enter_context(_Server(("127.0.0.1", 0), _handler(cluster, name)))
            member.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            stack.callback(server.shutdown)
        yield cluster
    assert cluster.unexpected == []


class FakeTime:
    """A clock on which sleeping takes no time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Seconds since the beginning; a look at it takes a hundredth."""
        self.seconds += 0.01
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


def reach(fake: FakeCluster, *, timeout: float = 30, password: str = PASSWORD, scope: str = SCOPE) -> Cluster:
    """The cluster as the utilities reach it, in a time of its own."""
    time = FakeTime()
    return Cluster(Patroni(fake.urls(), Access(USER, password)), scope, timeout, Clock(time.now, time.sleep))

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for an etcd cluster: the JSON gateway of each member, as far as we may use it."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.server
import json
import threading
import typing as t

Json = dict[str, t.Any]

UNHEALTHY = (503, {"error": "etcdserver: unhealthy cluster", "code": 14})
LEARNER = (503, {"error": "etcdserver: rpc not supported for learner", "code": 14})


@dataclasses.dataclass
class FakeMember:
    """A member; one that was added and has not started has no name. ``behind`` counts refusals to promote it."""

    id: str
    name: str
    peer: str
    port: int = 0
    learner: bool = False
    mute: bool = False
    leaderless: bool = False
    behind: int = 0


class FakeEtcd:
    """The cluster. ``writes`` remembers what was changed, ``unexpected`` what we may not ask."""

    def __init__(self, names: t.Sequence[str]) -> None:
        self.members = [FakeMember(str(number), name, peer(name)) for number, name in enumerate(names, 101)]
        self.ports: list[int] = []
        self.keys: dict[str, str] = {}
        self.writes: list[tuple[str, Json]] = []
        self.unexpected: list[str] = []
        self.version2 = False
        # How many changes are still refused because the members have not been connected for long enough.
        self.fresh = 0
        self.lock = threading.Lock()

    def endpoints(self) -> list[str]:
        """Where the members listen."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def named(self, name: str) -> FakeMember:
        """The member of that name."""
        return next(member for member in self.members if member.name == name)

    def start(self, url: str, name: str) -> None:
        """The member that was added under a URL starts."""
        member = next(member for member in self.members if member.peer == url)
        member.name, member.port = name, self.ports[-1]

    def answer(self, path: str, body: Json, port: int) -> tuple[int, Json]:
        """What a member says."""
        calls: dict[str, t.Callable[[Json], tuple[int, Json]]] = {
            "/v3/cluster/member/list": self._list,
            "/v3/cluster/member/add": self._add,
            "/v3/cluster/member/remove": self._remove,
            "/v3/cluster/member/update": self._update,
            "/v3/cluster/member/promote": self._promote,
            "/v3/kv/range": self._range,
        }
        with self.lock:
            if self.version2:
                return 404, {}
            if path == "/v3/maintenance/status":
                return self._status(port)
            if any(member.port == port and member.learner for member in self.members):
                return LEARNER
            if path not in calls:
                self.unexpected.append(path)
                return 404, {}
            return calls[path](body)

    def _status(self, port: int) -> tuple[int, Json]:
        member = next((one for one in self.members if one.port == port), None)
        leader = "0" if member and member.leaderless else "101"
        return 200, {"version": "3.4.23", "dbSize": "20480", "leader": leader, "raftIndex": "7"}

    def _list(self, _body: Json) -> tuple[int, Json]:
        return 200, {"members": [_shown(member) for member in self.members]}

    def _too_fresh(self) -> bool:
        self.fresh -= 1
        return self.fresh >= 0

    def _add(self, body: Json) -> tuple[int, Json]:
        [url] = body["peerURLs"]
        if any(member.peer == url for member in self.members):
            return 400, {"error": "etcdserver: Peer URLs already exists", "code": 9}
        if body["isLearner"] and any(member.learner for member in self.members):
            return 400, {"error": "etcdserver: too many learner members in cluster", "code": 9}
        if self._too_fresh():
            return UNHEALTHY
        self.writes.append(("add", body))
        self.members.append(FakeMember(str(200 + len(self.members)), "", url, learner=body["isLearner"]))
        return 200, {}

    def _remove(self, body: Json) -> tuple[int, Json]:
        if self._too_fresh():
            return UNHEALTHY
        self.writes.append(("remove", body))
        self.members = [member for member in self.members if member.id != body["ID"]]
        return 200, {}

    def _update(self, body: Json) -> tuple[int, Json]:
        self.writes.append(("update", body))
        next(member for member in self.members if member.id == body["ID"]).peer = body["peerURLs"][0]
        return 200, {}

    def _promote(self, body: Json) -> tuple[int, Json]:
        member = next(member for member in self.members if member.id == body["ID"])
        if member.behind:
            member.behind -= 1
            return 400, {"error": "etcdserver: can only promote a learner member which is in sync with leader", "code": 9}
        self.writes.append(("promote", body))
        member.learner = False
        return 200, {}

    def _range(self, body: Json) -> tuple[int, Json]:
        first, end = (base64.b64decode(body[name]).decode() for name in ("key", "range_end"))
        found = {key: value for key, value in self.keys.items() if first <= key < end}
        return 200, {"kvs": [{"key": _encoded(key), "value": _encoded(value)} for key, value in found.items()]} if found else {}


def peer(name: str) -> str:
    """The peer URL of a member."""
    return f"https://{name}.example:2380"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _shown(member: FakeMember) -> Json:
    started = {"name": member.name, "clientURLs": [f"http://127.0.0.1:{member.port}"]} if member.name else {}
    return {"ID": member.id, "peerURLs": [member.peer], **({"isLearner": True} if member.learner else {}), **started}


def _handler(etcd: FakeEtcd) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: t.Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            port = t.cast("tuple[str, int]", self.server.server_address)[1]
            if any(member.mute and member.port == port for member in etcd.members):
                self.close_connection = True
                return
            status, said = etcd.answer(self.path, body, port)
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


@contextlib.contextmanager
def fake_etcd(*names: str, spare: int = 1) -> t.Iterator[FakeEtcd]:
    """A :class:`FakeEtcd` that listens, with ports to spare for members that join. Nothing unexpected may have been asked afterwards."""
    etcd = FakeEtcd(names)
    with contextlib.ExitStack() as stack:
        for _number in range(len(names) + spare):
            server = stack.enter_context(_Server(("127.0.0.1", 0), _handler(etcd)))
            etcd.ports.append(server.server_address[1])
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            stack.callback(server.shutdown)
        for member, port in zip(etcd.members, etcd.ports, strict=False):
            member.port = port
        yield etcd
    assert etcd.unexpected == []

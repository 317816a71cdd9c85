# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon made of dictionaries: it keeps instances, ETags and files, and refuses what a test scripts it to refuse."""

from __future__ import annotations

import copy
import itertools
import threading
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict, WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import ENGINES

ADDRESS = "10.87.0.101"
POWER = {"start": "Running", "stop": "Stopped", "freeze": "Frozen", "unfreeze": "Running"}


class FakeDaemon:
    """Stands in for client.Lxd in unit tests."""

    engine = ENGINES["lxd"]
    where = "unix:/fake.socket"
    project = "generalbots"

    def __init__(self) -> None:
        self.instances: dict[str, dict[str, t.Any]] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.calls: list[str] = []
        self.refuse: dict[str, t.Callable[[dict[str, t.Any]], str | None]] = {}
        self.meddle: t.Callable[[str], None] = lambda name: None
        self.boots = True
        self.has_address = True
        self.stops = True
        self.metrics = ""
        #: members of the engine's cluster, as LXD lists them
        self.cluster: list[dict[str, t.Any]] = []
        self.active_units = "active\nactive\n"
        self.running_now = 0
        self.most_at_once = 0
        self._versions: dict[str, int] = {}
        self._count = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, name: str, status: str = "Running", component: str | None = "botserver", **config: str) -> dict[str, t.Any]:
        """Put an instance there."""
        keys = {"user.gb.component": component} if component else {}
        keys.update({key.replace("__", "."): value for key, value in config.items()})
        self.instances[name] = {"name": name, "status": status, "config": keys, "devices": {}, "profiles": ["default"]}
        return self.instances[name]

    def get(self, path: str, **query: str) -> tuple[t.Any, str]:
        if path == "":
            return {"environment": {"server_clustered": bool(self.cluster)}}, ""
        if path == "cluster/members" and query == {"recursion": "1"}:
            return self.cluster, ""
        if path == "instances":
            return [self._view(raw) for raw in self.instances.values()], ""
        name = path.split("/")[1]
        if name not in self.instances:
            raise ApiError(f"no {path}", status=404)
        if path.endswith("/state"):
            return self._state(self.instances[name]), ""
        found = copy.deepcopy(self.instances[name]), str(self._versions.get(name, 0))
        self.meddle(name)
        return found

    def get_text(self, path: str) -> str:
        assert path == "metrics"
        return self.metrics

    def put(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 1.0, **query: str) -> None:
        name = path.split("/")[1]
        if etag != str(self._versions.get(name, 0)):
            raise Conflict("changed meanwhile", status=412)
        self._may("update", body)
        self.calls.append(f"update {name}")
        self.instances[name].update(copy.deepcopy({key: body[key] for key in ("config", "devices", "profiles")}))
        self.touch(name)

    def post(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 1.0, **query: str) -> None:
        self._may("create", body)
        with self._lock:
            self.running_now += 1
            self.most_at_once = max(self.most_at_once, self.running_now)
        threading.Event().wait(0.01)
        with self._lock:
            self.running_now -= 1
        self.calls.append(f"create {body['name']}" + (f" on {query['target']}" if query else ""))
        self.instances[body["name"]] = {"status": "Stopped", "profiles": ["default"], **copy.deepcopy(body)}

    def delete(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 1.0, **query: str) -> None:
        name = path.split("/")[1]
        self.calls.append(f"delete {name}")
        del self.instances[name]

    def start(self, method: str, path: str, body: t.Any = None, *, etag: str = "", **query: str) -> str:
        assert (method, path.split("/")[2]) == ("put", "state")
        name = path.split("/")[1]
        self.calls.append(f"{body['action']}{' by force' if body['force'] else ''} {name}")
        self._may(body["action"], self.instances[name])
        if body["action"] == "stop" and not self.stops and not body["force"]:
            raise WaitTimeout("still running", last_seen="Running")
        self.instances[name]["status"] = POWER[body["action"]] if body["action"] != "start" or self.boots else "Stopped"
        return f"operation-{next(self._count)}"

    def wait(self, operation: str, timeout: float = 1.0, *, what: str = "") -> None:
        assert operation.startswith("operation-") and timeout > 0

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 1.0) -> tuple[int, str, str]:
        self.calls.append(f"exec {instance} {' '.join(argv)}")
        if argv[1] == "is-system-running":
            return 0, "running\n", ""
        return 0, self.active_units, ""

    def read_file(self, instance: str, path: str) -> bytes | None:
        return self.files.get((instance, path))

    def write_file(self, instance: str, path: str, content: bytes, *, mode: str = "0600", uid: int = 0, gid: int = 0) -> None:
        self.calls.append(f"write {instance} {path} {mode}")
        self.files[instance, path] = content

    def touch(self, name: str) -> None:
        """Another ETag for the instance, as after any change."""
        self._versions[name] = self._versions.get(name, 0) + 1

    def _may(self, verb: str, body: dict[str, t.Any]) -> None:
        refuse = self.refuse.get(verb)
        reason = refuse(body) if refuse else None
        if reason:
            raise ApiError(f"refused: {reason}", status=400, reason=reason)

    def _view(self, raw: dict[str, t.Any]) -> dict[str, t.Any]:
        return copy.deepcopy({**raw, "expanded_config": raw["config"], "last_used_at": "2026-01-02T03:04:05.5Z", "state": self._state(raw)})

    def _state(self, raw: dict[str, t.Any]) -> dict[str, t.Any]:
        card = {"addresses": [{"family": "inet", "scope": "global", "address": ADDRESS}]} if self.has_address else {"addresses": []}
        return {"status": raw["status"], "network": {"eth0": card}, "cpu": {"usage": 5_000_000_000}}

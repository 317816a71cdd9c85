# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small world for runs of the autoscaler: LXD with instances, profiles and ETags, load balancers and gates, and a clock.

It can be told to let the run die at any moment: before or after the n-th thing that changes the world. Whatever the run still
tries after that does not happen, as after a kill -9.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import threading
import typing as t
from urllib.parse import urlsplit

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import How
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.inputs import given
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import Job, Ports
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import ENGINES
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import FleetSpec
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import load
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock

START = 1_760_000_000.0
IMAGE = "gb/botserver/v1"
SUBNET = "10.87.0.0/24"


class Killed(BaseException):
    """The run is dead from here on."""


class World:
    """Everything that a run reads and changes; the same calls as client.Lxd."""

    engine = ENGINES["lxd"]
    where = "unix:/fake.socket"
    project = "gb"

    def __init__(self, proxies: t.Sequence[str] = ("proxy-1",)) -> None:
        self.time = START
        self.objects: dict[str, dict[str, t.Any]] = {
            "projects/gb": {"name": "gb", "config": {"user.gb.image.botserver": IMAGE}},
            "profiles/default": {"name": "default", "config": {}},
        }
        self.closed: set[str] = set()
        #: those that answer as healthy although their gate is closed
        self.ajar: set[str] = set()
        self.ill: set[str] = set()
        #: those of them that a start anew cures
        self.stuck: set[str] = set()
        self.in_flight: dict[str, int] = {}
        #: when the load balancers were last reloaded, in seconds since the epoch
        self.reloaded: float | None = None
        self.silent: set[str] = set()
        self.effects: list[str] = []
        self.die_at: tuple[int, str] | None = None
        self.dead = False
        self.gone_at: int | None = None
        self.refuse: dict[str, str] = {}
        self.requests = 0
        #: what members of the database say of their primary; empty: nobody leads
        self.primary = ""
        self._lock = threading.RLock()
        for name in proxies:
            self.add(name, component="proxy")

    # --- what tests arrange and ask ---------------------------------------------------------------------------------

    def add(self, name: str, status: str = "Running", component: str = "botserver", **config: str) -> None:
        """Put an instance there."""
        keys = {"user.gb.component": component, **({"user.gb.slot": name.rpartition("-")[2]} if component == "botserver" else {}), **config}
        self.objects[f"instances/{name}"] = {
            "name": name,
            "status": status,
            "config": keys,
            "devices": {},
            "profiles": ["default"],
            "last_used_at": "2025-10-09T00:00:00Z",
        }

    def fleet(self, *slots: int, state: str = "active", status: str = "Running", **config: str) -> None:
        """Put instances of the fleet there."""
        for slot in slots:
            self.add(f"botserver-{slot}", status, **{"user.gb.state": state, "user.gb.image": "v1", **config})

    def slots(self) -> dict[str, list[int]]:
        """Slots by what is marked and by power: ``{"active Running": [1, 2]}``."""
        found: dict[str, list[int]] = {}
        for path, one in sorted(self.objects.items()):
            if path.startswith("instances/botserver-"):
                words = f"{one['config'].get('user.gb.state', 'unmarked')} {one['status']}"
                found.setdefault(words, []).append(int(one["config"]["user.gb.slot"]))
        return {words: sorted(slots) for words, slots in found.items()}

    def config(self, path: str = "profiles/gb-autoscale") -> dict[str, str]:
        """The config keys of an object."""
        return dict(self.objects[path]["config"])

    def remembered(self) -> dict[str, t.Any]:
        """The recorded state."""
        return t.cast("dict[str, t.Any]", json.loads(self.config()["user.gb.autoscale"]))

    def revive(self, after: float = 400.0) -> None:
        """The run that died is gone, and so is its lock by then."""
        self.die_at, self.dead, self.effects = None, False, []
        self.time += after

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds

    # --- effects ----------------------------------------------------------------------------------------------------

    def _effect(self, words: str, change: t.Callable[[], None]) -> None:
        """Change the world, unless the run dies first."""
        with self._lock:
            if self.dead:
                raise Killed(words)
            number = len(self.effects)
            self._answer()
            self._die_if((number, "before"), words)
            reason = next((why for start, why in self.refuse.items() if words.startswith(start)), None)
            if reason is not None:
                raise ApiError(f"LXD refused: {reason}", status=400, reason=reason)
            self.effects.append(words)
            change()
            self._die_if((number, "after"), words)

    def _answer(self) -> None:
        """The daemon answers, unless it is gone from here on."""
        if self.gone_at is not None and len(self.effects) >= self.gone_at:
            raise Unreachable("LXD at unix:/fake.socket gave no answer: connection refused")

    def _die_if(self, moment: tuple[int, str], words: str) -> None:
        if self.die_at == moment:
            self.dead = True
            raise Killed(f"{moment[1]} {words}")

    # --- the calls of client.Lxd ------------------------------------------------------------------------------------

    def get(self, path: str, **query: str) -> tuple[t.Any, str]:
        """An object or all instances, with the ETag."""
        with self._lock:
            self.requests += 1
            self._answer()
            if path == "instances":
                return [self._view(one) for key, one in sorted(self.objects.items()) if key.startswith("instances/")], ""
            known = path.removesuffix("/state")
            if known not in self.objects:
                raise ApiError(f"no {path}", status=404)
            found = copy.deepcopy(self.objects[known])
            return found, _etag(found)

    def get_text(self, path: str) -> str:
        """The metrics: every instance uses a quarter of its memory."""
        self.requests += 1
        self._answer()
        lines = []
        for key in self.objects:
            name = key.rpartition("/")[2]
            for metric, value in (("MemTotal", 400), ("MemAvailable", 300)) if key.startswith("instances/") else ():
                lines.append(f'lxd_memory_{metric}_bytes{{name="{name}",project="gb",type="container"}} {value}')
        return "\n".join(lines) + "\n"

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return path in self.objects

    def put(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 1.0) -> None:
        """Replace an object under its ETag."""

        def change() -> None:
            if etag and etag != _etag(self.objects[path]):
                raise Conflict("changed meanwhile", status=412)
            kept = ("config", "devices", "profiles")
            self.objects[path].update(copy.deepcopy({key: body[key] for key in kept if key in body}))

        self._effect(f"put {path}", change)

    def post(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 1.0) -> None:
        """Create an instance or a profile."""

        def change() -> None:
            if f"{path}/{body['name']}" in self.objects:
                raise ApiError("it exists", status=409)
            made = {"status": "Stopped", "profiles": ["default"], "devices": {}, "last_used_at": "", **copy.deepcopy(body)}
            self.objects[f"{path}/{body['name']}"] = made

        self._effect(f"post {path}/{body['name']}", change)

    def delete(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 1.0) -> None:
        """Delete an object."""
        self._effect(f"delete {path}", lambda: self.objects.__delitem__(path))

    def start(self, method: str, path: str, body: t.Any = None, *, etag: str = "") -> str:
        """Change the power state of an instance."""
        name = path.split("/")[1]

        def change() -> None:
            there = self.objects[f"instances/{name}"]
            if body["action"] == "start" and there["status"] != "Stopped":
                raise ApiError("LXD refused: The instance is already running", status=400, reason="The instance is already running")
            there["status"] = {"start": "Running", "stop": "Stopped", "unfreeze": "Running"}[body["action"]]
            if body["action"] == "unfreeze":
                return
            if body["action"] == "start":
                self.ill -= self.stuck & {name}
                there["last_used_at"] = datetime.datetime.fromtimestamp(self.time, datetime.UTC).isoformat()
            self.closed.discard(name)

        self._effect(f"{body['action']} {name}", change)
        return "operation"

    def wait(self, operation: str, timeout: float = 1.0, *, what: str = "") -> None:
        """Everything is done at once."""

    def write_file(self, instance: str, path: str, content: bytes, *, mode: str = "0600", uid: int = 0, gid: int = 0) -> None:
        """Write a file."""
        self._effect(f"write {instance}", lambda: None)

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 1.0) -> tuple[int, str, str]:
        """A gate's units, or what a load balancer is asked."""
        if argv[0] == "systemctl":
            change = self.closed.add if argv[1] == "stop" else self.closed.discard
            self._effect(f"{argv[1]}-gate {instance}", lambda: change(instance))
            return 0, "", ""
        if instance in self.silent:
            raise Unreachable(f"{instance} gave no answer")
        if instance.startswith("postgres-"):
            return 0, self._patroni(), ""
        return self._asked(argv[3], list(argv[4:]))

    def _patroni(self) -> str:
        name, timeline, since = self.primary.split(maxsplit=2) if self.primary else ("", "", "")
        leader = {"state": "running", "timeline": int(timeline), "postmaster_start_time": since} if name else None
        return json.dumps({"cluster": {"members": [{"name": name, "role": "leader"}] if name else []}, "leader": leader})

    def _asked(self, what: str, words: list[str]) -> tuple[int, str, str]:
        gates = [word for word in words if word.startswith("http://")]
        if what == "wait":
            # Either all are healthy at once, or the whole time passes.
            if all(self._healthy(url) for url in gates):
                return 0, self._said(gates), ""
            self.sleep(float(words[0]))
            return 0, self._said(gates), ""
        listed = [{"address": _address(name) + ":8080", "num_requests": count, "fails": 0} for name, count in self.in_flight.items()]
        loaded = "" if self.reloaded is None else f"caddy_config_last_reload_success_timestamp_seconds {self.reloaded}\n"
        admin = (
            f"caddy_x 1\n{loaded}@@ 200 http://localhost/metrics\n{json.dumps(listed)}\n@@ 200 http://localhost/reverse_proxy/upstreams\n"
        )
        return 0, admin + self._said(gates), ""

    def _said(self, gates: t.Sequence[str]) -> str:
        return "".join(f"@@ {200 if self._healthy(url) else '000'} {url}\n" for url in gates)

    def _healthy(self, url: str) -> bool:
        host = urlsplit(url).hostname or ""
        name = f"botserver-{int(host.rpartition('.')[2]) - 100}"
        one = self.objects.get(f"instances/{name}")
        return one is not None and one["status"] == "Running" and name not in (self.closed - self.ajar) | self.ill

    def _view(self, one: dict[str, t.Any]) -> dict[str, t.Any]:
        state = {"status": one["status"], "cpu": {"usage": 5_000_000_000}}
        config = {**one["config"], "limits.cpu": "1", "limits.memory": "400B"}
        return copy.deepcopy({**one, "expanded_config": config, "state": state})


def _address(name: str) -> str:
    return f"10.87.0.{100 + int(name.rpartition('-')[2])}"


def _etag(value: t.Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


SETTINGS: t.Mapping[str, t.Any] = {
    "scale-enabled": True,
    "scale-min-instances": 1,
    "scale-max-instances": 4,
    "health-interval": 1,
    "health-timeout": 1,
    "health-retries": 2,
    "health-endpoint": "/api/health",
}


def job(world: World, settings: t.Mapping[str, t.Any] | None = None, **more: t.Any) -> Job:
    """A job for this world; keywords that How or FleetSpec have go there."""
    values = load("", "test", {**SETTINGS, **(settings or {})}).values
    spec = {name: more.pop(name) for name in ("drain_timeout", "max_slots", "environment") if name in more}
    how = {name: more.pop(name) for name in ("drain_policy", "keeps", "health_timeout", "stop_timeout") if name in more}
    fleet = FleetSpec(SUBNET, "gbbr0", **{"environment": {"A": "b"}, "drain_timeout": 30.0, **spec})
    made = How(fleet, Health(uri="/", port=8079), **how)
    return Job("gb", made, lambda _last: given(values), **{"holder": "run-1", **more})


def ports(world: World) -> Ports:
    """The world's time."""
    return Ports(now=lambda: world.time, clock=Clock(lambda: world.time, world.sleep))

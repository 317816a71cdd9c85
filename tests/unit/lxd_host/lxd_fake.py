# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An LXD daemon in a dictionary, for tests of hosts, images and the inventory: same calls as ``module_utils/lxd/client.py: Lxd``.

It keeps instances, profiles, images, projects, networks and storage pools, hands out ETags and insists on them, runs
operations at once, refuses what a test tells it to refuse, and remembers every request in ``requests``.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import hashlib
import json
import pathlib
import typing as t
from urllib.parse import parse_qs

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import engine_named

Json = dict[str, t.Any]

STATUS_CODES = {"Running": 103, "Stopped": 102, "Frozen": 110, "Error": 112}


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    body: t.Any
    query: t.Mapping[str, str]
    etag: str


@dataclasses.dataclass
class Refusal:
    """What a test wants refused: a method, a pattern of paths, and the daemon's words."""

    method: str
    pattern: str
    reason: str
    status: int
    times: int | None
    in_operation: bool

    def takes(self, method: str, path: str) -> bool:
        """Whether this refusal applies to the request; counts itself down if it does."""
        if self.method != method or not fnmatch.fnmatch(path, self.pattern) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FakeLxd:
    """See the module's text. ``objects`` maps ``project:path`` to what stands there; global things are in ``default``."""

    def __init__(self, project: str = "generalbots", *, engine: str = "lxd", drivers: t.Sequence[str] = ("btrfs", "dir")) -> None:
        self.engine = engine_named(engine)
        self.where = "unix:/fake.socket"
        self.project = project
        self.drivers = list(drivers)
        self.objects: dict[str, Json] = {}
        self.requests: list[Request] = []
        self.refusals: list[Refusal] = []
        self.states: dict[str, Json] = {}
        self.before_write: t.Callable[[str, str], None] = lambda method, path: None
        self._operations: dict[str, t.Any] = {}
        self.add("projects/default", config={"features.images": "true", "features.profiles": "true"})
        self.add("profiles/default", project="default")

    # -- what tests arrange ------------------------------------------------------------------------------------------

    def add_project(self, **config: str) -> None:
        """The project of this connection as the role lxd_host leaves it, with its profile."""
        features = {"features.images": "false", "features.profiles": "true", "features.networks": "false"}
        self.add(f"projects/{self.project}", config={**features, **config})
        self.add(
            "profiles/default", devices={"root": {"type": "disk", "path": "/", "pool": "gb"}, "eth0": {"type": "nic", "network": "gbbr0"}}
        )

    def add(self, path: str, *, project: str = "", **fields: t.Any) -> Json:
        """Put an object there, with the fields that the daemon would fill in."""
        collection, _slash, name = path.partition("/")
        base: Json = {"name": name, "description": "", "config": {}, "used_by": []}
        more: dict[str, Json] = {
            "profiles": {"devices": {}},
            "networks": {"type": "bridge", "managed": True},
            "storage-pools": {"driver": "dir", "status": "Created"},
        }
        base.update(more.get(collection, {}))
        if collection == "instances":
            base = self._instance({"name": name})
        self.objects[self._key(path, project or self.project)] = {**base, **copy.deepcopy(fields)}
        return self.objects[self._key(path, project or self.project)]

    def add_instance(
        self, name: str, *, status: str = "Running", config: Json | None = None, devices: Json | None = None, **fields: t.Any
    ) -> Json:
        """An instance of this project; its expanded configuration is the profile's with its own over it."""
        made = self._instance({"name": name, "config": config or {}, "devices": devices or {}, **fields})
        made.update(status=status, status_code=STATUS_CODES.get(status, 0))
        self.objects[self._key(f"instances/{name}", self.project)] = made
        return made

    def add_image(self, alias: str, *, fingerprint: str = "", **properties: str) -> str:
        """An image with one alias (or none for ""); returns its fingerprint."""
        finger = fingerprint or hashlib.sha256(f"{alias}{len(self.objects)}".encode()).hexdigest()
        aliases = [{"name": alias, "description": ""}] if alias else []
        image = {
            "fingerprint": finger,
            "aliases": aliases,
            "properties": properties,
            "size": 1,
            "uploaded_at": f"2026-01-01T00:00:{len(self.objects):02d}Z",
        }
        self.objects[self._key(f"images/{finger}", self.project)] = image
        return finger

    def refuse(
        self, method: str, pattern: str, reason: str, *, status: int = 400, times: int | None = None, in_operation: bool = False
    ) -> None:
        """Refuse requests whose path matches, at once or as an operation that fails."""
        self.refusals.append(Refusal(method, pattern, reason, status, times, in_operation))

    def sent(self, *methods: str) -> list[tuple[str, str]]:
        """Method and path of the requests so far; without methods, of all that write."""
        wanted = methods or ("post", "put", "patch", "delete")
        return [(request.method, request.path) for request in self.requests if request.method in wanted]

    def at(self, path: str, project: str = "") -> Json:
        """The object itself, for assertions and arrangements."""
        return self.objects[self._key(path, project or self.project)]

    # -- the calls of Lxd --------------------------------------------------------------------------------------------

    def get(self, path: str, **query: str) -> tuple[t.Any, str]:
        """The object or collection at ``path`` and its ETag."""
        self._note("get", path, None, query, "")
        found = copy.deepcopy(self._read(path, query))
        return found, _etag(found)

    def exists(self, path: str, **query: str) -> bool:
        """Whether there is an object at ``path``."""
        try:
            self.get(path, **query)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def put(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 0.0, **query: str) -> t.Any:
        """Replace an object, or an instance's state."""
        return self.wait(self.start("put", path, body, etag=etag, **query), timeout)

    def patch(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 0.0, **query: str) -> t.Any:
        """Change keys of an object."""
        return self.wait(self.start("patch", path, body, etag=etag, **query), timeout)

    def post(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 0.0, **query: str) -> t.Any:
        """Create an object."""
        return self.wait(self.start("post", path, body, etag=etag, **query), timeout)

    def delete(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = 0.0, **query: str) -> t.Any:
        """Delete an object."""
        return self.wait(self.start("delete", path, body, etag=etag, **query), timeout)

    def start(self, method: str, path: str, body: t.Any = None, *, etag: str = "", **query: str) -> str:
        """Do it at once; the outcome waits under the operation's id."""
        body = copy.deepcopy(body)
        self._note(method, path, body, query, etag)
        self.before_write(method, path)
        operation = f"op-{len(self._operations) + 1}"
        for refusal in self.refusals:
            if refusal.takes(method, path):
                error = self._error(refusal.status, method, path, refusal.reason)
                if not refusal.in_operation:
                    raise error
                self._operations[operation] = error
                return operation
        if etag and _etag(self._read(path, query)) != etag:
            raise self._error(412, method, path, "ETag doesn't match")
        self._operations[operation] = getattr(self, f"_{method}")(path, body, query)
        return operation

    def wait(self, operation: str, timeout: float = 0.0, *, what: str = "") -> t.Any:
        """The outcome of an operation."""
        outcome = self._operations[operation] if operation else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def import_image(self, metadata: str, rootfs: str, properties: str, *, timeout: float) -> t.Any:
        """Import an image from files; its fingerprint is the hash of what they hold, and there may be none of it yet."""
        self._note("post", "images", {"metadata": metadata, "rootfs": rootfs}, {}, "")
        self.before_write("post", "images")
        fingerprint = hashlib.sha256(pathlib.Path(metadata).read_bytes() + pathlib.Path(rootfs).read_bytes()).hexdigest()
        if self._key(f"images/{fingerprint}", self.project) in self.objects:
            raise self._error(400, "post", "images", "Image with same fingerprint already exists")
        self.add_image("", fingerprint=fingerprint, **{key: values[0] for key, values in parse_qs(properties).items()})
        return {"fingerprint": fingerprint}

    # -- how it answers ----------------------------------------------------------------------------------------------

    def _note(self, method: str, path: str, body: t.Any, query: dict[str, str], etag: str) -> None:
        # Of a project that is not there LXD lists no instances; anything else it refuses.
        if path.startswith(("images", "instances", "networks", "profiles")) and (method, path) != ("get", "instances"):
            self._find(f"projects/{query.get('project', self.project)}", "default")
        self.requests.append(Request(method, path, body, dict(query), etag))

    def _error(self, status: int, method: str, path: str, reason: str) -> ApiError:
        kind = Conflict if status == 412 else ApiError
        return kind(f"{self.engine.title} at {self.where} refused {method} {path} ({status}): {reason}", status=status, reason=reason)

    def _key(self, path: str, project: str) -> str:
        head = path.partition("/")[0]
        config = self.objects.get(f"default:projects/{project}", {}).get("config", {})
        own = {
            "instances": True,
            "profiles": config.get("features.profiles", "true") == "true",
            "images": config.get("features.images") == "true",
        }
        return f"{project if own.get(head, False) else 'default'}:{path}"

    def _read(self, path: str, query: t.Mapping[str, str]) -> t.Any:
        project = query.get("project", self.project)
        if path == "":
            return {"environment": {"storage_supported_drivers": [{"Name": name} for name in self.drivers], "server_version": "5.0.2"}}
        if path.startswith("images/aliases"):
            return self._read_alias(path, project)
        if path.startswith("instances/") and path.endswith("/state"):
            return self._state(self._find(path.removesuffix("/state"), project))
        if "/" in path:
            return self._find(path, project)
        return self._list(path, project, query.get("recursion", "0"))

    def _list(self, collection: str, project: str, recursion: str) -> list[t.Any]:
        prefix = self._key(f"{collection}/", project)
        if f"default:projects/{project}" not in self.objects:
            return []
        found = {
            key.removeprefix("default:").removeprefix(f"{project}:"): value for key, value in self.objects.items() if key.startswith(prefix)
        }
        if recursion == "0":
            return [f"/1.0/{path}" for path in found]
        if collection == "instances" and recursion == "2":
            return [{**value, "state": self._state(value), "snapshots": None, "backups": None} for value in found.values()]
        return list(found.values())

    def _find(self, path: str, project: str) -> Json:
        try:
            return self.objects[self._key(path, project)]
        except KeyError:
            raise self._error(404, "get", path, f"{path.partition('/')[0].removesuffix('s').capitalize()} not found") from None

    def _read_alias(self, path: str, project: str) -> t.Any:
        name = path.removeprefix("images/aliases").removeprefix("/")
        pairs = [(alias["name"], image) for image in self._list("images", project, "1") for alias in image["aliases"]]
        listed = [{"name": alias, "description": "", "target": image["fingerprint"], "type": "container"} for alias, image in pairs]
        if not name:
            return listed
        for entry in listed:
            if entry["name"] == name:
                return entry
        raise self._error(404, "get", path, "Image alias not found")

    def _state(self, instance: Json) -> Json:
        running = instance["status"] == "Running"
        address = instance["expanded_devices"].get("eth0", {}).get("ipv4.address")
        addresses = [{"family": "inet", "address": address, "netmask": "24", "scope": "global"}] if address and running else []
        state = {
            "status": instance["status"],
            "status_code": instance["status_code"],
            "pid": 4711 if running else 0,
            "processes": 12 if running else 0,
            "cpu": {"usage": 1_000_000_000 if running else 0},
            "memory": {"usage": 50_000_000 if running else 0, "usage_peak": 0, "total": 0},
            "network": {"eth0": {"addresses": addresses, "state": "up", "type": "broadcast"}} if running else None,
        }
        return {**state, **self.states.get(instance["name"], {})}

    def _instance(self, body: Json) -> Json:
        profile = self.objects.get(self._key("profiles/default", self.project), {})
        config, devices = dict(body.get("config") or {}), dict(body.get("devices") or {})
        return {
            "architecture": "x86_64",
            "created_at": "2026-01-01T00:00:00Z",
            "description": "",
            "ephemeral": False,
            "last_used_at": "2026-01-01T00:00:00Z",
            "location": "none",
            "profiles": ["default"],
            "project": self.project,
            "stateful": False,
            "status": "Stopped",
            "status_code": STATUS_CODES["Stopped"],
            "type": "container",
            **{key: value for key, value in body.items() if key not in ("source", "start")},
            "config": config,
            "devices": devices,
            "expanded_config": {**profile.get("config", {}), **config},
            "expanded_devices": {**profile.get("devices", {}), **devices},
        }

    def _strings(self, method: str, path: str, body: t.Any) -> None:
        for key, value in ((body or {}).get("config") or {}).items():
            if not isinstance(value, str):
                raise self._error(400, method, path, f"json: cannot unmarshal {type(value).__name__} into config key {key}: string wanted")

    def _post(self, path: str, body: Json, query: dict[str, str]) -> t.Any:
        project = query.get("project", self.project)
        self._strings("post", path, body)
        if path == "images/aliases":
            image = self._find(f"images/{body['target']}", project)
            image["aliases"].append({"name": body["name"], "description": body.get("description", "")})
            return None
        if path == "images":
            return self._post_image(body, project)
        if self._key(f"{path}/{body['name']}", project) in self.objects:
            raise self._error(409, "post", path, f"The {path} already holds {body['name']!r}")
        if path == "instances":
            return self._post_instance(body, project)
        fields = {key: value for key, value in body.items() if key != "name"}
        self.add(f"{path}/{body['name']}", project=project, **fields)
        if path == "projects" and body.get("config", {}).get("features.profiles", "true") == "true":
            self.add("profiles/default", project=body["name"])
        return None

    def _post_instance(self, body: Json, project: str) -> None:
        made = self._instance(body)
        source = body.get("source", {})
        if source.get("type") == "image":
            image = self._image(source, project)
            made["config"]["volatile.base_image"] = image["fingerprint"]
            made["config"].update({f"image.{key}": value for key, value in image["properties"].items()})
        made["expanded_config"].update(made["config"])
        self.objects[self._key(f"instances/{body['name']}", project)] = made

    def _image(self, source: Json, project: str) -> Json:
        if source.get("fingerprint"):
            return self._find(f"images/{source['fingerprint']}", project)
        alias = self._read_alias(f"images/aliases/{source['alias']}", project)
        return self._find(f"images/{alias['target']}", project)

    def _post_image(self, body: Json, project: str) -> Json:
        source = body["source"]
        if source["type"] == "instance":
            origin = self._find(f"instances/{source['name']}", project)
            if origin["status"] != "Stopped":
                raise self._error(400, "post", "images", "The instance is running; stop it first")
        fingerprint = self.add_image("", **body.get("properties", {}))
        image = self.at(f"images/{fingerprint}")
        image["aliases"] = [dict(alias) for alias in body.get("aliases", [])]
        return {"fingerprint": fingerprint}

    def _put(self, path: str, body: Json, query: dict[str, str]) -> None:
        project = query.get("project", self.project)
        self._strings("put", path, body)
        self._replace(path, project, {**self._find(path, project), **body})

    def _patch(self, path: str, body: Json, query: dict[str, str]) -> None:
        project = query.get("project", self.project)
        self._strings("patch", path, body)
        found = self._find(path, project)
        merged = {**found, **body}
        for part in ("config", "devices", "properties"):
            if part in body and part in found:
                merged[part] = {**found[part], **body[part]}
        if "config" in merged:
            merged["config"] = {key: value for key, value in merged["config"].items() if value != ""}
        self._replace(path, project, merged)

    def _replace(self, path: str, project: str, fields: Json) -> None:
        if path.startswith("instances/"):
            fields = self._instance(fields)
        self.objects[self._key(path, project)] = fields

    def _delete(self, path: str, body: t.Any, query: dict[str, str]) -> None:
        project = query.get("project", self.project)
        if path.startswith("images/aliases/"):
            name = path.removeprefix("images/aliases/")
            image = self._find(f"images/{self._read_alias(path, project)['target']}", project)
            image["aliases"] = [alias for alias in image["aliases"] if alias["name"] != name]
            return
        found = self._find(path, project)
        if path.startswith("instances/") and found["status"] == "Running":
            raise self._error(400, "delete", path, "The instance is currently running, stop it first or pass --force")
        if path.startswith("projects/"):
            if self._list("instances", path.removeprefix("projects/"), "0"):
                raise self._error(400, "delete", path, "Only empty projects can be removed")
        elif found.get("used_by"):
            raise self._error(400, "delete", path, "The thing is currently in use")
        del self.objects[self._key(path, project)]


def _etag(value: t.Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]

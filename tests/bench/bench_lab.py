# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place of the benches' own on this machine's LXD: project, bridge and subnet, made for a run and removed after it.

Images and the storage pool are the deployment's. Nothing outside of the project is read but those, and nothing changed.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

from underload import RunningLoad, running_load

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import place
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.lock import STATE_KEY
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import from_json
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import FleetSpec, plan_fleet, slots
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet_run import execute, look_at
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.images import image_key
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import RunOptions, observe
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import edit, read
from tools.authority import root_certificate

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.executable).parent

PROJECT = "gb-bench"
BRIDGE = "gbbench0"
SUBNET = "10.86.0.0/24"
MARK = "Benches of generalbots.scaling"
HTTP_PORT, HTTPS_PORT = 28080, 28443
SITE = f"https://localhost:{HTTPS_PORT}"
GATE_PORT, HEALTH_PATH = 8079, "/api/health"
MAX_INSTANCES = 4
#: enough for the demo botserver, and thirty of them fit on a small machine
LIMITS = {"cpu": "1", "memory": "256MiB"}
#: what the role botserver gives a demo botserver
ENVIRONMENT = {"PORT": "8080", "BOTSERVER_ENV": "production", "GB_DEMO_STANDALONE": "true", "GBO_WORK_PATH": "/opt/gbo/work"}
#: what the benches want otherwise than the demo's inventory
SETTINGS = {
    "scale-enabled": True,
    "scale-min-instances": 1,
    "scale-max-instances": MAX_INSTANCES,
    "scale-request-threshold": 600,
    "scale-cooldown-seconds": 0,
    "health-interval": 1,
    "health-timeout": 1,
}
#: seconds between two checks of Caddy's: a new instance waits half of that on average; config.csv counts in whole seconds
CHECK_INTERVAL = 0.25
LOAD_SECONDS = 1800.0


def environment() -> dict[str, str]:
    """The environment in which ``make`` runs a bench, for one that is run by hand, and our project for the inventory."""
    collections = str(ROOT / ".build/collections")
    made = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": collections, "PYLXD_WARNINGS": "none"}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**made, **os.environ, "PATH": path, "ANSIBLE_NOCOLOR": "1", "GB_LXD_PROJECT": PROJECT}


def seconds(work: t.Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def healthy(address: str, timeout: float = 0.25) -> bool:
    """Whether the gate at this address answers 200; asked directly, on a connection of its own."""
    connection = http.client.HTTPConnection(address, GATE_PORT, timeout=timeout)
    try:
        connection.request("GET", HEALTH_PATH)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclasses.dataclass(frozen=True)
class Lab:
    """The place. ``lxd`` is bound to its project; ``folder`` takes logs and reports; ``image`` is the demo botserver's golden image."""

    lxd: Lxd
    pool: str
    folder: pathlib.Path
    image: str = ""

    def run(self, *command: str, timeout: float = 600.0, stdin: str = "") -> str:
        """Run a program to its end within ``timeout`` seconds; returns its output, and fails with it for any exit code but 0."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        return done.stdout

    def module(self, name: str, **arguments: t.Any) -> str:
        """Run a module of the collection in our project by ansible."""
        return self.run("ansible", "localhost", "-m", f"generalbots.scaling.{name}", "-a", json.dumps({"project": PROJECT, **arguments}))

    def playbook(self, name: str, *, timeout: float = 900.0, **variables: t.Any) -> str:
        """Run a playbook of the collection with our variables, and more of them."""
        return self.run_playbook(ROOT / f"playbooks/{name}.yml", {**self.variables, **variables}, timeout)

    def run_playbook(self, path: pathlib.Path, variables: t.Mapping[str, t.Any], timeout: float = 900.0, *options: str) -> str:
        """Run any playbook with these variables, and further options of ansible-playbook."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{path.stem}.json"
        file.write_text(json.dumps(variables), encoding="utf-8")
        return self.run("ansible-playbook", str(path), "-e", f"@{file}", *options, timeout=timeout)

    @property
    def variables(self) -> dict[str, t.Any]:
        """What turns the demo's inventory into ours."""
        return {
            "gb_lxd_project": PROJECT,
            "gb_network": BRIDGE,
            "gb_subnet": SUBNET,
            "gb_pool": self.pool,
            "gb_publish_address": "127.0.0.1",
            "gb_publish_http_port": HTTP_PORT,
            "gb_publish_https_port": HTTPS_PORT,
            "gb_limits": LIMITS,
            # Nothing else that works while something is measured.
            "gb_postgres_members": 0,
            "gb_drain_timeout": 30,
            "gb_settings_overrides": SETTINGS,
            "caddy_health": {
                "uri": HEALTH_PATH,
                "port": GATE_PORT,
                "interval": CHECK_INTERVAL,
                "timeout": SETTINGS["health-timeout"],
                "fails": 3,
                "passes": 1,
            },
            "gb_secrets_dir": str(self.folder / "secrets"),
            "botserver_demo": True,
            "botserver_binary": "",
        }

    def prepare(self) -> None:
        """Make project and bridge."""
        self.module("lxc_host", pool={"name": self.pool}, network={"name": BRIDGE, "subnet": SUBNET}, description=MARK)

    def with_image(self) -> Lab:
        """This place with the golden image of the demo botserver, which is baked if it is missing.

        Not any image of botserver that this machine has: the newest may be the real program's, which needs what a bench has not.
        """
        self.run_playbook(ROOT / "playbooks/site.yml", self.variables, 900.0, "--tags", "images")
        project, _etag = self.lxd.get(f"projects/{PROJECT}", project="default")
        return dataclasses.replace(self, image=project["config"][image_key("botserver")])

    def remove(self) -> None:
        """Remove everything of ours, also what an interrupted run left; a project of that name that is not ours is refused."""
        try:
            project, _etag = self.lxd.get(f"projects/{PROJECT}", project="default")
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            assert project["description"] == MARK, f"The LXD project {PROJECT} was not made by the benches; rename or remove it."
            self.clear()
        self.module("lxc_host", state="absent", pool={"name": self.pool}, network={"name": BRIDGE, "subnet": SUBNET})

    def clear(self, component: str = "") -> None:
        """Delete every instance of our project, or those of a component that are stopped."""
        names = [
            one.name for one in observe(self.lxd).values() if not component or (one.component == component and one.status == "Stopped")
        ]
        with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(self.delete, names))

    def delete(self, name: str) -> None:
        """Delete an instance, whatever its state."""
        state, _etag = self.lxd.get(f"instances/{name}/state")
        if state["status"] != "Stopped":
            self.lxd.wait(self.lxd.start("put", f"instances/{name}/state", {"action": "stop", "timeout": -1, "force": True}), 60)
        self.lxd.delete(f"instances/{name}")

    def start(self, count: int) -> None:
        """Start botservers in the slots from 1, and wait until all are healthy."""
        spec = FleetSpec(SUBNET, BRIDGE, self.image, max_slots=count, limits=LIMITS, environment=ENVIRONMENT)
        numbers, look = look_at(self.lxd, spec, None, count, "started")
        wanted = plan_fleet(spec, numbers, look, "started")
        execute(self.lxd, wanted, RunOptions(), {"port": GATE_PORT, "path": HEALTH_PATH, "timeout": 180}, print)

    def active(self) -> list[int]:
        """The slots that serve."""
        return slots(observe(self.lxd), MAX_INSTANCES)["active"]

    def decision(self) -> dict[str, t.Any]:
        """What the autoscaler recorded last: ``action``, ``slot``, ``time`` in epoch seconds, and more."""
        state, note = from_json(read(self.lxd, place.PATH).get(STATE_KEY))
        assert state.decisions, f"The autoscaler has recorded no decision in project {PROJECT}. {note}"
        return dict(state.decisions[-1])

    def forget(self) -> None:
        """Take the autoscaler's memory away, so that no cooldown stands in the way of the next decision."""
        edit(self.lxd, place.where(self.lxd, write=True), lambda _keys: {STATE_KEY: None})

    def authority(self) -> pathlib.Path:
        """The certificate of Caddy's own authority, as a file."""
        path = self.folder / "ca.crt"
        path.write_bytes(root_certificate(self.lxd))
        return path

    def load(self, rate: float, path: str, websockets: int = 0) -> contextlib.AbstractContextManager[RunningLoad]:
        """Load on the site, requests per second; it ends with this block at the latest, and by itself after half an hour."""
        return running_load(SITE, self.authority(), rate=rate, seconds=LOAD_SECONDS, path=path, websockets=websockets)

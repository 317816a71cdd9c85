# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the autoscaler need: the topology, runs in this process or one that dies, playbooks, and load."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest
from scenario import ROOT, play, run_in
from underload import reported_load

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import place
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import RUN_SPEC, job_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import run
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import store
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import slots
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for
from tools.authority import root_certificate

HERE = pathlib.Path(__file__).resolve().parent
INVENTORY = HERE.parent / "inventory"
WORK = ROOT / ".build/autoscale"
PROJECT = "gb-auto"
URL = "https://localhost:18643"
#: as the role botserver gives a demo botserver
ENVIRONMENT = {"PORT": "8080", "BOTSERVER_ENV": "production", "GB_DEMO_STANDALONE": "true", "GBO_WORK_PATH": "/opt/gbo/work"}
#: as the scenario's inventory has it
LIMITS = {"cpu": "1", "cpu_allowance": "25ms/100ms", "memory": "128MiB"}
#: no rests, and nothing kept free for noise, which is most of a load of seconds: a test is not to wait for what only keeps a fleet calm
HASTY = {"stabilisation": 1, "warmup": 0, "margin": 0}


def parameters(**more: t.Any) -> dict[str, t.Any]:
    """The options of autoscale_run for the scenario's topology."""
    found = {name: option.get("default") for name, option in RUN_SPEC.options.items()}
    ours = {
        "project": PROJECT,
        "config_csv": str(INVENTORY / "config.csv"),
        "subnet": "10.89.0.0/24",
        "network": "gbauto0",
        "limits": LIMITS,
        "environment": ENVIRONMENT,
        "health_timeout": 40,
        "drain_timeout": 10,
        "options": HASTY,
        "decision_log": str(WORK / "decisions.jsonl"),
    }
    return {**found, **ours, **more}


class Site:
    """The topology under test."""

    def __init__(self, lxd: Lxd) -> None:
        self.lxd = lxd

    def play(self, name: str, *arguments: str) -> str:
        """Run a playbook of the collection, which must succeed; returns what it printed."""
        return play(name, INVENTORY, *arguments)

    def run(self, **options: t.Any) -> dict[str, t.Any]:
        """What autoscale_run does, without the seconds that Ansible takes to start."""
        return run(self.lxd, job_of(parameters(**options)))

    def scale(self, count: int) -> None:
        """Bring the fleet to a size in the lowest slots with none standing by, and forget what could hold the next step back."""
        wanted = {"active": list(range(1, count + 1))}

        def nearer() -> dict[str, list[int]]:
            if self.slots() != wanted:
                self.run(count=1, wait=True)
                for slot in [slot for state in ("warm", "failed") for slot in self.slots().get(state, ())]:
                    self.lxd.delete(f"instances/botserver-{slot}")
                # The lowest slot may be the one that went: a second one is started there, and the higher one taken in.
                self.run(count=count if self.slots()["active"] == [1] else 2)
            return self.slots()

        wait_for(f"the slots {wanted}", nearer, lambda seen: seen == wanted, timeout=180)
        self.forget()

    def forget(self) -> None:
        """Take away what the autoscaler remembers."""
        store.edit(self.lxd, place.where(self.lxd, write=True), lambda _keys: {"user.gb.autoscale": None})

    def tick_until(self, action: str, *, within: float = 60.0, **options: t.Any) -> dict[str, t.Any]:
        """Tick each second until a step is taken in that direction; returns the decision."""

        def tick() -> dict[str, t.Any]:
            return t.cast("dict[str, t.Any]", self.run(wait=True, **options)["decision"])

        return wait_for(f"a step {action}", tick, lambda seen: seen["action"] == action, timeout=within, interval=1.0)

    def remembered(self) -> dict[str, t.Any]:
        """The recorded state."""
        return t.cast("dict[str, t.Any]", json.loads(self.memory()["user.gb.autoscale"]))

    def memory(self) -> dict[str, str]:
        """The config keys by which the autoscaler remembers."""
        return dict(store.read(self.lxd, place.PATH))

    def slots(self) -> dict[str, list[int]]:
        """Slots by state, those states only in which there is one."""
        return {state: numbers for state, numbers in slots(observe(self.lxd), 4).items() if numbers and state != "free"}

    def config(self, name: str) -> dict[str, str]:
        """The config keys of an instance."""
        return dict(store.read(self.lxd, f"instances/{name}"))

    def inside(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must succeed; returns its output."""
        return run_in(self.lxd, name, *argv)

    def die(self, writes: int, **options: t.Any) -> str:
        """A run in a process of its own that is killed with -9 just after its n-th write to LXD.

        Returns what the write was, or nothing if the run had fewer of them and ended as it should.
        """
        given = json.dumps({"writes": writes, "parameters": parameters(**options)})
        done = subprocess.run([sys.executable, str(HERE / "dying_run.py")], input=given, text=True, capture_output=True, check=False)
        said = done.stdout.strip()
        assert done.returncode == (-9 if said else 0), f"it ended with {done.returncode}:\n{done.stdout}{done.stderr[-3000:]}"
        return said

    def load(
        self, rate: float, path: str = "/api/demo/echo", seconds: float = 90.0, websockets: int = 0
    ) -> contextlib.AbstractContextManager[dict[str, t.Any]]:
        """Load while the block runs, which ends with it; the mapping holds the report afterwards."""
        return reported_load(URL, WORK / "ca.crt", rate=rate, seconds=seconds, path=path, websockets=websockets)


@pytest.fixture(scope="session")
def site() -> Site:
    """The topology, with the certificate of its authority at hand and its own controller at rest."""
    lxd = connect({"engine": "lxd", "project": PROJECT})
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "decisions.jsonl").unlink(missing_ok=True)
    (WORK / "ca.crt").write_bytes(root_certificate(lxd))
    here = Site(lxd)
    here.inside("control-1", "systemctl", "stop", "gb-autoscale.timer")
    idle = ("systemctl", "show", "-P", "ActiveState", "gb-autoscale.service")
    ended = lambda seen: seen in ("inactive", "failed")  # noqa: E731
    wait_for("the tick of control-1 to end", lambda: here.inside("control-1", *idle).strip(), ended, timeout=120)
    return here


def since(begun: float) -> float:
    """Seconds."""
    return time.monotonic() - begun

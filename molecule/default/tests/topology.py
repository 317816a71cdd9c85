# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the topology need: instances as testinfra hosts, playbooks as a user runs them, and load."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import typing as t

import pytest
import testinfra
from scenario import ROOT, play, run_in
from underload import reported_load

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import slots
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe
from tools.authority import root_certificate

INVENTORY = ROOT / "molecule/inventory"
WORK = ROOT / ".build/molecule"
PROJECT = "gb-molecule"
MEMORY = "profiles/gb-autoscale"
URL = "https://localhost:18443"
MAX = 4


class Site:
    """The topology under test."""

    def __init__(self, lxd: Lxd) -> None:
        self.lxd = lxd

    def play(self, name: str, *arguments: str, settings: dict[str, t.Any] | None = None, fails: bool = False) -> str:
        """Run a playbook of the collection by its full name; ``fails`` says that it must."""
        extra = ["-e", json.dumps({"gb_settings_overrides": settings})] if settings else []
        return play(name, INVENTORY, *arguments, *extra, fails=fails)

    def scale(self, count: int) -> str:
        """Bring the fleet to a size."""
        return self.play("scale", "-e", f"count={count}")

    def slots(self) -> dict[str, list[int]]:
        """Slots by state, those states only in which there is one."""
        return {state: numbers for state, numbers in slots(observe(self.lxd), MAX).items() if numbers and state != "free"}

    def config(self, name: str) -> dict[str, str]:
        """The config keys of an instance."""
        raw, _etag = self.lxd.get(f"instances/{name}")
        return dict(raw["config"])

    def project_config(self) -> dict[str, str]:
        """The config keys of the project."""
        raw, _etag = self.lxd.get(f"projects/{PROJECT}")
        return dict(raw["config"])

    def memory(self) -> dict[str, str]:
        """The config keys by which the autoscaler remembers."""
        raw, _etag = self.lxd.get(MEMORY)
        return dict(raw["config"])

    def run(self, name: str, *argv: str) -> str:
        """Run a command in an instance, which must succeed; returns its output."""
        return run_in(self.lxd, name, *argv)

    def load(self, rate: float, path: str = "/api/demo/echo", websockets: int = 0) -> contextlib.AbstractContextManager[dict[str, t.Any]]:
        """Load while the block runs, which ends with it; the mapping holds the report afterwards."""
        return reported_load(URL, WORK / "ca.crt", rate=rate, seconds=180, path=path, websockets=websockets)


@pytest.fixture(scope="session")
def site() -> Site:
    """The topology, with the certificate of its authority at hand."""
    lxd = connect({"engine": "lxd", "project": PROJECT})
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "ca.crt").write_bytes(root_certificate(lxd))
    return Site(lxd)


@pytest.fixture(scope="session")
def instance(site: Site) -> t.Callable[[str], t.Any]:
    """An instance as testinfra's host, through a client configuration of the tests' own that is aimed at their project."""
    folder = WORK / "lxc"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["LXD_CONF"] = str(folder)
    subprocess.run(["lxc", "project", "switch", PROJECT], check=True, capture_output=True)
    return lambda name: testinfra.get_host(f"lxc://{name}")


@pytest.fixture
def one(site: Site) -> Site:
    """The topology with exactly one botserver."""
    site.scale(1)
    return site

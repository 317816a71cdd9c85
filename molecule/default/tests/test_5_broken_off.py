# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of site.yml that is broken off, again and again, and started again ends where one that nobody disturbed would have.

Each run goes over what the ones before it did, so this takes some minutes and ``make test`` leaves it out: GB_BROKEN_OFF=TASKS, the number
of tasks between two deaths, runs it (``GB_BROKEN_OFF=25 make molecule SCENARIO=default``).
"""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
import requests
from scenario import ROOT
from topology import INVENTORY, URL, WORK, Site

from tools.authority import root_certificate

HERE = pathlib.Path(__file__).resolve().parent
#: tasks between two deaths; none: not at all
STRIDE = int(os.environ.get("GB_BROKEN_OFF", "0"))


def broken_off(tasks: int) -> str:
    """Where a run of site.yml was killed that was to die at its n-th task; nothing if it had fewer and ended as it should."""
    dying = {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"), "ANSIBLE_CALLBACKS_ENABLED": "dies_at_task", "GB_DIES_AT": str(tasks)}
    command = ["ansible-playbook", "-i", str(INVENTORY), "generalbots.scaling.site"]
    done = subprocess.run(command, env={**os.environ, **dying}, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (-9, 0), f"{done.stdout[-4000:]}{done.stderr[-2000:]}"
    return done.stdout.strip().splitlines()[-1] if done.returncode else ""


@pytest.mark.skipif(STRIDE < 1, reason="set GB_BROKEN_OFF to the number of tasks between two deaths")
def test_a_run_that_is_broken_off_anywhere_is_made_good_by_the_next(site: Site) -> None:
    """Botserver and load balancer are gone; each run goes on from what the one before it left when it was killed."""
    for name in ("botserver-1", "proxy-1"):
        site.lxd.put(f"instances/{name}/state", {"action": "stop", "force": True, "timeout": 30})
        site.lxd.delete(f"instances/{name}")
    deaths: list[str] = []
    while not deaths or deaths[-1]:
        deaths.append(broken_off(STRIDE * (len(deaths) + 1)))
        print(deaths[-1] or "it ended", flush=True)
    assert len(deaths) > 3, deaths
    assert "changed=0" in site.play("site").split("PLAY RECAP")[1]
    assert site.slots()["active"] == [1]
    (WORK / "ca.crt").write_bytes(root_certificate(site.lxd))
    answer = requests.get(f"{URL}/api/health", verify=str(WORK / "ca.crt"), timeout=10)
    assert (answer.status_code, answer.headers["X-Instance"]) == (200, "botserver-1")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LXD itself dies in the middle of a run and is started again. Instances outlive that, other deployments' as well."""

from __future__ import annotations

import os
import signal
import time
import typing as t

import pytest
from autoscale_site import PROJECT, Site, parameters
from dying_run import dying

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import job_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import run
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe

HERE = {"engine": "lxd", "project": PROJECT}


def daemon(lxd: Lxd) -> int:
    """The process that LXD is."""
    return int(lxd.get("")[0]["environment"]["server_pid"])


def killed_by(process: int) -> t.Callable[[str], None]:
    """What kills the daemon, and nothing else, with -9, and says after which write."""

    def kill(written: str) -> None:
        print(written, flush=True)
        os.kill(process, signal.SIGKILL)

    return kill


def test_lxd_restarted_in_the_middle_of_a_run_the_next_one_goes_on(site: Site) -> None:
    """It dies when it was told to start the instance and has not said that it did."""
    site.scale(1)
    site.run(count=2)
    site.run()
    cooling = site.remembered()["history"]["last_out"]
    with site.load(10) as report:
        before = daemon(site.lxd)
        with pytest.raises(ScalingError):
            run(dying(connect(HERE), 6, killed_by(before)), job_of(parameters(count=3)))
        site.play("site", "--tags", "host")
        site.lxd = connect(HERE)
        assert daemon(site.lxd) != before
        assert site.remembered()["history"]["last_out"] >= cooling
        begun = time.monotonic()
        site.run(wait=True)
        site.run(count=3)
    taken = [one.config["user.gb.slot"] for one in observe(site.lxd).values() if one.component == "botserver"]
    assert site.slots() == {"active": [1, 2, 3]} and sorted(taken) == ["1", "2", "3"]
    assert "user.gb.lock" not in site.memory() and time.monotonic() - begun < 60
    site.run(overrides={"scale-enabled": False})
    assert site.remembered()["history"]["last_out"] > cooling
    assert report["requests"]["failed"] == 0, report["requests"]

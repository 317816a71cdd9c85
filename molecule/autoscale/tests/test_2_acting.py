# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed with -9 just after one of their writes, on the way out and on the way in under load."""

from __future__ import annotations

import pytest
from autoscale_site import Site

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe

MARKS = ("user.gb.drain-deadline", "user.gb.gate-closed", "user.gb.drain-then")


def converged(site: Site, count: int) -> None:
    """The next ticks and a run by hand end where the killed run would have: no orphan, no slot twice, nothing half done."""
    site.run(wait=True)
    site.run(count=count, wait=True)
    assert site.slots()["active"] == list(range(1, count + 1)), site.slots()
    assert not {"draining", "failed"} & site.slots().keys(), site.slots()
    found = observe(site.lxd).values()
    taken = [one.config["user.gb.slot"] for one in found if one.component == "botserver"]
    assert len(taken) == len(set(taken))
    assert not [key for one in found for key in MARKS if key in one.config]
    assert "user.gb.lock" not in site.memory()
    # What came of the last step is seen by the run after it; switched off, that one does nothing else.
    site.run(overrides={"scale-enabled": False})


@pytest.mark.parametrize("writes", [1, 4, 6])
def test_killed_on_the_way_out_the_next_run_goes_on(site: Site, writes: int) -> None:
    site.scale(1)
    print(site.die(writes, count=2))
    converged(site, 2)
    assert site.remembered()["history"]["last_out"] is not None


@pytest.mark.parametrize("writes", [3, 5])
def test_killed_on_the_way_in_the_next_run_goes_on_and_nothing_is_cut(site: Site, writes: int) -> None:
    site.scale(2)
    with site.load(10, websockets=4) as report:
        print(site.die(writes, count=1, wait=True))
        converged(site, 1)
    assert report["requests"]["failed"] == 0, report["requests"]
    assert [lost for lost in report["websockets"]["lost"] if lost["instance"] == "botserver-1"] == []
    assert site.remembered()["history"]["last_in"] is not None

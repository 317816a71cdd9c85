# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(i) A site with three members of PostgreSQL and etcd from nothing, and its second run, which changes nothing.

The site of the inventory that ``GB_BENCH_INVENTORY`` names is destroyed first, and stays afterwards.
"""

from __future__ import annotations

import os
import pathlib
import re
import time

import pytest
from bench_lab import ROOT
from bench_results import Record, Result
from data_tier import changes
from scenario import play

pytest_plugins = ["bench_fixtures"]

#: seconds that a second run may take
BAR = 90


def timed(inventory: pathlib.Path) -> tuple[float, str]:
    """Seconds of a run of site.yml, and what it printed."""
    begun = time.monotonic()
    said = play("site", inventory)
    return time.monotonic() - begun, said


def test_a_site_from_nothing_and_its_second_run(record: Record) -> None:
    named = os.environ.get("GB_BENCH_INVENTORY", "")
    if not named:
        pytest.skip("set GB_BENCH_INVENTORY=folder of an inventory whose site may be destroyed and made anew")
    inventory = ROOT / named
    play("destroy", inventory, "-e", "gb_destroy=yes")
    first, said = timed(inventory)
    hosts = re.findall(r"(\S+) : ok=", said.split("PLAY RECAP")[1])
    members = [name for name in hosts if name.startswith("postgres-")]
    assert len(members) == 3, f"the inventory is one of {len(members)} members of PostgreSQL"
    baked = [name for name in hosts if name.startswith("bake-")]
    second, said = timed(inventory)
    assert changes(said) == []
    others = len(hosts) - len(baked) - len(members) - 1
    what = f"site.yml: three members of PostgreSQL and {others} instances more"
    record(Result("i", f"{what}, from nothing, {len(baked)} images to bake", f"{first:.0f} s", "-", None, None))
    record(Result("i2", f"{what}, second run, nothing changed", f"{second:.0f} s", "-", None, second <= BAR))

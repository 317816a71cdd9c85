# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benches share: their place on LXD, the topology in it, and where results go. A plugin and no conftest.py, so that
its name is its own for every tool; each bench asks for it by ``pytest_plugins``."""

from __future__ import annotations

import typing as t

import bench_results
import pytest
from bench_lab import PROJECT, ROOT, Lab

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect

_recorded: list[bench_results.Result] = []


def _pool(lxd: Lxd) -> str:
    names = [path.rpartition("/")[2].partition("?")[0] for path in lxd.get("storage-pools", project="default")[0]]
    return "gb" if "gb" in names or not names else sorted(names)[0]


@pytest.fixture(scope="session")
def lab() -> t.Iterator[Lab]:
    """An empty project with a bridge; removed at the end, whatever happens."""
    try:
        lxd = connect({"engine": "lxd", "project": PROJECT})
    except ScalingError as error:
        pytest.skip(f"The benches need LXD: {error}")
    place = Lab(lxd, _pool(lxd), ROOT / ".build/bench")
    place.remove()
    try:
        place.prepare()
        yield place.with_image()
    finally:
        place.remove()


@pytest.fixture(scope="session")
def warm(lab: Lab) -> Lab:
    """The image is unpacked in the pool, so that neither side of a comparison pays for that."""
    lab.clear()
    lab.start(1)
    lab.clear()
    return lab


@pytest.fixture(scope="session")
def topology(lab: Lab) -> Lab:
    """One proxy on 127.0.0.1 and one botserver, by site.yml."""
    lab.clear()
    lab.playbook("site", timeout=1800)
    return lab


@pytest.fixture(scope="session")
def record() -> bench_results.Record:
    """Prints a result and keeps it."""
    try:
        lxd = connect({"engine": "lxd", "project": PROJECT})
    except ScalingError as error:
        pytest.skip(f"The benches say on which LXD they ran: {error}")
    about, _etag = lxd.get("", project="default")
    pool, _etag = lxd.get(f"storage-pools/{_pool(lxd)}", project="default")
    where = bench_results.machine(about["environment"]["server_version"], pool["driver"])

    def keep(result: bench_results.Result) -> None:
        print("\n== bench " + " | ".join(result.cells()), flush=True)
        bench_results.append(result, where)
        _recorded.append(result)

    return keep


def pytest_sessionfinish() -> None:
    """Write docs/benches.md anew, if this run measured something and there is a result for every row."""
    if not _recorded:
        return
    entries = bench_results.recorded()
    lacking = bench_results.missing(entries)
    if lacking:
        print(f"\n{bench_results.PAGE} stays as it is: this machine has no result yet of bench {', '.join(lacking)}.")
        return
    bench_results.PAGE.write_text(bench_results.page(entries), encoding="utf-8")
    print(f"\nWrote {bench_results.PAGE}.")

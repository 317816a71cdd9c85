# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(a) What the autoscaler reads of 30 instances, against one ``lxc exec`` per instance."""

from __future__ import annotations

import dataclasses
import statistics
import typing as t

from bench_lab import HERE, PROJECT, SUBNET, Lab, seconds
from bench_results import Record, faster

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import engine_named, find_socket
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import read_fleet

pytest_plugins = ["bench_fixtures"]

COUNT, RUNS = 30, 5


def read_facts() -> None:
    """As lxc_botserver_info does it, connecting included; every instance must have its figures."""
    lxd = connect({"engine": "lxd", "project": PROJECT})
    _observed, fleet = read_fleet(lxd, SUBNET)
    unread = [one["name"] for one in fleet if not _has_figures(one)]
    assert (len(fleet), unread) == (COUNT, [])


def _has_figures(one: t.Mapping[str, t.Any]) -> bool:
    return all(isinstance(one[name], int) and one[name] > 0 for name in ("cpu_usage_ns", "memory_used_bytes", "memory_limit_bytes"))


def test_facts_of_30_instances(warm: Lab, record: Record) -> None:
    def shell_loop() -> None:
        count, _mean = warm.run(str(HERE / "shell_loop.sh"), PROJECT).split()
        assert int(count) == COUNT

    def module() -> None:
        output = warm.module("lxc_botserver_info", subnet=SUBNET, max_slots=COUNT)
        assert output.count('"cpu_usage_ns"') + output.count("cpu_usage_ns:") == COUNT

    def answers_alone() -> None:
        """What LXD itself takes to tell the processor time of each instance: nothing that asks it can be quicker."""
        url = f"http://lxd/1.0/instances?recursion=2&project={PROJECT}"
        told = warm.run("curl", "-sS", "--unix-socket", find_socket(engine_named("lxd")), url)
        assert told.count('"cpu":{"usage":') == COUNT

    warm.clear()
    warm.start(COUNT)
    theirs, ours, alone = [], [], []
    for number in range(RUNS):
        # The loop takes longer than the 8 s for which LXD keeps its metrics: ours are computed anew each time.
        theirs.append(seconds(shell_loop))
        ours.append(seconds(read_facts))
        alone.append(seconds(answers_alone))
        print(f"  run {number + 1}: ours {ours[-1]:.3f} s (LXD alone {alone[-1]:.3f} s), shell loop {theirs[-1]:.2f} s", flush=True)
    print(f"  for information, the whole module as ansible runs it: {seconds(module):.2f} s", flush=True)
    warm.clear()
    result = faster("a", f"facts of {COUNT} instances, median of {RUNS}", statistics.median(ours), statistics.median(theirs), 40)
    record(dataclasses.replace(result, ours=f"{result.ours}; LXD's answer to one curl alone {statistics.median(alone):.2f} s"))

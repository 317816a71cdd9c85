# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(b) 20 instances created, started and healthy: one call of lxc_botserver, against a loop of lxd_container."""

from __future__ import annotations

import functools
import typing as t

from bench_lab import BRIDGE, ENVIRONMENT, GATE_PORT, HEALTH_PATH, HERE, LIMITS, PROJECT, SUBNET, Lab, healthy, seconds
from bench_results import Record, faster

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import environment_file

pytest_plugins = ["bench_fixtures"]

COUNT = 20


def variables(lab: Lab) -> dict[str, t.Any]:
    """The same input for both playbooks."""
    file = lab.folder / "environment"
    file.write_bytes(environment_file(ENVIRONMENT))
    return {
        "bench_project": PROJECT,
        "bench_network": BRIDGE,
        "bench_subnet": SUBNET,
        "bench_image": lab.image,
        "bench_limits": LIMITS,
        "bench_environment": ENVIRONMENT,
        "bench_environment_file": str(file),
        "bench_addresses": {f"botserver-{slot}": address(SUBNET, "botserver", slot) for slot in range(1, COUNT + 1)},
        "bench_health": {"port": GATE_PORT, "path": HEALTH_PATH, "timeout": 120},
    }


def test_20_instances_created_started_and_healthy(warm: Lab, record: Record) -> None:
    given = variables(warm)
    taken = {}
    for side in ("ours", "theirs"):
        warm.clear()
        taken[side] = seconds(functools.partial(warm.run_playbook, HERE / f"playbooks/{side}.yml", given))
        ill = [name for name, where in given["bench_addresses"].items() if not healthy(where, timeout=5)]
        assert ill == [], f"{side}: not healthy at the end"
        print(f"  {side}: {taken[side]:.1f} s", flush=True)
    warm.clear()
    record(faster("b", f"{COUNT} instances created, started and healthy", taken["ours"], taken["theirs"], 3))

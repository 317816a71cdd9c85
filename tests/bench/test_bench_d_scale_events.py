# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(d) 20 scale events under load: no request may fail."""

from __future__ import annotations

from bench_lab import Lab
from bench_results import Record, Result

pytest_plugins = ["bench_fixtures"]

#: the size after each event: ten out, ten in
SIZES = [2, 3, 4, 3, 2, 1] * 3 + [2, 1]
RATE = 20.0
#: each request lasts a while, so that some are in flight whenever an instance leaves
PATH = "/api/demo/echo?burn_ms=2&delay_ms=100"


def test_20_scale_events_under_load(topology: Lab, record: Record) -> None:
    topology.playbook("scale", count=1)
    with topology.load(RATE, PATH) as load:
        for number, size in enumerate(SIZES, start=1):
            topology.playbook("scale", count=size)
            assert len(topology.active()) == size
            print(f"  event {number}: {size} serve", flush=True)
        report = load.end()
    requests = report["requests"]
    print(f"  sent {requests['sent']}, failed {requests['failed']} {requests['examples']}, latency {report['latency_ms']}", flush=True)
    figures = f"{requests['failed']} of {requests['sent']} requests failed"
    record(Result("d", f"{len(SIZES)} scale events at {RATE:g} requests/s", figures, "-", None, requests["failed"] == 0))
    assert {f"botserver-{slot}" for slot in range(1, max(SIZES) + 1)} <= report["instances"].keys()
    assert requests["failed"] == 0, requests

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each metric scales the fleet out by itself, and in again when its load is gone; real load on real demo botservers."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from autoscale_site import Site

#: thresholds that no load of these tests reaches
QUIET = {"scale-cpu-threshold": 99, "scale-memory-threshold": 99, "scale-request-threshold": 100000}
DEPTH = "/tmp/queue-depth"


def queue(site: Site, depth: int) -> None:
    """So many jobs wait."""
    site.inside("proxy-1", "sh", "-c", f"echo {depth} > {DEPTH}")


@contextlib.contextmanager
def waiting_jobs(site: Site) -> t.Iterator[dict[str, t.Any]]:
    """A queue that is long while the block runs."""
    queue(site, 500)
    try:
        yield {"requests": {"failed": 0}}
    finally:
        queue(site, 0)


COUNTED = [{"name": "queue-depth", "command": {"argv": ["cat", DEPTH], "instance": "proxy-1"}, "timeout": 5.0, "max_age": 60.0}]
TRIGGERS: dict[str, tuple[t.Callable[[Site], t.ContextManager[dict[str, t.Any]]], dict[str, t.Any], list[dict[str, t.Any]]]] = {
    "CPU": (lambda site: site.load(14, "/api/demo/echo?burn_ms=25"), {"scale-cpu-threshold": 70}, []),
    "memory": (lambda site: site.load(0.2, "/api/demo/echo?alloc_mb=30&hold_s=6"), {"scale-memory-threshold": 45}, []),
    "requests": (lambda site: site.load(14), {"scale-request-threshold": 300}, []),
    "response time": (
        lambda site: site.load(5, "/api/demo/echo?delay_ms=900"),
        {"scale-rule-response-time": 500, "scale-rule-response-action": "up"},
        [],
    ),
    "queue depth": (waiting_jobs, {"scale-rule-queue-depth": 100, "scale-rule-queue-action": "up"}, COUNTED),
}


class Course(t.NamedTuple):
    """What came of a load: why the fleet grew, the slots that served then, what failed, and how many slots served in the end."""

    reason: str
    grown: list[int]
    requests: dict[str, t.Any]
    left: int


def out_and_in(site: Site, load: t.ContextManager[dict[str, t.Any]], **wanted: t.Any) -> Course:
    """Put that load on a fleet of one until it grows, take it away, and wait until the fleet shrinks."""
    site.scale(1)
    with load as report:
        reason = str(site.tick_until("out", **wanted)["reason"])
        grown = site.slots()["active"]
    site.tick_until("in", **wanted)
    return Course(reason, grown, report["requests"], len(site.slots()["active"]))


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_trigger_scales_out_and_in(site: Site, trigger: str) -> None:
    load, settings, sources = TRIGGERS[trigger]
    queue(site, 0)
    course = out_and_in(site, load(site), overrides={**QUIET, "scale-max-instances": 2, **settings}, sources=sources)
    assert trigger.lower() in course.reason.lower()
    assert (course.grown, course.left, course.requests["failed"]) == ([1, 2], 1, 0), course.requests


def test_a_prometheus_query_scales_out_and_in(site: Site, prometheus: str) -> None:
    """Prometheus scrapes LXD; what is asked for is the processor time of all botservers, in per cent of one processor."""
    used = 'rate(lxd_cpu_seconds_total{name=~"botserver-.+",mode!~"idle|iowait"}[20s])'
    source = {"name": "lxd-busy", "prometheus": {"url": prometheus, "query": f"100 * sum({used})"}, "timeout": 5.0, "max_age": 60.0}
    rule = {"scale-rule-lxd-busy": 8, "scale-rule-lxd-busy-action": "up"}
    load = site.load(10, "/api/demo/echo?burn_ms=12")  # less than half of what the instance may take, or CPU speaks first
    course = out_and_in(site, load, overrides={**QUIET, "scale-max-instances": 2, **rule}, sources=[source])
    assert "lxd-busy" in course.reason.lower()
    assert (course.grown, course.left, course.requests["failed"]) == ([1, 2], 1, 0), course.requests

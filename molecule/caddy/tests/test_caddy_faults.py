# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances fail, each in its own way, while four visitors ask: what they saw, in numbers.

Numbers of the inventory: a check each second, out after two failures; an answer that does not begin within 2 s is a failure, and three
failures within 5 s open an instance's breaker. Whoever reads is sent elsewhere after a failure, whoever writes only when no
connection came about.
"""

from __future__ import annotations

import contextlib
import threading
import typing as t

import pytest
from caddy_fleet import NAMES, Fleet, Seen, Visitors

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

OTHERS = NAMES[:1] + NAMES[2:]
# Until Caddy has noticed: two checks, each a second after the other and given a second for its answer.
NOTICE = 4.0
SLACK = 2.0


@pytest.fixture(autouse=True)
def well(fleet: Fleet) -> None:
    """All three serve before each test, and what failed before is forgotten."""
    fleet.until_served_by(*NAMES)
    wait_for(
        "failures to be forgotten",
        lambda: sum(one["fails"] for one in fleet.caddy("/reverse_proxy/upstreams")),
        lambda fails: fails == 0,
        timeout=20,
    )


def visit(fleet: Fleet, seconds: float, out: t.Collection[str] = OTHERS) -> Visitors:
    """Let visitors ask for some seconds, at the end of which only ``out`` may serve them."""
    with Visitors(fleet) as visitors:
        threading.Event().wait(seconds)
    last = max(one.end for one in visitors.seen)
    assert {one.instance for one in visitors.seen if one.begin > last - 1} <= {*out}, "it was not left out"
    return visitors


def test_one_that_answers_500_is_left_out_by_its_breaker(fleet: Fleet) -> None:
    with knobs(fleet, "botserver-2", fail_requests=True):
        with Visitors(fleet) as visitors:
            threading.Event().wait(4)
        said = visitors.figure("answers 500, healthy by its check")
        failed = [*visitors.failures("GET"), *visitors.failures("POST")]
        # An answer is not repeated, not even of a GET; three open the breaker, and those that were under way then come on top.
        assert {one.status for one in failed} == {500} and 3 <= len(failed) <= 3 + 4, said
        assert max(one.end for one in failed) - min(one.begin for one in failed) < 1.5, said


def test_one_that_hangs_is_left_for_another_by_those_who_read(fleet: Fleet) -> None:
    with knobs(fleet, "botserver-2", latency_ms=30_000):
        visitors = visit(fleet, 4.5)
    said = visitors.figure("hangs, healthy by its check")
    assert visitors.failures("GET") == [], said
    assert {one.status for one in visitors.failures("POST")} <= {504} and visitors.window("POST") < NOTICE + SLACK, said


def test_one_that_is_frozen_is_out_when_its_checks_have_failed(fleet: Fleet) -> None:
    fleet.state("botserver-2", "freeze")
    try:
        visitors = visit(fleet, NOTICE + SLACK)
    finally:
        fleet.state("botserver-2", "unfreeze")
    said = visitors.figure("frozen")
    assert visitors.failures("GET") == [], said
    assert {one.status for one in visitors.failures("POST")} <= {504} and visitors.window("POST") < NOTICE + SLACK, said


def test_one_that_is_killed_is_noticed_by_nobody_who_reads(fleet: Fleet) -> None:
    with Visitors(fleet) as visitors:
        fleet.state("botserver-2", "stop")
        fleet.until_served_by(*OTHERS)
        fleet.state("botserver-2", "start")
        fleet.until_served_by(*NAMES)
    said = visitors.figure("killed and started again")
    assert visitors.failures("GET") == [], said
    # A write that had been sent when it was killed cannot be repeated; there are two who write, each one request at a time.
    assert len(visitors.failures("POST")) <= 2 and {one.status for one in visitors.failures("POST")} <= {502}, said


def test_what_all_share_is_gone_and_those_that_live_go_on(fleet: Fleet) -> None:
    """The database fails over: /api/health is 503 after 5 s on every instance at once, while all else answers."""
    with knobs(fleet, *NAMES, fail_health=True, hang_health=5):
        with Visitors(fleet) as visitors:
            threading.Event().wait(NOTICE + SLACK)
            metrics = fleet.caddy("/metrics")
            threading.Event().wait(3)
        healthy = [line for line in metrics.splitlines() if line.startswith("caddy_reverse_proxy_upstreams_healthy")]
        assert healthy, "Caddy tells nobody's health"
        said = visitors.figure("all unhealthy at once")
        assert visitors.failures("GET") == [] and visitors.failures("POST") == [], said
        late = after(visitors, NOTICE + SLACK)
        assert {one.instance for one in late} == {*NAMES}, "the panic route does not spread"


def test_with_nobody_alive_there_is_the_maintenance_page(fleet: Fleet) -> None:
    try:
        for name in NAMES:
            fleet.run(name, "systemctl", "stop", "botserver")
        status, headers, body = fleet.ask("/", Accept="text/html")
        assert (status, headers["retry-after"]) == (503, "10")
        assert "Back in a moment" in body and headers["x-request-id"] in body
        status, headers, body = fleet.ask("/api/demo/echo")
        assert (status, headers["content-type"]) == (503, "application/json") and '"unavailable"' in body
    finally:
        for name in NAMES:
            fleet.run(name, "systemctl", "start", "botserver")


def after(visitors: Visitors, seconds: float) -> list[Seen]:
    """What was asked later than so many seconds after the first."""
    begin = min(one.begin for one in visitors.seen)
    return [one for one in visitors.seen if one.begin > begin + seconds]


@contextlib.contextmanager
def knobs(fleet: Fleet, *names: str, **turned: t.Any) -> t.Iterator[None]:
    """Knobs turned for the time of a block."""
    fleet.turn(*names, **turned)
    try:
        yield
    finally:
        fleet.turn(*names, **{name: type(value)() for name, value in turned.items()})

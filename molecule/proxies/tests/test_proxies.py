# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of two proxies is lost, in several ways, and nobody is without service for longer than a takeover lasts."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest
from proxy_pair import HTTPS, SHARED, SITE, Pair, Visitors

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

#: seconds: the messages of the one that had the address, or the checks of its Caddy, are missed; and the last visitor's patience
TAKEOVER, DETECTION, PATIENCE = 2.0, 4.0, 2.0


@pytest.fixture
def both(pair: Pair) -> t.Iterator[Pair]:
    """Both proxies in order, before and after."""
    pair.restored()
    yield pair
    pair.restored()


def lose(pair: Pair, how: t.Callable[[str], None], what: str) -> tuple[str, Visitors]:
    """Let the one that has the address be lost while visitors come, until the other one has it and serves."""
    before = pair.holder()
    with Visitors(pair) as visitors:
        wait_for("the first visitors", lambda: len(visitors.seen), lambda seen: seen >= 20, timeout=20)
        how(before)
        wait_for("the other proxy to take the address", pair.holders, lambda seen: seen not in ([], [before]), timeout=20, interval=0.05)
        moment = time.monotonic()
        wait_for("it to serve", lambda: visitors.served_after(moment), bool, timeout=20, interval=0.05)
    print(visitors.figure(what))
    return before, visitors


def test_the_published_port_leads_to_the_address_that_one_proxy_has(both: Pair) -> None:
    assert both.ask("/api/demo/echo") == (200, "botserver-1")
    raw, _etag = both.lxd.get(f"networks/gbproxies0/forwards/{SITE}", project="default")
    ports = {(port["protocol"], port["listen_port"], port["target_address"], port["target_port"]) for port in raw["ports"]}
    assert ports == {("tcp", "18480", SHARED, "80"), ("tcp", str(HTTPS), SHARED, "443")}
    instances, _etag = both.lxd.get("instances", recursion="1")
    assert [device for one in instances for device in one["expanded_devices"].values() if device["type"] == "proxy"] == []


def test_both_proxies_run_the_same_configuration(both: Pair) -> None:
    read = ["curl", "--silent", "--fail", "--unix-socket", "/run/caddy/admin.sock", "http://localhost/config/"]
    first, second = (both.run(name, *read) for name in ("proxy-1", "proxy-2"))
    assert first == second
    assert "gb-api" in first


def test_a_proxy_that_is_lost_costs_a_takeover_and_none_when_it_comes_back(both: Pair) -> None:
    lost, visitors = lose(both, lambda name: both.state(name, "stop"), "the proxy with the address is stopped hard")
    assert visitors.gap <= TAKEOVER + PATIENCE
    with Visitors(both) as again:
        both.restored()
        wait_for("visitors", lambda: len(again.seen), lambda seen: seen >= 60, timeout=20)
    assert both.holder() != lost
    assert again.failed == [], again.figure("it comes back")


def test_a_proxy_that_is_frozen_is_taken_for_lost(both: Pair) -> None:
    _lost, visitors = lose(both, lambda name: both.state(name, "freeze"), "the proxy with the address is frozen")
    assert visitors.gap <= TAKEOVER + PATIENCE


@pytest.mark.parametrize(("signal", "cure"), [("STOP", "CONT"), (None, None)], ids=["hangs", "is stopped"])
def test_a_proxy_whose_caddy_does_not_answer_gives_the_address_away(both: Pair, signal: str | None, cure: str | None) -> None:
    def fail(name: str) -> None:
        command = ["systemctl", "kill", f"--signal={signal}", "caddy"] if signal else ["systemctl", "stop", "caddy"]
        both.run(name, *command)

    lost, visitors = lose(both, fail, f"Caddy {'hangs' if signal else 'is stopped'} in the proxy with the address")
    both.run(lost, *(["systemctl", "kill", f"--signal={cure}", "caddy"] if cure else ["systemctl", "start", "caddy"]))
    assert visitors.gap <= DETECTION + TAKEOVER + PATIENCE


def test_losing_the_proxy_that_has_not_the_address_costs_nothing(both: Pair) -> None:
    holder = both.holder()
    with Visitors(both) as visitors:
        both.state(both.other(), "stop")
        wait_for("visitors", lambda: len(visitors.seen), lambda seen: seen >= 60, timeout=20)
    assert visitors.failed == []
    assert both.holders() == [holder]


def test_the_fleet_scales_while_a_proxy_is_lost_and_a_run_of_site_brings_it_back(both: Pair) -> None:
    lost = both.other()
    holder = both.holder()
    both.state(lost, "stop")
    with Visitors(both) as visitors:
        both.play("scale", "-e", "count=2")
        both.play("scale", "-e", "count=1")
        both.play("site", "--tags", "instances")
    assert visitors.failed == [], visitors.figure("scaled with one proxy lost")
    assert both.holders() == [holder]
    assert both.lxd.get(f"instances/{lost}/state")[0]["status"] == "Running"


def test_a_drain_waits_for_what_is_in_flight_through_either_proxy(both: Pair) -> None:
    both.play("scale", "-e", "count=2")
    aside = (both.own_address(both.other()), 443)
    answers: list[tuple[int, str]] = []
    wait_for(
        "the second instance to serve there", lambda: both.ask("/api/demo/echo", aside)[1], lambda name: name == "botserver-2", timeout=20
    )
    slow = [threading.Thread(target=lambda: answers.append(both.ask("/api/demo/echo?delay_ms=6000", aside))) for _ in range(4)]
    for thread in slow:
        thread.start()
    both.play("scale", "-e", "count=1")
    for thread in slow:
        thread.join(20)
    assert [status for status, _name in answers] == [200] * 4
    assert "botserver-2" in {name for _status, name in answers}

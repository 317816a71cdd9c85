# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every policy on the real fleet: how requests were really distributed with three instances, with one stopped, with it back again, and
after a restart of Caddy.

One run of site.yml makes a route for each policy, told apart by a header; the fourth slot has no instance all the time.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import threading
import typing as t

import pytest
from caddy_fleet import NAMES, Fleet

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.policies import POLICIES
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

# Who is stopped: the first, which every policy that depends on no visitor gives something to.
OUT, LEFT = NAMES[0], {*NAMES[1:]}
MANY = 24
BESIDE = 36
VISITORS = range(12)
ECHO = "/api/demo/echo"
HELD_SECONDS = 4

# Policies that ask nothing about the visitor: options, and how 24 requests are spread over the three, and with the first out. None where
# it is by chance. Caddy applies weights to those that are in, in their order: with the first out the second has the first's share.
SPREADING: dict[str, tuple[dict[str, t.Any], t.Any, t.Any]] = {
    "round_robin": ({}, [8, 8, 8], [0, 12, 12]),
    "weighted_round_robin": ({"weights": [1, 2, 1, 0]}, [6, 12, 6], [0, 12, 12]),
    "first": ({}, [24, 0, 0], [0, 24, 0]),
    "random": ({}, None, None),
    "least_conn": ({}, None, None),
    "random_choose": ({"choose": 2}, None, None),
}
# Those that know who is busy: another request waits for its answer meanwhile.
BUSY = ("least_conn", "random_choose")
# Policies that choose by something about the visitor: options, and what a visitor brings of it.
BY_VISITOR: dict[str, tuple[dict[str, t.Any], t.Callable[[int], dict[str, str]]]] = {
    "ip_hash": ({}, lambda number: {"source": f"127.0.1.{number + 1}"}),
    "client_ip_hash": ({}, lambda number: {"X-Forwarded-For": f"192.0.2.{number + 1}"}),
    "uri_hash": ({}, lambda number: {"path": f"{ECHO}?number={number}"}),
    "header": ({"field": "X-Tenant", "fallback": "first"}, lambda number: {"X-Tenant": f"tenant-{number}"}),
    "query": ({"field": "tenant", "fallback": "first"}, lambda number: {"path": f"{ECHO}?tenant={number}"}),
    "cookie": ({"cookie": {"fallback": "round_robin"}}, lambda _number: {}),
}


@dataclasses.dataclass(frozen=True)
class Phase:
    """Who answered: 24 requests or each visitor, by policy; and where a request waited while the policies of BUSY were asked."""

    answers: dict[str, list[str]]
    held: str = ""
    beside: dict[str, list[str]] = dataclasses.field(default_factory=dict)


class Policies:
    """The fleet behind a route for each policy, and visitors who keep the cookie that they were given first."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.cookies: dict[int, str] = {}

    def ask(self, policy: str, count: int = MANY) -> list[str]:
        """Who answers so many requests, one after the other."""
        return [self.one(policy)[0] for _ in range(count)]

    def one(self, policy: str, **brought: str) -> tuple[str, str]:
        """Who answers a request, and the cookie that came with the answer."""
        path, source = brought.pop("path", ECHO), brought.pop("source", "127.0.0.1")
        status, headers, body = self.fleet.ask(path, source=source, **{"X-Policy": policy, **brought})
        assert status == 200, f"{policy}: {status} {body}"
        return headers["x-instance"], headers.get("set-cookie", "").partition(";")[0]

    def visit(self, policy: str, number: int) -> str:
        """Who answers this visitor."""
        brought = BY_VISITOR[policy][1](number)
        if policy == "cookie" and number in self.cookies:
            brought["Cookie"] = self.cookies[number]
        instance, cookie = self.one(policy, **brought)
        if policy == "cookie":
            self.cookies.setdefault(number, cookie)
        return instance

    def look(self) -> dict[str, list[str]]:
        """Who answers under every policy."""
        spread = {policy: self.ask(policy, 2 * MANY if policy == "random" else MANY) for policy in SPREADING}
        return spread | {policy: [self.visit(policy, number) for number in VISITORS] for policy in BY_VISITOR}

    def phase(self) -> Phase:
        """Who answers under every policy, and beside a request that waits."""
        answers = self.look()
        with self.held() as where:
            beside = {policy: self.ask(policy, BESIDE) for policy in BUSY}
        return Phase(answers, where, beside)

    @contextlib.contextmanager
    def held(self) -> t.Iterator[str]:
        """One request that waits for its answer all through the block, and at which instance."""
        path = f"{ECHO}?delay_ms={HELD_SECONDS * 1000}"
        thread = threading.Thread(target=self.one, args=("least_conn",), kwargs={"path": path})
        thread.start()
        try:
            where = wait_for("the request to be under way", self.busy, bool, timeout=HELD_SECONDS, interval=0.05)
            yield where
            assert thread.is_alive(), "the request that was to wait was answered too early for this to show anything"
        finally:
            thread.join(20)

    def busy(self) -> str:
        """The instance that has a request under way by Caddy's count."""
        slots = {one["address"].split(":")[0]: one["num_requests"] for one in self.fleet.caddy("/reverse_proxy/upstreams")}
        return next((f"botserver-{int(address.rsplit('.', 1)[1]) - 100}" for address, count in slots.items() if count), "")

    def settled(self) -> bool:
        """Whether every policy leaves those out that are not there: nobody was sent to one in vain, and then elsewhere."""
        self.look()
        return not any(one["fails"] for one in self.fleet.caddy("/reverse_proxy/upstreams"))


@pytest.fixture(scope="module")
def policies(fleet: Fleet) -> t.Iterator[Policies]:
    """Routes for all policies before the usual ones, as an operator makes them; taken away at the end."""
    options = {name: given for table in (SPREADING, BY_VISITOR) for name, (given, *_more) in table.items()}
    assert {*options} == {*POLICIES}, "a policy is not looked at"
    slow = {"response_timeout": 10}
    wanted = [
        {"name": name.replace("_", "-"), "path": [ECHO], "headers": {"X-Policy": [name]}, "policy": name, **slow, **given}
        for name, given in options.items()
    ]
    usual = [{"name": "api", "path": ["/api/*"]}, {"name": "web", "policy": "first"}]
    fleet.until_served_by(*NAMES)
    fleet.play("--tags", "caddy", "-e", json.dumps({"gb_routes": [*wanted, *usual], "gb_trusted_proxies": ["127.0.0.1/32"]}))
    try:
        fleet.until_served_by(*NAMES)
        yield Policies(fleet)
    finally:
        fleet.play("--tags", "caddy")


@pytest.fixture(scope="module")
def phases(policies: Policies, fleet: Fleet) -> dict[str, Phase]:
    """What every policy did: with all three, with the first stopped, with it back, and after a restart of Caddy."""
    wait_for("every policy to know that the fourth slot is empty", policies.settled, bool, timeout=40)
    # Visitors of this site from now on: a cookie that was given while the fourth slot counted is one by chance.
    policies.cookies.clear()
    seen = {"all": policies.phase()}
    fleet.state(OUT, "stop")
    try:
        wait_for("the stopped one to be left out by every policy", policies.settled, bool, timeout=40)
        seen["without"] = policies.phase()
    finally:
        fleet.state(OUT, "start")
    wait_for("it to be back for every policy", policies.look, lambda answers: all(OUT in them for them in answers.values()), timeout=60)
    seen["back"] = Phase(policies.look())
    fleet.run("proxy-1", "systemctl", "restart", "caddy")
    wait_for("Caddy to know again who is there", policies.settled, bool, timeout=40)
    seen["restarted"] = Phase(policies.look())
    return seen


@pytest.mark.parametrize("policy", [name for name, (_options, *numbers) in SPREADING.items() if None not in numbers])
def test_requests_are_spread_as_the_policy_says(phases: dict[str, Phase], policy: str) -> None:
    _options, *expected = SPREADING[policy]
    for phase, numbers in zip(("all", "without"), expected, strict=True):
        counted = collections.Counter(phases[phase].answers[policy])
        assert [counted[name] for name in NAMES] == numbers, phase


def test_random_gives_something_to_each_and_nothing_to_the_stopped_one(phases: dict[str, Phase]) -> None:
    assert ({*phases["all"].answers["random"]}, {*phases["without"].answers["random"]}) == ({*NAMES}, LEFT)


@pytest.mark.parametrize("policy", BUSY)
def test_who_is_busy_gets_nothing_while_others_are_idle(phases: dict[str, Phase], policy: str) -> None:
    for phase, serving in (("all", {*NAMES}), ("without", LEFT)):
        seen = phases[phase]
        assert seen.held in serving and {*seen.beside[policy]} == serving - {seen.held}, phase
    assert OUT not in phases["without"].answers[policy]


@pytest.mark.parametrize("policy", BY_VISITOR)
def test_visitors_keep_their_instance_and_find_it_again(phases: dict[str, Phase], policy: str) -> None:
    """While another one is stopped; and those of the stopped one when it is back; and all after a restart of Caddy."""
    before, without, back, restarted = (phases[phase].answers[policy] for phase in ("all", "without", "back", "restarted"))
    assert {*before} == {*NAMES}, "all visitors came to the same ones"
    assert [now for was, now in zip(before, without, strict=True) if was != OUT] == [was for was in before if was != OUT]
    assert {now for was, now in zip(before, without, strict=True) if was == OUT} <= LEFT
    assert back == before
    assert restarted == before


def test_a_cookie_is_first_given_by_its_fallback(phases: dict[str, Phase], policies: Policies) -> None:
    assert sorted(phases["all"].answers["cookie"]) == sorted([*NAMES] * (len(VISITORS) // len(NAMES)))
    assert all(cookie.startswith("gb_lb=") for cookie in policies.cookies.values())
    assert not any(f"botserver-{slot}" in cookie or "10.93" in cookie for slot in (1, 2, 3) for cookie in policies.cookies.values())


@pytest.mark.parametrize("policy", ["header", "query"])
def test_who_brings_nothing_is_sent_by_the_fallback(phases: dict[str, Phase], policies: Policies, policy: str) -> None:
    assert phases["restarted"] and policies.ask(policy, 6) == [NAMES[0]] * 6


def test_an_address_that_a_visitor_claims_counts_only_from_a_trusted_proxy(policies: Policies) -> None:
    """127.0.0.1 is trusted here, 127.0.1.1 is not."""

    def claims(source: str) -> set[str]:
        return {policies.one("client_ip_hash", source=source, **{"X-Forwarded-For": f"192.0.2.{number}"})[0] for number in VISITORS}

    assert claims("127.0.0.1") == {*NAMES} and len(claims("127.0.1.1")) == 1

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a real Caddy distributes requests under every policy: with three instances, with one of them out, and with it back again."""

from __future__ import annotations

import collections
import contextlib
import http.client
import threading
import typing as t

import pytest
from caddy_fakes import Upstream
from caddy_real import RealCaddy, binary, load, needs_caddy, real_caddy, slot, until

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.metrics import in_flight
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.policies import POLICIES

pytestmark = needs_caddy

OUT = "botserver-2"
ALL, LEFT = {"botserver-1", "botserver-2", "botserver-3"}, {"botserver-1", "botserver-3"}
# So many that each instance has some of them whatever the addresses of the run: chance leaves one out once in 10^7 runs.
VISITORS = range(48)

# Policies whose choice does not depend on the visitor: options, and how 24 requests are spread with all, and with the second out.
SPREADING: dict[str, tuple[dict[str, t.Any], t.Any, t.Any]] = {
    "round_robin": ({}, [8, 8, 8], [12, 0, 12]),
    "first": ({}, [24, 0, 0], [24, 0, 0]),
    "weighted_round_robin": ({"weights": [1, 2, 1]}, [6, 12, 6], [12, 0, 12]),
    "random": ({}, None, None),
    # Two are chosen, and of two that are idle it is the first: of the second and third one never sees the second then.
    "random_choose": ({"choose": 2}, None, [24, 0, 0]),
}
# Policies that choose by something about the visitor: options, and what a visitor brings of it.
BY_VISITOR: dict[str, tuple[dict[str, t.Any], t.Callable[[int], dict[str, str]]]] = {
    "ip_hash": ({}, lambda number: {"source": f"127.0.1.{number + 1}"}),
    "client_ip_hash": ({}, lambda number: {"X-Forwarded-For": f"192.0.2.{number + 1}"}),
    "uri_hash": ({}, lambda number: {"path": f"/uri_hash/{number}"}),
    "header": ({"field": "X-Tenant", "fallback": "first"}, lambda number: {"X-Tenant": f"tenant-{number}"}),
    "query": ({"field": "tenant", "fallback": "first"}, lambda number: {"path": f"/query/?tenant={number}"}),
}
# Where the fallback is what is looked at: nothing of the kind is brought.
BARE = ("header", "query")

Phase = dict[str, list[str]]


class Site(t.NamedTuple):
    """The site, with one route for each policy, and its three instances with their gates."""

    caddy: RealCaddy
    instances: list[tuple[Upstream, Upstream]]

    def out(self, number: int) -> contextlib.ExitStack:
        """Take an instance out at its gate, and put it back at the end of the block."""
        gate = self.instances[number - 1][1]
        stack = contextlib.ExitStack()
        stack.callback(self._turn, gate, 200)
        self._turn(gate, 503)
        return stack

    def _turn(self, gate: Upstream, status: int) -> None:
        """Until each of the pools has checked it twice: there are fewer than 20."""
        gate.status = status
        before = gate.checks
        until("every pool to check the gate", lambda: gate.checks >= before + 40, 60)

    @contextlib.contextmanager
    def busy(self, path: str, count: int) -> t.Iterator[list[str]]:
        """So many requests that are under way while the block runs, and at which instances they are."""
        for serving, _gate in self.instances:
            serving.hold.clear()
        threads = [threading.Thread(target=self.answers, args=(path, 1)) for _ in range(count)]
        try:
            for sent, thread in enumerate(threads, 1):
                thread.start()
                until("the request to be under way", lambda sent=sent: len(self._holding()) == sent)  # type: ignore[misc]
            yield self._holding()
        finally:
            for serving, _gate in self.instances:
                serving.hold.set()
            for thread in threads:
                thread.join(20)

    def _holding(self) -> list[str]:
        """An instance's name for each request that it has under way, by Caddy's count."""
        names = {f"127.0.0.{100 + number}:{self.caddy.port}": f"botserver-{number}" for number in (1, 2, 3)}
        counted = in_flight(Caddy(self.caddy.socket).upstreams(), names)
        return [name for address, name in names.items() for _ in range(counted[address])]

    def answers(self, path: str, count: int, **headers: str) -> list[str]:
        """Who answers so many requests, one after the other, on one connection."""
        with contextlib.closing(self.connection()) as link:
            return [self.ask(link, path, headers) for _ in range(count)]

    def connection(self, source: str = "127.0.0.1") -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "localhost", self.caddy.https, timeout=20, context=self.caddy.trust(), source_address=(source, 0)
        )

    def ask(self, link: http.client.HTTPSConnection, path: str, headers: dict[str, str]) -> str:
        link.request("GET", path, headers=headers)
        answer = link.getresponse()
        assert answer.status == 200
        return answer.read().decode()

    def visits(self, policy: str) -> list[str]:
        """Who answers each visitor, who comes back once and finds the same one; of a connection of its own where it is known by that."""
        found = []
        with contextlib.closing(self.connection()) as shared:
            for number in VISITORS:
                brought = BY_VISITOR[policy][1](number)
                path, source = brought.pop("path", f"/{policy}/"), brought.pop("source", None)
                with contextlib.closing(self.connection(source)) if source else contextlib.nullcontext(shared) as link:
                    first, second = (self.ask(link, path, brought) for _ in range(2))
                assert first == second
                found.append(first)
        return found


@pytest.fixture(scope="module")
def site() -> t.Iterator[Site]:
    """Routes for all policies in one configuration, so that one Caddy and one fall of an instance do for all."""
    options: dict[str, t.Any] = {name: given for name, (given, *_more) in SPREADING.items()}
    options |= {name: given for name, (given, _brought) in BY_VISITOR.items()}
    options |= {"least_conn": {}, "cookie": {"cookie": {"name": "stick", "fallback": "round_robin"}}}
    assert {*options} == {*POLICIES}, "a policy is not looked at"
    routes = [{"name": name.replace("_", "-"), "path": [f"/{name}/*"], "policy": name, **given} for name, given in options.items()]
    program = binary()
    assert program is not None
    with real_caddy(program) as caddy, contextlib.ExitStack() as stack:
        instances = [stack.enter_context(slot(caddy, number)) for number in (1, 2, 3)]
        # An instance leaves a pool when its gate says so, and never because one of some eighty checks a second was late.
        health = {**caddy.role()["caddy_health"], "interval": 0.5, "timeout": 20}
        load(caddy, slots=3, gb_routes=routes, caddy_health=health, gb_trusted_proxies=["127.0.0.1/32"], caddy_panic=False)
        yield Site(caddy, instances)


@pytest.fixture(scope="module")
def phases(site: Site) -> tuple[Phase, Phase, Phase]:
    """Who answered under each policy: with all three, with the second out, and with it back."""

    def look() -> Phase:
        spread = {policy: site.answers(f"/{policy}/", 24) for policy in SPREADING}
        return spread | {policy: site.visits(policy) for policy in BY_VISITOR}

    before = look()
    with site.out(2):
        without = look()
    return before, without, look()


@pytest.mark.parametrize("policy", SPREADING)
def test_requests_are_spread_as_the_policy_says(phases: tuple[Phase, Phase, Phase], policy: str) -> None:
    _options, *expected = SPREADING[policy]
    for phase, numbers in zip(phases[:2], expected, strict=True):
        counted = collections.Counter(phase[policy])
        if numbers is not None:
            assert [counted[f"botserver-{number}"] for number in (1, 2, 3)] == numbers
    assert OUT not in phases[1][policy]


def test_random_hits_each_of_24_times(phases: tuple[Phase, Phase, Phase]) -> None:
    assert ({*phases[0]["random"]}, {*phases[1]["random"]}) == (ALL, LEFT)


def test_random_choose_takes_the_less_busy_of_those_it_chose(site: Site) -> None:
    assert {*site.answers("/random_choose/", 24)} == {"botserver-1", "botserver-3"}
    with site.out(2), site.busy("/random_choose/held", 1) as held:
        assert {*site.answers("/random_choose/", 8)} == LEFT - {*held}


@pytest.mark.parametrize("policy", BY_VISITOR)
def test_visitors_keep_their_instance_when_another_falls_and_have_theirs_again_when_it_is_back(
    phases: tuple[Phase, Phase, Phase], policy: str
) -> None:
    before, without, after = (phase[policy] for phase in phases)
    assert {*before} == ALL, "all visitors came to the same ones"
    assert after == before
    assert [now for was, now in zip(before, without, strict=True) if was != OUT] == [was for was in before if was != OUT]
    assert {now for was, now in zip(before, without, strict=True) if was == OUT} <= LEFT


@pytest.mark.parametrize("policy", BARE)
def test_who_brings_nothing_is_sent_by_the_fallback(site: Site, policy: str) -> None:
    assert site.answers(f"/{policy}/", 6) == ["botserver-1"] * 6


def test_an_address_that_a_visitor_claims_counts_for_client_ip_hash_only_from_a_trusted_proxy(site: Site) -> None:
    """127.0.0.1 is trusted in this site, 127.0.1.1 is not."""

    def claims(source: str) -> set[str]:
        with contextlib.closing(site.connection(source)) as link:
            return {site.ask(link, "/client_ip_hash/", {"X-Forwarded-For": f"192.0.2.{number}"}) for number in VISITORS}

    assert (len(claims("127.0.0.1")), len(claims("127.0.1.1"))) == (3, 1)


def test_first_goes_to_the_next_when_the_first_is_out(site: Site) -> None:
    with site.out(1):
        assert site.answers("/first/", 6) == ["botserver-2"] * 6


def test_least_conn_goes_where_the_fewest_are_under_way(site: Site) -> None:
    with site.busy("/least_conn/held", 2) as held:
        assert len({*held}) == 2, "two requests went to one of three idle instances"
        assert {*site.answers("/least_conn/", 8)} == ALL - {*held}
    with site.out(2):
        assert OUT not in site.answers("/least_conn/", 8)


class Visitor:
    """One who keeps the cookie that was given."""

    def __init__(self, site: Site) -> None:
        self._site, self.cookie = site, ""

    def comes(self) -> str:
        """Who answers now."""
        status, headers, body = self._site.caddy.get("/cookie/", **({"Cookie": self.cookie} if self.cookie else {}))
        assert status == 200
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].split(";")[0]
            assert self.cookie.startswith("stick=") and "127.0.0" not in self.cookie
            assert {"HttpOnly", "Secure"} <= {word.strip() for word in headers["set-cookie"].split(";")}
        return body


def test_a_cookie_leads_back_after_others_went_and_came_and_after_a_restart(site: Site) -> None:
    visitors = [Visitor(site) for _ in range(6)]
    before = [one.comes() for one in visitors]
    assert sorted(before) == sorted([*ALL] * 2), "its fallback is round_robin"
    cookies = [one.cookie for one in visitors]
    with site.out(2):
        without = [one.comes() for one in visitors]
        assert [now for was, now in zip(before, without, strict=True) if was != OUT] == [was for was in before if was != OUT]
        assert {now for was, now in zip(before, without, strict=True) if was == OUT} <= LEFT
    for one, cookie in zip(visitors, cookies, strict=True):
        one.cookie = cookie
    assert [one.comes() for one in visitors] == before
    site.caddy.stop()
    site.caddy.start()
    until("the certificate", site.caddy.shows_its_certificate)
    assert [one.comes() for one in visitors] == before

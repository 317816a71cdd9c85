# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's policies for choosing an upstream, and which option belongs to which of them. All functions are pure.

Names: https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/load_balancing/selection_policy/.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

# Those that need no word beside their name; only they can be a fallback.
PLAIN_POLICIES = ("random", "random_choose", "first", "round_robin", "least_conn", "ip_hash", "client_ip_hash", "uri_hash")
# The options that belong to a policy; for every policy that is not named, none.
OPTIONS: t.Mapping[str, tuple[str, ...]] = {
    "random_choose": ("choose",),
    "weighted_round_robin": ("weights",),
    "header": ("field", "fallback"),
    "query": ("field", "fallback"),
    "cookie": ("cookie",),
}
POLICIES = (*PLAIN_POLICIES, "weighted_round_robin", "header", "query", "cookie")
#: What each of them does, for an operator; docs/caddy.md is made from it.
POLICY_HELP: t.Mapping[str, str] = {
    "round_robin": "Each in turn.",
    "weighted_round_robin": "Each in turn, and as often as its weight says. Caddy gives the weights to the slots that are in, in their "
    "order: with the first slot out, the second has the first's weight, and those left over begin again with the first. So give a "
    "weight other than 0 only to slots that always serve.",
    "first": "The first slot that is in gets everything; the others are in reserve.",
    "random": "One by chance.",
    "random_choose": "The least busy of `choose` by chance. Of those that are idle it is the first, so that on an idle fleet some get "
    "nothing.",
    "least_conn": "The one with the fewest requests and websockets under way; by chance where several have as few.",
    "ip_hash": "The same one for the same address of the connection. Behind another proxy that is one address for all.",
    "client_ip_hash": "The same one for the same visitor's address, which proxies of `gb_trusted_proxies` may tell.",
    "uri_hash": "The same one for the same path and query.",
    "header": "The same one for the same value of the header `field`, such as a tenant's name; without it by `fallback`.",
    "query": "The same one for the same value of the key `field` in the query; without it by `fallback`.",
    "cookie": "The same one for the same browser, by a cookie that says nothing about the instance; at first by its `fallback`.",
}
# Where the order of the upstreams means something.
_ORDERED = ("first", "weighted_round_robin")

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclasses.dataclass(frozen=True)
class Cookie:
    """Stickiness: who comes with the cookie is sent to the same upstream again. ``max_age`` is in seconds."""

    secret: str
    name: str = "lb"
    fallback: str = "random"
    max_age: float = 0


@dataclasses.dataclass(frozen=True)
class Policy:
    """How an upstream is chosen. ``weights`` go with the upstreams, in their order; ``field`` is a header or a query key."""

    name: str = "random"
    weights: tuple[int, ...] = ()
    choose: int = 0
    field: str = ""
    fallback: str = ""
    cookie: Cookie | None = None

    @property
    def ordered(self) -> bool:
        """Whether the order of the upstreams means something."""
        fallback = self.cookie.fallback if self.cookie else self.fallback
        return self.name in _ORDERED or fallback in _ORDERED


#: Caddy's own default.
RANDOM = Policy()


def problems(policy: Policy, upstreams: int | None = None) -> t.Iterator[str]:
    """What is wrong with a policy for so many upstreams, in sentences."""
    if policy.name not in POLICIES:
        yield f"policy {policy.name!r} is none of {', '.join(POLICIES)}."
        return
    mine = OPTIONS.get(policy.name, ())
    for option, owners in _owners().items():
        if option not in mine and getattr(policy, option):
            known = f"its own are {', '.join(mine)}" if mine else "it has none of its own"
            yield f"{option} does not belong to policy {policy.name} but to {', '.join(owners)}; {known}."
    yield from _own_problems(policy, upstreams)


def _owners() -> dict[str, list[str]]:
    """Every option with the policies that have it."""
    found: dict[str, list[str]] = {}
    for name, options in OPTIONS.items():
        for option in options:
            found.setdefault(option, []).append(name)
    return found


def _own_problems(policy: Policy, upstreams: int | None) -> t.Iterator[str]:
    if policy.name == "weighted_round_robin":
        yield from _weight_problems(policy.weights, upstreams)
    if policy.name == "random_choose" and policy.choose and policy.choose < 2:
        yield f"choose is {policy.choose}; it is 2 or more."
    if policy.name == "header" and not _TOKEN.fullmatch(policy.field):
        yield f"policy header needs field, the name of a header; {policy.field!r} is none."
    if policy.name == "query" and not policy.field:
        yield "policy query needs field, the key of the query."
    if policy.name == "cookie":
        yield from _cookie_problems(policy.cookie)
    yield from _fallback_problems(policy.fallback)


def _weight_problems(weights: tuple[int, ...], upstreams: int | None) -> t.Iterator[str]:
    if upstreams is not None and len(weights) != upstreams:
        yield f"policy weighted_round_robin needs weights, one for each upstream: {upstreams} upstreams, {len(weights)} weights."
    if any(weight < 0 for weight in weights) or not any(weights):
        yield "weights are 0 or more, and at least one is more; an upstream of weight 0 gets no new requests."


def _cookie_problems(cookie: Cookie | None) -> t.Iterator[str]:
    if cookie is None:
        yield "policy cookie needs cookie, with at least its secret."
        return
    if not cookie.secret:
        yield "the cookie's secret is empty, and anybody could compute the address behind a cookie. Generate one."
    if not _TOKEN.fullmatch(cookie.name):
        yield f"the cookie's name {cookie.name!r} is none; write letters, digits, - and _."
    if cookie.max_age < 0:
        yield f"the cookie's max_age is {cookie.max_age}; it cannot be negative."
    yield from _fallback_problems(cookie.fallback)


def _fallback_problems(fallback: str) -> t.Iterator[str]:
    if fallback and fallback not in PLAIN_POLICIES:
        yield f"fallback {fallback!r} is none of {', '.join(PLAIN_POLICIES)}."


def selection(policy: Policy) -> dict[str, t.Any]:
    """The policy in Caddy's words, without its times."""
    words: dict[str, t.Any] = {"policy": policy.name}
    if policy.name == "weighted_round_robin":
        words["weights"] = list(policy.weights)
    if policy.choose:
        words["choose"] = policy.choose
    if policy.name in ("header", "query"):
        words["field" if policy.name == "header" else "key"] = policy.field
        words["fallback"] = {"policy": policy.fallback or "random"}
    if policy.cookie is not None:
        cookie = policy.cookie
        words |= {"name": cookie.name, "secret": cookie.secret, "fallback": {"policy": cookie.fallback}}
    return words

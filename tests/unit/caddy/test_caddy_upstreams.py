# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools as values: what is refused, and why."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import policies, upstreams
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

COOKIE = {"secret": "s3cret", "name": "lb", "fallback": "least_conn", "max_age": 60}
HEALTH = {"uri": "/api/health", "port": 8079, "interval": 10.0, "timeout": 5.0, "fails": 3, "passes": 1}


def option(**more: t.Any) -> dict[str, t.Any]:
    return {"id": "gb-api", "upstreams": ["10.0.0.1:80"], "policy": "round_robin", "cookie": None, "health": None, **more}


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"upstreams": []}, "no upstreams"),
        ({"upstreams": [""]}, "'' is no address"),
        ({"upstreams": ["bad addr:99999999"]}, "'bad addr:99999999' is no address"),
        ({"upstreams": ["a:80", "A:80"]}, "A:80 stands there twice"),
        ({"upstreams": ["a:80", "tcp/a:80"]}, "a:80 stands there twice"),
        ({"state": "drained"}, "state 'drained' is none of exact, present, absent"),
        ({"try_duration": -1}, "try_duration is -1"),
        ({"retries": -1}, "retries is -1"),
        ({"unhealthy_request_count": -1}, "unhealthy_request_count is -1"),
        ({"read_timeout": -0.5}, "read_timeout is -0.5"),
        ({"flush_interval": -2}, "flush_interval is -2"),
        ({"max_fails": 2}, "max_fails has no effect without fail_duration"),
        ({"unhealthy_status": [500]}, "unhealthy_status has no effect without fail_duration"),
        ({"unhealthy_latency": 2}, "unhealthy_latency has no effect without fail_duration"),
        ({"fail_duration": 3, "unhealthy_status": [99]}, "unhealthy_status has 99"),
        ({"retry_match": [{"method": ["PUT"]}]}, "retry_match has no effect without retries or try_duration"),
        ({"retries": 1, "retry_match": [{}]}, "would repeat every request"),
        ({"retries": 1, "retry_match": [{"method": ["put"]}]}, "the method 'put'"),
        ({"health": {**HEALTH, "uri": "api"}}, "does not begin with a slash"),
        ({"health": {**HEALTH, "port": 70000}}, "port 70000"),
        ({"health": {**HEALTH, "interval": 0}}, "greater than 0"),
        ({"health": {**HEALTH, "status": 7}}, "status has 7"),
        ({"health": {**HEALTH, "body": "("}}, "no regular expression"),
    ],
)
def test_what_cannot_work_is_refused_with_its_pool_and_reason(wrong: dict[str, t.Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=r"Pool gb-api: .*Nothing was changed") as refusal:
        upstreams.pools_from([option(**wrong)])
    assert why in str(refusal.value)


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"policy": "sticky"}, f"policy 'sticky' is none of {', '.join(policies.POLICIES)}"),
        ({"policy": "cookie"}, "needs cookie"),
        ({"cookie": COOKIE}, "cookie does not belong to policy round_robin but to cookie; it has none of its own"),
        ({"policy": "cookie", "cookie": {**COOKIE, "secret": ""}}, "secret is empty"),
        ({"policy": "cookie", "cookie": {**COOKIE, "name": "a b"}}, "name 'a b' is none"),
        ({"policy": "cookie", "cookie": {**COOKIE, "max_age": -1}}, "max_age is -1"),
        ({"policy": "cookie", "cookie": {**COOKIE, "fallback": "cookie"}}, "fallback 'cookie' is none of random,"),
        ({"policy": "first", "weights": [1]}, "weights does not belong to policy first but to weighted_round_robin"),
        (
            {"policy": "header", "field": "X", "choose": 2},
            "choose does not belong to policy header but to random_choose; its own are field",
        ),
        ({"policy": "ip_hash", "field": "a"}, "field does not belong to policy ip_hash but to header, query"),
        ({"policy": "random", "fallback": "first"}, "fallback does not belong to policy random but to header, query"),
        ({"policy": "weighted_round_robin"}, "1 upstreams, 0 weights"),
        ({"policy": "weighted_round_robin", "weights": [1, 2]}, "1 upstreams, 2 weights"),
        ({"policy": "weighted_round_robin", "weights": [0]}, "at least one is more"),
        ({"policy": "weighted_round_robin", "upstreams": ["a:1", "b:1"], "weights": [-1, 2]}, "0 or more"),
        ({"policy": "random_choose", "choose": 1}, "choose is 1"),
        ({"policy": "header"}, "needs field, the name of a header"),
        ({"policy": "header", "field": "X Tenant"}, "'X Tenant' is none"),
        ({"policy": "query"}, "needs field, the key"),
        ({"policy": "query", "field": "k", "fallback": "header"}, "fallback 'header' is none of"),
    ],
)
def test_a_policy_and_what_is_not_its_own(wrong: dict[str, t.Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=r"Pool gb-api: .*Nothing was changed") as refusal:
        upstreams.pools_from([option(**wrong)])
    assert why in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_members_alone_are_changed_without_any_other_option(state: str) -> None:
    assert upstreams.pool_from({"id": "a", "upstreams": ["b:1"], "state": state, "policy": "random", "try_interval": 0.25}).state == state
    with pytest.raises(InvalidInput, match=f"state {state} changes members and nothing else; leave out policy, retries"):
        upstreams.pool_from({"id": "a", "upstreams": ["b:1"], "state": state, "policy": "first", "retries": 2})


def test_one_pool_described_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="gb-api is described twice"):
        upstreams.pools_from([option(), option()])


def test_a_pool_has_an_id() -> None:
    with pytest.raises(InvalidInput, match="has no id"):
        upstreams.pools_from([{"upstreams": ["a:1"]}])


def test_one_pool_by_its_options_is_as_one_in_a_list() -> None:
    assert upstreams.pools_of({"socket": "/s", "pools": None, **option()}) == upstreams.pools_from([option()])
    defaults = {"policy": "random", "max_fails": 1, "try_interval": 0.25, "state": "exact", "id": None}
    assert upstreams.pools_of({"pools": [option()], **defaults}) == upstreams.pools_from([option()])


def test_options_of_one_pool_beside_a_list_are_refused() -> None:
    with pytest.raises(InvalidInput, match="cookie, id stands beside pools"):
        upstreams.pools_of({"pools": [option()], "id": "gb-web", "cookie": COOKIE})


@pytest.mark.parametrize("address", ["10.87.0.101:8080", "botserver-1:8080", "botserver-1.lxd:1", "[fd00::1]:65535", "a.b.c.:80"])
def test_addresses(address: str) -> None:
    assert upstreams.is_address(address)


@pytest.mark.parametrize(
    "address", ["", "10.0.0.1", ":80", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.256:80", "fd00::1:80", "[10.0.0.1]:80", "a b:80", "-a:80",
                "a:80-90", "unix//run/x", "{env.X}:80", "a:8O", "10.0.0:80", "a..b:80", "http://a:80"]
)  # fmt: skip
def test_what_is_no_address(address: str) -> None:
    assert not upstreams.is_address(address)


def test_checks_go_to_the_gate_and_are_noticed_after_fails_intervals_and_a_timeout() -> None:
    health = Health(uri="/", port=8079, interval=10, timeout=5, fails=3)
    assert health.address("[fd00::1]:80") == "[fd00::1]:8079"
    assert Health(uri="/").address("a:80") == "a:80"
    assert health.notice == 35


@pytest.mark.parametrize("status, passing", [(None, [200, 204, 299]), (2, [200, 204, 299]), (204, [204]), (3, [302])])
def test_the_status_of_a_healthy_upstream(status: int | None, passing: list[int]) -> None:
    assert [code for code in (199, 200, 204, 299, 302, 404, 503) if Health("/", status=status).expects(code)] == passing

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools as values: what is refused, and which handler they make."""

from __future__ import annotations

import typing as t

import pytest
from caddy_fakes import proxy

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import upstreams
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
        ({"policy": "sticky"}, "policy 'sticky' is none of random, first"),
        ({"policy": "cookie"}, "go together"),
        ({"cookie": COOKIE}, "go together"),
        ({"policy": "cookie", "cookie": {**COOKIE, "secret": ""}}, "secret is empty"),
        ({"policy": "cookie", "cookie": {**COOKIE, "fallback": "cookie"}}, "fallback 'cookie' is none of"),
        ({"try_duration": -1}, "try_duration is -1"),
        ({"health": {**HEALTH, "uri": "api"}}, "does not begin with a slash"),
        ({"health": {**HEALTH, "port": 70000}}, "port 70000"),
        ({"health": {**HEALTH, "interval": 0}}, "greater than 0"),
    ],
)
def test_what_cannot_work_is_refused_with_its_pool_and_reason(wrong: dict[str, t.Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=r"Pool gb-api: .*Nothing was changed") as refusal:
        upstreams.pools_from([option(**wrong)])
    assert why in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_one_pool_described_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="gb-api is described twice"):
        upstreams.pools_from([option(), option()])


@pytest.mark.parametrize("address", ["10.87.0.101:8080", "botserver-1:8080", "botserver-1.lxd:1", "[fd00::1]:65535", "a.b.c.:80"])
def test_addresses(address: str) -> None:
    assert upstreams.is_address(address)


@pytest.mark.parametrize(
    "address", ["", "10.0.0.1", ":80", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.256:80", "fd00::1:80", "[10.0.0.1]:80", "a b:80", "-a:80",
                "a:80-90", "unix//run/x", "{env.X}:80", "a:8O", "10.0.0:80", "a..b:80", "http://a:80"]
)  # fmt: skip
def test_what_is_no_address(address: str) -> None:
    assert not upstreams.is_address(address)


def test_the_handler_of_a_pool() -> None:
    pool = upstreams.pool_from(
        option(policy="cookie", cookie=COOKIE, health=HEALTH, try_duration=5.0, try_interval=0.25, dial_timeout=1.0, fail_duration=3.0,
               stream_close_delay=300.0)
    )  # fmt: skip
    assert upstreams.handler(pool, {"@id": "gb-api", "handler": "reverse_proxy"}) == {
        "@id": "gb-api",
        "handler": "reverse_proxy",
        "upstreams": [{"dial": "10.0.0.1:80"}],
        "load_balancing": {
            "selection_policy": {
                "policy": "cookie",
                "name": "lb",
                "secret": "s3cret",
                "fallback": {"policy": "least_conn"},
                "max_age": "60s",
            },
            "try_duration": "5s",
            "try_interval": "0.25s",
        },
        "health_checks": {
            "active": {"uri": "/api/health", "port": 8079, "interval": "10s", "timeout": "5s", "fails": 3, "passes": 1},
            "passive": {"fail_duration": "3s", "max_fails": 1},
        },
        "transport": {"protocol": "http", "dial_timeout": "1s"},
        "stream_close_delay": "300s",
    }


def test_keys_without_an_option_stay_and_those_with_one_are_ours() -> None:
    running = proxy(
        "gb-api",
        headers={"request": {}},
        flush_interval=-1,
        upstreams=[{"dial": "10.0.0.1:80", "max_requests": 9}, {"dial": "10.0.0.2:80"}],
        transport={"protocol": "http", "dial_timeout": "9s", "keep_alive": {"enabled": False}},
        load_balancing={"retry_match": [{"method": ["GET"]}], "try_duration": "9s"},
        health_checks={"active": {"uri": "/old"}},
        stream_timeout="1m",
    )
    made = upstreams.handler(upstreams.pool_from(option()), running)
    assert made == proxy(
        "gb-api",
        headers={"request": {}},
        flush_interval=-1,
        upstreams=[{"dial": "10.0.0.1:80", "max_requests": 9}],
        transport={"protocol": "http", "keep_alive": {"enabled": False}},
        load_balancing={"retry_match": [{"method": ["GET"]}], "selection_policy": {"policy": "round_robin"}},
    )


def test_the_same_pool_again_is_the_same_handler() -> None:
    pool = upstreams.pool_from(option(health=HEALTH, fail_duration=3, dial_timeout=1))
    once = upstreams.handler(pool, proxy("gb-api"))
    assert upstreams.handler(pool, once) == once


def test_the_order_of_upstreams_is_the_users() -> None:
    pool = upstreams.pool_from(option(upstreams=["b:1", "a:1"]))
    assert upstreams.handler(pool, proxy("gb-api", "a:1", "b:1"))["upstreams"] == [{"dial": "b:1"}, {"dial": "a:1"}]


def test_the_diff_shows_addresses_and_no_secret() -> None:
    pools = upstreams.pools_from([option(policy="cookie", cookie=COOKIE, upstreams=["a:1", "b:1"])])
    old = upstreams.handler(upstreams.pool_from(option(policy="cookie", cookie={**COOKIE, "secret": "0ld"}, upstreams=["a:1"])), {})
    changes = upstreams.plan(pools, {"gb-api": old}, {"gb-api": upstreams.handler(pools[0], old)})
    assert changes.diff["before"] == {"gb-api upstreams": ["a:1"], "gb-api cookie secret": "(hidden)"}
    assert changes.diff["after"] == {"gb-api upstreams": ["a:1", "b:1"], "gb-api cookie secret": "(hidden), changed"}
    assert changes.steps() == ["update gb-api: 2 upstreams, cookie"]
    assert "s3cret" not in str(changes.result()) and "0ld" not in str(changes.result())


def test_an_unchanged_pool_is_no_change() -> None:
    pools = upstreams.pools_from([option()])
    same = upstreams.handler(pools[0], {})
    assert not upstreams.plan(pools, {"gb-api": same}, {"gb-api": same}).changed


def test_members_are_asked_as_their_pool_says() -> None:
    pools = upstreams.pools_from([option(id="plain"), option(health=HEALTH)])
    assert upstreams.checks_of(pools, ["10.0.0.1:80"]) == {"10.0.0.1:80": pools[1].health}
    with pytest.raises(InvalidInput, match=r"10\.0\.0\.9:80 cannot be waited for"):
        upstreams.checks_of(pools, ["10.0.0.9:80"])


def test_checks_go_to_the_gate_and_are_noticed_after_fails_intervals_and_a_timeout() -> None:
    health = Health(uri="/", port=8079, interval=10, timeout=5, fails=3)
    assert health.address("[fd00::1]:80") == "[fd00::1]:8079"
    assert Health(uri="/").address("a:80") == "a:80"
    assert health.notice == 35


@pytest.mark.parametrize(
    "active, expected",
    [
        ({"uri": "/h", "port": 1, "interval": "1m30s", "timeout": "250ms", "fails": 2, "passes": 4}, Health("/h", 1, 90, 0.25, 2, 4)),
        ({"uri": "/h", "interval": 2_000_000_000}, Health("/h", None, 2, 5, 1, 1)),
        ({"port": 2}, Health("/", 2, 30, 5, 1, 1)),
        (None, None),
    ],
)
def test_running_checks_are_read_with_caddys_own_defaults(active: t.Any, expected: Health | None) -> None:
    assert upstreams.health_of(proxy("x", health_checks={"active": active})) == expected

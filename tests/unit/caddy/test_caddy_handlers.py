# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The handler that a pool makes, what of a running one stays, and what people are shown."""

from __future__ import annotations

import typing as t

import pytest
from caddy_fakes import proxy, site

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import handlers, times
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import handlers as by_id
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health, pool_from, pools_from
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

COOKIE = {"secret": "s3cret", "name": "lb", "fallback": "least_conn", "max_age": 60}
HEALTH: dict[str, t.Any] = {"uri": "/api/health", "port": 8079, "interval": 10.0, "timeout": 5.0, "fails": 3, "passes": 1}
BARE = {"@id": "gb-api", "handler": "reverse_proxy"}


def option(**more: t.Any) -> dict[str, t.Any]:
    return {"id": "gb-api", "upstreams": ["10.0.0.1:80"], "policy": "round_robin", "cookie": None, "health": None, **more}


def made(running: dict[str, t.Any] | None = None, **more: t.Any) -> dict[str, t.Any]:
    return handlers.handler(pool_from(option(**more)), running or BARE)


def test_a_pool_with_everything() -> None:
    assert made(
        policy="cookie", cookie=COOKIE, health={**HEALTH, "status": 204, "body": "ok"}, retries=3,
        retry_match=[{"method": ["GET", "HEAD"]}], try_duration=5.0,
        try_interval=0.25, dial_timeout=1.0, response_header_timeout=30, read_timeout=60, write_timeout=61,
        fail_duration=3.0, max_fails=2, unhealthy_status=[5, 429], unhealthy_latency=1.5, unhealthy_request_count=100,
        stream_timeout=3600, stream_close_delay=300.0, flush_interval=-1,
    ) == {
        **BARE,
        "upstreams": [{"dial": "10.0.0.1:80"}],
        "load_balancing": {
            "selection_policy": {
                "policy": "cookie",
                "name": "lb",
                "secret": "s3cret",
                "fallback": {"policy": "least_conn"},
                "max_age": "60s",
            },
            "retries": 3,
            "retry_match": [{"method": ["GET", "HEAD"]}],
            "try_duration": "5s",
            "try_interval": "0.25s",
        },
        "health_checks": {
            "active": {
                "uri": "/api/health", "port": 8079, "interval": "10s", "timeout": "5s", "fails": 3, "passes": 1,
                "expect_status": 204, "expect_body": "ok",
            },
            "passive": {
                "fail_duration": "3s", "max_fails": 2, "unhealthy_status": [5, 429], "unhealthy_latency": "1.5s",
                "unhealthy_request_count": 100,
            },
        },
        "transport": {
            "protocol": "http", "dial_timeout": "1s", "response_header_timeout": "30s", "read_timeout": "60s", "write_timeout": "61s",
        },
        "stream_timeout": "3600s",
        "stream_close_delay": "300s",
        "flush_interval": "-1s",
    }  # fmt: skip


def test_a_pool_with_nothing_is_an_address_and_a_policy() -> None:
    assert made() == {**BARE, "upstreams": [{"dial": "10.0.0.1:80"}], "load_balancing": {"selection_policy": {"policy": "round_robin"}}}


@pytest.mark.parametrize(
    "given, words",
    [
        ({"policy": "weighted_round_robin", "weights": [3]}, {"weights": [3]}),
        ({"policy": "random_choose"}, {}),
        ({"policy": "random_choose", "choose": 3}, {"choose": 3}),
        ({"policy": "header", "field": "X-Tenant"}, {"field": "X-Tenant", "fallback": {"policy": "random"}}),
        ({"policy": "query", "field": "tenant", "fallback": "first"}, {"key": "tenant", "fallback": {"policy": "first"}}),
    ],
)
def test_the_words_of_a_policy(given: dict[str, t.Any], words: dict[str, t.Any]) -> None:
    assert made(**given)["load_balancing"]["selection_policy"] == {"policy": given["policy"], **words}


RUNNING = proxy(
    "gb-api",
    headers={"request": {}},
    request_buffers=4096,
    upstreams=[{"dial": "10.0.0.1:80", "max_requests": 9}, {"dial": "10.0.0.2:80"}],
    transport={"protocol": "http", "dial_timeout": "9s", "keep_alive": {"enabled": False}},
    load_balancing={"retry_match": [{"method": ["PUT"]}], "retries": 9, "try_duration": "9s"},
    health_checks={"active": {"uri": "/old", "headers": {"X-Check": ["1"]}}, "passive": {"max_fails": 4}},
    stream_timeout="1m",
)


def test_keys_without_an_option_stay_and_those_with_one_are_ours() -> None:
    rest = {"headers": {"request": {}}, "request_buffers": 4096, "transport": {"protocol": "http", "keep_alive": {"enabled": False}}}
    assert made(RUNNING) == proxy(
        "gb-api",
        upstreams=[{"dial": "10.0.0.1:80", "max_requests": 9}],
        load_balancing={"selection_policy": {"policy": "round_robin"}},
        health_checks={"active": {"headers": {"X-Check": ["1"]}}},
        **rest,
    )
    assert made(RUNNING, health=HEALTH)["health_checks"]["active"]["headers"] == {"X-Check": ["1"]}


def test_the_same_pool_again_is_the_same_handler() -> None:
    once = made(RUNNING, health=HEALTH, fail_duration=3, dial_timeout=1)
    assert made(once, health=HEALTH, fail_duration=3, dial_timeout=1) == once


def test_the_running_handler_is_not_changed_in_place() -> None:
    before = {**RUNNING, "upstreams": [dict(one) for one in RUNNING["upstreams"]]}
    made(RUNNING, upstreams=["10.0.0.1:80", "10.0.0.3:80"])
    assert before == RUNNING


@pytest.mark.parametrize("more, order", [
    ({}, ["a:1", "b:1"]),
    ({"policy": "ip_hash"}, ["a:1", "b:1"]),
    ({"policy": "first"}, ["b:1", "a:1"]),
    ({"policy": "weighted_round_robin", "weights": [1, 2]}, ["b:1", "a:1"]),
    ({"policy": "query", "field": "k", "fallback": "first"}, ["b:1", "a:1"]),
    ({"policy": "cookie", "cookie": {"secret": "s", "fallback": "first"}}, ["b:1", "a:1"]),
    ({"upstreams": ["b:1", "A:1"]}, ["A:1", "b:1"]),
    ({"upstreams": ["c:1", "a:1"]}, ["c:1", "a:1"]),
])  # fmt: skip
def test_members_are_a_set_except_where_their_order_counts(more: dict[str, t.Any], order: list[str]) -> None:
    running = proxy("gb-api", "a:1", "b:1")
    assert [one["dial"] for one in made(running, **{"upstreams": ["b:1", "a:1"], **more})["upstreams"]] == order


def members(state: str, *addresses: str, **running: t.Any) -> dict[str, t.Any]:
    pool = pool_from({"id": "gb-api", "upstreams": list(addresses), "state": state})
    return handlers.handler(pool, proxy("gb-api", "a:1", "b:1", load_balancing={"try_duration": "9s"}, **running))


def test_members_come_and_go_alone() -> None:
    there = members("present", "c:1", "A:1")
    assert [one["dial"] for one in there["upstreams"]] == ["A:1", "b:1", "c:1"]
    gone = members("absent", "a:1", "never:1")
    assert [one["dial"] for one in gone["upstreams"]] == ["b:1"]
    assert there["load_balancing"] == gone["load_balancing"] == {"try_duration": "9s"}


def test_the_last_member_is_not_taken_out() -> None:
    with pytest.raises(InvalidInput, match=r"Pool gb-api: without a:1, b:1 it would have no upstream left.*nothing was changed"):
        members("absent", "a:1", "b:1")


def test_members_of_a_weighted_pool_do_not_come_or_go_alone() -> None:
    running = proxy("gb-api", "a:1", load_balancing={"selection_policy": {"policy": "weighted_round_robin", "weights": [1]}})
    for state, word in (("present", "added"), ("absent", "taken out")):
        with pytest.raises(InvalidInput, match=f"none can be {word} alone"):
            handlers.handler(pool_from({"id": "gb-api", "upstreams": ["b:1"], "state": state}), running)


def test_a_handler_whose_upstreams_come_from_elsewhere_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has dynamic_upstreams"):
        made({**BARE, "dynamic_upstreams": {"source": "a", "name": "x"}})


def test_a_pool_without_checks_spells_what_others_check_otherwise() -> None:
    config = site(proxy("gb-api"), proxy("panic"), proxy("mine", "10.0.0.2:80"))
    pools = pools_from([
        option(health=HEALTH, upstreams=["10.0.0.1:80"]), {"id": "panic", "upstreams": ["10.0.0.1:80", "10.0.0.2:80"]}
    ])  # fmt: skip
    once = handlers.edit(config, pools)
    assert [one["dial"] for one in by_id(once)["panic"]["upstreams"]] == ["tcp/10.0.0.1:80", "10.0.0.2:80"]
    assert by_id(once)["gb-api"]["upstreams"] == [{"dial": "10.0.0.1:80"}]
    assert handlers.edit(once, pools) == once
    assert handlers.edit(once, pools[1:]) == once, "also when it is managed alone"
    unchecked = handlers.edit(once, pools_from([option(), {"id": "panic", "upstreams": ["10.0.0.2:80", "10.0.0.1:80"]}]))
    assert [one["dial"] for one in by_id(unchecked)["panic"]["upstreams"]] == ["10.0.0.1:80", "10.0.0.2:80"]
    assert handlers.addresses(by_id(once)["panic"]) == ["10.0.0.1:80", "10.0.0.2:80"]


def test_the_diff_shows_addresses_and_no_secret() -> None:
    pools = pools_from([option(policy="cookie", cookie=COOKIE, upstreams=["a:1", "b:1"])])
    old = made({**BARE, "headers": {}}, policy="cookie", cookie={**COOKIE, "secret": "0ld"}, upstreams=["a:1"])
    changes = handlers.plan(pools, {"gb-api": old}, {"gb-api": handlers.handler(pools[0], old)})
    assert changes.diff["before"] == {"gb-api upstreams": ["a:1"], "gb-api cookie secret": "(hidden)"}
    assert changes.diff["after"] == {"gb-api upstreams": ["a:1", "b:1"], "gb-api cookie secret": "(hidden), changed"}
    assert changes.steps() == ["update gb-api: 2 upstreams, cookie"]
    assert "s3cret" not in str(changes.result()) and "0ld" not in str(changes.result())


def test_the_diff_is_of_the_managed_part_alone() -> None:
    pools = pools_from([option()])
    before, after = proxy("gb-api", "10.0.0.1:80", headers={"a": 1}), proxy("gb-api", "10.0.0.1:80", headers={"a": 2})
    assert not handlers.plan(pools, {"gb-api": before}, {"gb-api": after}).changed
    after["flush_interval"] = "-1s"
    assert handlers.plan(pools, {"gb-api": before}, {"gb-api": after}).diff["after"] == {"gb-api flush interval": "-1s"}


def test_members_are_asked_as_their_pool_says() -> None:
    config = handlers.edit(site(proxy("plain"), proxy("gb-api")), pools_from([option(id="plain"), option(health=HEALTH)]))
    assert handlers.checks_of(config, ["10.0.0.1:80"]) == {"10.0.0.1:80": Health(**HEALTH)}
    with pytest.raises(InvalidInput, match=r"10\.0\.0\.9:80 cannot be waited for"):
        handlers.checks_of(config, ["10.0.0.9:80"])


@pytest.mark.parametrize(
    "active, expected",
    [
        ({"uri": "/h", "port": 1, "interval": "1m30s", "timeout": "250ms", "fails": 2, "passes": 4}, Health("/h", 1, 90, 0.25, 2, 4)),
        ({"uri": "/h", "interval": 2_000_000_000, "expect_status": 3, "expect_body": "x"}, Health("/h", None, 2, 5, 1, 1, 3, "x")),
        ({"port": 2}, Health("/", 2, 30, 5, 1, 1)),
        ({"headers": {}}, None),
        (None, None),
    ],
)
def test_running_checks_are_read_with_caddys_own_defaults(active: t.Any, expected: Health | None) -> None:
    assert handlers.health_of(proxy("x", health_checks={"active": active})) == expected


@pytest.mark.parametrize(
    "seconds, written", [(0, None), (5.0, "5s"), (0.25, "0.25s"), (2_592_000, "2592000s"), (1e-6, "0.000001s"), (-1, "-1s"), (10, "10s")]
)
def test_durations_are_written_as_go_reads_them(seconds: float, written: str | None) -> None:
    assert times.duration(seconds) == written
    assert seconds <= 0 or times.in_seconds(written, 0) == pytest.approx(seconds)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's own figures: each request once, and in flight only what is."""

from __future__ import annotations

import json
import typing as t

import pytest
from caddy_fakes import proxy, site

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import metrics

TEXT = """
# TYPE caddy_http_requests_total counter
caddy_http_requests_total{handler="subroute",server="site"} 12
caddy_http_requests_total{handler="subroute",server="redirect"} 5
caddy_http_requests_total{handler="reverse_proxy",server="site"} 7
caddy_config_last_reload_success_timestamp_seconds 1.7954417117679832e+09
process_start_time_seconds 1.7954417104e+09
"""


def test_only_the_route_that_every_request_passes_is_counted() -> None:
    assert metrics.requests_total(TEXT, site(proxy("gb-ws")), "site") == 12


def test_nothing_yet_is_zero() -> None:
    assert metrics.requests_total("", site(proxy("gb-ws")), "site") == 0


def test_what_would_count_twice_or_not_at_all_is_unknown() -> None:
    config = site(proxy("gb-ws"))
    assert metrics.requests_total(TEXT, config, "other") is None
    assert metrics.requests_total(TEXT, {}, "site") is None
    config["apps"]["http"]["servers"]["site"]["routes"] *= 2
    assert metrics.requests_total(TEXT, config, "site") is None


def routes(*firsts: str, **first: t.Any) -> dict[str, t.Any]:
    """A server of several routes, by their first handlers; what else the first route has."""
    config = site()
    listed: list[dict[str, t.Any]] = [{"handle": [{"handler": name}]} for name in firsts]
    config["apps"]["http"]["servers"]["site"]["routes"] = [{**listed[0], **first}, *listed[1:]]
    return config


def test_of_several_routes_only_one_that_all_requests_pass_under_a_name_of_its_own_counts() -> None:
    assert metrics.requests_total(TEXT, routes("subroute", "reverse_proxy"), "site") == 12
    assert metrics.requests_total(TEXT, routes("subroute", "reverse_proxy", "subroute"), "site") is None
    assert metrics.requests_total(TEXT, routes("subroute", match=[{"path": ["/a"]}]), "site") is None
    assert metrics.requests_total(TEXT, routes("", "subroute"), "site") is None


def test_without_metrics_in_the_configuration_the_count_is_unknown() -> None:
    config = site(proxy("gb-ws"))
    del config["apps"]["http"]["metrics"]
    assert metrics.requests_total(TEXT, config, "site") is None


def test_counting_began_with_the_last_reload() -> None:
    assert metrics.counting_since(TEXT) == pytest.approx(1795441711.7679832, abs=0.01)
    assert metrics.counting_since("process_start_time_seconds 5") == 5
    assert metrics.counting_since("") is None


def test_an_address_that_caddy_does_not_list_has_nothing_in_flight() -> None:
    listed = [{"address": "a:1", "num_requests": 3, "fails": 0}]
    assert metrics.in_flight(listed, ["a:1", "b:1"]) == {"a:1": 3, "b:1": 0}


def histogram(code: str, *counts: float, server: str = "site", handler: str = "subroute") -> str:
    labels = f'code="{code}",handler="{handler}",method="GET",server="{server}"'
    name = "caddy_http_request_duration_seconds"
    lines = [f'{name}_bucket{{{labels},le="{le}"}} {count}' for le, count in zip(("0.005", "10", "+Inf"), counts, strict=True)]
    return "\n".join([*lines, f"{name}_sum{{{labels}}} {counts[-1] / 4}", f"{name}_count{{{labels}}} {counts[-1]}", ""])


def test_durations_are_those_of_every_request_once_and_of_no_websocket() -> None:
    text = histogram("200", 5, 7, 8) + histogram("502", 1, 1, 2)
    noise = histogram("101", 0, 0, 9) + histogram("200", 3, 3, 3, handler="reverse_proxy") + histogram("200", 4, 4, 4, server="redirect")
    assert metrics.durations(text + noise, site(), "site") == {"buckets": {"0.005": 6, "10": 8, "+Inf": 10}, "sum": 2.5, "count": 10}
    assert metrics.durations("", site(), "site") == {"buckets": {}, "sum": 0, "count": 0}
    assert metrics.durations(text, site(), "other") is None


CHECKS = {"active": {"uri": "/h", "port": 1, "interval": "2s"}}
GAUGE = 'process_start_time_seconds 100\ncaddy_reverse_proxy_upstreams_healthy{upstream="%s"} %d\n'


def test_healthy_is_what_caddys_gauge_says() -> None:
    config = site(
        proxy("a", "b:1", health_checks=CHECKS), proxy("c", "b:1", "d:1", health_checks={"active": {**CHECKS["active"], "fails": 3}})
    )
    assert metrics.healthy(GAUGE % ("b:1", 1), config, 120) == {"b:1": True, "d:1": None}
    assert metrics.healthy(GAUGE % ("b:1", 0), config, 120)["b:1"] is False


def test_a_gauge_from_before_the_first_checks_says_nothing() -> None:
    config = site(proxy("a", "b:1", health_checks=CHECKS))
    assert metrics.healthy(GAUGE % ("b:1", 1), config, 110.9) == {"b:1": None}
    assert metrics.healthy("", config, 120) == {"b:1": None}


def test_a_gauge_that_pools_with_other_checks_or_none_write_to_says_nothing() -> None:
    checked, unchecked = proxy("a", "b:1", health_checks=CHECKS), proxy("c", "b:1")
    other = proxy("d", "b:1", health_checks={"active": {"uri": "/other", "port": 1}})
    for second in (unchecked, other):
        assert metrics.healthy(GAUGE % ("b:1", 1), site(checked, second), 120) == {"b:1": None}


def test_an_address_spelled_otherwise_has_a_gauge_of_its_own() -> None:
    config = site(proxy("a", "b:1", health_checks=CHECKS), proxy("panic", "tcp/b:1"))
    assert metrics.healthy(GAUGE % ("b:1", 0) + GAUGE % ("tcp/b:1", 1), config, 120) == {"b:1": False}


def test_the_traffic_of_one_caddy_from_what_it_answers() -> None:
    config = site(proxy("a", "b:1", health_checks=CHECKS), proxy("panic", "tcp/b:1"))
    listed = [{"address": "tcp/b:1", "num_requests": 2, "fails": 1}, {"address": "b:1", "num_requests": 3, "fails": 0},
              {"address": "a:1", "num_requests": 1, "fails": 0}]  # fmt: skip
    text = 'caddy_http_requests_total{handler="subroute",server="site"} 12\n' + GAUGE % ("b:1", 1) + histogram("200", 1, 1, 1)
    expected = {
        "time": 120.5,
        "started_at": 100,
        "requests_total": 12,
        "durations": {"buckets": {"0.005": 1, "10": 1, "+Inf": 1}, "sum": 0.25, "count": 1},
        "upstreams": [
            {"address": "a:1", "in_flight": 1, "fails": 0, "healthy": None},
            {"address": "b:1", "in_flight": 5, "fails": 1, "healthy": True},
        ],
    }
    assert metrics.traffic_of(text, listed, config, 120.5) == expected
    assert metrics.traffic_of(text, json.dumps(listed), json.dumps(config), 120.5) == expected


def test_the_traffic_of_a_caddy_without_a_configuration_is_unknown() -> None:
    assert metrics.traffic_of("", "null", "null", 5) == {
        "time": 5, "started_at": None, "requests_total": None, "durations": None, "upstreams": [],
    }  # fmt: skip

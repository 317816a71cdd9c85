# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's own figures: each request once, and in flight only what is."""

from __future__ import annotations

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

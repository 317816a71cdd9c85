# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The response time from what proxies count."""

from __future__ import annotations

import json
import typing as t

import pytest
from autoscale_builders import NOW, proxy, row

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.latency import histograms, response_time
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.tick import tick


def said(time: float, *counts: float, seconds: float = 0.0, **more: t.Any) -> dict[str, t.Any]:
    """A proxy whose requests, as often as ``counts`` says, took up to 0.1 s, up to 1 s, and longer; cumulative."""
    buckets = dict(zip(("0.1", "1", "+Inf"), counts, strict=True))
    return {
        "name": "proxy-1",
        "time": time,
        "started_at": 5.0,
        "durations": {"buckets": buckets, "sum": seconds, "count": counts[-1]},
        **more,
    }


def between(
    before: dict[str, t.Any] | None, now: dict[str, t.Any], statistic: str = "p95", proxies: int = 1, in_flight: int = 0
) -> tuple[float | None, str]:
    return response_time(histograms([before] if before else []), histograms([now]), proxies, statistic, 120, in_flight)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("p50", 1000 * 0.1 * 50 / 80), ("p80", 100.0), ("p90", 1000 * (0.1 + 0.9 * 10 / 15)), ("p99", 1000.0), ("mean", 300.0)],
)
def test_the_percentile_of_what_came_since_the_last_tick(statistic: str, expected: float) -> None:
    before, now = said(NOW - 30, 500, 500, 500, seconds=7.0), said(NOW, 580, 595, 600, seconds=37.0)
    value, why = between(before, now, statistic)
    assert value == pytest.approx(expected)
    assert why == ""


def test_where_nobody_asked_nobody_waited() -> None:
    assert between(said(NOW - 30, 5, 5, 5), said(NOW, 5, 5, 5)) == (0.0, "")


def test_while_requests_hang_nobody_knows_how_long_they_take() -> None:
    waits = between(said(NOW - 30, 5, 5, 5), said(NOW, 5, 5, 5), in_flight=3)
    assert waits == (None, "no request ended in the last 30 s, and 3 are in flight")
    assert between(said(NOW - 30, 5, 5, 5), said(NOW, 6, 6, 6), in_flight=3)[0] == pytest.approx(95.0)


@pytest.mark.parametrize(("counts", "action", "guards"), [((1, 2), "hold", ["unknown"]), ((0, 0), "in", []), ((None, 0), "in", [])])
def test_it_holds_a_step_in_back_only_while_something_is_in_flight(counts: tuple[int | None, int], action: str, guards: list[str]) -> None:
    settings = {"scale-enabled": True, "scale-rule-response-time": 500, "scale-rule-response-action": "up"}
    remembered: dict[str, t.Any] = {}
    upstreams = [{"address": f"10.87.0.{101 + slot}:8080", "in_flight": count, "healthy": True} for slot, count in enumerate(counts)]
    for moment in (NOW, NOW + 30):
        seen = {**proxy(5, moment, upstreams=upstreams), **said(moment, 5, 5, 5)}
        done = tick(settings, [row(1), row(2)], [seen], remembered, moment, options={"stabilisation": 0})
        remembered = json.loads(json.dumps(done.state.as_dict()))
    assert (done.decision.action, [held.guard for held in done.decision.guards]) == (action, guards)
    assert any("response time: no request ended" in note for note in done.notes) == bool(guards)


def test_what_hangs_for_long_is_taken_for_websockets_and_lets_a_quiet_fleet_shrink() -> None:
    settings = {"scale-enabled": True, "scale-rule-response-time": 500, "scale-rule-response-action": "up"}
    remembered: dict[str, t.Any] = {}
    upstreams = [{"address": f"10.87.0.{101 + slot}:8080", "in_flight": 2, "healthy": True} for slot in range(2)]
    known = []
    for number in range(8):
        moment = NOW + 30 * number
        # The last request ends with the third look; the fleet has none but websockets then.
        ended = min(number, 2) + 5
        seen = {**proxy(5, moment, upstreams=upstreams), **said(moment, ended, ended, ended)}
        done = tick(settings, [row(1), row(2)], [seen], remembered, moment, options={"stabilisation": 0})
        remembered = json.loads(json.dumps(done.state.as_dict()))
        known.append(not any("response time" in note for note in done.notes))
    assert known == [False, True, True, False, False, False, True, True]
    assert done.decision.action == "in"


@pytest.mark.parametrize(
    ("before", "now", "proxies", "words"),
    [
        (None, said(NOW, 5, 5, 5), 1, "there is no earlier sample of proxy-1"),
        (said(NOW - 30, 9, 9, 9), said(NOW, 5, 5, 5), 1, "there is no earlier sample of proxy-1"),
        (said(NOW - 130, 5, 5, 5), said(NOW, 9, 9, 9), 1, "there is no earlier sample of proxy-1"),
        (said(NOW + 30, 5, 5, 5), said(NOW, 9, 9, 9), 1, "there is no earlier sample of proxy-1"),
        (said(NOW - 30, 5, 5, 5, started_at=1.0), said(NOW, 9, 9, 9), 1, "there is no earlier sample of proxy-1"),
        (said(NOW - 30, 5, 5, 5), said(NOW, 9, 9, 9), 2, "a proxy does not say"),
        (None, {"name": "proxy-1", "time": NOW, "durations": None}, 1, "a proxy does not say"),
        (None, said(NOW, 5, 5, 5), 0, "no proxy was asked"),
    ],
    ids=["first", "reset", "old", "clock set back", "restarted", "one of two", "no metrics", "none"],
)
def test_what_cannot_be_told_is_unknown(before: dict[str, t.Any] | None, now: dict[str, t.Any], proxies: int, words: str) -> None:
    value, why = between(before, now, proxies=proxies)
    assert value is None
    assert words in why


def test_a_tick_asks_for_it_where_a_rule_does() -> None:
    settings = {"scale-enabled": True, "scale-rule-response-time": 500, "scale-rule-response-action": "up"}
    first = tick(settings, [row(1)], [{**proxy(1, NOW), **said(NOW, 0, 0, 0)}], {}, NOW)
    assert "response time: there is no earlier sample of proxy-1 that it can be compared with" in first.notes
    remembered = json.loads(json.dumps(first.state.as_dict()))
    slow = tick(settings, [row(1)], [{**proxy(9, NOW + 30), **said(NOW + 30, 0, 10, 10)}], remembered, NOW + 30)
    assert slow.decision.rule == "scale-rule-response-time"
    assert "Response time 955 ms is above scale-rule-response-time (500 ms)" in slow.decision.reason
    unasked = tick({"scale-enabled": True}, [row(1)], [proxy(1, NOW)], {}, NOW)
    assert not any("response time" in note for note in unasked.notes)

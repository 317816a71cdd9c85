# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forecast: its level, its trend, its margin, and what is remembered for it."""

from __future__ import annotations

import dataclasses
import itertools
import random
import typing as t

import pytest
from autoscale_builders import NOW, POLICY, even

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.history import MOST, learn
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import (
    Decision,
    Facts,
    History,
    Load,
    Metric,
    Policy,
    Seen,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.sizing import Demand, demands


def demand(now: float, *past: float, interval: float = 15.0, count: int = 4, **policy: t.Any) -> Demand:
    """What a fleet's CPU asks for, with totals of earlier ticks, oldest first."""
    value = now / count
    metric = Metric("cpu", "CPU", " %", 70.0, value=value, floor=value, ceiling=value, count=count, moves=True)
    loads = tuple(Load(NOW - interval * ago, {"cpu": total}) for ago, total in zip(range(len(past), 0, -1), past, strict=True))
    asked = dataclasses.replace(Policy(interval=interval), **policy)
    (found,) = demands(NOW, [metric], asked, History(loads=loads))
    return found


def test_a_steady_load_is_its_own_forecast() -> None:
    found = demand(200.0, *[200.0] * 40)
    assert (found.level, found.trend, found.margin) == (200.0, 0.0, 0.0)
    assert found.most == pytest.approx(200 / 82.5, rel=1e-3)


def test_the_level_is_the_mean_of_half_a_minute() -> None:
    assert demand(240.0, *[200.0] * 40).level == 220.0
    assert demand(240.0, *[200.0] * 40, interval=30.0).level == 240.0


def test_a_rise_is_extrapolated_to_when_an_instance_started_now_serves() -> None:
    rising = [100.0 + 3 * tick for tick in range(40)]
    found = demand(220.0, *rising, margin=0.0, start_time=60.0)
    # 3 per tick of 15 s; from the middle of the level's window (7.5 s ago) over half an interval and the start.
    assert found.trend == pytest.approx(3 / 15 * (60 + 7.5 + 7.5), rel=0.05)
    assert demand(220.0, *rising, margin=0.0, start_time=5.0).trend < found.trend / 3


def test_a_fall_is_not_extrapolated() -> None:
    assert demand(100.0, *[220.0 - 3 * tick for tick in range(40)]).trend == 0.0


@pytest.mark.parametrize("after", range(12))
@pytest.mark.parametrize("before", [2, 3, 8, 20, 60])
@pytest.mark.parametrize("interval", [5.0, 15.0, 30.0])
def test_a_step_has_no_trend_and_is_little_noise(interval: float, before: int, after: int) -> None:
    found = demand(400.0, *[100.0] * before, *[400.0] * after, interval=interval, count=20)
    assert found.trend == 0.0
    assert found.margin <= Policy.margin * 160 * max(1 - (before + after - 1) / 8, 0.0) ** 0.5 + 1e-9, "what is not known yet, and no more"


def test_a_step_is_answered_once() -> None:
    """From 300 to 2400 requests a minute at 600 each; the rate is a mean over half a minute, which smears the step."""
    seen = [300.0] * 20 + [650.0, 1000.0, 1350.0, 1700.0, 2050.0] + [2400.0] * 60
    fleet, trends = 1, []
    for last in range(20, len(seen)):
        loads = tuple(Load(NOW - 5.0 * (last - at), {"requests": seen[at]}) for at in range(last))
        metric = Metric("requests", "requests", "/min", 600.0, value=seen[last], floor=seen[last], ceiling=seen[last], count=1, moves=True)
        (found,) = demands(NOW, [metric], dataclasses.replace(Policy(interval=5.0), requests=600.0), History(loads=loads))
        fleet = max(fleet, found.size) if found.need > fleet * (1 + found.slack) else fleet
        trends.append(found.trend)
    assert fleet == 4
    assert set(trends[-35:]) == {0.0}, "what is over has no trend"


def test_the_first_points_that_are_known_claim_no_more_than_they_rose() -> None:
    # Their line would rise by thousands until an instance serves.
    found = demand(1000.0, 10.0, 300.0, 700.0, interval=5.0, start_time=60.0, margin=0.0, count=20)
    assert found.trend == pytest.approx(found.level - 10.0)
    assert demand(1000.0, 10.0, 10.0, 400.0, interval=5.0, start_time=60.0, margin=0.0, count=20).trend == 0.0


def test_one_reading_out_of_line_is_no_trend_and_no_noise() -> None:
    assert demand(200.0, *[200.0] * 10, 900.0, *[200.0] * 10, count=20).forecast == 200.0
    rising = [100.0 + 3 * tick for tick in range(20)]
    usual, peaked = demand(160.0, *rising), demand(160.0, *rising[:12], 900.0, *rising[13:])
    assert peaked.trend == pytest.approx(usual.trend, rel=0.2)
    assert peaked.margin == pytest.approx(0.0, abs=1e-9)


def test_noise_has_a_margin_and_no_trend() -> None:
    chance = random.Random(1)
    noisy = [200 + chance.gauss(0, 20) for _ in range(40)]
    found = demand(200.0, *noisy)
    assert found.trend == 0.0
    assert found.margin == pytest.approx(Policy.margin * 20, rel=0.3)
    assert demand(200.0, *noisy, margin=0.0).margin == 0.0


def test_a_step_of_the_load_is_no_noise() -> None:
    assert demand(400.0, *[200.0] * 20, *[400.0] * 20).margin == 0.0


def test_what_the_trend_explains_is_no_noise() -> None:
    assert demand(320.0, *[10.0 * tick for tick in range(32)]).margin == pytest.approx(0.0, abs=1e-9)


def test_as_long_as_the_noise_is_not_known_it_is_taken_to_be_large() -> None:
    assert demand(200.0).margin == pytest.approx(Policy.margin * 80)
    assert demand(200.0, *[200.0] * 5).margin == pytest.approx(Policy.margin * 80 * 0.5**0.5), "four of the eight differences are known"
    assert demand(200.0, *[200.0] * 9).margin == 0.0


def held(values: t.Sequence[float], ticks: int = 4) -> list[float]:
    """As they are read from a source that changes every so many ticks."""
    return [value for value in values for _ in range(ticks)]


@pytest.mark.parametrize("repeated", range(4))
def test_a_source_that_repeats_itself_is_as_noisy_as_its_news(repeated: int) -> None:
    chance = random.Random(3)
    minutes = [200 + chance.gauss(0, 20) for _ in range(10)]
    once = demand(minutes[-1], *minutes, interval=60.0, start_time=90.0)
    often = demand(minutes[-1], *held(minutes)[: 37 + repeated])
    assert often.margin == pytest.approx(once.margin, rel=0.1) and often.margin > Policy.margin * 10


@pytest.mark.parametrize("repeated", range(4))
def test_a_source_that_repeats_itself_rises_between_its_news_as_well(repeated: int) -> None:
    seen = held([100.0 + 12 * minute for minute in range(11)])[: 40 + repeated]
    found = demand(seen[-1], *seen[:-1], margin=0.0, start_time=60.0)
    assert 12.0 <= found.trend <= 12 / 60 * (60 + 7.5 + 7.5) + 1e-9, "no more than the load has risen in as long a time, which is a step"
    assert demand(seen[-1], *seen[:-1], start_time=60.0).margin == pytest.approx(0.0, abs=1e-9), "which the trend explains"


def test_a_source_that_repeats_itself_and_falls_has_no_trend() -> None:
    seen = held([300.0 - 12 * minute for minute in range(10)])
    assert demand(seen[-1], *seen[:-1]).trend == 0.0


def test_readings_that_are_the_same_by_chance_are_readings() -> None:
    chance = random.Random(4)
    coarse = [100.0 + 50.0 * chance.randrange(3) for _ in range(40)]
    shifted = [value + 0.5 * (number % 2) for number, value in enumerate(coarse)]
    assert sum(after == before for before, after in itertools.pairwise(coarse)) > 10
    assert demand(150.0, *coarse).margin == pytest.approx(demand(150.0, *shifted).margin, rel=0.05)


def test_what_is_older_than_ten_minutes_is_forgotten() -> None:
    assert demand(200.0, *[900.0, 100.0] * 5, *[200.0] * 40).margin == 0.0


def test_a_fleet_at_its_limit_is_asked_for_more_than_it_shows() -> None:
    full = demand(400.0, *[100.0] * 40)
    assert full.saturated and full.now == 700.0, "risen by 300, and taken to rise by as much again"
    assert demand(400.0, *[400.0] * 40).now == 400.0, "it has been there, and the target alone asks for more"
    assert demand(400.0).now == 800.0, "nothing is known of before"
    assert demand(400.0, *[100.0] * 40, interval=90.0).now == 800.0, "nor of the last minute"
    assert not demand(380.0, *[100.0] * 40).saturated


def test_a_fleet_that_stays_at_its_limit_shows_nothing_new() -> None:
    assert demand(400.0, *[100.0] * 40, 700.0).now == 700.0, "what was believed holds"
    assert demand(600.0, *[100.0] * 40, 700.0, count=6).now == 700.0, "two more came and show no more than that"
    assert demand(800.0, *[100.0] * 40, 700.0, count=8).now == 900.0, "beyond what was believed by 100, and taken to rise as much again"
    assert demand(600.0, *[100.0] * 40, 700.0, count=7).now == 600.0, "a fleet below its limit shows what it is asked for"


def test_new_instances_that_fill_up_are_no_rise_of_the_load() -> None:
    # Two instances hid a load of 500 for a minute; with three more it is seen, and one tick later it is at their limit.
    assert demand(500.0, *[60.0] * 40, 340.0, 340.0, 340.0, 469.0, count=5).now == pytest.approx(531.0)


@pytest.mark.parametrize(("target", "edge"), [(50, 55), (70, 76), (80, 84), (90, 92)])
def test_a_forecast_may_use_the_tolerance_and_a_fifth_of_what_is_left(target: float, edge: float) -> None:
    found = demand(200.0, *[200.0] * 40, cpu=target)
    assert found.most == pytest.approx(200 / edge * target / edge), "and once more before the fleet grows"
    exact = demand(200.0, *[200.0] * 40, cpu=target, tolerance_out=0.0)
    assert (exact.most, exact.need) == pytest.approx((200 / target, 200 / target))


@pytest.mark.parametrize("target", [50, 70, 90])
def test_however_near_the_limit_a_fleet_shrinks_to_what_is_the_whole_tolerance_below_growth(target: float) -> None:
    found = demand(200.0, *[200.0] * 40, cpu=target)
    assert found.need == pytest.approx(1.1 * found.most)
    wide = demand(200.0, *[200.0] * 40, cpu=target, tolerance_out=0.2)
    assert wide.need == pytest.approx(1.2 * wide.most)


@pytest.mark.parametrize(("total", "least", "size"), [(150.0, 2, 2), (151.0, 2, 3), (165.0, 2, 3), (166.0, 3, 3)])
def test_a_fleet_grows_to_what_would_not_grow_again_and_shrinks_to_less_use(total: float, least: int, size: int) -> None:
    found = demand(total, *[total] * 40)
    assert (found.least, found.size) == (least, size)
    assert [found.wanted(capacity) for capacity in (1, 2, 3, 4)] == [least, max(least, 2), size, size]


def test_steps_alone_ask_for_no_size() -> None:
    assert demands(NOW, [], dataclasses.replace(Policy(), sizing="steps"), History()) == ()


# --- what is remembered ---


def tick(time: float, total: float, need: float, window: float = 300.0) -> Decision:
    return Decision("hold", 1, 1, "steady", "Nothing.", time, seen=Seen({"cpu": total}, need, window))


def test_ticks_that_come_fast_are_merged_and_nothing_high_is_lost() -> None:
    history = History()
    for second in range(1200):
        history = learn(history, tick(NOW + second, 100.0, 9.0 if second == 1000 else 1.0))
    assert len(history.loads) <= 2 * MOST
    assert {round(one.totals["cpu"]) for one in history.loads} == {100}
    assert max(need for _at, need in history.needs) == 9.0
    assert len(history.needs) <= 3 * MOST


def test_what_is_older_than_its_window_is_dropped() -> None:
    history = learn(History(), tick(NOW, 100.0, 9.0))
    history = learn(history, tick(NOW + 601, 50.0, 1.0))
    assert [one.time for one in history.loads] == [NOW + 601]
    history = learn(history, tick(NOW + 1300, 50.0, 1.0))
    assert [need for _at, need in history.needs] == [1.0]


def test_a_slot_is_unhealthy_since_it_was_first_seen_so_without_a_break() -> None:
    def seen(time: float, *slots: int) -> Decision:
        return Decision("hold", 2, 2, "steady", "", time, seen=Seen(unhealthy=frozenset(slots), members=frozenset({1, 2, 3})))

    history = learn(learn(History(), seen(NOW, 1, 2)), seen(NOW + 30, 2))
    assert history.unhealthy == {2: NOW}
    assert learn(history, seen(NOW + 60, 1)).unhealthy == {1: NOW + 60}


def test_replacements_that_help_are_none_that_did_not() -> None:
    """Every five minutes another one falls ill, and what replaced those before is well."""
    policy, history = dataclasses.replace(POLICY, min=5, max=9), History()
    for number, slot in enumerate((1, 2, 3, 4, 5)):
        now = NOW + 300 * number
        members = tuple(dataclasses.replace(one, ready=one.slot != slot) for one in even(9).instances if slot <= one.slot < slot + 5)
        decision = decide(Facts(now, members, 100.0), policy, dataclasses.replace(history, unhealthy={slot: now - 90}))
        assert (decision.action, decision.rule, decision.alert) == ("out", "replace", False)
        history = learn(history, decision)


def test_a_replacement_is_remembered_as_long_as_both_are_there() -> None:
    sick = dataclasses.replace(even(3), instances=tuple(dataclasses.replace(one, ready=one.slot != 2) for one in even(3).instances))
    history = learn(History(), decide(sick, POLICY, History(unhealthy={2: NOW - 90})))
    assert (history.replacing, history.mended, history.replaced) == ({2: 4}, {4: NOW}, ())
    again = learn(History(mended={2: NOW - 300}), decide(sick, POLICY, History(unhealthy={2: NOW - 90}, mended={2: NOW - 300})))
    assert (again.mended, again.replaced) == ({2: NOW - 300, 4: NOW}, (NOW,))
    grown = dataclasses.replace(even(4), time=NOW + 30)
    assert learn(history, decide(grown, POLICY, history)).replacing == {}, "slot 2 is well again"

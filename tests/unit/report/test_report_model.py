# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report makes of a decision log and of what LXD remembers: ticks, episodes, and what wants a look."""

from __future__ import annotations

import json
import typing as t

import pytest
import report_builders as builders
from report_builders import INTERVAL, NOW, line

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import finite

SETTINGS = builders.SETTINGS


def built(*lines: t.Mapping[str, t.Any], **present: t.Any) -> model.Report:
    return model.build(builders.text(lines), NOW, present.pop("hours", 24), **{"settings": SETTINGS, **present})


def said(report: model.Report) -> str:
    return "\n".join(concern.text for concern in report.concerns)


def test_a_quiet_fleet_has_nothing_that_wants_a_look() -> None:
    report = built(line(NOW - 30), line(NOW))
    assert (said(report), [tick.mood for tick in report.ticks]) == ("", ["steady", "steady"])


def test_lines_may_come_in_any_order_and_old_ones_are_left_out() -> None:
    report = built(line(NOW), line(NOW - 3 * 3600), line(NOW - 60), hours=2)
    assert [tick.time for tick in report.ticks] == [NOW - 60, NOW]


DEEP = 200_000
TORN = {
    "cut off": '{"time": 17',
    "a list": "[]",
    "nothing": "null",
    "no time": '{"time": "x"}',
    "time alone": '{"action": "hold"}',
    "not a number": json.dumps(line(float("nan"))),
    "deep": "[" * DEEP + "]" * DEEP,
    "too many": json.dumps(line(current=10**400)),
    "before 1970": json.dumps(line(-1e11)),
    "too few": json.dumps(line(current=-1)),
}


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_a_torn_line_is_counted_and_stops_nothing(torn: str) -> None:
    report = model.build([*builders.text([line(NOW)]), torn, ""], NOW, 24, settings=SETTINGS)
    assert (len(report.ticks), report.unreadable) == (1, 1)
    assert "1 line of the log could not be read and was left out." in said(report)


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), True, "5"])
def test_what_is_no_number_is_left_out_and_ends_nothing(value: t.Any) -> None:
    assert finite(value) is None
    report = built(line(NOW, took_seconds=value, metrics={"cpu": {"value": value, "threshold": 70.0}}))
    assert report.last is not None
    assert (report.last.took, report.last.metrics["cpu"].value, report.unreadable) == (None, None, 0)


def test_a_clock_that_is_a_little_ahead_is_none_that_is_wrong() -> None:
    report = built(line(NOW + 2))
    assert (said(report), len(report.ticks)) == ("", 1)


def test_what_the_log_lacks_is_taken_from_what_lxd_remembers() -> None:
    remembered = [{name: one[name] for name in ("time", "action", "current", "desired", "rule", "reason", "alert")} for one in (
        line(NOW - 60, "out", reason="remembered"), line(NOW, reason="remembered as well"))]  # fmt: skip
    report = built(line(NOW, reason="logged"), state={"decisions": remembered})
    assert [(tick.time, tick.reason) for tick in report.ticks] == [(NOW - 60, "remembered"), (NOW, "logged")]


def test_a_tick_that_saw_nothing_keeps_the_size_of_the_one_before() -> None:
    blind = {"time": NOW, "action": "hold", "alert": True, "notes": ["LXD does not answer."], "errors": {"engine": 1}}
    report = built(line(NOW - 30, current=3), blind)
    assert report.last is not None
    assert (report.last.current, report.last.desired, report.last.mood, report.last.reason) == (3, 3, "error", "LXD does not answer.")


def test_what_went_wrong_is_told_in_the_words_that_were_found_for_it() -> None:
    blind = {"time": NOW, "action": "hold", "notes": ["LXD does not answer."], "errors": {"engine": 1}}
    assert "The last tick went wrong: engine: LXD does not answer." in said(built(blind))
    failed = line(action="out", errors={"start": 2}, notes=["Slot 3: no space."])
    assert "The last tick went wrong: start (2): Slot 3: no space." in said(built(failed))


def test_a_note_that_the_reason_has_in_it_is_not_told_twice() -> None:
    report = built(line(reason="CPU unknown (it cannot be read).", notes=["it cannot be read", "another"]))
    assert report.ticks[0].notes == ("another",)


def test_the_fleet_of_lxd_gets_the_load_that_the_last_tick_saw() -> None:
    seen = [{"name": "botserver-1", "cpu": 44.0, "state": "active"}, {"name": "botserver-2", "cpu": 50.0, "state": "active"}]
    there = [{"name": "botserver-1", "state": "draining"}]
    assert built(line(instances=seen), fleet=there).fleet == ({"name": "botserver-1", "cpu": 44.0, "state": "draining"},)
    assert built(line(instances=seen), fleet=(), trouble="LXD is down.").fleet == tuple(seen)


def test_ticks_that_say_the_same_are_one_episode_and_a_silence_parts_them() -> None:
    moments = [NOW - 600 + INTERVAL * index for index in (0, 1, 2, 10, 11)]
    report = built(*(line(moment) for moment in moments), line(NOW, "out"))
    assert [(one.first.time, one.count) for one in report.episodes] == [(moments[0], 3), (moments[3], 2), (NOW, 1)]


def test_the_interval_is_the_set_one_or_else_the_usual_one() -> None:
    ticks = [line(NOW - 20 * index) for index in range(5)]
    assert (built(*ticks).interval, built(*ticks, settings={}).interval, built(settings={}).interval) == (30, 20, 30)


def test_a_dry_run_is_no_step() -> None:
    report = built(line(NOW - 60, "out"), line(NOW - 30, "in", dry_run=True), line(NOW, "out"))
    assert ([tick.time for tick in report.steps], report.reversals(0)) == ([NOW - 60, NOW], 0)


def test_what_mends_the_fleet_or_failed_is_no_reversal() -> None:
    mended = [line(NOW - 60 * index, "out" if index % 2 else "in", rule="replace" if index % 2 else "retire") for index in range(6)]
    failed = line(NOW - 400, "in", drain=[2], undone=[2])
    report = built(line(NOW - 500, "out", start=[2]), failed, *mended)
    assert (len(report.steps), report.reversals(0)) == (8, 0)
    assert built(line(NOW - 500, "out", start=[2]), {**failed, "undone": []}, *mended).reversals(0) == 1


CONCERNS: dict[str, tuple[bool, str, t.Callable[[], model.Report]]] = {
    "no tick at all": (True, "no tick in the last 24 h", built),
    "silent": (True, "Silent: the last tick was 10 min ago", lambda: built(line(NOW - 600))),
    "lxd is down": (True, "could not be read", lambda: built(line(), trouble="LXD does not answer.")),
    "last tick wrong": (True, "The last tick went wrong: start", lambda: built(line(errors={"start": 1}))),
    "alert": (True, "asks for help", lambda: built(line(alert=True))),
    "below min": (True, "scale-min-instances is 3", lambda: built(line(), settings={**SETTINGS, "scale-min-instances": 3})),
    "at max": (True, "cannot grow further", lambda: built(line(current=8, cpu=90.0))),
    "draining too long": (
        True,
        "Draining past the deadline: b",
        lambda: built(line(), fleet=[{"name": "b", "state": "draining", "drain_deadline": NOW - 1}]),
    ),
    "unknown": (False, "Not known of every instance: CPU", lambda: built(line(missing=1))),
    "paused": (False, "Paused: no step in is taken", lambda: built(line(), state={"controls": {"pause": "in"}})),
    "pinned": (False, "Pinned to 3", lambda: built(line(), state={"controls": {"pin": 3}})),
    "paused in the inventory": (
        False,
        "Paused: no step in any direction is taken until somebody resumes it or takes pause out of gb_autoscale.",
        lambda: built(line(controls={"pause": "both", "pin": None}), state={"controls": {"pause": None, "pin": None}}),
    ),
    "pinned in the inventory": (
        False,
        "Pinned to 4 instances until somebody unpins it or takes pin out of gb_autoscale.",
        lambda: built(line(NOW - 30, controls={"pause": None, "pin": 4}), {"time": NOW, "action": "hold", "notes": ["LXD is away."]}),
    ),
    "pinned since the last tick": (
        False,
        "Pinned to 3 instances until somebody unpins it.",
        lambda: built(line(controls={"pause": None, "pin": 4}), state={"controls": {"pause": None, "pin": 3}}),
    ),
    "disabled": (False, "scale-enabled is false", lambda: built(line(), settings={**SETTINGS, "scale-enabled": False})),
    "errors lately": (False, "1 tick went wrong in the last hour", lambda: built(line(NOW - 60, errors={"stop": 1}), line())),
    "flapping": (
        False,
        "Flapping: 5 steps",
        lambda: built(*(line(NOW - 60 * index, "out" if index % 2 else "in") for index in range(6))),
    ),
    "failed": (False, "kept for inspection: b (why)", lambda: built(line(), fleet=[{"name": "b", "state": "failed", "failure": "why"}])),
    "ahead": (False, "2 ticks carry a time ahead of this clock", lambda: built(line(), line(NOW + 1800), line(1000 * NOW))),
    "silent behind one ahead": (True, "Silent: the last tick was 60 min ago", lambda: built(line(NOW - 3600), line(NOW + 1800))),
    "dead lock": (False, "control-1/1 died holding the lock", lambda: built(line(), lock={"holder": "control-1/1", "expires": NOW - 1})),
}


@pytest.mark.parametrize("name", CONCERNS)
def test_what_wants_a_look_is_said_and_weighed(name: str) -> None:
    grave, words, make = CONCERNS[name]
    (concern,) = [one for one in make().concerns if words in one.text]
    assert concern.grave is grave


def test_grave_things_come_first() -> None:
    report = built(line(NOW - 600, missing=1), state={"controls": {"pin": 3}})
    assert [concern.grave for concern in report.concerns] == sorted((concern.grave for concern in report.concerns), reverse=True)
    assert len(report.concerns) == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7200, "2 h"), (12000, "3 h 20 min"), (200000, "2 days")],
)
def test_lengths_of_time_are_said_in_words(seconds: float, words: str) -> None:
    assert model.duration(seconds) == words

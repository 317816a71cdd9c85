# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From config.csv and gb_autoscale to a policy, and what is refused."""

from __future__ import annotations

import datetime
import pathlib
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.guards import GUARDS
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.metrics import METRICS
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import CPU_LOW, Limit, Policy, StepRule
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.options import OPTIONS, policy_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.schedules import Schedule, bounds_at
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput


def test_policy_from_settings() -> None:
    settings = {
        "scale-enabled": True, "scale-min-instances": 2, "scale-max-instances": 6, "scale-cpu-threshold": 60, "scale-memory-threshold": 75,
        "scale-request-threshold": 500, "scale-rule-cpu-low": 20, "scale-rule-cpu-low-action": "down", "scale-cooldown-seconds": 60,
        "scale-check-interval": 15, "rate-limit-burst": 20,
    }  # fmt: skip
    assert policy_of(settings) == Policy(True, 2, 6, 60, 75, 500, 60, 15, (StepRule("cpu-low", "cpu", 20.0, "in"),))
    assert Policy.from_settings(settings) == policy_of(settings)


def test_policy_has_the_documented_defaults() -> None:
    assert policy_of({}) == Policy(False, 1, 10, 70, 80, 1000, 300, 30, (CPU_LOW,))


def rules(**settings: t.Any) -> set[tuple[str, str, float, str]]:
    """The step rules of these scale-rule keys, without the one that is always there."""
    made = policy_of({"scale-rule-" + key.replace("_", "-"): value for key, value in settings.items()})
    return {(rule.key, rule.metric, rule.level, rule.direction) for rule in made.steps if rule != CPU_LOW}


def test_rules_in_all_their_shapes() -> None:
    assert rules(response_time=2000, response_action="up") == {("scale-rule-response-time", "response-time", 2000.0, "out")}
    assert rules(response_time=200, response_time_action="down") == {("scale-rule-response-time", "response-time", 200.0, "in")}
    assert rules(queue_depth=100, queue_action="up") == {("scale-rule-queue-depth", "queue-depth", 100.0, "out")}
    assert rules(memory_low=20, memory_low_action="down") == {("scale-rule-memory-low", "memory", 20.0, "in")}
    assert rules(in_flight_high=9, in_flight_high_action="up") == {("scale-rule-in-flight-high", "in-flight", 9.0, "out")}
    assert rules(tokens=5, tokens_action="up", tokens_low=1, tokens_low_action="down") == {
        ("scale-rule-tokens", "tokens", 5.0, "out"), ("scale-rule-tokens-low", "tokens", 1.0, "in"),
    }  # fmt: skip


@pytest.mark.parametrize(("short", "long"), [("queue", "queue-depth"), ("response", "response-time")])
def test_a_short_name_that_is_a_rule_of_its_own_has_its_own_action(short: str, long: str) -> None:
    keys = {short: 5, f"{short}-action": "up", long: 7, f"{long}-action": "up"}
    policy = policy_of({f"scale-rule-{name}": value for name, value in keys.items()}, sources=[short, "queue-depth"])
    assert [(rule.metric, rule.level) for rule in policy.steps if rule.direction == "out"] == [(short, 5.0), (long, 7.0)]
    del keys[f"{long}-action"]
    with pytest.raises(InvalidInput, match=f"scale-rule-{long} is set without scale-rule-{long}-action"):
        policy_of({f"scale-rule-{name}": value for name, value in keys.items()}, sources=[short, "queue-depth"])


def test_a_rule_that_is_taken_out_is_gone() -> None:
    assert policy_of({"scale-rule-cpu-low": None, "scale-rule-cpu-low-action": "down"}).steps == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scale-min-instances": 0}, "scale-min-instances is 0"),
        ({"scale-min-instances": 5, "scale-max-instances": 4}, "scale-min-instances (5) is greater than scale-max-instances (4)"),
        ({"scale-rule-cpu-low": 70}, "scale-rule-cpu-low (70) is not below scale-cpu-threshold (70)"),
        ({"scale-rule-memory-low": 80, "scale-rule-memory-low-action": "down"}, "scale-rule-memory-low (80) is not below"),
        (
            {"scale-rule-tokens": 5, "scale-rule-tokens-action": "up", "scale-rule-tokens-low": 5, "scale-rule-tokens-low-action": "down"},
            "scale-rule-tokens-low (5) is not below scale-rule-tokens (5)",
        ),
        ({"scale-cooldown-seconds": -1}, "scale-cooldown-seconds is -1"),
        ({"scale-check-interval": 0}, "scale-check-interval is 0"),
        ({"scale-check-interval": 60, "scale-cooldown-seconds": 30}, "(60) is longer than scale-cooldown-seconds (30)"),
        ({"scale-rule-cpu-low-action": "up"}, "scale-rule-cpu-low-action is 'up'; a rule on a low cpu can only scale in: set it to down."),
        ({"scale-rule-cpu-high": 90, "scale-rule-cpu-high-action": "down"}, "a rule on a high cpu can only scale out: set it to up."),
        ({"scale-rule-tokens": 5}, "scale-rule-tokens is set without scale-rule-tokens-action"),
        ({"scale-rule-response-time": 5}, "scale-rule-response-time is set without scale-rule-response-action"),
        (
            {"scale-rule-response-time": 5, "scale-rule-response-action": "up", "scale-rule-response-time-action": "up"},
            "The action of scale-rule-response-time is set twice, as scale-rule-response-time-action (up) "
            "and as scale-rule-response-action (up): keep one of them.",
        ),
        (
            {"scale-rule-queue-depth": 5, "scale-rule-queue-action": "up", "scale-rule-queue-depth-action": "down"},
            "as scale-rule-queue-depth-action (down) and as scale-rule-queue-action (up): keep one of them.",
        ),
        ({"scale-rule-tokens-action": "up"}, "scale-rule-tokens-action is set, and scale-rule-tokens is not"),
        ({"scale-rule-queue-action": "up"}, "scale-rule-queue-action is set, and scale-rule-queue-depth is not"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        policy_of(settings)
    assert words in str(caught.value)


def test_no_cooldown_is_no_contradiction() -> None:
    assert policy_of({"scale-cooldown-seconds": 0}).calm == 0


def test_an_unknown_metric_is_named_with_the_known_ones() -> None:
    rule = {"scale-rule-token": 5, "scale-rule-token-action": "up"}
    with pytest.raises(InvalidInput) as caught:
        policy_of(rule, sources=["tokens", "cpu"])
    assert "scale-rule-token asks for the metric 'token', which nothing measures" in str(caught.value)
    assert "Known are cpu, memory, requests, in-flight, response-time, tokens;" in str(caught.value)
    assert policy_of(rule, sources=["token"]).steps[0].metric == "token"
    assert policy_of(rule).steps[0].metric == "token", "where sources are not known, it is not judged"


def test_a_queue_depth_needs_a_source() -> None:
    rule = {"scale-rule-queue-depth": 5, "scale-rule-queue-action": "up"}
    with pytest.raises(InvalidInput, match="'queue-depth', which nothing measures"):
        policy_of(rule, sources=[])
    assert policy_of(rule, sources=["queue-depth"]).steps[0].metric == "queue-depth"


# --- gb_autoscale ---

GOOD: dict[str, tuple[t.Any, t.Any]] = {
    "sizing": ("steps", "steps"),
    "tolerance_out": (0, 0.0),
    "tolerance_in": ("0.2", 0.2),
    "stabilisation": (600, 600.0),
    "cooldown_out": (30, 30.0),
    "cooldown_in": (30, 30.0),
    "limit_out": ({"count": 2}, Limit(2, 0.0)),
    "limit_in": ({"percent": 25}, Limit(0, 25.0)),
    "start_time": (5, 5.0),
    "margin": (2, 2.0),
    "response_time": ("mean", "mean"),
    "start_patience": (60, 60.0),
    "warmup": (0, 0.0),
    "panic_share": (0.7, 0.7),
    "heal": (False, False),
    "heal_patience": (9, 9.0),
    "max_unavailable": ("2", 2),
    "give_up_after": (5, 5),
    "give_up_for": (60, 60.0),
    "pause": ("in", "in"),
    "pin": (3, 3),
}
BAD: dict[str, t.Any] = {
    "sizing": "sometimes", "tolerance_out": 1, "tolerance_in": -0.1, "stabilisation": "soon", "cooldown_out": -1, "cooldown_in": None,
    "limit_out": 4, "limit_in": {"counts": 4}, "start_time": -1, "margin": 11, "response_time": "p100",
    "start_patience": "x", "warmup": -1, "panic_share": 2,
    "heal": "yes", "heal_patience": -1, "max_unavailable": 0, "give_up_after": 1.5, "give_up_for": -1, "pause": "sideways", "pin": 0,
}  # fmt: skip


def test_every_option_is_tried() -> None:
    assert set(GOOD) == set(BAD) == set(OPTIONS)


@pytest.mark.parametrize("name", GOOD)
def test_an_option_becomes_the_policys(name: str) -> None:
    given, expected = GOOD[name]
    assert getattr(policy_of({}, {name: given}), OPTIONS[name].field) == expected
    assert getattr(Policy(), OPTIONS[name].field) != expected, "the example must differ from the default"


@pytest.mark.parametrize("name", ["limit_in", "limit_out"])
@pytest.mark.parametrize("given", [{"count": 0}, {"percent": 0}, {"count": 0, "percent": 0}])
def test_a_limit_of_nothing_is_refused_for_a_pause(name: str, given: dict[str, t.Any]) -> None:
    with pytest.raises(InvalidInput, match="there is the option pause, such as pause: in"):
        policy_of({}, {name: given})


def test_a_limit_may_be_of_a_share_alone() -> None:
    assert policy_of({}, {"limit_in": {"count": 0, "percent": 50}}).limit_in.of(8) == 4


@pytest.mark.parametrize("name", BAD)
def test_a_bad_option_is_refused_with_what_it_must_be(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        policy_of({}, {name: BAD[name]})
    assert str(caught.value) == f"gb_autoscale.{name} is {BAD[name]!r}; it must be {OPTIONS[name].must}."


@pytest.mark.parametrize("number", [float("inf"), float("nan"), "inf", 1e308, 10**400], ids=["infinite", "none", "text", "huge", "longer"])
@pytest.mark.parametrize("name", [name for name in OPTIONS if isinstance(GOOD[name][1], (int, float, Limit)) and name != "heal"])
def test_a_number_without_end_is_refused_like_any_that_cannot_be(name: str, number: t.Any) -> None:
    limited = isinstance(GOOD[name][1], Limit)
    for given in [{key: number} for key in ("count", "percent")] if limited else [number]:
        with pytest.raises(InvalidInput) as caught:
            policy_of({}, {name: given})
        assert str(caught.value) == f"gb_autoscale.{name} is {given!r}; it must be {OPTIONS[name].must}."


def test_an_option_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"gb_autoscale has no option 'tolerance'; it has sizing, .*schedules\."):
        policy_of({}, {"tolerance": 0.1})


def test_a_pin_outside_the_bounds_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"gb_autoscale\.pin is 11; it must be from 1 to 10"):
        policy_of({}, {"pin": 11})


def test_what_is_set_at_run_time_wins() -> None:
    policy = policy_of({}, {"pause": "in", "pin": 2})
    assert (policy.under("out", 3).pause, policy.under("out", 3).pin) == ("out", 3)
    assert (policy.under(None, None).pause, policy.under(None, None).pin) == ("in", 2)


# --- schedules ---


def schedule(**given: t.Any) -> Schedule:
    """The only schedule of a policy."""
    (found,) = policy_of({}, {"schedules": [{"from": "08:00", "to": "18:00", "min": 3, **given}]}).schedules
    return found


def at(text: str) -> float:
    """A moment in UTC; 2026-01-05 is a Monday."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


def test_a_schedule_holds_from_its_beginning_to_before_its_end() -> None:
    day = schedule()
    held = {hour: day.holds(at(f"2026-01-05T{hour}")) for hour in ("07:59", "08:00", "17:59", "18:00")}
    assert held == {"07:59": False, "08:00": True, "17:59": True, "18:00": False}
    assert schedule(to="24:00").holds(at("2026-01-05T23:59"))


def test_a_schedule_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = schedule(**{"from": "22:00", "to": "06:00", "days": ["mon"]})
    assert night.holds(at("2026-01-05T23:00")) and night.holds(at("2026-01-06T05:59"))
    assert not night.holds(at("2026-01-05T05:00")) and not night.holds(at("2026-01-06T22:30"))


def test_a_schedule_follows_its_zone_and_its_summer_time() -> None:
    berlin = schedule(timezone="Europe/Berlin")
    assert berlin.holds(at("2026-01-05T07:00")) and not berlin.holds(at("2026-01-05T06:59"))
    assert berlin.holds(at("2026-07-06T06:00")) and not berlin.holds(at("2026-07-06T16:00"))


def test_a_time_that_yaml_took_for_a_number_is_a_time() -> None:
    assert schedule(**{"from": 510}).begin == 510


def test_a_bound_may_be_a_text_as_a_template_gives_it() -> None:
    assert (schedule(min="3", max="4").min, schedule(min="3", max="4").max) == (3, 4)


def test_the_highest_floor_and_the_lowest_ceiling_count_and_the_ceiling_wins() -> None:
    always = [Schedule("a", 0, 1440, min=3), Schedule("b", 0, 1440, min=5), Schedule("c", 0, 1440, max=7), Schedule("d", 0, 1440, max=4)]
    found = bounds_at(0.0, 1, 10, always)
    assert (found.low, found.high, found.ceiling) == (4, 4, "the ceiling of d (4)")
    assert bounds_at(0.0, 1, 10, always[:3]).floor == "the floor of b (5)"
    assert bounds_at(0.0, 2, 10, []).floor == "scale-min-instances (2)"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"from": "8"}, "gb_autoscale.schedules[1] has from '8'; it must be a time of day in quotes"),
        ({"from": 8, "to": 18}, "gb_autoscale.schedules[1] has from 8; it must be a time of day in quotes"),
        ({"to": 59}, "gb_autoscale.schedules[1] has to 59; it must be a time of day in quotes"),
        ({"from": 0}, "gb_autoscale.schedules[1] has from 0; it must be a time of day in quotes"),
        ({"to": "25:00"}, "has to '25:00'"),
        ({"min": None}, "has neither min nor max"),
        ({"min": 11}, "has min 11; it must be a number from 1 to scale-max-instances (10)"),
        ({"min": 3, "max": 2}, "has min 3 above max 2"),
        ({"max": True}, "has max True"),
        ({"max": "11"}, "has max '11'; it must be a number from 1 to scale-max-instances (10)"),
        ({"min": "few"}, "has min 'few'; it must be a number from 1"),
        ({"min": 2.5}, "has min 2.5; it must be a number from 1"),
        ({"max": float("inf")}, "has max inf; it must be a number from 1"),
        ({"days": ["monday"]}, "has the day 'monday'; days are a list of mon, tue"),
        ({"days": 3}, "has the day 3"),
        ({"days": []}, "gb_autoscale.schedules[1] has no day in days; leave days out for every day"),
        ({"timezone": "Mars/Olympus"}, "timezone is 'Mars/Olympus', which this machine does not know"),
        ({"until": "9:00"}, "has until; a schedule has days, from"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(given: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        schedule(**given)
    assert words in str(caught.value)


def test_schedules_are_a_list_of_mappings() -> None:
    with pytest.raises(InvalidInput, match=r"gb_autoscale\.schedules is 'daily'; it must be a list"):
        policy_of({}, {"schedules": "daily"})
    with pytest.raises(InvalidInput, match=r"schedules\[1\] is 'daily'; it must be a mapping"):
        policy_of({}, {"schedules": ["daily"]})


# --- the page ---

PAGE = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "autoscaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*OPTIONS, "schedules", *METRICS])
def test_the_page_names_every_option_and_metric(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("guard", [guard.name for guard in GUARDS])
def test_the_page_names_every_guard(guard: str) -> None:
    section = PAGE.split("## What holds a step back")[1].split("\n## ")[0]
    assert any(guard in line.split("|")[1] for line in section.splitlines() if line.count("|") > 3)


@pytest.mark.parametrize("name", ["margin", "start_time", "cooldown_out", "cooldown_in", "response_time", "warmup", "start_patience"])
def test_the_page_has_the_defaults(name: str) -> None:
    default = getattr(Policy(), name)
    shown = f"`{default}`" if isinstance(default, str) else f"{default:g}"
    assert f"| `{name}` | {shown} |" in PAGE

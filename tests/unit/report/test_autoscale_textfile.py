# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tick writes for node exporter; promtool's opinion of it is asked in test_autoscale_alerts.py."""

from __future__ import annotations

import dataclasses
import math
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils import prometheus
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Held, Metric
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.rules import HEALING, RENEW, RULES
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.textfile import ERROR_KINDS, FAMILIES, render

NOW = 1_767_225_600.0
OWN = "generalbots_autoscaler_"
SETTINGS = {"scale-enabled": True, "scale-min-instances": 2, "scale-max-instances": 6, "scale-check-interval": 30}
CPU = Metric("cpu", "CPU", " %", 70.0, value=84.0)
MEMORY = Metric("memory", "memory", " %", 80.0, missing=2)
REQUESTS = Metric("requests", "requests", "/min", 1000.0, value=900.0, missing=1)
FLEET: list[dict[str, t.Any]] = [
    {"name": "botserver-1", "state": "active", "cpu": 88.0, "memory": 40.0, "in_flight": 3, "ready": True},
    {"name": "botserver-2", "state": "active", "cpu": 80.0, "memory": None, "in_flight": None, "ready": False},
    {"name": "botserver-3", "state": "warm", "cpu": None},
]
Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def decision(action: t.Any = "hold", **more: t.Any) -> dict[str, t.Any]:
    given = {"current": 2, "desired": 2, "rule": "steady", "reason": "", "time": NOW, "metrics": (CPU, MEMORY, REQUESTS), **more}
    return Decision(action=action, **given).as_dict()


def tick(made: t.Mapping[str, t.Any] | None = None, *, errors: t.Mapping[str, int] | None = None, **more: t.Any) -> str:
    state = more.pop("state", State().as_dict())
    given = {"settings": SETTINGS, **more}
    return render(decision() if made is None else made, FLEET, state, 1.25, errors or {}, **given)


def read(text: str) -> Found:
    return {(name, tuple(sorted(labels.items()))): value for name, labels, value in prometheus.samples(text)}


def one(text: str, name: str, /, **labels: str) -> float | None:
    return read(text).get((name, tuple(sorted(labels.items()))))


def test_every_line_is_a_sample_or_belongs_to_the_one_before_it() -> None:
    lines = tick(decision("out", start=(3,), guards=(Held("cooldown", "x"),))).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert len(samples) == len(read("\n".join(lines)))
    heads = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert heads == [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(heads) == len(set(heads))
    assert [name for name in heads if name not in {family.name for family in FAMILIES}] == []
    assert {line.split("{")[0].split()[0] for line in samples} == set(heads)
    assert all(math.isfinite(value) for value in read("\n".join(lines)).values())


def test_the_documented_alerts_find_their_names_with_labels_that_match() -> None:
    found = read(tick(errors={"start": 1}, labels={"project": "p"}))
    assert [value for (name, _labels), value in found.items() if name == "cpu_usage"] == [88.0, 80.0]
    labels = (("project", "p"),)
    assert (found["container_count", labels], found["max_instances", labels], found["scaling_errors", labels]) == (2, 6, 1)


def test_an_unknown_value_is_left_out_and_never_zero() -> None:
    text = tick()
    assert one(text, OWN + "metric_value", metric="memory") is None
    assert one(text, OWN + "metric_threshold_ratio", metric="memory") is None
    assert one(text, "generalbots_instance_memory_ratio", name="botserver-2") is None
    assert one(text, "cpu_usage", name="botserver-3") is None
    assert [one(text, OWN + "metric_known", metric=name) for name in ("cpu", "memory", "requests")] == [1, 0, 0]
    assert one(text, OWN + "metrics_unknown") == 2
    assert one(text, OWN + "metric_threshold_ratio", metric="cpu") == 1.2


def test_ticks_in_which_a_metric_was_unknown_are_counted() -> None:
    text = tick(decision(metrics=(CPU, dataclasses.replace(MEMORY, value=40.0, missing=0))), previous=tick(previous=tick()))
    found = {name: one(text, OWN + "metric_unknown_total", metric=name) for name in ("cpu", "memory", "requests", "queue-depth")}
    assert found == {"cpu": 0, "memory": 2, "requests": 2, "queue-depth": None}


def test_who_is_ready_is_not_said_where_no_health_check_says_it() -> None:
    assert one(tick(), "generalbots_fleet_ready_instances") == 1
    silent = render(decision(), [{"name": "botserver-1", "state": "active", "ready": None}], {}, 1.0, {})
    assert "generalbots_fleet_ready_instances" not in silent


@pytest.mark.parametrize(("pause", "out", "into"), [(None, 0, 0), ("out", 1, 0), ("in", 0, 1), ("both", 1, 1)])
def test_controls_are_shown(pause: t.Any, out: int, into: int) -> None:
    text = tick(state=State().with_controls(pause=pause, pin=None if pause is None else 3).as_dict())
    assert [one(text, OWN + "paused", direction=direction) for direction in ("out", "in")] == [out, into]
    assert one(text, OWN + "pinned_instances") == (None if pause is None else 3)


def test_what_is_in_force_counts_and_where_nobody_knows_what_was() -> None:
    in_force = tick({**decision(), "controls": {"pause": "out", "pin": 4}}, labels={"project": "p"})
    unknown = tick({"time": NOW, "action": "hold", "alert": True}, state={}, previous=in_force, labels={"project": "p"})
    for text in (in_force, unknown):
        assert [one(text, OWN + "paused", direction=direction, project="p") for direction in ("out", "in")] == [1, 0]
        assert one(text, OWN + "pinned_instances", project="p") == 4
    lifted = tick({**decision(), "controls": {"pause": None, "pin": None}}, previous=unknown, labels={"project": "p"})
    assert one(lifted, OWN + "paused", direction="out", project="p") == 0
    assert one(lifted, OWN + "pinned_instances", project="p") is None


def test_the_bounds_in_force_are_shown_and_where_nobody_looked_those_that_were() -> None:
    names = [OWN + name for name in ("floor_instances", "ceiling_instances", "min_instances")]
    night = tick(decision(bounds=(1, 1)), labels={"project": "p"})
    unknown = tick({"time": NOW, "action": "hold", "alert": True}, previous=night, labels={"project": "p"})
    by_hand = tick(decision(rule="by-hand"), previous=unknown, labels={"project": "p"})
    for text in (night, unknown, by_hand):
        assert [one(text, name, project="p") for name in names] == [1, 1, 2]
    assert one(tick(), names[0]) is None


@pytest.mark.parametrize(
    ("said", "took", "shown"),
    [(100, 120.0, 100), (120, 120.0, 120), (-30, 120.0, 0), (900, 120.0, 0), (30, 1.25, 0)],
    ids=["while it was at work", "at its end", "by the tick before", "by a clock that was ahead", "after its end"],
)
def test_the_sign_of_life_of_a_long_run_goes_on_when_it_ends(said: float, took: float, shown: float) -> None:
    before = render({"time": NOW + said, "action": "hold"}, [], {}, 1.0, {}, labels={"project": "p"})
    text = render(decision(), FLEET, {}, took, {}, previous=before, labels={"project": "p"})
    assert one(text, OWN + "last_tick_timestamp_seconds", project="p") == NOW + shown


def test_counters_go_on_from_the_text_that_is_replaced() -> None:
    first = tick(decision("out", start=(3, 4), rule="over-threshold"), errors={"start": 1}, labels={"project": "p"})
    second = tick(decision("hold"), errors={"drain_timeout": 2}, previous=first, labels={"project": "p"})
    third = tick(decision("hold"), previous=second, labels={"project": "p"})
    assert one(third, OWN + "instance_changes_total", direction="out", project="p") == 2
    assert one(third, OWN + "scaling_events_total", direction="out", project="p") == 1
    assert one(third, OWN + "decisions_total", action="hold", rule="steady", project="p") == 2
    assert one(third, OWN + "decisions_total", action="out", rule="over-threshold", project="p") == 1
    assert [one(third, OWN + "errors_total", kind=kind, project="p") for kind in ("start", "drain_timeout")] == [1, 2]
    assert one(third, "scaling_errors", project="p") == 3


def test_a_tick_that_failed_before_it_decided_says_only_that_it_was_there() -> None:
    failed = {"time": NOW, "action": "hold", "alert": True}
    text = render(failed, [], {}, 0.1, {"engine": 1})
    names = {name for name, _labels in read(text)}
    assert not names & {OWN + "decisions_total", OWN + "metrics_unknown", "generalbots_fleet_instances", OWN + "rule_info"}
    assert [one(text, OWN + "decision", action=action) for action in ("out", "in", "hold")] == [0, 0, 0]
    assert (one(text, OWN + "last_tick_timestamp_seconds"), one(text, OWN + "alert"), one(text, "scaling_errors")) == (NOW, 1, 1)


def test_what_could_not_be_read_is_no_failed_step() -> None:
    text = tick(errors={"source": 1, "proxy": 1, "settings": 1, "unready": 1})
    assert one(text, "scaling_errors") == 1
    assert one(text, OWN + "errors_total", kind="source") == 1


def test_every_kind_of_error_is_there_before_it_happens_and_no_other() -> None:
    text = tick(errors={"what nobody foresaw": 2})
    found = {dict(labels)["kind"]: value for (name, labels), value in read(text).items() if name == OWN + "errors_total"}
    assert found == {**dict.fromkeys(ERROR_KINDS, 0), "other": 2}


def test_a_step_against_the_one_before_it_is_a_reversal() -> None:
    text = ""
    counted = []
    for at, action in enumerate(("out", "out", "in", "hold", "in", "out")):
        text = tick(decision(action, time=NOW + 30 * at), previous=text)
        counted.append(one(text, OWN + "reversals_total"))
    assert counted == [0, 0, 1, 1, 1, 2]
    assert one(text, OWN + "last_step_timestamp_seconds", direction="out") == NOW + 150
    assert one(text, OWN + "last_step_timestamp_seconds", direction="in") == NOW + 120


def test_steps_one_way_after_a_clock_was_set_back_are_no_reversals() -> None:
    text = tick(decision("out", time=NOW + 3600))
    counted = []
    for at, action in enumerate(("in", "in", "in", "out")):
        text = tick(decision(action, time=NOW + 30 * at), previous=text)
        counted.append(one(text, OWN + "reversals_total"))
    assert counted == [0, 0, 0, 1]


def test_rules_that_mend_the_fleet_are_rules() -> None:
    assert {RENEW, *(rule.name for rule in RULES)} >= HEALING


def test_what_mends_the_fleet_is_a_step_and_no_reversal() -> None:
    text = ""
    counted = []
    steps = [("out", "proportional"), ("out", "replace"), ("in", "retire"), ("out", "restart"), ("in", "renew"), ("in", "proportional")]
    for at, (action, rule) in enumerate(steps):
        text = tick(decision(action, rule=rule, time=NOW + 30 * at), previous=text)
        counted.append(one(text, OWN + "reversals_total"))
    assert counted == [0, 0, 0, 0, 0, 1]
    assert [one(text, OWN + "scaling_events_total", direction=direction) for direction in ("out", "in")] == [3, 3]
    assert one(text, OWN + "last_step_timestamp_seconds", direction="out") == NOW + 90
    assert one(text, OWN + "last_resize_timestamp_seconds", direction="out") == NOW


def test_a_step_of_which_nothing_came_is_none() -> None:
    failed = tick({**decision("out", start=(3, 4)), "undone": [3, 4]})
    assert one(failed, OWN + "scaling_events_total", direction="out") == 0
    assert one(failed, OWN + "last_step_timestamp_seconds", direction="out") is None
    assert one(failed, OWN + "last_resize_timestamp_seconds", direction="out") is None
    assert one(failed, OWN + "decisions_total", action="out", rule="steady") == 1
    partly = tick({**decision("out", start=(3, 4)), "undone": [4]}, previous=failed)
    assert one(partly, OWN + "scaling_events_total", direction="out") == 1
    assert one(partly, OWN + "last_step_timestamp_seconds", direction="out") == NOW


def test_a_guard_that_lets_go_stays_as_zero() -> None:
    held = tick(decision(guards=(Held("look-ahead", "x"),)))
    assert one(held, OWN + "guard", guard="look-ahead") == 1
    assert one(tick(previous=held), OWN + "guard", guard="look-ahead") == 0


def test_a_tick_without_a_decision_counts_its_error_and_claims_nothing() -> None:
    text = tick({}, errors={"engine": 1}, previous=tick())
    assert one(text, OWN + "errors_total", kind="engine") == 1
    assert one(text, OWN + "decisions_total", action="hold", rule="steady") == 1
    assert "None" not in text
    assert OWN + "last_tick_timestamp_seconds" not in text


@pytest.mark.parametrize(
    ("switch", "gone", "stays"),
    [
        ("metrics-container-count", "container_count", "cpu_usage"),
        ("metrics-scaling-events", OWN + "scaling_events_total", "container_count"),
        ("metrics-load-distribution", "generalbots_instance_cpu_ratio", "scaling_errors"),
    ],
)
def test_switches_of_config_csv_are_obeyed(switch: str, gone: str, stays: str) -> None:
    names = {name for name, _labels in read(tick(settings={**SETTINGS, switch: False}))}
    assert gone in {name for name, _labels in read(tick())}
    assert gone not in names
    assert stays in names


def test_without_the_main_switch_there_is_nothing_to_write() -> None:
    assert tick(settings={**SETTINGS, "metrics-scaling-enabled": False}) == ""


def test_without_the_load_of_each_instance_the_mean_is_left() -> None:
    assert one(tick(settings={**SETTINGS, "metrics-load-distribution": False}), "cpu_usage") == 84


def test_names_that_need_quoting_come_back_as_they_were() -> None:
    odd = 'a"b\\n'
    made = decision()
    made["rule"] = odd
    again = render(made, [], {}, 1.0, {}, previous=render(made, [], {}, 1.0, {}))
    (line,) = [line for line in again.splitlines() if line.startswith(OWN + "decisions_total")]
    assert line == OWN + 'decisions_total{action="hold",rule="a\\"b\\\\n"} 2'

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules on what a tick writes: each fires when it should and is quiet when it should be, asked of promtool.

Without promtool (make programs provides it) those tests are skipped.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import subprocess
import typing as t

import pytest
import yaml

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import textfile
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Held, Metric

ROOT = pathlib.Path(__file__).parents[3]
RULES = ROOT / "roles" / "autoscaler" / "files" / "autoscaler.rules.yml"
BUILT = ROOT / ".build" / "programs" / "promtool"
PROMTOOL = shutil.which("promtool") or (str(BUILT) if BUILT.exists() else None)

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool here: run make programs")
OWN = "generalbots_autoscaler_"
#: a tick that is fresh at every moment of a test, whose clock begins at 0
FRESH = {f'{OWN}last_tick_timestamp_seconds{{project="p"}}': "0+60x3000", f'{OWN}check_interval_seconds{{project="p"}}': "30x3000"}


@dataclasses.dataclass(frozen=True)
class Case:
    """Series in promtool's notation, one value a minute, and whether the alert fires at each of some moments."""

    alert: str
    series: t.Mapping[str, str]
    fires: t.Mapping[str, bool]
    every: str = "1m"
    """How often rules are evaluated, which may lie between two values."""


def own(name: str, values: str, /, **labels: str) -> dict[str, str]:
    found = ", ".join(f'{key}="{value}"' for key, value in {"project": "p", **labels}.items())
    return {f"{OWN}{name}{{{found}}}": values}


def fleet(name: str, values: str, /, **labels: str) -> dict[str, str]:
    found = own(name, values, **labels)
    return {key.replace(OWN, ""): value for key, value in found.items()}


CASES = (
    Case(
        "HighCPUUsage",
        fleet("cpu_usage", "95x10 40x20", name="botserver-1") | fleet("cpu_usage", "75x10 40x20", name="botserver-2"),
        {"4m": False, "6m": True, "12m": False},
    ),
    # Another fleet that is idle does not make up for one that is not.
    Case("HighCPUUsage", fleet("cpu_usage", "90x10", name="a") | {'cpu_usage{project="idle", name="b"}': "1x10"}, {"6m": True}),
    Case(
        "MaxInstancesReached",
        fleet("container_count", "4x30") | fleet("max_instances", "4x30") | own("guard", "0x9 1x9 0x10", guard="at-max"),
        {"8m": False, "12m": True, "25m": False},
    ),
    Case(
        "MaxInstancesReached",
        fleet("container_count", "3x30") | fleet("max_instances", "4x30") | own("guard", "1x30", guard="at-max"),
        {"10m": False},
    ),
    # A little over its target and content, as the tolerance allows.
    Case(
        "MaxInstancesReached",
        fleet("container_count", "2x30")
        | fleet("max_instances", "2x30")
        | own("metric_threshold_ratio", "1.07x30", metric="cpu")
        | own("guard", "1x30", guard="cooldown-in"),
        {"20m": False},
    ),
    # The documented form, scaling_errors > 0, would fire for ever after the first error.
    Case("ScalingFailed", fleet("scaling_errors", "7x4 8x60"), {"4m": False, "8m": True, "30m": False}),
    Case("ScalingFailed", fleet("scaling_errors", "8x4 0x60"), {"8m": False}),
    Case(
        "AutoscalerSilent",
        own("last_tick_timestamp_seconds", "0+60x5 300x20") | own("check_interval_seconds", "30x30"),
        {"6m": False, "8m": False, "9m": True},
    ),
    Case("AutoscalerSilent", own("last_tick_timestamp_seconds", "0+300x20") | own("check_interval_seconds", "300x30"), {"9m": False}),
    Case("AutoscalerAbsent", {"up": "1x30"}, {"8m": False, "11m": True}),
    Case("AutoscalerAbsent", FRESH, {"20m": False}),
    Case("AutoscalerSlow", FRESH | own("last_tick_duration_seconds", "45x11 2x20"), {"9m": False, "11m": True, "15m": False}),
    Case("AutoscalerBlind", own("metrics_unknown", "0x5 2x15 0x10"), {"14m": False, "17m": True, "25m": False}),
    Case("AutoscalerAsksForHelp", own("alert", "0x5 1x10 0x10"), {"8m": False, "12m": True, "20m": False}),
    Case(
        "AutoscalerSettingsBroken",
        own("errors_total", "0x4 0+1x5 5x40", kind="settings") | own("errors_total", "0+1x50", kind="stop"),
        {"4m": False, "8m": True, "40m": False},
    ),
    Case(
        "AutoscalerPausedLong",
        own("paused", "1x3000", direction="in") | own("paused", "0x3000", direction="out"),
        {"23h": False, "25h": True},
    ),
    Case("AutoscalerPausedLong", own("pinned_instances", "3x3000"), {"23h": False, "25h": True}),
    Case("AutoscalerPausedLong", own("paused", "0x3000", direction="in"), {"25h": False}),
    Case("FleetFlapping", own("reversals_total", "0x5 0+1x5 5x120"), {"4m": False, "12m": True, "100m": False}),
    Case("FleetFlapping", own("reversals_total", "0+1x2 2x120"), {"30m": False}),
    Case("FleetFlapping", own("reversals_total", "7x60 8x14 9x14 10x60"), {"95m10s": False, "100m10s": False}, "10s"),
    Case("FleetFlapping", own("reversals_total", "7x60 8x9 9x9 10x9 11x60"), {"85m": False, "95m": True}),
    Case(
        "FleetBelowMinimum",
        own("current_instances", "1x15 2x20") | own("floor_instances", "2x40"),
        {"9m": False, "12m": True, "20m": False},
    ),
    # A night under a schedule's ceiling below scale-min-instances, which is stronger.
    Case(
        "FleetBelowMinimum",
        own("current_instances", "1x60") | own("min_instances", "2x60") | own("floor_instances", "1x60"),
        {"50m": False},
    ),
    Case(
        "FleetUnhealthy",
        fleet("generalbots_fleet_instances", "3x40", state="active")
        | fleet("generalbots_fleet_instances", "9x40", state="warm")
        | fleet("generalbots_fleet_ready_instances", "3x5 2x15 3x20"),
        {"5m": False, "18m": True, "30m": False},
    ),
    Case(
        "FleetHasFailedInstances",
        fleet("generalbots_fleet_instances", "0x5 1x15 0x9", state="failed"),
        {"10m": False, "17m": True, "25m": False},
    ),
    Case("FleetHasFailedInstances", fleet("generalbots_fleet_instances", "4x40", state="warm"), {"30m": False}),
    Case("DrainTimedOut", own("errors_total", "3x5 4x60", kind="drain_timeout"), {"4m": False, "10m": True, "50m": False}),
)


def rules() -> list[dict[str, t.Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def promtool(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], check=False, capture_output=True, text=True, input=stdin)


def test_every_alert_is_tried_both_ways() -> None:
    tried = {(case.alert, fires) for case in CASES for fires in case.fires.values()}
    assert tried == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


def test_rules_ask_only_for_what_a_tick_writes() -> None:
    written = {family.name for family in textfile.FAMILIES}
    for rule in rules():
        words = re.sub(r'"[^"]*"', "", rule["expr"])
        asked = set(re.findall(r"\b[a-z]+_[a-z_]+\b", words))
        assert asked, rule["alert"]
        assert asked <= written, (rule["alert"], asked - written)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: pathlib.Path) -> None:
    expression = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    asked = [
        {"expr": f"count({expression})", "eval_time": moment, "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}
        for moment, fires in case.fires.items()
    ]
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    document = {"rule_files": [str(RULES)], "evaluation_interval": case.every, "tests": [test]}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    tried = promtool("test", "rules", str(file))
    assert tried.returncode == 0, tried.stdout + tried.stderr


@needs_promtool
def test_prometheus_takes_what_a_tick_writes() -> None:
    """promtool finds fault only with the names that General Bots' own alerts ask for."""
    metrics = (Metric("cpu", "CPU", " %", 70.0, value=84.0), Metric("memory", "memory", " %", 80.0, missing=1))
    decision = Decision("out", 2, 3, "over-threshold", "", 1_767_225_600.0, start=(3,), metrics=metrics, guards=(Held("cooldown", "x"),))
    decision = dataclasses.replace(decision, bounds=(1, 6))
    instances = [{"name": 'bot"server\\1', "state": "active", "cpu": 88.0, "memory": 40.0, "in_flight": 3, "ready": True}]
    state = {"controls": {"pause": "in", "pin": 2}, "history": {"last_in": 1_767_225_000.0}}
    settings = {"scale-enabled": True, "scale-min-instances": 1, "scale-max-instances": 6, "scale-check-interval": 30}
    text = textfile.render(decision.as_dict(), instances, state, 1.25, {"start": 1}, settings=settings, labels={"project": "p"})
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == {family.name for family in textfile.FAMILIES}
    said = promtool("check", "metrics", stdin=text)
    complaints = {line.split()[0] for line in (said.stdout + said.stderr).splitlines()}
    assert complaints == {"container_count", "scaling_errors"}

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the benches that need no LXD: the table, the shell loop's sum, the site's variables."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import typing as t

import bench_results
import pytest
import test_bench_d_scale_events as events
from bench_lab import HERE, ROOT, SETTINGS, Lab

from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import load_file

ROW = bench_results.faster("a", "facts", 0.2, 10.0, 40)


def entry(result: bench_results.Result, machine: str = "2 cores", date: str = "2026-01-02") -> dict[str, t.Any]:
    return {"date": date, "machine": machine, **vars(result)}


def test_a_goal_is_met_by_the_ratio_and_in_its_direction() -> None:
    assert ROW.met and ROW.ratio == pytest.approx(50)
    assert not bench_results.faster("a", "facts", 0.3, 10.0, 40).met
    assert bench_results.within("c", "first request", 3.0, 2.0, 1.5).met
    assert not bench_results.within("c", "first request", 2.0, 1.0, 1.5).met


def test_the_page_has_the_latest_result_of_each_bench_on_the_latest_machine() -> None:
    later = bench_results.faster("a", "facts", 0.1, 10.0, 40)
    other = bench_results.within("c", "first request", 3.0, 2.0, 1.5)
    entries = [entry(other, "a large machine"), entry(ROW), entry(later, date="2026-03-04")]
    text = bench_results.page(entries)
    assert "Machine: 2 cores." in text
    assert "| a | facts | 0.10 s | 10.00 s | 100.00 | at least 40 | yes | 2026-03-04 |" in text
    assert "0.20 s" not in text and "first request" not in text
    assert bench_results.missing(entries) == ["b", "c", "c2", "d", "e", "f", "g"]


def test_a_bench_of_a_data_tier_is_on_the_page_where_it_was_run_and_may_have_no_goal() -> None:
    rows = [bench_results.Result(bench, "facts", "1 s", "-", None, True) for bench in ["a", "b", "c", "c2", "d", "e", "f", "g"]]
    rate = bench_results.Result("h", "pgbench", "900/s", "1000/s", 0.9, None)
    assert bench_results.missing([entry(row) for row in rows]) == []
    text = bench_results.page([entry(row) for row in [*rows, rate]])
    assert "| h | pgbench | 900/s | 1000/s | 0.90 | none | - | 2026-01-02 |" in text
    assert "| i |" not in text


def test_results_are_added_to_those_before(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "deep/results.json"
    for _ in range(2):
        bench_results.append(ROW, "2 cores", path)
    assert [one["bench"] for one in bench_results.recorded(path)] == ["a", "a"]
    assert "at least 40" in bench_results.page(json.loads(path.read_text()))


def test_the_machine_is_described() -> None:
    words = bench_results.machine("5.0.2", "btrfs")
    assert f"{os.cpu_count()} cores" in words and words.endswith("LXD 5.0.2 on btrfs") and "unknown" not in words


def test_the_shell_loop_asks_each_running_botserver_and_averages(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    fake = tmp_path / "lxc"
    fake.write_text(
        f'#!/bin/sh\necho "$*" >>{log}\n'
        'case "$3" in list) printf "botserver-1\\nproxy-1\\nbotserver-2\\n" ;; exec) echo "0.5${4#botserver-} 0 0 1/2 3" ;; esac\n'
    )
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([str(HERE / "shell_loop.sh"), "p"], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout == "2 51\n"
    assert log.read_text().count("--project p exec botserver-") == 2


def test_25_steps_lead_out_and_25_in() -> None:
    changes = [after - before for before, after in zip([events.KEPT, *events.SIZES], events.SIZES, strict=False)]
    assert (changes.count(1), changes.count(-1), len(changes)) == (25, 25, 50)


def test_our_variables_lead_to_valid_settings(tmp_path: pathlib.Path) -> None:
    lab = Lab(t.cast(t.Any, None), "gb", tmp_path)
    settings = load_file(str(ROOT / "inventories/demo/config.csv"), SETTINGS)
    assert settings.unconsumed == []
    assert (settings.values["scale-max-instances"], lab.variables["gb_lxd_project"]) == (4, "gb-bench")


def test_the_site_of_a_bench_is_the_demo_botserver_whatever_else_was_baked_here(tmp_path: pathlib.Path) -> None:
    class Daemon:
        def get(self, path: str, **query: str) -> tuple[t.Any, str]:
            assert (path, query) == ("projects/gb-bench", {"project": "default"})
            return {"config": {"user.gb.image.botserver": "gb/botserver/demo"}}, ""

    ran: list[tuple[str, ...]] = []

    class Watched(Lab):
        def run(self, *command: str, timeout: float = 600.0, stdin: str = "") -> str:
            ran.append(command)
            return ""

    lab = Watched(t.cast(t.Any, Daemon()), "gb", tmp_path).with_image()
    assert lab.image == "gb/botserver/demo"
    [(*_command, tags, images)] = ran
    assert (tags, images) == ("--tags", "images")
    given = json.loads((tmp_path / "site.json").read_text())
    assert (given["botserver_demo"], given["botserver_binary"]) == (True, "")


def test_writes_to_caddy_are_told_from_questions() -> None:
    metrics = """caddy_admin_http_requests_total{code="200",handler="admin",method="GET",path="/metrics"} 7
caddy_admin_http_requests_total{code="200",handler="admin",method="PATCH",path="/config/"} 2
caddy_admin_http_requests_total{code="200",handler="load",method="POST",path="/load"} 1
process_start_time_seconds 1.7956e+09
"""
    assert events.writes(metrics) == 3
    assert events.gauge(metrics, "process_start_time_seconds") == 1.7956e9

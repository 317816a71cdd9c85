# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs behind the Makefile: summary, step, documentation pages, the copy for ansible-test, the virtual environment."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from tools import docs, sanity, summary

ROOT = pathlib.Path(__file__).resolve().parents[3]


def entry(passed: int, failed: int, skipped: int) -> str:
    return json.dumps({"passed": passed, "failed": failed, "skipped": skipped})


def test_summary_adds_all_runs_and_closes_with_the_counts() -> None:
    step = json.dumps({"step": "unit", "seconds": 12})
    lines, good = summary.summarize([step, entry(5, 0, 1), entry(2, 0, 0)])
    assert lines[-1] == "7 passed, 0 failed, 1 skipped"
    assert any("unit" in line and "12 s" in line for line in lines)
    assert good


@pytest.mark.parametrize("report", [[entry(5, 1, 0)], [entry(0, 0, 3)], []], ids=["a failure", "nothing but skips", "no test"])
def test_summary_is_not_good_unless_tests_passed(report: list[str]) -> None:
    assert not summary.summarize(report)[1]


def test_step_reports_time_and_passes_the_status_on(tmp_path: pathlib.Path) -> None:
    report = tmp_path / "report"
    command = [str(ROOT / "tools" / "step.sh"), "try", "sh", "-c", "exit 3"]
    run = subprocess.run(command, env={**os.environ, "GB_TEST_REPORT": str(report)}, check=False, capture_output=True, text=True)
    assert run.returncode == 3
    assert "== try: FAILED (exit status 3)" in run.stderr
    assert json.loads(report.read_text(encoding="utf-8"))["step"] == "try"


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_conftest_counts_a_run_once_for_the_summary(tmp_path: pathlib.Path, options: tuple[str, ...]) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    lines = ["import pytest", "def test_a(): pass", "def test_b(): assert 0", "def test_c(): pytest.skip('')", "def test_d(nothing): pass"]
    (tmp_path / "test_some.py").write_text("\n".join(lines), encoding="utf-8")
    environment = {**os.environ, "GB_TEST_REPORT": str(tmp_path / "report"), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True)
    assert json.loads((tmp_path / "report").read_text(encoding="utf-8")) == {"passed": 1, "failed": 2, "skipped": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Needs O(state=present) and C(a_b).", "Needs `state=present` and `a_b`."),
        ("RV(generalbots.scaling.x#module:plan.steps)", "`plan.steps`"),
        ("O(generalbots.scaling.x#module:instances)", "`instances`"),
        ("P(ansible.builtin.env#lookup) and M(a.b.c)", "`ansible.builtin.env` and `a.b.c`"),
        ("L(the manual, https://example.org/x) U(https://example.org)", "[the manual](https://example.org/x) <https://example.org>"),
        ("C(lookup('env', 'HOME')) B(now)", "`lookup('env', 'HOME')` **now**"),
        ("HTTP(S) stays", "HTTP(S) stays"),
    ],
)
def test_markup_becomes_markdown(text: str, expected: str) -> None:
    assert docs.markdown(text) == expected


def test_cells_and_literals_are_safe_in_a_table() -> None:
    assert docs.cell("a | b\nc") == "a \\| b c"
    assert [docs.literal(value) for value in ("", "x", True, 3, ["a"])] == ['""', "x", "true", "3", '["a"]']


def test_inner_options_stand_under_dotted_names() -> None:
    options: dict[str, t.Any] = {"b": {"suboptions": {"y": {}, "x": {"options": {"z": {}}}}}, "a": {}}
    assert [name for name, _option in docs.flatten(options)] == ["a", "b", "b.x", "b.x.z", "b.y"]
    assert [name for name, _value in docs.flatten({"r": {"contains": {"s": {}}}}, inner="contains")] == ["r", "r.s"]


def test_a_default_that_only_the_role_has_is_shown() -> None:
    specs = {"main": {"options": {"x_port": {"type": "int"}, "x_name": {"default": "a"}, "x_other": {}}}}
    options = docs.with_defaults(specs, {"x_port": "{{ gb_port }}", "x_name": "b"})["main"]["options"]
    assert options == {"x_port": {"default": "{{ gb_port }}", "type": "int"}, "x_name": {"default": "a"}, "x_other": {}}


def test_pip_settings_of_the_environment_win_and_other_sections_stay_out() -> None:
    listing = ":env:.timeout='9'\nglobal.cert='/c.pem'\nglobal.timeout='5'\ninstall.user='true'\n"
    assert sanity.pip_settings(listing) == "[global]\ncert = /c.pem\ntimeout = 9\n"


def test_sanity_tests_the_sources_and_only_those() -> None:
    names = {str(path) for path in sanity.sources()}
    assert {"galaxy.yml", "meta/runtime.yml", "plugins/module_utils/errors.py", "tests/config.yml"} <= names
    assert [name for name in names if name.startswith((".venv/", ".build/", "tests/unit/", "tools/"))] == []


def test_a_copy_for_another_tool_leaves_the_one_under_test_alone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sanity.py", "--copy", str(tmp_path / "own")])
    monkeypatch.setattr(sanity, "PLACE", tmp_path / "used")
    in_use = tmp_path / "used" / sanity.COLLECTION
    in_use.mkdir(parents=True)
    assert sanity.main() == 0
    assert (tmp_path / "own" / sanity.COLLECTION / "galaxy.yml").read_bytes() == (ROOT / "galaxy.yml").read_bytes()
    assert in_use.is_dir()


def test_sanity_ignores_nothing() -> None:
    assert [path.name for path in (ROOT / "tests" / "sanity").glob("ignore-*.txt") if path.read_text(encoding="utf-8").strip()] == []


def test_venv_is_kept_while_requirements_stay_and_link_leads_to_the_checkout() -> None:
    assert (ROOT / ".build" / "collections" / "ansible_collections" / "generalbots" / "scaling").resolve() == ROOT
    stamp = ROOT / ".venv" / ".made-from"
    if not stamp.exists():
        pytest.skip("not made by tools/venv.sh")
    before = stamp.stat().st_mtime_ns
    run = subprocess.run([str(ROOT / "tools" / "venv.sh")], check=True, capture_output=True, text=True)
    assert (run.stdout, stamp.stat().st_mtime_ns) == ("", before)


def test_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = subprocess.run(["make", "--no-print-directory", "-C", str(ROOT), "help"], check=True, capture_output=True, text=True).stdout
    targets = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert [target for target in targets if f"make {target} " not in shown] == []

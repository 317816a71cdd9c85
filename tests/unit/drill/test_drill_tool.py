# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make drills``: what it calls, and what it writes into docs/drills.md."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.faults import FAULTS
from tools import drills

VERDICT = {"good": True, "outage": 4.0, "counts": {"ok": 1000, "unknown": 1}, "findings": [], "open": []}


def done(fault: str, outage: float, **more: t.Any) -> dict[str, t.Any]:
    return {"fault": fault, "verdict": {**VERDICT, "outage": outage}, "within_bar": True, "problems": [], **more}


def test_the_campaign_is_the_playbook_with_a_file_that_it_goes_on_from(tmp_path: pathlib.Path) -> None:
    words = drills.command(drills.options(["--rounds", "3", "--minutes", "2", "--results", str(tmp_path / "r.jsonl")]))
    assert words[:4] == ["ansible-playbook", "-i", "inventories/ha", "playbooks/drill.yml"]
    assert {"fault=all", "rounds=3", "seconds=120.0", f"results={tmp_path}/r.jsonl", f"report={tmp_path}/r.html"} <= set(words)


def test_the_figures_replace_those_before_and_nothing_else() -> None:
    page = f"# Drills\n{drills.BEGIN}\nold\n{drills.END}\nafter\n"
    rounds = [done("freeze", 8.0), done("switchover", 1.0), done("freeze", 10.0, problems=["it stayed away"])]
    text = drills.with_figures(page, rounds)
    assert text.startswith("# Drills\n") and text.endswith("\nafter\n") and "old" not in text
    rows = [line for line in text.splitlines() if line.startswith(("| the", "| a "))]
    assert [row.split(" | ")[1] for row in rows] == ["1", "2"]
    assert "| the primary's host hangs (freeze) | 2 | 9.00 s | 9.90 s | 10.00 s | 10 s | 2,000 | 0 | none | 0 |" in text
    assert "3 rounds, 3,000 acknowledged writes, 0 lost." in text
    assert "- freeze: it stayed away" in text
    assert drills.with_figures(text, rounds) == text


def test_what_an_asynchronous_site_loses_stands_beside_and_mixes_with_nothing() -> None:
    assert drills.options(["--asynchronous"]).results != drills.options([]).results == drills.RESULTS
    page = f"{drills.BEGIN}\nkept\n{drills.END}\n{drills.BEGIN_ASYNCHRONOUS}\nold\n{drills.END_ASYNCHRONOUS}\n"
    text = drills.with_figures(page, [done("freeze", 8.0)], asynchronous=True)
    assert text.startswith(f"{drills.BEGIN}\nkept\n{drills.END}\n") and "old" not in text
    assert "1 rounds, 1,000 acknowledged writes, 0 lost." in text and "Not drilled" not in text


def test_what_was_not_drilled_is_said() -> None:
    text = drills.figures([done(fault, 1.0) for fault in FAULTS if fault not in ("freeze", "starve")])
    assert "Not drilled: `freeze`, `starve`." in text
    assert "Not drilled" not in drills.figures([done(fault, 1.0) for fault in FAULTS])


def test_a_lost_write_shows_in_its_row() -> None:
    broken = {**VERDICT, "findings": [{"kind": "lost", "count": 3, "examples": []}]}
    text = drills.figures([{**done("cut", 1.0), "verdict": broken}])
    assert "| 1,000 | 3 | none | 0 |" in text and "1,000 acknowledged writes, 3 lost" in text


def test_the_page_explains_every_fault() -> None:
    text = drills.PAGE.read_text(encoding="utf-8")
    for name, fault in FAULTS.items():
        assert f"| `{name}` | {fault.title} | {'none' if fault.limit is None else f'{fault.limit:g} s'} |" in text
    for mark in (drills.BEGIN, drills.END, drills.BEGIN_ASYNCHRONOUS, drills.END_ASYNCHRONOUS):
        assert text.count(mark) == 1

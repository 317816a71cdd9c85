# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sign of life in the file of metrics of somebody else who is at work."""

from __future__ import annotations

import pathlib
import re

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import journal

TICKED = 'generalbots_autoscaler_last_tick_timestamp_seconds{project="gb"}'
BEFORE = f'{TICKED} 100.000\nscaling_events_total{{direction="out"}} 1\n'


def test_it_moves_the_time_of_the_tick_and_nothing_else(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "gb.prom"
    file.write_text(BEFORE, encoding="utf-8")
    journal.alive(str(file), 200.0)
    assert file.read_text(encoding="utf-8") == BEFORE.replace("100.000", "200.000")
    assert list(tmp_path.iterdir()) == [file]


def test_where_there_is_no_file_there_is_none(tmp_path: pathlib.Path) -> None:
    journal.alive(str(tmp_path / "gb.prom"), 200.0)
    journal.alive("", 200.0)
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_undo_what_the_run_at_work_has_just_written(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gb.prom"
    file.write_text(BEFORE, encoding="utf-8")
    after = BEFORE.replace("100.000", "190.000").replace("} 1\n", "} 2\n")

    class Meanwhile:
        """Reads the time of the tick, and the other run publishes."""

        def sub(self, with_what: str, text: str) -> str:
            (tmp_path / "new").write_text(after, encoding="utf-8")
            (tmp_path / "new").replace(file)
            return re.sub(r"100\.000", "200.000", text)

    monkeypatch.setattr(journal, "_TICKED", Meanwhile())
    journal.alive(str(file), 200.0)
    assert file.read_text(encoding="utf-8") == after

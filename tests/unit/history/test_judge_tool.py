# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/judge.py on logs that lie there."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from history_builders import lawful, lines

from tools import judge


def test_it_tells_good_logs_from_others(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good").write_text(lines(lawful(1)))
    (tmp_path / "bad").write_text(lines(dataclasses.replace(lawful(1), found=())))
    assert judge.main([str(tmp_path / "good")]) == 0
    assert judge.main([str(tmp_path / "good"), str(tmp_path / "bad")]) == 1
    assert "bad: VIOLATED: " in capsys.readouterr().out
    assert judge.main(["--json", str(tmp_path / "bad")]) == 1
    assert json.loads(capsys.readouterr().out)["lost"] > 0


def test_what_is_no_log_is_said(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd").write_text("odd\nlog\n")
    assert judge.main([str(tmp_path / "odd")]) == 2
    assert judge.main([str(tmp_path / "absent")]) == 2
    assert judge.main([]) == 2
    said = capsys.readouterr().err
    assert "Line 1 of the history" in said and "absent" in said

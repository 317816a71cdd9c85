# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of settings and the tool that makes it."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
import types

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.validate import RULES

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = ROOT / "tools" / "settings_page.py"


@pytest.fixture(scope="module")
def tool() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("settings_page", TOOL)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_up_to_date() -> None:
    # Without PYTHONPATH, as from a plain checkout.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, str(TOOL), "--check"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_page_is_told_and_then_written(tool: types.ModuleType, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "settings.md"
    page.write_text("old", encoding="utf-8")
    assert tool.main(["--check"], page) == 1
    assert "is stale: run tools/settings_page.py" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "old"
    assert tool.main([], page) == 0
    assert tool.main(["--check"], page) == 0


def test_the_page_holds_every_key_and_every_rule(tool: types.ModuleType) -> None:
    text = tool.page()
    for key in KEYS.values():
        assert f"| `{key.name}` |" in text and key.description in text
    for rule in RULES:
        assert rule.text[1:] in text and rule.remedy in text

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/venv.sh, with an interpreter that installs nothing."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "tools" / "venv.sh"
PYTHON = """#!/bin/sh
case "$*" in
-V) echo Python 3.11 ;;
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""


def run(checkout: pathlib.Path, python: pathlib.Path) -> str:
    argv = ["bash", str(checkout / "tools" / "venv.sh")]
    return subprocess.run(argv, env={**os.environ, "PYTHON": str(python)}, check=True, capture_output=True, text=True).stdout


def test_a_checkout_that_was_moved_gets_a_new_environment(tmp_path: pathlib.Path) -> None:
    """The programs of the one it has name an interpreter that is not there any more."""
    python, checkout = tmp_path / "python", tmp_path / "before"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    (checkout / "tools").mkdir(parents=True)
    shutil.copy(SCRIPT, checkout / "tools")
    for name in ("requirements.txt", "requirements-test.txt", "constraints.txt"):
        (checkout / name).touch()
    assert "== venv: made in" in run(checkout, python)
    assert run(checkout, python) == ""
    moved = checkout.rename(tmp_path / "after")
    assert "== venv: made in" in run(moved, python)
    assert run(moved, python) == ""

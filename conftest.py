# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every run of pytest under this folder, molecule's included, adds its counts to the report of ``make test``.

The checkout is found as the collection also where pytest was not started by make.
"""

from __future__ import annotations

import json
import os
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("ANSIBLE_CONFIG", str(_ROOT / "ansible.cfg"))
os.environ.setdefault("ANSIBLE_COLLECTIONS_PATH", str(_ROOT / ".build/collections"))
os.environ.setdefault("PYLXD_WARNINGS", "none")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Append passed, failed and skipped to the file that ``GB_TEST_REPORT`` names, if it names one.

    Workers of pytest-xdist end with a summary of their own share, which the whole run counts as well.
    """
    report = os.environ.get("GB_TEST_REPORT")
    if not report or hasattr(terminalreporter.config, "workerinput"):
        return
    found = {name: len(terminalreporter.stats.get(name, ())) for name in ("passed", "failed", "error", "skipped")}
    found["failed"] += found.pop("error")
    with pathlib.Path(report).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(found) + "\n")

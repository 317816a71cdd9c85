# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of ``make test``: what each step took, and on the last line how many tests passed.

    summary.py REPORT

The report holds one JSON object per line: ``step`` and ``seconds`` from tools/step.sh, ``passed``, ``failed`` and
``skipped`` from conftest.py, one for each run of pytest (the unit tests, molecule's testinfra).
"""

from __future__ import annotations

import collections
import json
import pathlib
import sys
import typing as t


def summarize(lines: t.Iterable[str]) -> tuple[list[str], bool]:
    """The lines to print, and whether tests ran and all of them passed."""
    counts: collections.Counter[str] = collections.Counter()
    table = [""]
    for line in lines:
        entry = json.loads(line)
        if "step" in entry:
            table.append(f"{entry['step']:<32} {entry['seconds']:>5} s")
        else:
            counts.update({name: entry[name] for name in ("passed", "failed", "skipped")})
    closing = f"{counts['passed']} passed, {counts['failed']} failed" + (f", {counts['skipped']} skipped" if counts["skipped"] else "")
    return [*table, "", closing], bool(counts["passed"]) and not counts["failed"]


def main() -> int:
    """Print the summary of the report named on the command line."""
    text, good = summarize(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
    print("\n".join(text))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault campaign: every fault of drill.yml for so many rounds on a site that runs, and its figures in docs/drills.md.

It may be broken off at any time and goes on where it was; what is done stands in a file of results. ``--table`` only writes the page.
A site of yours has another inventory, and should have results of its own (``--results``), or the page tells of both.
Rounds of a site that is asynchronous by choice go to results and a table of their own, with ``--asynchronous``.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill import campaign
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.faults import FAULTS
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.report import COLUMNS, table_row

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "drills.md"
#: what the page's figures come from; kept with them, so that a campaign goes on on another machine
RESULTS = ROOT / "tests" / "drills" / "results.jsonl"
ASYNCHRONOUS = RESULTS.with_name("asynchronous.jsonl")
#: the page's figures stand between these lines
BEGIN, END = "<!-- figures -->", "<!-- end of the figures -->"
BEGIN_ASYNCHRONOUS, END_ASYNCHRONOUS = "<!-- asynchronous figures -->", "<!-- end of the asynchronous figures -->"


def main(arguments: t.Sequence[str]) -> int:
    """Run what is left of the campaign, then write the figures; returns the playbook's exit code."""
    given = options(arguments)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    code = 0
    if not given.table:
        code = subprocess.run(command(given), cwd=ROOT, check=False).returncode
    rounds = campaign.read(str(given.results))
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), rounds, asynchronous=given.asynchronous), encoding="utf-8")
    print(f"{len(rounds)} rounds so far; the figures stand in {PAGE.relative_to(ROOT)}")
    return code


def options(arguments: t.Sequence[str]) -> argparse.Namespace:
    """The command line as values."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", default="inventories/ha", help="the site that is drilled")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each fault in all")
    parser.add_argument("--minutes", type=float, default=120, help="no round begins after so many minutes")
    parser.add_argument("--faults", default="all", help="names with commas between them: " + ", ".join(FAULTS))
    parser.add_argument("--results", type=pathlib.Path, help="what is done, a line of JSON for each round")
    parser.add_argument("--asynchronous", action="store_true", help="the site is: other results, and the other table of the page")
    parser.add_argument("--table", action="store_true", help="only write the figures")
    given = parser.parse_args(arguments)
    given.results = given.results or (ASYNCHRONOUS if given.asynchronous else RESULTS)
    return given


def command(given: argparse.Namespace) -> list[str]:
    """The playbook with what is asked for."""
    extra = {
        "fault": given.faults, "rounds": given.rounds, "seconds": given.minutes * 60, "results": given.results.resolve(),
        "report": given.results.resolve().with_suffix(".html"),
    }  # fmt: skip
    words = [f"{name}={value}" for name, value in extra.items()]
    return ["ansible-playbook", "-i", given.inventory, "playbooks/drill.yml", *(part for word in words for part in ("-e", word))]


def with_figures(page: str, rounds: t.Sequence[t.Mapping[str, t.Any]], *, asynchronous: bool = False) -> str:
    """The page with the figures of these rounds in it."""
    begin, end = (BEGIN_ASYNCHRONOUS, END_ASYNCHRONOUS) if asynchronous else (BEGIN, END)
    before, _begin, rest = page.partition(begin)
    _old, _end, after = rest.partition(end)
    return f"{before}{begin}\n\n{figures(rounds, whole=not asynchronous)}\n{end}{after}"


def figures(rounds: t.Sequence[t.Mapping[str, t.Any]], *, whole: bool = True) -> str:
    """A table with a row for each fault, in the order of the faults, and what was not as it should be.

    :param whole: every fault was to be drilled, so those that were not are named
    """
    rows = sorted(campaign.summary(rounds), key=lambda row: list(FAULTS).index(row["fault"]) if row["fault"] in FAULTS else len(FAULTS))
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(table_row(row) for row in rows)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    acknowledged, lost = sum(row["acknowledged"] for row in rows), sum(row["violations"]["lost"] for row in rows)
    total = f"\n{len(rounds)} rounds, {acknowledged:,} acknowledged writes, {lost} lost.\n"
    left = [f"`{fault}`" for fault in FAULTS if whole and fault not in {row["fault"] for row in rows}]
    total += f"\nNot drilled: {', '.join(left)}.\n" if left else ""
    problems = [f"- {row['fault']}: {problem}\n" for row in rows for problem in row["problems"]]
    return table + total + ("\nWhat did not end as it should:\n\n" + "".join(problems) if problems else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

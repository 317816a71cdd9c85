# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of nftables, as it is wanted, in the kernel and on disk.

The kernel's own words are compared with what the same nft makes of the wanted rules in a network namespace of their own.
So a rule set is known to load before anything is changed, and a rule that somebody added by hand is a difference.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Action, Plan

#: runs a command with a text as its standard input; returns exit code, standard output and standard error
Run = t.Callable[[t.Sequence[str], str], tuple[int, str, str]]

#: without the state of what is loaded, such as what its counters have counted
_TRY = '"$0" -f - && "$0" --stateless list ruleset'


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is wanted.

    :param table: family and name, such as ``inet gb_exposure``
    :param rules: what ``nft -f`` takes; it makes that table and no other
    :param path: the file that is loaded when the system starts
    """

    table: str
    rules: str
    path: str


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is there, and ``loadable``, the wanted rules in the kernel's words; None for what there is not."""

    loaded: str | None
    file: str | None
    loadable: str


class Nft:
    """The program nft of the system that this runs on."""

    def __init__(self, run: Run, program: str = "/usr/sbin/nft") -> None:
        self._run = run
        self._program = program

    def look(self, wanted: Wanted) -> Seen:
        """Read what is there and try what is wanted.

        :raises InvalidInput: nft refuses the rules, or they make another table as well; nothing was changed
        """
        file = pathlib.Path(wanted.path)
        return Seen(
            loaded=self._loaded(wanted.table),
            file=file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None,
            loadable=self._tried(wanted),
        )

    def _loaded(self, table: str) -> str | None:
        code, out, _err = self._run([self._program, "--stateless", "list", "table", *table.split()], "")
        return out if code == 0 else None

    def _tried(self, wanted: Wanted) -> str:
        code, out, err = self._run(["unshare", "--net", "--", "/bin/sh", "-c", _TRY, self._program], wanted.rules)
        if code != 0 and err.startswith("unshare:"):
            raise ScalingError(f"The rules could not be tried in a network namespace of their own: {err.strip()} Nothing was changed.")
        if code != 0:
            raise InvalidInput(f"nft refuses the rules for {wanted.path}: {' '.join(err.split())} Nothing was changed.")
        tables = [line.removeprefix("table ").removesuffix(" {") for line in out.splitlines() if line.startswith("table ")]
        if tables != [wanted.table]:
            raise InvalidInput(
                f"The rules for {wanted.path} make the tables {', '.join(tables) or '(none)'}; they may only make {wanted.table}. "
                "Nothing was changed."
            )
        return out

    def carry_out(self, plan: Plan) -> None:
        """Execute a plan of :func:`plan_table`; the kernel takes the whole file or nothing of it."""
        verbs: dict[str, t.Callable[[Action], None]] = {"write": self._write, "load": self._load}
        for action in plan.actions:
            verbs[action.verb](action)

    def _write(self, action: Action) -> None:
        target = pathlib.Path(action.target)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".gb-", delete=False) as file:
            file.write(action.detail["content"])
            os.fchmod(file.fileno(), 0o644)
        os.replace(file.name, target)

    def _load(self, action: Action) -> None:
        code, _out, err = self._run([self._program, "-f", action.detail["path"]], "")
        if code != 0:
            raise ScalingError(f"nft did not load {action.detail['path']}: {' '.join(err.split())} The former rules are still in force.")


def plan_table(wanted: Wanted, seen: Seen) -> Plan:
    """What brings file and kernel to what is wanted."""
    plan = Plan()
    if plan.differ(wanted.path, seen.file, wanted.rules):
        plan.act("write", wanted.path, content=wanted.rules)
    if plan.differ(f"table {wanted.table}", seen.loaded, seen.loadable):
        plan.act("load", f"table {wanted.table}", path=wanted.path)
    return plan

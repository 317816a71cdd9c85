# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of the module ``postgres_drill`` to its result."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill import campaign
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.faults import FAULTS
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.report import page
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.round import Drill, Round
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import LXD_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec

Options = t.Mapping[str, t.Any]

DATABASE = {
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 5432},
    "dbname": {"type": "str", "default": "botserver"},
    "user": {"type": "str", "default": "gbuser"},
    "password": {"type": "str", "required": True, "no_log": True},
}
SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "faults": {"type": "list", "elements": "str", "required": True},
            "target": {"type": "str"},
            "rounds": {"type": "int", "default": 1},
            "seconds": {"type": "float", "default": 3600},
            "results": {"type": "path"},
            "report": {"type": "path"},
            "force": {"type": "bool", "default": False},
            "subnet": {"type": "str", "required": True},
            "client": {"type": "str", "default": "botserver-1"},
            "scope": {"type": "str", "default": "generalbots"},
            "database": {"type": "dict", "required": True, "options": DATABASE},
            "writers": {"type": "int", "default": 4},
            "rate": {"type": "float", "default": 25},
            "recover_timeout": {"type": "float", "default": 90},
            "heal_timeout": {"type": "float", "default": 180},
        }
    )
)


def drill(options: Options, *, check: bool) -> dict[str, t.Any]:
    """Do what the options say; in check mode only look at the cluster and plan the first round of each fault.

    :raises InvalidInput: an unknown fault or instance, or numbers that make no sense
    :raises Refused: the cluster is not healthy
    """
    _require_sense(options)
    how = Drill(
        options["subnet"], options["client"], options["database"], options["scope"],
        options["writers"], options["rate"], options["recover_timeout"], options["heal_timeout"],
    )  # fmt: skip
    one = Round(connect(options), how)
    if check:
        plans = [one.plan(fault, options["target"], force=options["force"])[0] for fault in options["faults"]]
        return {"changed": True, "words": [f"{plan.name}: {', then '.join(map(str, [*plan.inject, *plan.heal]))}" for plan in plans]}
    rounds = campaign.run(
        one,
        options["faults"],
        target=options["target"],
        rounds=options["rounds"],
        seconds=options["seconds"],
        results=options["results"] or "",
        force=options["force"],
    )
    if options["report"]:
        pathlib.Path(options["report"]).write_text(page(rounds), encoding="utf-8")
    return {
        "changed": bool(rounds),
        "good": all(each["verdict"]["good"] and not each["problems"] for each in rounds),
        "words": [in_words(each) for each in rounds],
        "rounds": rounds,
        "summary": campaign.summary(rounds),
    }


def in_words(one: t.Mapping[str, t.Any]) -> str:
    """What came out of a round, in words."""
    led = f"{one['leader_before']} led before, {one['leader_after'] or 'nobody'} after"
    problems = "".join(f" Problem: {problem}" for problem in one["problems"])
    return f"{one['fault']} of {one['target']} ({led}): {one['verdict']['words']}{problems}"


def _require_sense(options: Options) -> None:
    unknown = [fault for fault in options["faults"] if fault not in FAULTS]
    if unknown or not options["faults"]:
        raise InvalidInput(f"faults names {', '.join(unknown) or 'nothing'}; give some of {', '.join(FAULTS)}. Nothing was done.")
    for name in ("rounds", "writers", "rate", "seconds"):
        if options[name] <= 0:
            raise InvalidInput(f"{name} is {options[name]}; it must be above 0. Nothing was done.")

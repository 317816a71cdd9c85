# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between what is wanted and what is there, as a value.

A planner is a pure function ``plan(desired, observed) -> Plan``. Check mode returns the plan, a real run executes it:
there is one code path, and what check mode prints is what a run does.
"""

from __future__ import annotations

import dataclasses
import typing as t

HIDDEN = "(hidden)"


@dataclasses.dataclass(frozen=True)
class Action:
    """One step of a plan: a ``verb`` (``create``, ``start``, ``update``…), what it is done to, and with what.

    ``detail`` is for the executor and may hold secrets; ``note`` is for people and never does.
    """

    verb: str
    target: str
    detail: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.target}" + (f": {self.note}" if self.note else "")


class Plan:
    """Collects actions and differences; ``changed``, ``diff`` and ``actions`` of a module's result come from here."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self._before: dict[str, t.Any] = {}
        self._after: dict[str, t.Any] = {}

    @property
    def changed(self) -> bool:
        """True if there is anything to do."""
        return bool(self.actions)

    def act(self, verb: str, target: str, note: str = "", **detail: t.Any) -> None:
        """Append an action; the order of the calls is the order of execution."""
        self.actions.append(Action(verb, target, detail, note))

    def differ(self, name: str, before: t.Any, after: t.Any, *, secret: bool = False) -> bool:
        """Note that ``name`` is ``before`` and shall be ``after``; returns whether the two differ.

        Nothing is noted for equal values. A ``secret`` appears in the diff only as changed, never by value.
        """
        if before == after:
            return False
        self._before[name] = HIDDEN if secret and before is not None else before
        self._after[name] = (f"{HIDDEN}, changed" if before is not None else HIDDEN) if secret else after
        return True

    def extend(self, other: Plan) -> None:
        """Append another plan's actions and differences."""
        self.actions.extend(other.actions)
        self._before.update(other._before)
        self._after.update(other._after)

    @property
    def diff(self) -> dict[str, dict[str, t.Any]]:
        """The managed part before and after, in the shape of Ansible's ``diff``."""
        return {"before": dict(self._before), "after": dict(self._after)}

    def steps(self) -> list[str]:
        """The actions as sentences, in order."""
        return [str(action) for action in self.actions]

    def result(self, **more: t.Any) -> dict[str, t.Any]:
        """The part of a module's result that every planner has: ``changed``, ``diff``, ``actions``."""
        return {"changed": self.changed, "diff": self.diff, "actions": self.steps(), **more}

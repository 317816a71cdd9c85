# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How decisions are put into words."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View

#: remarks on unknown metrics that a reason quotes; all of them are in the tick's notes
NOTES = 3


def instances(count: int) -> str:
    """A number of instances."""
    return f"{count} instance" + ("" if count == 1 else "s")


def listed(slots: t.Iterable[int]) -> str:
    """The slots' numbers."""
    return ", ".join(map(str, slots))


def slots_words(slots: t.Iterable[int]) -> str:
    """The slots, as one grammatical thing."""
    return f"slot {listed(slots)}"


def capital(text: str) -> str:
    """With a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def steady_words(view: View) -> str:
    """That nothing asks for a step, with every number and what is unknown."""
    seen = ", ".join(f"{metric} of {metric.number(metric.threshold)}" for metric in view.metrics) or "no threshold is set"
    notes = "; ".join(view.facts.notes[:NOTES])
    return f"nothing asks for a step: {seen}" + (f" ({notes})" if notes else "")


def panic_words(view: View) -> str:
    """That so many are unhealthy that no one of them can be at fault."""
    return f"only {view.healthy} of {instances(view.current)} are healthy, which has a shared cause"


def why_unknown(view: View) -> str:
    """Which metrics are unknown, and why."""
    if not view.measured:
        return "no instance is healthy yet" if view.members else "no instance is running"
    names = ", ".join(metric.label for metric in view.metrics if not metric.known)
    notes = "; ".join(view.facts.notes[:NOTES])
    return f"{names} unknown" + (f": {notes}" if notes else "")

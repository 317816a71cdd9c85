# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page about the rounds of a drill: HTML that needs nothing else, readable in light and dark."""

from __future__ import annotations

import html
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.campaign import summary
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.faults import FAULTS

Json = t.Mapping[str, t.Any]

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #c62828; font-weight: 600; } .good { color: #2e7d32; font-weight: 600; }
@media (prefers-color-scheme: dark) { .bad { color: #ff8a80; } .good { color: #a5d6a7; } }
"""
COLUMNS = ("Fault", "Rounds", "Outage p50", "p95", "max", "Bar", "Acknowledged", "Lost", "Other violations", "Beyond the bar")


def page(rounds: t.Sequence[Json]) -> str:
    """The whole page."""
    bad = sum(not one["verdict"]["good"] or bool(one["problems"]) for one in rounds)
    judged = f"{bad} of them not as it should be" if bad else "all as they should be"
    head = f"{len(rounds)} round{'' if len(rounds) == 1 else 's'}, {judged}"
    rows = "".join(_row([_escape(cell) for cell in table_row(one)]) for one in summary(rounds))
    details = "".join(_detail(one) for one in rounds)
    title = "Drill of the PostgreSQL cluster"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head><body>\n'
        f'<h1>{title}</h1>\n<p class="{"bad" if bad else "good"}">{head}.</p>\n'
        f"<table><thead><tr>{''.join(f'<th>{column}</th>' for column in COLUMNS)}</tr></thead><tbody>\n{rows}</tbody></table>\n"
        f"<h2>Rounds</h2>\n{details}</body></html>\n"
    )


def table_row(one: Json) -> list[str]:
    """A row of :func:`~.campaign.summary` as the cells of :data:`COLUMNS`."""
    fault = FAULTS.get(one["fault"])
    limit = fault.limit if fault is not None else None
    others = {kind: count for kind, count in one["violations"].items() if kind != "lost" and count}
    outage = [f"{one['outage'].get(name, 0.0):.2f} s" for name in ("p50", "p95", "max")]
    unproven = [f"{one['unproven']} not proven"] if one["unproven"] else []
    return [
        f"{fault.title if fault is not None else '?'} ({one['fault']})",
        str(one["rounds"]),
        *outage,
        "none" if limit is None else f"{limit:g} s",
        f"{one['acknowledged']:,}",
        str(one["violations"]["lost"]),
        ", ".join([*(f"{count} {kind}" for kind, count in others.items()), *unproven]) or "none",
        str(one["over_bar"]),
    ]


def _row(cells: t.Sequence[str]) -> str:
    return f"<tr><td>{cells[0]}</td>{''.join(f'<td class=n>{cell}</td>' for cell in cells[1:])}</tr>\n"


def _detail(one: Json) -> str:
    good = one["verdict"]["good"] and not one["problems"]
    problems = "".join(f"<li>{_escape(problem)}</li>" for problem in one["problems"])
    examples = "".join(f"<li>{_escape(example)}</li>" for found in one["verdict"]["findings"] for example in found["examples"])
    return (
        f'<h3>{_escape(one["fault"])} of {_escape(one["target"])} <span class="{"good" if good else "bad"}">'
        f"{'good' if good else 'not good'}</span></h3>\n<p>{_escape(one['verdict']['words'])}</p>\n<ul>{problems}{examples}</ul>\n"
    )


def _escape(text: object) -> str:
    return html.escape(str(text))

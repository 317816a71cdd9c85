# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one page of HTML that needs nothing else. Pure.

Every word that comes from outside passes ``text``; the page's own policy lets nothing be loaded or sent.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import html
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import finite
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.report_chart import (
    Axis,
    Column,
    Panel,
    columns,
    instances_panel,
    lane,
    metric_panel,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.report_style import CSS, SCRIPT

#: decisions that the page lists; a day of a fleet that is never steady has more
LISTED = 300
#: nothing is loaded or sent, and no script runs but the page's own, also where a foreign word should get into the markup
_OWN_SCRIPT = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_OWN_SCRIPT}'; base-uri 'none'; form-action 'none'"

text = html.escape


def render(report: model.Report, zone: datetime.tzinfo | None = None) -> str:
    """The page. ``zone`` is the clock that it goes by, None the clock of the machine that makes it."""
    axis = Axis.of(report, zone)
    points = columns(report)
    parts = [
        _verdict(report),
        _tiles(report, axis),
        _charts(report, axis, points) if points else "",
        _fleet(report, axis),
        _log(report, axis) if report.ticks else "",
        _settings(report),
        _foot(report, axis),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>Autoscaler of {text(report.title)}</title><style>{CSS}</style>"
    )
    body = f"<main>{_head(report, axis)}{''.join(parts)}</main><script>{SCRIPT}</script>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


# --- the top -----------------------------------------------------------------------------------------------------------


def verdict(report: model.Report) -> tuple[str, str]:
    """How it stands, as a class (good, warn, bad) and in words."""
    if not report.concerns:
        return "good", "All quiet"
    if report.concerns[0].grave:
        return "bad", "Look here now"
    return "warn", "Worth a look"


def _head(report: model.Report, axis: Axis) -> str:
    when = axis.local(report.now)
    moment = f"{when:%a} {when.day} {when:%b %Y, %H:%M:%S} {when.tzname() or ''}"
    return f'<header><h1>Autoscaler of {text(report.title)}</h1><span class="when">{text(moment)}</span></header>'


def _verdict(report: model.Report) -> str:
    kind, words = verdict(report)
    concerns = "".join(f'<li class="{"bad" if one.grave else "warn"}">{text(one.text)}</li>' for one in report.concerns)
    said = f"<p>{text(sentences(report.last))}</p>" if report.last else ""
    return f'<section class="verdict {kind}"><h2>{words}</h2>{f"<ul>{concerns}</ul>" if concerns else ""}{said}</section>'


def sentences(tick: model.Tick) -> str:
    """The reason and what comes next, once."""
    return tick.reason if not tick.next or tick.next in tick.reason else f"{tick.reason} {tick.next}"


def _tiles(report: model.Report, axis: Axis) -> str:
    last = report.last
    if last is None:
        return ""
    ago = (
        f"took {last.took:.1f} s, every {model.duration(report.interval)}"
        if last.took is not None
        else f"every {model.duration(report.interval)}"
    )
    steps = {name: sum(tick.action == name for tick in report.steps) for name in ("out", "in")}
    wrong = sum(bool(tick.errors) for tick in report.ticks)
    hours = model.duration(axis.end - axis.begin)
    tiles = [
        _size_tile(report, last),
        *(_metric_tile(name, reading) for name, reading in last.metrics.items()),
        _tile("Last tick", f"{model.duration(report.now - last.time)} <small>ago</small>", ago),
        _tile(
            f"Steps in {hours}",
            f"{steps['out']} <small>out</small> {steps['in']} <small>in</small>",
            f"{wrong} {'tick' if wrong == 1 else 'ticks'} went wrong",
        ),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, figure: str, more: str = "", kind: str = "", meter: float | None = None) -> str:
    """``figure`` is HTML."""
    gauge = "" if meter is None else f'<div class="meter"><i style="width:{100 * min(max(meter, 0.0), 1.0):.1f}%"></i></div>'
    words = f'<div class="name">{text(name)}</div><div class="figure">{figure}</div><div class="more">{text(more)}</div>'
    return f'<div class="tile {kind}">{words}{gauge}</div>'


def _size_tile(report: model.Report, last: model.Tick) -> str:
    low, high = (finite(report.settings.get(f"scale-{name}-instances")) for name in ("min", "max"))
    wish = f" <small>to be {last.desired}</small>" if last.desired != last.current else ""
    bounds = f"{low:.0f} to {high:.0f} allowed" if low is not None and high is not None else ""
    if last.unknown:
        return _tile("Instances", "unknown", bounds, "unknown")
    return _tile("Instances", f"{last.current}{wish}", bounds, meter=last.current / high if high else None)


def _metric_tile(name: str, reading: model.Reading) -> str:
    figure = _figure(reading)
    more = f"threshold {reading.words(reading.threshold)}" if reading.threshold is not None else ""
    if reading.missing and reading.value is not None:
        more += f", {reading.missing} unknown"
    share = reading.value / reading.threshold if reading.value is not None and reading.threshold else None
    return _tile(model.label(name), figure, more, "over" if reading.over else "" if reading.known else "unknown", share)


def _figure(reading: model.Reading) -> str:
    """What was read with its unit smaller, which may stand on a line of its own and is not broken."""
    words = reading.words(reading.value)
    if reading.value is None or not reading.unit:
        return text(words)
    figure = words.removesuffix(reading.unit)
    return f"{text(figure.rstrip())}{' ' if figure.endswith(' ') else '<wbr>'}<small>{text(reading.unit)}</small>"


# --- the timeline --------------------------------------------------------------------------------------------------------


def _charts(report: model.Report, axis: Axis, points: t.Sequence[Column]) -> str:
    legend = "".join(f'<li><i style="background:var(--{mood})"></i>{text(words)}</li>' for mood, words in model.MOODS.items())
    ribbon = Panel("What it did", "", (), lane(report, axis, points), "ribbon")
    panels = [ribbon, instances_panel(report, axis, points), *(metric_panel(report, axis, points, name) for name in report.metrics)]
    drawn = "".join(_chart(panel, _markers(report, axis) if panel.kind == "instances" else "") for panel in panels)
    marks = "".join(f'<span style="left:{100 * axis.share(moment):.2f}%">{text(name)}</span>' for moment, name in axis.marks())
    readout = '<div class="readout"><b></b> <span></span><p></p></div>'
    seconds = len(report.ticks) / len(points) * report.interval
    note = f"Lines show the highest of each {model.duration(seconds)}. " if len(points) < len(report.ticks) else ""
    note += "Tinted: above the threshold. Dashed under the instances: wanted. Orange: unknown. Grey: no tick."
    return (
        f'<section><h2>The last {model.duration(axis.end - axis.begin)}</h2><ul class="legend">{legend}</ul><div class="charts">{drawn}'
        f'<div class="chart"><div class="marks">{marks}</div></div><div class="cursor"></div></div>{readout}<p class="note">{note}</p>'
        f'<script type="application/json" id="columns">{_data(report, axis, points)}</script></section>'
    )


def _chart(panel: Panel, over: str) -> str:
    heights = "".join(f'<span class="{kind}" style="top:{100 * share:.1f}%">{text(name)}</span>' for share, name, kind in panel.heights)
    head = f'<div class="head"><b>{text(panel.title)}</b><span>{text(panel.aside)}</span></div>'
    return f'<div class="chart {panel.kind}">{head}<div class="heights">{heights}</div><div class="plot">{panel.svg}{over}</div></div>'


def _markers(report: model.Report, axis: Axis) -> str:
    """The steps that the table lists, each leading to its line."""
    steps = [(number, one.last) for number, one in _listed(report) if one.last.action != "hold"]
    return "".join(_marker(number, tick, axis) for number, tick in steps)


def _marker(number: int, tick: model.Tick, axis: Axis) -> str:
    place, says = f"left:{100 * axis.share(tick.time):.2f}%", text(f"{axis.moment(tick.time)} {tick.reason}")
    sign = "▲" if tick.action == "out" else "▼"
    return f'<a class="step {tick.mood}" href="#decision-{number}" style="{place}" title="{says}">{sign}</a>'


def _data(report: model.Report, axis: Axis, points: t.Sequence[Column]) -> str:
    """What the cross-hair shows; a text in a script element must not close it."""
    found = [
        {"x": round(axis.share(one.tick.time), 5), "when": axis.moment(one.tick.time), "seen": _seen(one), "said": one.tick.reason}
        for one in points
    ]
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _seen(column: Column) -> str:
    readings = column.tick.metrics
    figures = [f"{model.label(name)} {readings[name].words(value)}" for name, value in column.peaks.items() if name in readings]
    return ", ".join(["instances unknown" if column.tick.unknown else f"{column.tick.current} instances", *figures])


# --- the tables ----------------------------------------------------------------------------------------------------------


def _listed(report: model.Report) -> list[tuple[int, model.Episode]]:
    return list(enumerate(report.episodes))[-LISTED:]


def _log(report: model.Report, axis: Axis) -> str:
    episodes = _listed(report)
    rows = "".join(_row(number, one, axis) for number, one in reversed(episodes))
    choices = {"all": "All", "steps": "Changes", "held": "Held back", "trouble": "Trouble"}
    buttons = "".join(
        f'<input type="radio" name="show" id="show-{name}"{" checked" if name == "all" else ""}><label for="show-{name}">{words}</label>'
        for name, words in choices.items()
    )
    older = len(report.episodes) - len(episodes)
    note = f'<p class="note">{older} earlier ones are in the log only.</p>' if older else ""
    head = "<thead><tr><th>When<th>What<th>Instances<th>Why</tr></thead>"
    return (
        f'<section class="log"><h2>Decisions and their reasons</h2><div class="choice">{buttons}</div>'
        f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>{note}</section>'
    )


def _row(number: int, episode: model.Episode, axis: Axis) -> str:
    tick = episode.last
    when = axis.moment(episode.first.time)
    if episode.count > 1:
        when += f' <div class="more">to {axis.moment(tick.time)}, {episode.count} ticks</div>'
    more = [
        *tick.errors,
        *tick.notes,
        *([f"rule {tick.rule}"] if tick.rule else ()),
        *([f"held by {', '.join(tick.guards)}"] if tick.guards else ()),
    ]
    what = {"out": "out", "in": "in", "held": "held", "steady": "steady", "alert": "alarm", "error": "failed"}[tick.mood]
    dry = " (dry run)" if tick.dry_run else ""
    why = f'{text(sentences(tick))}<div class="more">{text("; ".join(more))}</div>'
    return (
        f'<tr class="{tick.mood}" id="decision-{number}"><td class="time">{when}</td>'
        f'<td class="what"><span class="tag {tick.mood}">{what}{dry}</span></td>'
        f'<td class="size">{tick.size()}</td><td class="reason">{why}</td></tr>'
    )


def _fleet(report: model.Report, axis: Axis) -> str:
    if not report.fleet:
        return ""
    shown = [column for column in FLEET_COLUMNS if any(column[1](one, axis) for one in report.fleet)]
    head = "".join(f"<th>{name}" for name, _cell in shown)
    rows = "".join(f"<tr>{''.join(f'<td class=num>{cell(one, axis)}</td>' for _name, cell in shown)}</tr>" for one in report.fleet)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<section><h2>The fleet now</h2><div class="scroll">{table}</div></section>'


Cell = t.Callable[[t.Mapping[str, t.Any], Axis], str]


def _word(key: str) -> Cell:
    return lambda one, _axis: "" if one.get(key) in (None, "") else text(str(one[key]))


def _per_cent(key: str) -> Cell:
    def cell(one: t.Mapping[str, t.Any], _axis: Axis) -> str:
        value = finite(one.get(key))
        if value is None:
            return ""
        return f'<span class="bar"><i style="width:{min(max(value, 0.0), 100.0):.0f}%"></i></span>{value:.0f} %'

    return cell


def _ready(one: t.Mapping[str, t.Any], _axis: Axis) -> str:
    return {True: "yes", False: '<span class="tag error">no</span>'}.get(t.cast("bool", one.get("ready")), "")


def _state(one: t.Mapping[str, t.Any], _axis: Axis) -> str:
    state = str(one.get("state") or "")
    kind = {"active": "out", "draining": "in", "failed": "error"}.get(state, "")
    return f'<span class="tag {kind}">{text(state)}</span>' + (" protected" if one.get("protected") is True else "")


def _since(one: t.Mapping[str, t.Any], axis: Axis) -> str:
    started = finite(one.get("started_at"))
    return "" if started is None else f"{model.duration(axis.end - started)}"


FLEET_COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("Slot", _word("slot")),
    ("Instance", _word("name")),
    ("State", _state),
    ("Power", _word("status")),
    ("Healthy", _ready),
    ("CPU", _per_cent("cpu")),
    ("Memory", _per_cent("memory")),
    ("In flight", _word("in_flight")),
    ("Up for", _since),
    ("Image", _word("image")),
    ("Failure", _word("failure")),
)


def _settings(report: model.Report) -> str:
    wanted = {key: value for key, value in report.settings.items() if key.startswith("scale-") and value is not None}
    pause, pin = report.controls.get("pause"), report.controls.get("pin")
    wanted |= {"paused": pause or "no", "pinned": pin if pin is not None else "no"}
    rows = "".join(f"<div><dt>{text(key)}</dt><dd>{text(_plain(value))}</dd></div>" for key, value in wanted.items())
    return f"<section><details><summary>Settings</summary><dl>{rows}</dl></details></section>" if report.settings else ""


def _plain(value: t.Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _foot(report: model.Report, axis: Axis) -> str:
    holder = f", the last by {text(report.last.holder)}" if report.last and report.last.holder else ""
    return f"<footer>{len(report.ticks)} ticks from {axis.moment(axis.begin)} to {axis.moment(axis.end)}{holder}.</footer>"

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page and the text as they are written: nothing foreign gets into the markup, nothing is loaded, any history fits."""

from __future__ import annotations

import base64
import datetime
import hashlib
import html.parser
import json
import re
import typing as t

import pytest
import report_builders as builders
from report_builders import NOW, line, metric

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report_chart, report_html, report_text

EVIL = """<img src=x onerror=alert(1)>"'&</script><!--\x1b[2J\x07"""
#: elements that HTML has no end of, and those of our SVG that have none
ALONE = {"meta", "input", "rect", "path", "th", "wbr"}


class Page(html.parser.HTMLParser):
    """Every element and attribute of a page, and whether all elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag in ALONE:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(report: model.Report) -> str:
    return report_html.render(report, datetime.UTC)


def day(**present: t.Any) -> model.Report:
    made = builders.Day()
    given = {"settings": builders.SETTINGS, "fleet": builders.fleet(4), **present}
    return model.build(builders.text(made.lines()), NOW, 24, **given)


def poisoned() -> model.Report:
    """A report in which every text that comes from outside is an attack."""
    words: dict[str, t.Any] = {
        "rule": EVIL,
        "reason": EVIL,
        "next": EVIL + "!",
        "holder": EVIL,
        "notes": [EVIL],
        "guards": [{"name": EVIL}],
    }
    evil = line(action="out", errors={EVIL: 2}, missing=1, **words)
    evil["metrics"] = {EVIL: metric(3.0, 2.0, EVIL), 'x" onload="y': metric(None, 2.0, "%")}
    fleet = [
        dict.fromkeys(("name", "slot", "state", "status", "image", "failure", "in_flight"), EVIL),
        {"name": "b", "state": "failed", "failure": EVIL},
    ]
    return model.build(
        builders.text([line(NOW - 30), evil, {**evil, "time": NOW - 15}]),
        NOW,
        24,
        state={"controls": {"pause": EVIL, "pin": EVIL}},
        lock={"holder": EVIL, "expires": NOW - 1},
        fleet=fleet,
        settings={**builders.SETTINGS, "scale-" + EVIL: EVIL},
        trouble=EVIL,
        title=EVIL,
    )


def test_the_page_is_whole() -> None:
    parsed = Page(page(day()))
    assert (parsed.open, parsed.wrong) == ([], [])
    assert {"main", "svg", "table", "header", "footer"} <= set(parsed.tags)


def test_foreign_words_stay_words() -> None:
    good, bad = Page(page(day())), Page(page(poisoned()))
    assert set(bad.tags) <= set(good.tags)
    assert {(tag, name) for tag, name, _value in bad.attributes} <= {(tag, name) for tag, name, _value in good.attributes}
    assert (bad.open, bad.wrong) == ([], [])
    # Each place of EVIL shows it as text: title, heading, concerns, reason, rule, guard, note, error, metrics, fleet, settings, footer.
    assert sum("<img src=x onerror=alert(1)>" in text for text in bad.texts) > 15


def test_foreign_words_stay_words_in_the_data_of_the_cross_hair() -> None:
    text = page(poisoned())
    (data,) = re.findall(r'<script type="application/json" id="columns">(.*?)</script>', text, re.DOTALL)
    assert "<" not in data
    assert json.loads(data)[-1]["said"] == EVIL


def test_names_of_metrics_do_not_reach_into_references() -> None:
    text = page(poisoned())
    names = {f"over-{number}" for number in range(5)}
    assert set(re.findall(r'clipPath id="([^"]*)"', text)) == names
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{name}" for name in names}


def test_nothing_is_loaded_from_anywhere() -> None:
    text = page(day())
    attributes = Page(text).attributes
    assert [value for _tag, name, value in attributes if name in ("src", "srcset", "data", "action", "poster", "xlink:href")] == []
    assert {value[:10] for _tag, name, value in attributes if name == "href"} == {"#decision-"}
    assert re.findall(r"https?:|//[a-z]|@import|url\((?!#)", text) == []


def test_the_policy_lets_only_the_own_script_run() -> None:
    text = page(day())
    (policy,) = [value for tag, name, value in Page(text).attributes if tag == "meta" and name == "content" and "default-src" in value]
    assert policy.startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert [name for _tag, name, _value in Page(text).attributes if name.startswith("on")] == []


def test_light_and_dark_have_every_colour() -> None:
    css = re.findall(r"<style>(.*?)</style>", page(day()), re.DOTALL)[0]
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    names = [set(re.findall(r"(--[a-z-]+):", block)) for block in (light, dark)]
    assert names[0] == names[1]
    assert set(re.findall(r"var\((--[a-z-]+)\)", css)) <= names[0]


def test_an_empty_history_is_a_page_that_says_so() -> None:
    report = model.build([], NOW, 24)
    parsed = Page(page(report))
    assert (parsed.open, parsed.wrong) == ([], [])
    assert "no tick in the last 24 h" in "".join(parsed.texts)
    assert "svg" not in parsed.tags
    assert "no tick in the last 24 h" in report_text.render(report, datetime.UTC)


def test_what_was_not_asked_is_not_drawn_as_unknown_and_no_line_crosses_a_silence() -> None:
    by_hand = {**line(NOW - 30, "out"), "metrics": {}}
    report = model.build(builders.text([line(NOW - 3600, cpu=None), line(NOW - 3570), by_hand, line(NOW)]), NOW, 24)
    axis, points = report_chart.Axis.of(report, datetime.UTC), report_chart.columns(report)
    assert report_chart.unknowns(points, "cpu") == [(NOW - 3600, NOW - 3600)]
    assert report_chart.unknowns(points, "requests") == []
    assert report_chart.instances_panel(report, axis, points).svg.count('class="line"') == 2


def test_ticks_that_never_saw_an_instance_are_drawn() -> None:
    blind = {"action": "hold", "alert": True, "notes": ["config.csv is broken."], "errors": {"settings": 1}}
    report = model.build(builders.text({"time": NOW - 30 * index, **blind} for index in range(3)), NOW, 24)
    parsed = Page(page(report))
    assert (parsed.open, parsed.wrong, parsed.tags.count("svg")) == ([], [], 2)
    assert "config.csv is broken." in "".join(parsed.texts)
    assert report.mean_instances is None
    assert "config.csv is broken." in report_text.render(report, datetime.UTC)


def test_ticks_that_could_read_nothing_are_unknown_and_no_silence() -> None:
    blind = {"action": "hold", "alert": True, "notes": ["LXD is away."], "errors": {"engine": 1}}
    seen = [line(NOW - 3600 + 30 * index) for index in range(60)]
    report = model.build(builders.text([*seen, *({"time": NOW - 1800 + 30 * index, **blind} for index in range(61))]), NOW, 1)
    points = report_chart.columns(report)
    assert report_chart.unknowns(points, "cpu")[-1][1] == NOW and len(report_chart.unknowns(points, "cpu")) == 61
    rows = {row[2:15].strip(): row[16 : 16 + report_text.COLUMNS] for row in report_text.render(report, datetime.UTC).splitlines()}
    row = rows["CPU"]
    half = report_text.COLUMNS // 2
    assert row[half:] == report_text.UNKNOWN * half and report_text.UNKNOWN not in row[:half]


def test_a_size_that_nobody_knew_is_unknown_and_not_none() -> None:
    blind = {"action": "hold", "alert": True, "notes": ["LXD is away."], "errors": {"engine": 1}}
    report = model.build(builders.text([{"time": NOW - 30, **blind}, {"time": NOW, **blind}]), NOW, 24, settings=builders.SETTINGS)
    assert [one.text for one in report.concerns if "scale-min-instances" in one.text] == []
    text = page(report)
    assert '<div class="figure">unknown</div>' in text and '<td class="size">unknown</td>' in text
    assert '"seen":"instances unknown"' in text and "<span>unknown, max 8</span>" in text
    lines = {row[2:18].strip(): row[18:].strip() for row in report_text.render(report, datetime.UTC).splitlines()}
    assert lines["instances"] == "unknown   (1 to 8 allowed)"
    told = report_text.render(report, datetime.UTC)
    assert "went wrong, unknown, 2 ticks" in told and "max 0" not in told and report_text.UNKNOWN in told.split("instances", 2)[2]
    known = model.build(builders.text([line(NOW - 30, current=0), {"time": NOW, **blind}]), NOW, 24, settings=builders.SETTINGS)
    assert any("0 instances, and scale-min-instances is 1" in one.text for one in known.concerns), "it was seen to be none"


@pytest.mark.parametrize("hours", [1e6, 1e9, 1e300, float("inf")])
@pytest.mark.parametrize("moment", [None, 1.0, -1e11], ids=["no tick", "at the beginning of time", "before it"])
def test_a_report_on_more_than_there_was_is_a_page(hours: float, moment: float | None) -> None:
    report = model.build(builders.text([] if moment is None else [line(moment)]), NOW, hours, settings=builders.SETTINGS)
    page(report)
    assert report_text.render(report).startswith("Autoscaler of generalbots")
    assert len(report_chart.Axis.of(report, datetime.UTC).marks()) <= report_chart.MARKS + 1


def test_a_single_tick_is_drawn() -> None:
    report = model.build(builders.text([line()]), NOW, 24)
    assert Page(page(report)).tags.count("svg") == 5
    assert "instances" in report_text.render(report, datetime.UTC)


HUGE: dict[str, t.Callable[[], dict[str, t.Any]]] = {
    "value": lambda: line(cpu=1.7e308, requests=-1.7e308),
    "threshold": lambda: {**line(), "metrics": {"cpu": metric(1.0, 1.7e308, ""), "queue": metric(1e300, 5e-324, "")}},
    "instances": lambda: line(current=10**15),
    "milliseconds": lambda: line(1000 * NOW),
    "nanoseconds": lambda: line(1e9 * NOW),
    "half a character": lambda: line(reason="\ud800", rule="\udfff", holder="\ud800", alert=True),
    "an instance of any depth": lambda: line(instances=[{"name": "b", "state": {"a": [{}]}, "ready": [[]]}]),
}


@pytest.mark.parametrize("name", HUGE)
def test_whatever_a_line_says_there_is_a_page(name: str) -> None:
    report = model.build(builders.text([line(NOW - 30), HUGE[name]()]), NOW, 24, settings=builders.SETTINGS)
    parsed = Page(page(report))
    assert (parsed.open, parsed.wrong) == ([], [])
    assert max(map(len, report_text.render(report, datetime.UTC).splitlines())) <= report_text.WIDTH


def test_a_huge_history_makes_no_huge_page() -> None:
    """Four weeks of ticks that come too seldom, each a step: the page stays one that a browser opens at once."""
    lines = [json.dumps(line(NOW - 120 * index, "out" if index % 2 else "in")) for index in range(20_000)]
    text = page(model.build(lines, NOW, 24 * 28, settings=builders.SETTINGS))
    assert len(text) < 1_000_000
    assert text.count("<tr") == report_html.LISTED + 1
    assert f"{20_000 - report_html.LISTED} earlier ones are in the log only" in text


def test_steps_lead_to_their_lines() -> None:
    text = page(day())
    aims = set(re.findall(r'href="#(decision-\d+)"', text))
    assert len(aims) > 5
    assert aims <= set(re.findall(r'id="(decision-\d+)"', text))


def test_the_timeline_shows_what_was_unknown_and_when_nobody_looked() -> None:
    report = day()
    points = report_chart.columns(report)
    axis = report_chart.Axis.of(report, datetime.UTC)
    (silence,) = report_chart.silences(report)
    assert silence[1] - silence[0] > 1800
    assert sum(point.after_silence for point in points) == 1
    panel = report_chart.metric_panel(report, axis, points, "cpu")
    assert panel.svg.count('class="silent"') == 1
    assert panel.svg.count('class="unknown"') > 1
    # The line breaks at both.
    assert panel.svg.count('class="line"') == 3


@pytest.mark.parametrize(
    ("highest", "unit", "top"),
    [(0.0, "", 1e-09), (3, "%", 100), (140, "%", 200), (7, "", 8), (900, "/min", 1000), (1000, "/min", 1500)],
)
def test_axes_end_at_round_numbers(highest: float, unit: str, top: float) -> None:
    assert report_chart.nice_top(highest, unit) == pytest.approx(top, rel=1.0 if highest == 0 else 1e-9)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (1.0, "02:12:20"),
        (24.0, "Tue 03:12:20"),
        (6 * 24.0, "Thu 03:12:20"),
        (7 * 24.0, "Wed 18 Nov 03:12:20"),
        (672.0, "Wed 28 Oct 03:12:20"),
    ],
)
def test_a_moment_has_the_weekday_and_the_date_where_it_needs_them(hours: float, words: str) -> None:
    first = NOW - hours * 3600 + 20
    report = model.build(builders.text([line(first), line(NOW)]), NOW, hours, settings=builders.SETTINGS)
    assert f'<td class="time">{words}' in page(report)
    assert f"  {words}  nothing to do" in report_text.render(report, datetime.UTC)
    assert f"<title>{words} nothing to do" in page(report)


# --- the text ------------------------------------------------------------------------------------------------------------


def test_the_text_says_what_the_page_says() -> None:
    report = day()
    text = report_text.render(report, datetime.UTC)
    for words in ("WORTH A LOOK", "CPU", "of 70 %", "scaled in", "botserver-4", "Looked at again", "max 8", "18:00"):
        assert words in text
    lines = {row[2:15].strip(): row[16 : 16 + report_text.COLUMNS] for row in text.partition("The last")[2].split("\n\n")[0].splitlines()}
    assert report_text.UNKNOWN in lines["CPU"]
    assert report_text.SILENT in lines["instances"]
    assert {"+", "-", "x"} <= set(lines["what it did"])


def busy() -> model.Report:
    """A report with numbers and words as long as they come."""
    lines = [line(NOW - 3600 + 30 * index, requests=14030.0, current=12, dry_run=True, rule="held") for index in range(121)]
    for one in lines:
        one["metrics"]["requests"]["threshold"] = 15000
        one["metrics"]["response-time"] = metric(2345.0, 2000, "ms")
        one["metrics"]["a-very-long-metric-name"] = metric(6695510.0, 2e6, "tokens/min")
        one["metrics"]["in-flight"] = {**metric(4.1, 0, ""), "threshold": None}
    fleet = [{"name": "a-name-" * 9, "state": "failed", "failure": "not healthy within 120 s " * 5, "cpu": 7.0, "in_flight": 3}]
    return model.build(builders.text(lines), NOW, 24, settings=builders.SETTINGS, fleet=fleet, title="generalbots-production-eu-central")


def test_no_number_is_cut() -> None:
    text = report_text.render(busy(), datetime.UTC)
    assert "] 14,030/min of 15,000/min\n" in text and "] 2,345 ms of 2,000 ms  OVER\n" in text
    asides = [row[16 + report_text.COLUMNS :].strip() for row in text.splitlines()]
    assert {"max 14,030/min", "max 2,345 ms"} <= set(asides)
    (most,) = [row for row in text.splitlines() if "max 6,695,510" in row]
    assert most.strip() == "max 6,695,510 tokens/min" and len(most) == report_text.WIDTH, "below its line"
    assert "A very long …" in text and ("not healthy within 120 s " * 5).strip() in " ".join(text.split())


def test_no_line_ends_in_a_blank() -> None:
    for report in (day(), busy(), model.build([], NOW, 24)):
        assert [row for row in report_text.render(report, datetime.UTC).splitlines() if row != row.rstrip()] == []


def test_units_are_small_and_numbers_are_not_broken() -> None:
    text = page(busy())
    assert '<div class="figure">14,030<wbr><small>/min</small></div>' in text
    assert '<div class="figure">2,345 <small>ms</small></div>' in text
    assert '<div class="figure">4.1</div>' in text


def test_the_text_fits_the_terminal_and_cannot_command_it() -> None:
    for report in (day(), poisoned(), busy()):
        lines = report_text.render(report, datetime.UTC).splitlines()
        assert max(map(len, lines)) <= report_text.WIDTH
        assert all(line.isprintable() for line in lines)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as somebody sees it: opened in a headless Chromium, in light and in dark, and looked at.

The pictures stay in .build/report. Without Chromium (make programs installs it) these tests are skipped.
"""

from __future__ import annotations

import datetime
import pathlib
import re
import typing as t

import pytest
import report_browser
import report_builders as builders

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report_html, report_style

PICTURES = pathlib.Path(__file__).parents[3] / ".build" / "report"
WIDE, NARROW = (1280, 1180), (420, 1400)

pytestmark = pytest.mark.skipif(report_browser.PROGRAM is None, reason="there is no chromium here: run make programs")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[report_browser.Tab]:
    with report_browser.tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The report on a day, as a file."""
    day = builders.Day()
    lines = builders.text(day.lines())
    made = model.build(lines, builders.NOW, 24, settings=builders.SETTINGS, fleet=builders.fleet(day.size))
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(report_html.render(made, datetime.UTC), encoding="utf-8")
    return file


def palette(scheme: str) -> dict[str, str]:
    """The colours of the style sheet by name."""
    light, dark = re.findall(r":root \{(.*?)\}", report_style.CSS, re.DOTALL)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})\b", dark if scheme == "dark" else light))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_drawn_in_its_colours_and_asks_for_nothing(tab: report_browser.Tab, page: pathlib.Path, scheme: str) -> None:
    tab.open(page, scheme=scheme, width=WIDE[0], height=WIDE[1])
    picture = tab.picture(PICTURES / f"report-{scheme}.png")
    assert tab.complaints() == []
    assert (picture.width, picture.height) == WIDE
    colours, wanted = picture.colours(), palette(scheme)
    assert picture.colour(2, 2) == wanted["page"]
    # What the drawings are made of is there, not a line here and there: cards, the ground of drawings, states, the metrics' lines.
    least = {"page": 50_000, "card": 100_000, "faint": 30_000, "steady": 5_000, "alert": 200, "line": 1_000, "warn-bg": 20_000}
    assert {name: colours.get(wanted[name], 0) for name in least if colours.get(wanted[name], 0) < least[name]} == {}


@pytest.mark.parametrize("width", [WIDE[0], NARROW[0]])
def test_nothing_sticks_out_to_the_side(tab: report_browser.Tab, page: pathlib.Path, width: int) -> None:
    tab.open(page, scheme="light", width=width, height=NARROW[1])
    tab.picture(PICTURES / f"report-{width}.png")
    assert tab.ask("document.documentElement.scrollWidth") == width
    assert tab.ask("[...document.querySelectorAll('.tile .figure')].filter(one => one.scrollWidth > one.clientWidth).length") == 0


@pytest.mark.parametrize("width", [WIDE[0], 400, 320])
def test_ordinary_numbers_stay_in_their_cards(tab: report_browser.Tab, tmp_path: pathlib.Path, width: int) -> None:
    lines = [builders.line(builders.NOW - 30 * index, requests=14030.0) for index in range(3)]
    more = {"response-time": (2345.0, "ms"), "queue": (15.0, ""), "tokens": (1692369.0, "tokens/min"), "in-flight": (123456.0, "/min")}
    for one in lines:
        one["metrics"].update({name: builders.metric(value, 2000, unit) for name, (value, unit) in more.items()})
    file = tmp_path / "report.html"
    file.write_text(report_html.render(model.build(builders.text(lines), builders.NOW, 1), datetime.UTC), encoding="utf-8")
    tab.open(file, scheme="dark", width=width, height=NARROW[1])
    tab.picture(PICTURES / f"report-numbers-{width}.png")
    assert tab.ask("document.documentElement.scrollWidth") == width
    wide = "one.clientWidth && one.scrollWidth > one.clientWidth"
    assert tab.ask(f"[...document.querySelectorAll('.tile *')].filter(one => {wide}).length") == 0
    broken = "[...document.querySelectorAll('.tile .figure')].filter(one => one.firstChild.nodeType === 3 && (range => "
    broken += "(range.selectNodeContents(one.firstChild), range.getClientRects().length > 1))(document.createRange())).length"
    assert tab.ask(broken) == 0, "no number goes on in the next line"


#: which words stand on which grounds
WORDS = {
    "ink": ("page", "card", "good-bg", "warn-bg", "bad-bg"),
    "soft": ("page", "card"),
    "limit": ("card",),
    "good": ("good-bg",),
    "warn": ("warn-bg",),
    "bad": ("bad-bg", "card"),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_on_their_ground(scheme: str) -> None:
    """Contrast of text at least 4.5 to 1, as WCAG 2.1 asks for (1.4.3)."""
    colours = palette(scheme)
    pairs = [(ink, ground) for ink, grounds in WORDS.items() for ground in grounds]
    assert [(*pair, contrast(*map(colours.__getitem__, pair))) for pair in pairs if contrast(*map(colours.__getitem__, pair)) < 4.5] == []


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_cross_hair_tells_what_was_seen_there(tab: report_browser.Tab, page: pathlib.Path) -> None:
    tab.open(page, scheme="light", width=WIDE[0], height=WIDE[1])
    assert tab.ask("getComputedStyle(document.querySelector('.readout')).display") == "none"
    box = tab.ask("(b => [b.left, b.top, b.width, b.height])(document.querySelector('.metric .plot').getBoundingClientRect())")
    tab.point_at(box[0] + box[2] * 0.47, box[1] + box[3] / 2)
    assert tab.ask("getComputedStyle(document.querySelector('.readout')).display") == "block"
    said = tab.ask("document.querySelector('.readout').innerText")
    assert re.match(r"Tue 14:\d\d:\d\d .* instances, CPU \d+ %", said), said
    tab.picture(PICTURES / "report-cross-hair.png")


def test_the_choice_shows_only_what_was_chosen(tab: report_browser.Tab, page: pathlib.Path) -> None:
    tab.open(page, scheme="light", width=WIDE[0], height=WIDE[1])
    shown = "[...new Set([...document.querySelectorAll('.log tbody tr')].filter(one => one.offsetHeight).map(one => one.className))].sort()"
    assert {"steady", "out", "in"} < set(tab.ask(shown))
    for choice, kinds in {"steps": ["error", "in", "out"], "trouble": ["alert", "error"], "held": ["held"]}.items():
        tab.ask(f"document.getElementById('show-{choice}').click()")
        assert set(tab.ask(shown)) == set(kinds)

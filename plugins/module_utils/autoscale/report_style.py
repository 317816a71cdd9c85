# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks of the report's page and the little that moves in it. Nothing is loaded from anywhere."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --ink: #1b2330; --soft: #5b6675; --rule: #e1e5ea; --faint: #eef1f4;
  --line: #2f6bd8; --fill: #2f6bd822; --limit: #a33b2b;
  --out: #178a5b; --in: #7b58c9; --held: #c98a12; --steady: #cdd5de; --alert: #d9622b; --error: #c5303c; --silent: #8a94a133;
  --good: #0e6b43; --warn: #8a5600; --bad: #b8232f; --good-bg: #e4f4ec; --warn-bg: #fdf1dc; --bad-bg: #fde7e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1217; --card: #161b22; --ink: #e3e8ef; --soft: #94a1b2; --rule: #28303b; --faint: #1d242d;
    --line: #6ea8ff; --fill: #6ea8ff26; --limit: #f08a78;
    --out: #3fc48a; --in: #ab8cf5; --held: #e0ab46; --steady: #313b48; --alert: #ff8e57; --error: #ff6b74; --silent: #aab4c21f;
    --good: #5fd6a1; --warn: #f0bd5e; --bad: #ff8d92; --good-bg: #12291f; --warn-bg: #2d230f; --bad-bg: #33171a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 56px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin-bottom: 18px; }
h1 { font-size: 21px; font-weight: 650; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 15px; font-weight: 650; margin: 0 0 12px; }
header .when { color: var(--soft); margin-left: auto; font-variant-numeric: tabular-nums; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 18px 20px; margin-top: 16px; }
.verdict { border-left: 5px solid var(--good); background: var(--good-bg); }
.verdict.warn { border-left-color: var(--warn); background: var(--warn-bg); }
.verdict.bad { border-left-color: var(--bad); background: var(--bad-bg); }
.verdict h2 { font-size: 19px; margin: 0; color: var(--good); }
.verdict.warn h2 { color: var(--warn); } .verdict.bad h2 { color: var(--bad); }
.verdict p { margin: 6px 0 0; }
.verdict ul { margin: 8px 0 0; padding-left: 20px; } .verdict li { margin-top: 3px; overflow-wrap: anywhere; }
.verdict li.bad { font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(190px, 100%), 1fr)); gap: 12px; margin-top: 16px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 16px 14px; min-width: 0; }
.tile .name { color: var(--soft); font-size: 13px; }
.tile .figure { font-size: 24px; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; letter-spacing: -.02em;
  overflow-wrap: anywhere; }
.tile .figure small { font-size: 14px; font-weight: 500; color: var(--soft); letter-spacing: 0; white-space: nowrap; }
.tile .more { color: var(--soft); font-size: 13px; }
.tile.over .figure { color: var(--bad); } .tile.unknown .figure { color: var(--alert); }
.meter { height: 6px; border-radius: 3px; background: var(--faint); margin-top: 8px; position: relative; overflow: hidden; }
.meter i { position: absolute; inset: 0 auto 0 0; background: var(--line); border-radius: 3px; }
.over .meter i { background: var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; color: var(--soft); font-size: 13px; margin: 0 0 10px;
  padding: 0; list-style: none; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
.charts { position: relative; }
.chart { display: grid; grid-template-columns: 62px 1fr; margin-top: 14px; }
.chart .head { grid-column: 2; display: flex; gap: 4px 12px; flex-wrap: wrap; align-items: baseline; margin-bottom: 3px; }
.chart .head b { font-weight: 600; } .chart .head span { color: var(--soft); font-size: 13px; }
.heights { position: relative; color: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.heights span { position: absolute; right: 8px; transform: translateY(-50%); white-space: nowrap; line-height: 1; }
.heights .limit { color: var(--limit); font-weight: 600; background: var(--card); padding: 1px 0; z-index: 1; }
.plot { position: relative; height: 104px; border-bottom: 1px solid var(--rule); background: var(--faint); border-radius: 4px 4px 0 0; }
.instances .plot { height: 128px; }
.ribbon .plot { height: 22px; border: 0; border-radius: 4px; overflow: hidden; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; overflow: hidden; }
.plot path { vector-effect: non-scaling-stroke; fill: none; }
.line { stroke: var(--line); stroke-width: 1.6; stroke-linejoin: round; }
path.area { fill: var(--fill); stroke: none; } path.area.over { fill: var(--limit); opacity: .38; }
.threshold { stroke: var(--limit); stroke-width: 1.2; stroke-dasharray: 5 4; }
.bound { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 4; }
.wish { stroke: var(--held); stroke-width: 1.4; stroke-dasharray: 3 3; }
.unknown { fill: var(--alert); opacity: .2; } .silent { fill: var(--silent); }
rect.steady { fill: var(--steady); } rect.held { fill: var(--held); } rect.out { fill: var(--out); } rect.in { fill: var(--in); }
rect.alert { fill: var(--alert); } rect.error { fill: var(--error); }
.marks { grid-column: 2; position: relative; height: 20px; color: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.marks span { position: absolute; transform: translateX(-50%); top: 4px; white-space: nowrap; }
.step { position: absolute; top: 0; bottom: 0; width: 13px; margin-left: -6.5px; text-align: center; font-size: 10px; line-height: 13px;
  text-decoration: none; color: var(--out); }
.step.in { color: var(--in); } .step.error { color: var(--error); }
.step::after { content: ""; position: absolute; left: 6px; top: 14px; bottom: 0; border-left: 1px solid currentColor; opacity: .45; }
.cursor { position: absolute; top: 0; bottom: 20px; width: 0; border-left: 1px solid var(--ink); opacity: .55;
  pointer-events: none; display: none; }
.readout { position: sticky; bottom: 10px; z-index: 3; margin-top: 14px; padding: 10px 14px; border-radius: 8px;
  border: 1px solid var(--rule);
  background: var(--card); box-shadow: 0 4px 18px #0003; font-size: 13px; display: none; }
.readout b { font-variant-numeric: tabular-nums; } .readout p { margin: 2px 0 0; color: var(--soft); overflow-wrap: anywhere; }
.hovered .cursor, .hovered .readout { display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td.time, td.size, td.num { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.reason { overflow-wrap: anywhere; min-width: 260px; } td .more { color: var(--soft); font-size: 13px; }
tr.steady td { color: var(--soft); }
tr:target td { background: var(--warn-bg); }
.tag { display: inline-block; padding: 0 8px; border-radius: 9px; font-size: 12.5px; line-height: 19px;
  font-weight: 600; white-space: nowrap;
  border: 1px solid var(--steady); }
.tag::before { content: ""; display: inline-block; width: 8px; height: 8px; border-radius: 4px; margin-right: 6px;
  background: var(--steady); }
.tag.out { border-color: var(--out); } .tag.in { border-color: var(--in); } .tag.held { border-color: var(--held); }
.tag.alert { border-color: var(--alert); } .tag.error { border-color: var(--error); }
.tag.out::before { background: var(--out); } .tag.in::before { background: var(--in); } .tag.held::before { background: var(--held); }
.tag.alert::before { background: var(--alert); } .tag.error::before { background: var(--error); }
.bar { display: inline-block; width: 64px; height: 6px; margin-right: 8px; vertical-align: 1px;
  background: var(--faint); border-radius: 3px; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--line); }
.choice { display: inline-flex; flex-wrap: wrap; gap: 6px; margin: 0 0 10px; }
.choice input { position: absolute; opacity: 0; }
.choice label { border: 1px solid var(--rule); border-radius: 14px; padding: 1px 12px; font-size: 13px;
  color: var(--soft); cursor: pointer; }
.choice input:checked + label { color: var(--ink); border-color: var(--line); background: var(--fill); }
.choice input:focus-visible + label { outline: 2px solid var(--line); }
.log:has(#show-steps:checked) tr[class]:not(.out):not(.in):not(.error),
.log:has(#show-held:checked) tr[class]:not(.held),
.log:has(#show-trouble:checked) tr[class]:not(.alert):not(.error) { display: none; }
details { margin-top: 4px; } summary { cursor: pointer; font-weight: 650; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 2px 28px; margin: 12px 0 0; font-size: 14px; }
dl div { display: flex; justify-content: space-between; gap: 12px; border-bottom: 1px solid var(--faint); padding: 3px 0; }
dt { color: var(--soft); } dd { margin: 0; font-variant-numeric: tabular-nums; text-align: right; overflow-wrap: anywhere; }
.note, footer { color: var(--soft); font-size: 13px; } .note { margin: 10px 0 0; } footer { margin-top: 22px; }
@media (max-width: 640px) {
  main { padding: 16px 10px 40px; } section { padding: 14px 12px; } header .when { margin-left: 0; width: 100%; }
  .chart { grid-template-columns: 48px 1fr; } .heights { font-size: 11px; } .heights span { right: 5px; }
  .marks span:nth-child(even) { display: none; } .tiles { grid-template-columns: repeat(2, 1fr); gap: 8px; } .tile { padding: 10px 12px; }
  .log table, .log tbody, .log tr, .log td { display: block; } .log thead { display: none; } .log td { border: 0; padding: 1px 0; }
  .log tr { border-bottom: 1px solid var(--rule); padding: 8px 0; }
  .log td.time, .log td.what, .log td.size { display: inline-block; margin-right: 10px; }
}
@media (max-width: 360px) { .tile .figure { font-size: 19px; } }
@media print { body { background: none; } section, .tile { break-inside: avoid; } .choice, .readout { display: none; } }
"""

#: the cross-hair: a line over all drawings, and what was seen and said at that moment
SCRIPT = """
(function () {
  var charts = document.querySelector(".charts"), data = document.getElementById("columns");
  if (!charts || !data) { return; }
  var columns = JSON.parse(data.textContent), cursor = charts.querySelector(".cursor"), readout = document.querySelector(".readout");
  var plot = charts.querySelector(".plot"), shown = -1;
  function nearest(share) {
    var low = 0, high = columns.length - 1;
    while (high - low > 1) { var middle = (low + high) >> 1; if (columns[middle].x <= share) { low = middle; } else { high = middle; } }
    return share - columns[low].x < columns[high].x - share ? low : high;
  }
  function show(index) {
    var column = columns[index], box = plot.getBoundingClientRect(), whole = charts.getBoundingClientRect();
    cursor.style.left = (box.left - whole.left + column.x * box.width) + "px";
    charts.parentElement.classList.add("hovered");
    if (index === shown) { return; }
    shown = index;
    readout.querySelector("b").textContent = column.when;
    readout.querySelector("span").textContent = column.seen;
    readout.querySelector("p").textContent = column.said;
  }
  charts.addEventListener("pointermove", function (event) {
    var box = plot.getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
    if (columns.length && share >= -0.02 && share <= 1.02) { show(nearest(share)); }
  });
  charts.addEventListener("pointerleave", function () { charts.parentElement.classList.remove("hovered"); });
})();
"""

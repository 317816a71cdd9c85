# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replay itself, on shapes whose outcome is known, and the policy on recorded and made traces; with ``-s`` it prints the tables."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import sys
import xml.etree.ElementTree

import pytest
import replay
from replay_csv import read
from replay_model import Fleet, Result, capacity_of
from replay_model import replay as run
from replay_policies import default, hpa, left_out, nomad, ours, script, static
from replay_svg import COLOURS, DARK, LIGHT, drawing
from replay_traces import KINDS, SHAPES, UNSEEN, Shape, drawn, made, traced

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.schedules import Schedule

STEP_UP = [5.0] * 40 + [100.0] * 400


# --- the policy ---


def test_a_step_in_load_is_followed_faster_than_by_the_baseline() -> None:
    fleet = run(STEP_UP, ours(default()))
    assert fleet.size == 10
    assert fleet.reversals == 0
    assert fleet.under < run(STEP_UP, hpa()).under


def test_it_looks_as_often_as_its_interval_says() -> None:
    seldom = dataclasses.replace(default(), interval=60.0)
    fleet = run(STEP_UP, ours(seldom))
    assert fleet.size == 10
    assert {at % 60 for at in fleet.started if at >= 0} == {45.0}


@pytest.mark.parametrize("kind", (*SHAPES, *UNSEEN))
def test_on_made_shapes_it_lacks_no_more_than_hpa_with_as_many_instances(kind: str) -> None:
    points: list[replay.Point] = []
    for seed in (2, 3, 4):
        counts = made(kind, seed, days=0.5)
        we = run(counts, ours(default())).result()
        theirs = {
            replay.Run("HPA", float(target), 60.0, 10, None): run(counts, hpa(target)).result() for target in (55, 60, 65, 70, 75, 80)
        }
        points += replay.frontier({replay.Run("ours", 70.0, 60.0, 10, None): we, **theirs}, 60.0)
    lacks = statistics.fmean(one.ours.under_time - one.under for one in points)
    turns = statistics.fmean(one.ours.reversals - one.reversals for one in points)
    assert lacks <= 0, "single seeds differ by chance, in the mean it is less"
    assert turns <= 2, "a day: waves turn every policy round"


def test_on_the_recorded_traces_it_is_below_hpa_in_all_that_counts(capsys: pytest.CaptureFixture[str]) -> None:
    traces = replay.traces_of(replay.arguments_of([]))
    if not traces:
        pytest.skip("no traces; set GB_SHARED to the folder that holds traces/")
    assert replay.main(["--quick"]) == 0
    table = capsys.readouterr().out
    with capsys.disabled():
        print(table)
    for counts in (trace.counts for trace in traces.values()):
        we, they = run(counts, ours(default())).result(), run(counts, hpa()).result()
        assert we.under_time < they.under_time
        assert we.reversals < they.reversals
        assert we.instances <= 1.05 * they.instances
        assert run(counts, ours(default(start=replay.WARM)), start=replay.WARM).result().under_time <= 0.5


# --- the others ---


def test_the_baseline_follows_a_step_at_once_and_comes_down_after_its_window() -> None:
    fleet = run([5] * 40 + [100] * 40 + [5] * 100, hpa())
    assert fleet.size == 1
    assert fleet.instances > 10 * 20, "for 300 s it stays up"


def test_nomad_and_the_script_rest_for_five_minutes() -> None:
    assert run(STEP_UP[:42], nomad()).size == 2
    assert run(STEP_UP[:42], script()).size == run(STEP_UP[:59], script()).size == 2
    assert run(STEP_UP[:62], script()).size == 3
    assert run(STEP_UP, static(7)).result().instances == pytest.approx(7, abs=0.02)


# --- the model ---


def test_opposite_steps_close_to_each_other_are_a_reversal() -> None:
    fleet = Fleet(60.0, [0.0])
    for size, now in ((2, 100.0), (1, 200.0), (2, 2000.0), (3, 2100.0)):
        fleet.resize(size, now)
    assert (fleet.reversals, fleet.ready(2100.0)) == (1, 2)


def test_what_is_counted() -> None:
    fleet = Fleet(60.0, [-60.0, -60.0])
    for load in (0.0, 85.0, 170.0, 171.0, 400.0):  # demands of 1, 1, 2, 3 and 5
        fleet.count(load, 0.0)
    result = fleet.result()
    assert (result.under_time, result.over_time, result.instances) == (40.0, 40.0, 2.0)
    assert result.under_size == pytest.approx(100 * (1 / 3 + 3 / 5) / 5)
    assert result.over_size == pytest.approx(100 * (1 + 1) / 5)


def test_the_largest_fleet_serves_the_peak_at_its_typical_use() -> None:
    assert capacity_of([1] * 999 + [70], 10) == pytest.approx(1 / 7), "one tick in a thousand is no peak"
    assert capacity_of([70] * 5, 10) == pytest.approx(10)


# --- traces ---


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("offset_seconds,requests\n0,10\n15,20\n", [10, 20]),
        ("requests\n10\n20\n", [10, 20]),
        ("offset_seconds,requests\n0,60\n60,20\n", [15, 15, 15, 15, 5, 5, 5, 5]),
        ("offset_seconds,requests\n0,1\n5,2\n10,3\n15,4\n", [6, 4]),
        ("offset_seconds,requests\n0,3\n10,3\n20,3\n", [4.5, 4.5]),
        ("time,requests\n2026-01-05T00:00:00,1\n2026-01-05T00:00:15,6\n2026-01-05T00:01:00,3\n", [1, 2, 2, 2, 3]),
        ("offset_seconds,requests\n0,60\n60,6\n75,7\n90,8\n", [15, 15, 15, 15, 6, 7, 8]),
        ("offset_seconds,requests\n30,3\n15,2\n0,1\n", [1, 2, 3]),
        ("offset_seconds,requests\n0,1\n30,3\n15,2\n15,4\n", [1, 6, 3]),
        ("timestamp\n0\n1\n16\n", [2, 1]),
        ("timestamp\n15\n1\n0\n", [2, 1]),
        ("Time, Requests\n0, 1\n15, 2\n", [1, 2]),
        ("requests,Requests,time\n1,9,0\n2,9,15\n", [1, 2]),
        ("sep=;\r\ntime;requests\r\n0;1\r\n15;2\r\n", [1, 2]),
        ("time;requests;by (a, b, c)\n0;1;x\n15;2;x\n", [1, 2]),
        ("time\trequests\n0\t1\n15\t2\n", [1, 2]),
        ("time,requests\n0,1\n15,2,\n,,\n", [1, 2]),
    ],
    ids=[
        "as it is", "without times", "a minute each", "five seconds each", "ten seconds each", "a gap", "uneven", "newest first",
        "out of order and twice", "a request each", "a request each, newest first", "other letters and blanks", "as it is written first",
        "Excel's line", "semicolons", "tabs", "an empty last line",
    ],
)  # fmt: skip
def test_a_file_is_read_into_ticks(tmp_path: pathlib.Path, text: str, counts: list[float]) -> None:
    assert read(write(tmp_path / "t.csv", text)).counts == pytest.approx(counts)


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("time,requests\n2026-01-05T08:30:15+02:00,1\n2026-01-05T08:30:00+02:00,1\n", 1_767_594_600.0),
        ("time,requests\n2026-01-05T06:30:00.9,1\n", 1_767_594_600.0),
        ("timestamp,requests\n1767594600.5,1\n", 1_767_594_600.0),
        ("offset_seconds,requests\n15,1\n", None),
        ("requests\n1\n", None),
    ],
    ids=["with a zone", "without one", "since the epoch", "since the beginning", "without times"],
)
def test_a_trace_begins_when_its_first_line_says(tmp_path: pathlib.Path, text: str, begin: float | None) -> None:
    assert read(write(tmp_path / "t.csv", text)).begin == begin


def test_the_beginning_counts_for_schedules_only() -> None:
    day = dataclasses.replace(default(), schedules=(Schedule("day", 8 * 60, 18 * 60, min=5),))
    morning, evening = 1_767_600_000.0, 1_767_643_200.0  # at 8:00 and 20:00 in UTC
    assert [run([1.0] * 40, ours(day), capacity=100, begin=begin).size for begin in (morning, evening, 0.0)] == [5, 1, 1]
    for policy in (ours, lambda _default: hpa(), lambda _default: nomad(), lambda _default: script()):
        assert run(STEP_UP, policy(default()), begin=morning).result() == run(STEP_UP, policy(default())).result()


@pytest.mark.parametrize(("head", "size", "note"), [("time", "5.0", False), ("offset_seconds", "1.0", True)], ids=["with dates", "without"])
def test_your_schedules_go_by_the_dates_of_your_traffic(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], head: str, size: str, note: bool
) -> None:
    first = 1_767_600_000 if head == "time" else 0
    lines = "\n".join(f"{first + 15 * index},1" for index in range(480))
    trace, day = write(tmp_path / "t.csv", f"{head},requests\n{lines}\n"), '[{from: "08:00", to: "18:00", min: 5}]'
    assert replay.main([str(trace), "--option", f"schedules={day}", "--quick", "--jobs", "1", "--capacity", "100"]) == 0
    told = capsys.readouterr().out
    (yours,) = [line for line in told.splitlines() if line.startswith("yours")]
    assert f"{float(yours.split()[-1]):.0f}.0" == size
    assert ("It has no dates" in told) is note


def test_lines_without_times_may_be_a_minute_apart(tmp_path: pathlib.Path) -> None:
    assert read(write(tmp_path / "t.csv", "hits\n40\n"), "hits", 60).counts == pytest.approx([40])
    assert read(write(tmp_path / "t.csv", "hits\n40\n80\n"), "hits", 60).counts == pytest.approx([10] * 4 + [20] * 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("requests\n", "no line below the header"),
        ("hits,x\n1,2\n", "its columns are hits, x"),
        ("requests\n1\nmany\n", "t.csv:3: column requests: many is no count of requests: write a number from 0 on"),
        ("requests\n1\n\nnan\n", "t.csv:4: column requests: nan is no count of requests"),
        ("requests\ninf\n", "t.csv:2: column requests: inf is no count"),
        ("requests\n-1\n", "t.csv:2: column requests: -1 is no count"),
        ("time,requests\n1\n", "t.csv:2: column requests: it is empty: write 0"),
        ("time,requests\nnan,1\n", "t.csv:2: column time: nan is no time"),
        ("time,requests\n1767594600000,1\n", "1767594600000 is no time in seconds; divide milliseconds by 1000"),
        ("offset_seconds,requests\n0,1\n90000,1\n180000,1\n", "90000 s apart in the median"),
        ("time,requests\n0,1\n1767594600,1\n1767594601,1\n1767594602,1\n", "last 20458 days"),
        ("time,Anfragen\n0,1\n", "no column requests; its columns are time, Anfragen. Name the one that counts requests with --column"),
        ("time,requests,requests\n0,1,2\n", "there are 2 columns requests"),
        ('time,requests\n0,"2,620"\n', "t.csv:2: column requests: 2,620 is no count"),
        ("time,requests\n0,2,620\n", "t.csv:2: 3 cells, and the header has 2"),
        ("sep=,\ntime,requests\n0,1_000\n", "t.csv:3: column requests: 1_000 is no count"),
        (
            "time,requests\n03/11/2026 22:00,1\n",
            "t.csv:2: column time: 03/11/2026 22:00 is no time: write seconds, or date and time",
        ),
        ("time,requests\n22:00:00,1\n", "22:00:00 is no time"),
        ("requests\n" + "1" * 140_000 + "\n", "t.csv:2: field larger than field limit"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    assert replay.main([str(write(tmp_path / "t.csv", text))]) == 2
    assert words in capsys.readouterr().err


def test_a_column_that_is_named_and_not_there_is_refused(tmp_path: pathlib.Path) -> None:
    for text in ("time,requests\n0,1\n", "time\n0\n"):
        with pytest.raises(ValueError, match="no column reqs; its columns are time"):
            read(write(tmp_path / "t.csv", text), "reqs")


def test_each_line_is_one_request_where_that_is_said(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "t.csv", "time,requests,bytes\n0,7,1\n1,7,1\n16,7,1\n")
    assert read(file, each_line=True).counts == [2, 1]
    assert read(file, each_line=True).notes == ("Requests: each line is one; time: column time.",)
    with pytest.raises(ValueError, match="only where a column offset_seconds, time, timestamp or seconds says when"):
        read(write(tmp_path / "t.csv", "requests\n1\n"), each_line=True)


def test_it_is_told_what_was_taken(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write(tmp_path / "t.csv", "Zeit;Anfragen\n" + "x;1\n" * 4)
    assert replay.main([str(trace), "--column", "anfragen", "--quick", "--jobs", "1"]) == 0
    assert "\nRequests: column Anfragen; time: no column, lines are 15 s apart.\n" in capsys.readouterr().out


def test_what_looks_like_a_counter_is_said_to(tmp_path: pathlib.Path) -> None:
    def odd(counts: list[int]) -> bool:
        return "counter" in " ".join(read(write(tmp_path / "t.csv", "requests\n" + "\n".join(map(str, counts)))).notes)

    assert odd([1000 + 3 * index for index in range(40)])
    assert not odd([1000 + 3 * index for index in range(40)] + [7])
    assert not odd([0] * 39 + [1]), "hardly any requests"


def test_letters_in_another_encoding_are_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("time,requests,Größe\n0,1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"t.csv:1: byte 0xf6 is no utf-8. Save it as CSV in UTF-8."):
        read(file)
    file.write_bytes("time\trequests\n0\t5\n".encode("utf-16"))
    assert read(file).counts == [5]


def test_files_of_one_name_are_replayed_beside_each_other(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").mkdir()
    files = [str(write(folder / "t.csv", "requests\n1\n")) for folder in (tmp_path, tmp_path / "b")]
    assert list(replay.traces_of(replay.arguments_of(files))) == ["t", files[1]]


def test_made_traces_are_the_same_for_the_same_seed() -> None:
    assert made("noise", 1, 0.01) == made("noise", 1, 0.01) != made("noise", 2, 0.01)


def test_shapes_are_drawn_by_chance_and_are_the_same_for_the_same_seed() -> None:
    shapes = [drawn(seed) for seed in range(200)]
    assert {shape.kind for shape in shapes} == set(KINDS)
    assert shapes == [drawn(seed) for seed in range(200)]
    assert all(shape.low - 1e-6 <= shape.mean(at) <= shape.high + 1e-6 for shape in shapes for at in (0.0, 900.0, 7200.0))
    assert traced(shapes[0], 1, 0.01) == traced(shapes[0], 1, 0.01) != traced(shapes[0], 2, 0.01)


def test_a_shape_is_what_it_says() -> None:
    pulses = Shape("pulses", 1000.0, 3000.0, 600.0, 0.5, (), 0.0, False)
    assert str(pulses) == "pulses of 1000 to 3000 in 600 s, noise 0 %"
    counts = traced(pulses, 1, days=1 / 24)
    assert statistics.fmean(counts[:20]) == pytest.approx(3000, rel=0.05)
    assert statistics.fmean(counts[20:40]) == pytest.approx(1000, rel=0.05)
    known = traced(dataclasses.replace(pulses, whole_minutes=True), 1, days=1 / 24)
    assert len(known) == len(counts) and set(known[:4]) == {statistics.fmean(counts[:4])}


# --- what is told ---


def test_your_traffic_under_your_settings(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write(tmp_path / "mine.csv", "requests\n" + "\n".join(str(10 + i % 40) for i in range(240)) + "\n")
    config = write(tmp_path / "config.csv", "scale-max-instances,4\nscale-cpu-threshold,60\n")
    drawn = tmp_path / "out" / "mine.svg"
    options = ["--config", str(config), "--option", "margin=0", "--max", "5", "--draw", str(drawn), "--jobs", "1"]
    assert replay.main([str(trace), *options]) == 0
    told = capsys.readouterr().out
    assert "mine (1.0 hours, a start takes 60 s)" in told
    assert "so yours is replayed without scale-memory-threshold, scale-request-threshold." in told
    assert [line.split()[0] for line in told.splitlines() if line.startswith(("static", "script", "Nomad", "HPA ", "ours ", "yours"))] == [
        "static", "script", "Nomad", "HPA", "ours", "yours",
    ]  # fmt: skip
    assert told.count("%") > len(replay.TARGETS)
    root = xml.etree.ElementTree.parse(drawn).getroot()
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == len(replay.SWEPT)


def test_rules_on_what_a_trace_does_not_have_are_left_out_and_named(tmp_path: pathlib.Path) -> None:
    def policy(config: str) -> Policy:
        found = replay.yours(replay.arguments_of(["--config", str(write(tmp_path / "config.csv", config))]))
        assert found is not None
        return found

    plain, cpu = policy("scale-memory-threshold,80\n"), "scale-rule-cpu-high,90\nscale-rule-cpu-high-action,up\n"
    slow = policy(f"scale-rule-response-time,2000\nscale-rule-response-time-action,up\n{cpu}")
    assert left_out(slow) == ["scale-memory-threshold", "scale-request-threshold", "scale-rule-response-time"]
    counts = [*([80.0] * 60), *([10.0] * 400)]
    assert run(counts, ours(slow)).result() == run(counts, ours(policy(cpu))).result()
    assert run(counts, ours(slow)).result().instances < 1.1 * run(counts, ours(plain)).result().instances


def test_medians_over_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--seeds", "2", "--days", "0.02", "--quick", "--jobs", "1"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "too few: ours" in head
    assert [line.split()[0] for line in lines] == [*SHAPES, *UNSEEN]


def test_on_shapes_drawn_by_chance_it_is_told_what_is_worse(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--drawn", "2", "--days", "0.05", "--jobs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(str(drawn(1000))) and lines[2].startswith(str(drawn(1001)))
    assert [line.split("  ")[0] for line in lines[6:11]] == ["ours", *(f"HPA at {target:.0f} %" for target in replay.OFF)]
    assert f"over {2 * len(replay.TARGETS)} targets" in lines[12]


def test_what_is_worse_than_hpa_is_named() -> None:
    hpas = Result(1.0, 0.0, 0.0, 0.0, 10.0, 4.0)
    assert replay._worse(dataclasses.replace(hpas, instances=4.2), hpas) == (False, False, False), "five per cent more may be used"
    worse = dataclasses.replace(hpas, under_time=1.1, reversals=12.0, instances=4.3)
    assert replay._worse(worse, hpas) == (True, True, True)
    assert replay._beside(worse, hpas).split("  ")[-1] == "time with too few, reversals, instances"


def test_ours_is_compared_with_hpa_at_equal_instances() -> None:
    def result(under: float, reversals: float, instances: float) -> Result:
        return Result(under, 0.0, 0.0, 0.0, reversals, instances)

    hpa_at = {60.0: result(1.0, 40.0, 5.0), 70.0: result(3.0, 20.0, 4.0)}
    ours_at = {60.0: result(1.5, 15.0, 4.5), 70.0: result(2.5, 15.0, 4.2)}
    found = {
        replay.Run(name, target, 60.0, 10, None): one for name, at in (("HPA", hpa_at), ("ours", ours_at)) for target, one in at.items()
    }
    one = replay.compared(found, 60.0)
    # At 4.5 instances HPA lacks 2 % of the time with 30 reversals, at 4.2 2.6 % with 24.
    assert (one.few, one.turns, one.above) == pytest.approx((4.0 / 4.6, 30 / 54, 0))
    assert one.figures()[4] == pytest.approx(5.0)


def test_a_wrong_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--made", "--option", "margins=1"]) == 2
    assert "gb_autoscale has no option 'margins'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max", "0"], "argument --max: 0 is not a whole number above 0"),
        (["--max", "-1"], "argument --max: -1 is not"),
        (["--jobs", "0"], "argument --jobs: 0 is not"),
        (["--seeds", "-1"], "argument --seeds: -1 is not"),
        (["--drawn", "-2"], "argument --drawn: -2 is not"),
        (["--start", "nan"], "argument --start: nan is not a number from 0 on"),
        (["--start", "-5"], "argument --start: -5 is not"),
        (["--days", "0"], "argument --days: 0 is not a number above 0"),
        (["--capacity", "inf"], "argument --capacity: inf is not"),
        (["--step", "soon"], "argument --step: soon is not"),
        (["--seeds", "1", "--drawn", "1"], "not allowed with argument"),
        (["--column", "a", "--each-line"], "not allowed with argument"),
        (["--seeds", "1", "t.csv"], "without a trace: leave one of them"),
        (["--drawn", "1", "--made", "--option", "margin=1"], "without --made, --option: leave one of them"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        replay.arguments_of(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "words"), [("margin=[1", "--option margin=[1: what stands behind the = is no YAML"), ("margin", "there is no = in it")]
)
def test_an_option_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str], option: str, words: str) -> None:
    assert replay.main(["--made", "--option", option]) == 2
    assert words in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_refused_before_the_sweep(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay, "measured", None)
    assert replay.main(["--made", "--draw", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_target_says_in_which_figure_hpa_is_better() -> None:
    ours = Result(1.5, 0.0, 0.0, 0.0, 12.0, 4.5)
    points = [replay.Point(70.0, ours, under, reversals) for under, reversals in ((1.5, 12.0), (1.4, 12.0), (1.4, 11.0))]
    _blank, _head, *lines = replay.frontier_lines(points)
    assert [line.partition("above HPA")[2] for line in lines] == ["", " in too few", " in too few and reversals"]


def test_a_terminal_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [replay.Run("static", 70.0, 60.0, size, None) for size in (1, 2)]
    replay.measured([1.0], runs, 1, "t")
    assert capsys.readouterr().err == "", "no terminal"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    replay.measured([1.0], runs, 1, "t")
    assert capsys.readouterr().err.startswith("\rt: 1 of 2 runs\rt: 2 of 2 runs\r")


def test_the_drawing_loads_nothing_from_elsewhere() -> None:
    text = drawing({"a<b": {"ours": [(1.0, 2.0), (2.0, 0.0)]}, "flat": {"ours": [(1.0, 0.0)]}})
    assert "a&lt;b" in text
    assert text.count("http") == 1, "the name space alone"


def test_a_picture_shows_many_sizes_and_a_long_name() -> None:
    name = "prometheus-export-caddy-requests-production-eu-central-2026-11-03"
    text = drawing({name: {"ours": [(1.0, 2.0), (100.0, 0.0)]}})
    root = xml.etree.ElementTree.fromstring(text)
    words = [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [word for word in words if word.isdigit()][-10:] == [str(size) for size in range(10, 101, 10)]
    assert f"<title>{name}</title>prometheus-export-cad…u-central-2026-11-03</text>" in text


def test_yours_is_a_point_of_the_picture() -> None:
    hpas = {"ours": [(1.0, 2.0), (2.0, 0.0)], "HPA": [(1.0, 2.0), (2.0, 0.0)]}
    text = drawing({"t": {**hpas, "yours": [(5.0, 30.0)]}})
    assert text.count("<polyline") == 2
    assert text.count('<circle class="c2"') == 1 and ">40</text>" in text, "the picture reaches that far"
    here = replay.Run("yours", 0.0, 60.0, 10, None)
    found = {here: Result(30.0, 0.0, 0.0, 0.0, 1.0, 5.0)}
    assert replay.curves_of(found, 60.0) == {"yours": [(5.0, 30.0)]}


def test_curves_can_be_told_from_their_ground() -> None:
    """Contrast of their names at least 4.5 to 1, as WCAG 2.1 asks for (1.4.3)."""
    for ground, colour in enumerate((LIGHT, DARK)):
        assert [pair for pair in COLOURS if _contrast(pair[ground], colour) < 4.5] == []


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("other", [["--quick"], ["--seeds", "2"], ["--drawn", "2"]])
def test_what_cannot_be_drawn_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], other: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        replay.main(["--made", "--draw", str(tmp_path / "x.svg"), *other])
    assert ended.value.code == 2
    assert "--draw draws the sweep" in capsys.readouterr().err


def test_without_traces_it_says_what_to_give_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GB_SHARED", str(tmp_path))
    assert replay.main([]) == 2
    assert "set GB_SHARED" in capsys.readouterr().err

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays requests through the autoscaler's own decide() and through what others do, and says which served how well for how much.

    python tests/bench/replay.py [options] [trace.csv …]      or      make bench-replay TRACE="…" REPLAY="options"

Without a file every trace in the folder that GB_SHARED names (default: ../shared) under traces is replayed, or with
``--made`` shapes that are made. docs/autoscaling.md says more; replay_model.py says what is counted.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import itertools
import math
import os
import pathlib
import statistics
import sys
import time
import typing as t

import yaml
from replay_csv import REQUESTS, Trace, read
from replay_model import Result, Scaler, replay
from replay_policies import default, hpa, left_out, nomad, ours, script, static
from replay_svg import drawing
from replay_traces import SHAPES, UNSEEN, drawn, made, traced

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Facts, History, InstanceFacts, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.options import policy_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = (50, 55, 60, 65, 70, 75, 80, 85)
WARM = 5.0  # seconds that a warm slot takes
SWEPT = ("ours", "HPA", "Nomad")
Counts = t.Sequence[float]


@dataclasses.dataclass(frozen=True)
class Run:
    """One policy on one trace; a value, so that another process can do it."""

    name: str
    target: float
    start: float
    largest: int
    capacity: float | None
    policy: Policy | None = None
    begin: float = 0.0

    def scaler(self) -> Scaler:
        """The policy, at its beginning."""
        if self.policy is not None:
            return ours(self.policy)
        makers: dict[str, t.Callable[[], Scaler]] = {
            "ours": lambda: ours(default(self.target, start=self.start, largest=self.largest)),
            "HPA": lambda: hpa(self.target, largest=self.largest),
            "Nomad": lambda: nomad(self.target, largest=self.largest),
            "script": lambda: script(self.target, largest=self.largest),
            "static": lambda: static(self.largest),
        }
        return makers[self.name]()

    def result(self, counts: Counts) -> Result:
        """What it came to."""
        fleet = replay(counts, self.scaler(), start=self.start, largest=self.largest, capacity=self.capacity, begin=self.begin)
        return fleet.result()


def runs_of(options: argparse.Namespace, policy: Policy | None, begin: float = 0.0) -> list[Run]:
    """All runs that are made of a trace: everybody at the defaults, both starts, and the sweep over targets. ``begin`` is when the trace
    does, in seconds since the epoch, which counts for the schedules of ``policy``."""
    asked = [Run(name, 70.0, options.start, options.max, options.capacity) for name in ("static", "script", "Nomad", "HPA", "ours")]
    asked += [Run(name, 70.0, WARM, options.max, options.capacity) for name in ("HPA", "ours")]
    if policy is not None:
        mine = dataclasses.replace(policy, start_time=options.start)
        asked.append(Run("yours", 0.0, options.start, options.max, options.capacity, mine, begin))
    if not options.quick:
        asked += [Run(name, float(target), options.start, options.max, options.capacity) for name in SWEPT for target in TARGETS]
    return list(dict.fromkeys(asked))


def measured(counts: Counts, runs: t.Sequence[Run], jobs: int, name: str = "") -> dict[Run, Result]:
    """Every run's result. A terminal is told how far those of ``name`` are."""
    found: dict[Run, Result] = {}
    told = bool(name) and sys.stderr.isatty()
    with concurrent.futures.ProcessPoolExecutor(max_workers=jobs) as pool:
        for run, one in zip(runs, pool.map(_result, runs, [counts] * len(runs)), strict=True):
            found[run] = one
            if told:
                print(f"\r{name}: {len(found)} of {len(runs)} runs", end="", file=sys.stderr, flush=True)
    if told:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return found


def _result(run: Run, counts: Counts) -> Result:
    return run.result(counts)


# --- what is told --------------------------------------------------------------------------------------------------

COLUMNS = {"too few: % of time": 20, "% of demand": 13, "too many: % of time": 21, "of demand": 13, "reversals/day": 15, "instances": 11}
HEAD = " " * 22 + "".join(f"{words:>{width}}" for words, width in COLUMNS.items())


def line(name: str, one: Result) -> str:
    """One line of the table."""
    few, many = f"{one.under_time:20.2f}{one.under_size:13.2f}", f"{one.over_time:21.1f}{one.over_size:13.1f}"
    return f"{name:22}{few}{many}{one.reversals:15.1f}{one.instances:11.2f}"


def table(results: t.Mapping[Run, Result], start: float) -> t.Iterator[str]:
    """Everybody at the defaults, then with warm slots."""
    yield HEAD
    for run, one in results.items():
        if run.target in (0.0, 70.0):
            yield line(run.name + (f", start {run.start:.0f} s" if run.start != start else ""), one)


@dataclasses.dataclass(frozen=True)
class Point:
    """Ours at a target, and HPA at the same instances in the mean (read off the line through its targets)."""

    target: float
    ours: Result
    under: float
    reversals: float

    @property
    def above(self) -> list[str]:
        """The figures in which ours is above HPA's."""
        figures = {"too few": (self.ours.under_time, self.under), "reversals": (self.ours.reversals, self.reversals)}
        return [name for name, (we, they) in figures.items() if we > they + 1e-9]


def frontier(results: t.Mapping[Run, Result], start: float) -> list[Point]:
    """Our points with HPA's at equal instances; empty without a sweep."""
    swept = {
        name: sorted(((r.target, one) for r, one in results.items() if (r.name, r.start) == (name, start)), key=lambda x: x[0])
        for name in SWEPT
    }
    if len(swept["HPA"]) < 2:
        return []
    theirs = sorted((one.instances, one.under_time, one.reversals) for _target, one in swept["HPA"])
    return [
        Point(target, one, _at(one.instances, [(x, y) for x, y, _r in theirs]), _at(one.instances, [(x, r) for x, _y, r in theirs]))
        for target, one in swept["ours"]
    ]


def _at(x: float, points: t.Sequence[tuple[float, float]]) -> float:
    """The line through points, at x; beyond its ends what the end has."""
    for (before, low), (after, high) in itertools.pairwise(points):
        if before <= x <= after:
            return low if after == before else low + (high - low) * (x - before) / (after - before)
    return points[0][1] if x < points[0][0] else points[-1][1]


def frontier_lines(points: t.Sequence[Point]) -> t.Iterator[str]:
    """The sweep in words."""
    if not points:
        return
    yield ""
    yield f"{'target':>8}{'instances':>11}{'too few: ours':>15}{'HPA there':>11}{'reversals: ours':>17}{'HPA there':>11}"
    for one in points:
        few = f"{one.ours.under_time:15.2f}{one.under:11.2f}"
        mark = f"   above HPA in {' and '.join(one.above)}" if one.above else ""
        yield f"{one.target:7.0f}%{one.ours.instances:11.2f}{few}{one.ours.reversals:17.1f}{one.reversals:11.1f}{mark}"


# --- over seeds ----------------------------------------------------------------------------------------------------

SEEDS = {"too few: ours": 26, "HPA": 8, "reversals: ours": 17, "HPA's": 8, "instances": 12, "at equal, too few": 20, "reversals": 12}
SEEDS_HEAD = "".join(f"{words:>{width}}" for words, width in SEEDS.items()) + "   targets above HPA"


@dataclasses.dataclass(frozen=True)
class Compared:
    """Ours beside HPA on a trace: both at the defaults, and the sweep.

    ``few`` and ``turns`` are time with too few and reversals as a share of HPA's at equal instances, over all targets;
    ``above`` is at how many of them ours lacks more.
    """

    ours: Result
    hpa: Result
    few: float
    turns: float
    above: int

    def figures(self) -> tuple[float, ...]:
        """What SEEDS_HEAD names; instances in per cent that are ours more."""
        more = 100 * (self.ours.instances / self.hpa.instances - 1)
        defaults = (self.ours.under_time, self.hpa.under_time, self.ours.reversals, self.hpa.reversals, more)
        return (*defaults, self.few, self.turns, self.above)


def shares(points: t.Sequence[Point]) -> tuple[float, float]:
    """Our time with too few and our reversals as shares of HPA's at equal instances, over all points."""
    few = math.fsum(one.ours.under_time for one in points) / (math.fsum(one.under for one in points) or 1.0)
    turns = math.fsum(one.ours.reversals for one in points) / (math.fsum(one.reversals for one in points) or 1.0)
    return few, turns


def compared(results: t.Mapping[Run, Result], start: float) -> Compared:
    """The comparison of ours and HPA in these results."""
    at_defaults = {run.name: one for run, one in results.items() if (run.target, run.start) == (70.0, start)}
    points = frontier(results, start)
    few, turns = shares(points)
    above = sum(one.ours.under_time > one.under + 1e-9 for one in points)
    return Compared(at_defaults["ours"], at_defaults["HPA"], few, turns, above)


def over_seeds(options: argparse.Namespace) -> t.Iterator[str]:
    """Each made shape in a line: the medians over seeds."""
    yield SEEDS_HEAD
    targets = (70,) if options.quick else TARGETS
    runs = [Run(name, float(target), options.start, options.max, options.capacity) for name in ("ours", "HPA") for target in targets]
    for kind in (*SHAPES, *UNSEEN):
        traces = [made(kind, seed, options.days or 1.0) for seed in range(1, options.seeds + 1)]
        found = [compared(measured(counts, runs, options.jobs), options.start).figures() for counts in traces]
        few, hpas, turns, theirs, more, share, turned, above = (statistics.median(column) for column in zip(*found, strict=True))
        swept = "" if options.quick else f"{share:20.2f}{turned:12.2f}{above:20.0f}"
        yield f"{kind:12}{few:14.2f}{hpas:8.2f}{turns:17.1f}{theirs:8.1f}{more:+11.1f}%{swept}"


# --- on shapes drawn by chance -------------------------------------------------------------------------------------

#: besides ours, HPA itself with targets a little off: what looks like a miss may be chance
OFF = (67.0, 68.0, 69.0, 71.0)
MORE = 1.05  # times HPA's instances that may be used
JUDGED = {"time with too few": 19, "reversals": 11, "instances": 11, "any of these": 14}


def on_drawn(options: argparse.Namespace) -> t.Iterator[str]:
    """Each shape drawn by chance in a line, ours beside HPA; at how many of them ours, or HPA with another target, does worse than HPA at
    70 %; and the sweep over all of them."""
    targets = (70,) if options.quick else TARGETS

    def run(name: str, target: float) -> Run:
        return Run(name, float(target), options.start, options.max, options.capacity)

    first, swept = run("HPA", 70), {run(name, target) for name in ("ours", "HPA") for target in targets}
    rivals = {"ours": run("ours", 70), **{f"HPA at {target:.0f} %": run("HPA", target) for target in OFF}}
    found: list[dict[Run, Result]] = []
    yield f"{'requests in 15 s':72}{'too few: ours, HPA':>18}{'reversals':>12}{'instances':>12}  worse by"
    for seed in range(options.seed * 1000, options.seed * 1000 + options.drawn):
        shape = drawn(seed)
        found.append(measured(traced(shape, seed, options.days or 0.5), [*{first, *swept, *rivals.values()}], options.jobs))
        yield f"{shape!s:72}{_beside(found[-1][rivals['ours']], found[-1][first])}"
    yield f"\nworse than HPA at 70 %, of {options.drawn} shapes, by"
    yield " " * 12 + "".join(f"{words:>{width}}" for words, width in JUDGED.items())
    for name, rival in rivals.items():
        each = [_worse(one[rival], one[first]) for one in found]
        counts = (*(sum(column) for column in zip(*each, strict=True)), sum(any(one) for one in each))
        yield f"{name:12}" + "".join(f"{count:{width}d}" for count, width in zip(counts, JUDGED.values(), strict=True))
    yield from _in_all([point for one in found for point in frontier({run: one[run] for run in swept}, options.start)])


def _worse(one: Result, other: Result) -> tuple[bool, bool, bool]:
    """By what one result is worse, in the order of JUDGED."""
    return one.under_time > other.under_time + 1e-9, one.reversals > other.reversals + 1e-9, one.instances > MORE * other.instances


def _beside(we: Result, they: Result) -> str:
    """Ours and HPA's of a shape, and by what ours is worse."""
    words = ", ".join(name for name, worse in zip(JUDGED, _worse(we, they), strict=False) if worse)  # the last is of all
    more = 100 * (we.instances / they.instances - 1)
    return f"{we.under_time:10.2f}{they.under_time:8.2f}{we.reversals:6.0f}{they.reversals:6.0f}{more:+11.1f}%  {words}".rstrip()


def _in_all(points: t.Sequence[Point]) -> t.Iterator[str]:
    """The sweep over all shapes, if there was one."""
    if not points:
        return
    few, turns = shares(points)
    lacking = sum(one.ours.under_time > one.under + 1e-9 for one in points)
    turning = sum(one.ours.reversals > one.reversals + 1e-9 for one in points)
    yield f"\nat equal instances, over {len(points)} targets: {few:.2f} of HPA's time with too few (above it at {lacking}),"
    yield f"{turns:.2f} of its reversals (above it at {turning})"


def speed(count: int = 10_000) -> float:
    """Milliseconds that decide() takes for so many instances, the best of five."""
    members = tuple(
        InstanceFacts(f"botserver-{slot}", slot, ready=True, started_at=0.0, cpu=90.0, memory=50.0) for slot in range(1, count + 1)
    )
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        decide(Facts(1e6, members, 100.0 * count), Policy(True, 1, 2 * count), History())
        best = min(best, time.perf_counter() - began)
    return 1000 * best


# --- arguments -----------------------------------------------------------------------------------------------------


def _number(words: str, fits: t.Callable[[float], bool], kind: type[float]) -> t.Callable[[str], float]:
    """The type of an option whose value must be so."""

    def value(text: str) -> float:
        with contextlib.suppress(ValueError):
            if fits(found := kind(text)) and found < math.inf:
                return found
        raise argparse.ArgumentTypeError(f"{text} is not {words}")

    return value


above_zero = _number("a number above 0", lambda value: value > 0, float)
from_zero = _number("a number from 0 on", lambda value: value >= 0, float)
whole = _number("a whole number above 0", lambda value: value >= 1, int)


def arguments_of(arguments: t.Sequence[str] | None) -> argparse.Namespace:
    """The command line; ends the program with what is wrong with it."""
    parser = argparse.ArgumentParser(description="What would the autoscaler have done on this traffic, and what would others?")
    parser.add_argument("trace", nargs="*", type=pathlib.Path, help="CSV files with a header; see docs/autoscaling.md")
    parser.add_argument("--made", action="store_true", help=f"replay made shapes as well: {', '.join(SHAPES)}")
    parser.add_argument("--seed", type=int, default=1, help="of the made shapes")
    many, counted = parser.add_mutually_exclusive_group(), parser.add_mutually_exclusive_group()
    many.add_argument("--seeds", type=whole, help=f"of made shapes only the medians over so many seeds, {', '.join(UNSEEN)} as well")
    many.add_argument("--drawn", type=whole, help="of so many shapes drawn by chance only at how many of them ours is worse than HPA")
    counted.add_argument("--column", help=f"the column that counts requests (default: {REQUESTS})")
    counted.add_argument("--each-line", action="store_true", help="each line is one request, as in an access log")
    parser.add_argument("--step", type=above_zero, help="seconds between lines, for files without times")
    parser.add_argument("--days", type=above_zero, help="only the first so many days of each trace")
    parser.add_argument("--start", type=from_zero, default=60.0, help="seconds from a decision to the first request served (default: 60)")
    parser.add_argument("--max", type=whole, default=10, help="the largest fleet (default: 10)")
    parser.add_argument("--capacity", type=above_zero, help="requests per 15 s that one instance can serve (default: by the trace's peak)")
    parser.add_argument("--config", help="a config.csv, whose policy is replayed beside the defaults as yours")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of gb_autoscale, for yours; VALUE is YAML")
    parser.add_argument("--quick", action="store_true", help="no sweep over targets")
    parser.add_argument("--draw", type=pathlib.Path, help="write the sweep to this SVG file")
    parser.add_argument("--jobs", type=whole, default=os.cpu_count() or 1, help="runs at once")
    given = parser.parse_args(arguments)
    if given.draw and (given.quick or given.seeds or given.drawn):
        parser.error("--draw draws the sweep over targets, which --quick, --seeds and --drawn leave out or do not show: leave one of them.")
    others = ("trace", "made", "column", "each_line", "step", "config", "option")
    left = [f"--{name.replace('_', '-')}".replace("--trace", "a trace") for name in others if getattr(given, name)]
    if left and (given.seeds or given.drawn):
        parser.error(f"--seeds and --drawn replay shapes of their own at the defaults, without {', '.join(left)}: leave one of them.")
    return given


def yours(options: argparse.Namespace) -> Policy | None:
    """The policy of --config and --option, within --max; None without either."""
    if not options.config and not options.option:
        return None
    settings = load_file(options.config).values if options.config else {}
    made_of = policy_of(settings, dict(map(_option, options.option)))
    return dataclasses.replace(made_of, max=min(made_of.max, options.max), min=min(made_of.min, options.max))


def _option(given: str) -> tuple[str, t.Any]:
    """An --option's name and value."""
    name, equals, value = given.partition("=")
    if not equals:
        raise ValueError(f"--option {given}: there is no = in it; write NAME=VALUE, such as margin=2.")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ValueError(f"--option {given}: what stands behind the = is no YAML: {said}") from error


def traces_of(options: argparse.Namespace) -> dict[str, Trace]:
    """The traces to replay, by name."""
    shared = pathlib.Path(os.environ.get("GB_SHARED") or ROOT.parent / "shared")
    files = options.trace or ([] if options.made else sorted((shared / "traces").glob("*.csv")))
    found: dict[str, Trace] = {}
    for path in files:
        name = str(path) if path.stem in found else path.stem
        found[name] = read(path, options.column, options.step, each_line=options.each_line)
    if options.made:
        found.update({f"made: {kind}": Trace(made(kind, options.seed)) for kind in SHAPES})
    most = None if options.days is None else max(round(options.days * 5760), 1)
    return {name: dataclasses.replace(trace, counts=trace.counts[:most]) for name, trace in found.items()}


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Print the tables; the exit status is 2 if the arguments cannot be used."""
    options = arguments_of(arguments)
    if options.seeds or options.drawn:
        for words in over_seeds(options) if options.seeds else on_drawn(options):
            print(words, flush=True)
        return 0
    try:
        policy, traces = yours(options), traces_of(options)
        if not traces:
            raise ValueError("No traces: name CSV files, use --made, or set GB_SHARED to the folder that holds traces/.")
        _try(options.draw)
    except (OSError, ValueError, ScalingError) as error:
        print(error, file=sys.stderr)
        return 2
    if policy is not None and left_out(policy):
        print(f"A trace tells of CPU alone, so yours is replayed without {', '.join(left_out(policy))}.")
    curves = {name: _told(name, trace, options, policy) for name, trace in traces.items()}
    print(f"\ndecide() takes {speed():.0f} ms for 10000 instances")
    if options.draw:
        options.draw.write_text(drawing(curves), encoding="utf-8")
        print(f"The sweep is drawn in {options.draw}")
    return 0


def _try(draw: pathlib.Path | None) -> None:
    """Whether the picture can be written, before what it shows takes its time; raises OSError."""
    if draw is None:
        return
    draw.parent.mkdir(parents=True, exist_ok=True)
    there = draw.exists()
    draw.open("ab").close()
    if not there:
        draw.unlink()


def _told(name: str, trace: Trace, options: argparse.Namespace, policy: Policy | None) -> dict[str, list[tuple[float, float]]]:
    """Print a trace's tables; returns what is drawn of it."""
    results = measured(trace.counts, runs_of(options, policy, trace.begin or 0.0), options.jobs, name)
    print(f"\n{name} ({len(trace.counts) / 240:.1f} hours, a start takes {options.start:.0f} s)")
    for note in trace.notes:
        print(note)
    if policy is not None and policy.schedules and trace.begin is None:
        print("It has no dates: schedules of yours count as if it began at midnight in UTC, on a Thursday.")
    print("\n".join([*table(results, options.start), *frontier_lines(frontier(results, options.start))]), flush=True)
    return curves_of(results, options.start)


def curves_of(results: t.Mapping[Run, Result], start: float) -> dict[str, list[tuple[float, float]]]:
    """What is drawn of a trace: a line for each policy that is swept, and a point for yours."""
    found = {
        name: sorted((one.instances, one.under_time) for run, one in results.items() if (run.name, run.start) == (name, start))
        for name in (*SWEPT, "yours")
    }
    return {name: points for name, points in found.items() if points}


if __name__ == "__main__":
    sys.exit(main())

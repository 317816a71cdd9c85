# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: bring the small topology up, put it under load, and show how it grows and shrinks.

Ends with the figures of the run and exits with 1 if a request failed, a websocket of an instance that stayed was lost,
or the fleet did not grow to three instances and come back.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

from authority import root_certificate

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import place
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.lock import STATE_KEY
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import from_json
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import slots
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, ipv4_of, observe
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import read

ROOT = pathlib.Path(__file__).resolve().parent.parent
GROWN = 3


class Timeline:
    """How many instances served at which second, and what was decided."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.sizes: list[tuple[float, int]] = []
        self.slots_gone: set[int] = set()

    def seconds(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._start

    def note(self, active: t.Collection[int], draining: t.Collection[int]) -> None:
        """Take down the fleet as it is now."""
        if not self.sizes or self.sizes[-1][1] != len(active):
            self.sizes.append((self.seconds(), len(active)))
        self.slots_gone.update(draining)

    def picture(self) -> str:
        """One line a change: time, size, and a bar."""
        return "\n".join(f"  {at:5.0f} s  {size} {'#' * size}" for at, size in self.sizes)

    @property
    def peak(self) -> int:
        """The largest size."""
        return max(size for _at, size in self.sizes)


def say(text: str) -> None:
    """A line of the demo's own, told apart from what the tools print."""
    print(f"\n== {text}", flush=True)


def playbook(name: str, *arguments: str, quiet: bool = False) -> None:
    """Run a playbook of the collection with the demo's inventory; stop the demo with its output if it fails."""
    command = ["ansible-playbook", f"playbooks/{name}.yml", *arguments]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout or ''}\n{' '.join(command)} ended with {done.returncode}; the demo stops here.")


def topology(lxd: Lxd) -> str:
    """The instances as a table."""
    rows: list[tuple[str, ...]] = [("instance", "component", "slot", "state", "address", "limits")]
    rows += [_row(instance) for _name, instance in sorted(observe(lxd).items()) if instance.component]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(instance: Instance) -> tuple[str, ...]:
    config = instance.config
    limits = " ".join(value for key, value in sorted(config.items()) if key.startswith("limits."))
    state = f"{instance.status} ({config.get('user.gb.state', '-')})"
    address = ipv4_of(instance.state) or instance.devices.get("eth0", {}).get("ipv4.address", "-")
    return instance.name, str(instance.component), config.get("user.gb.slot", "-"), state, address, limits or "none"


def certificate(lxd: Lxd, folder: pathlib.Path) -> pathlib.Path:
    """The root certificate of Caddy's own authority, as a file."""
    path = folder / "ca.crt"
    path.write_bytes(root_certificate(lxd))
    return path


@contextlib.contextmanager
def load(url: str, authority: pathlib.Path, schedule: str, websockets: int, report: pathlib.Path) -> t.Iterator[subprocess.Popen[bytes]]:
    """The bounded load, which ends by itself and in any case with this block."""
    command = [sys.executable, str(ROOT / "tools/load.py"), "--url", url, "--ca", str(authority), "--schedule", schedule]
    command += ["--path", "/api/demo/echo?burn_ms=4", "--websockets", str(websockets), "--report", str(report), "--progress"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def watch(lxd: Lxd, process: subprocess.Popen[bytes], interval: float, patience: float) -> Timeline:
    """Tick each ``interval`` seconds until the load has ended and the fleet is back at one instance."""
    timeline = Timeline()
    fleet = slots(observe(lxd), 0)
    timeline.note(fleet["active"], fleet["draining"])
    while timeline.seconds() < patience:
        begun = time.monotonic()
        playbook("autoscale", quiet=True)
        state, _note = from_json(read(lxd, place.PATH).get(STATE_KEY))
        decision = state.decisions[-1]
        fleet = slots(observe(lxd), 0)
        print(f"  {timeline.seconds():4.0f} s  {decision['action']:<4}  {decision['reason']}", flush=True)
        timeline.slots_gone.update(decision["drain"])
        timeline.note(fleet["active"], fleet["draining"])
        if process.poll() is not None and len(fleet["active"]) == 1 and not fleet["draining"]:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(interval - (time.monotonic() - begun), 0.1))
    return timeline


def verdict(report: t.Mapping[str, t.Any], timeline: Timeline) -> list[str]:
    """What went wrong, in words; empty if nothing did."""
    gone = {f"botserver-{slot}" for slot in timeline.slots_gone}
    lost = [one for one in report["websockets"]["lost"] if one["instance"] not in gone]
    wrong = []
    if report["requests"]["failed"]:
        wrong.append(f"{report['requests']['failed']} requests failed: {report['requests']['reasons']}")
    if lost:
        wrong.append(f"{len(lost)} websockets of instances that stayed were lost: {lost[:3]}")
    if timeline.peak < GROWN:
        wrong.append(f"the fleet grew to {timeline.peak} instances only; {GROWN} were expected")
    if timeline.sizes[-1][1] != 1:
        wrong.append(f"the fleet has {timeline.sizes[-1][1]} instances at the end; 1 was expected")
    return wrong


def show(report: t.Mapping[str, t.Any], timeline: Timeline) -> None:
    """The figures of the run."""
    requests, sockets = report["requests"], report["websockets"]
    gone = {f"botserver-{slot}" for slot in timeline.slots_gone}
    lost = collections.Counter("left" if one["instance"] in gone else "stayed" for one in sockets["lost"])
    say("What happened")
    print(f"  requests sent        {requests['sent']}")
    print(f"  requests failed      {requests['failed']}")
    latencies = [report["latency_ms"][share] for share in ("p50", "p95", "p99")]
    print("  latency p50 p95 p99  " + " ".join("none" if value is None else f"{value:.0f} ms" for value in latencies))
    print(f"  websockets opened    {sockets['opened']}")
    print(f"  websockets lost      {lost['stayed']} on instances that stayed, {lost['left']} on instances that left at their deadline")
    print("  instances over time")
    print(timeline.picture())


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedule", default="10s:5,80s:40,20s:3", help="phases of the load, duration:requests per second")
    parser.add_argument("--websockets", type=int, default=12)
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two ticks of the autoscaler")
    parser.add_argument("--patience", type=float, default=420.0, help="seconds after which the demo gives up")
    parser.add_argument("--project", default=os.environ.get("GB_LXD_PROJECT", "generalbots"))
    options = parser.parse_args()
    folder = ROOT / ".build/demo"
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "load.json"

    say("Bringing the topology up (minutes on a new machine, seconds after that)")
    playbook("site")
    playbook("scale", "-e", "count=1", quiet=True)
    try:
        lxd = connect({"engine": "lxd", "project": options.project})
        say("The topology")
        print(topology(lxd))
        playbook("autoscale", quiet=True)  # the first look; a rate needs two
        say(f"Load from this machine through Caddy, https://localhost:8443: {options.schedule}, {options.websockets} websockets")
        report.unlink(missing_ok=True)
        with load("https://localhost:8443", certificate(lxd, folder), options.schedule, options.websockets, report) as process:
            timeline = watch(lxd, process, options.interval, options.patience)
        figures = json.loads(report.read_text())
        show(figures, timeline)
        say("The topology now")
        print(topology(lxd))
    except ScalingError as error:
        sys.exit(f"\n{error}")
    wrong = verdict(figures, timeline)
    say("FAILED: " + "; ".join(wrong) if wrong else "It grew, it shrank, and it lost nothing.")
    print("  Look around:   lxc list --project generalbots; open https://localhost:8443/api/demo/echo (Caddy's own certificate)")
    print("  Change it:     inventories/demo/config.csv, then ansible-playbook playbooks/site.yml")
    print("  Remove it:     make destroy")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

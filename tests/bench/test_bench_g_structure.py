# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of the structure costs under load: one write with everything, beside a PATCH for each thing, as other collections do it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import threading
import typing as t

from bench_loopback import ROOT, ROUTES, botserver, caddy, certificate, made, options, until_it_answers
from bench_results import Record, Result
from ports import free_port

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy, reconcile
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import handlers
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.handlers import edit
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import pools_from
from ansible_collections.generalbots.scaling.plugins.module_utils.http import HttpClient

pytest_plugins = ["bench_fixtures"]

CHANGES, PAUSE, RATE, WEBSOCKETS = 10, 0.8, 200, 8
POLICIES = ("round_robin", "least_conn")

# Makes the pools as they are wanted, in the running Caddy with this admin socket.
Way = t.Callable[[str, list[dict[str, t.Any]]], None]


def at_once(admin: str, pools: list[dict[str, t.Any]]) -> None:
    """As caddy_upstreams does it."""
    wanted = pools_from(pools)
    assert reconcile(Caddy(admin), lambda running: edit(running, wanted)).changed


def one_by_one(admin: str, pools: list[dict[str, t.Any]]) -> None:
    """A PATCH of each pool's upstreams and one of its policy, where they differ."""
    client = HttpClient(f"unix:{admin}")
    running, _etag = Caddy(admin).read()
    after = handlers(edit(running, pools_from(pools)))
    for name, before in handlers(running).items():
        for part in ("upstreams", "load_balancing"):
            if before.get(part) != after[name].get(part):
                client.request("PATCH", f"/id/{name}/{part}", json=after[name][part])


def measured(folder: pathlib.Path, way: Way) -> dict[str, t.Any]:
    """The report of the load during ten changes of policy and number of slots."""
    folder.mkdir()
    pair, port, behind, admin = certificate(folder), free_port(), free_port(), f"{folder}/ours.sock"

    def wanted(turn: int) -> dict[str, t.Any]:
        backends = [f"127.0.0.{100 + number}:{behind}" for number in range(1, 5 + turn % 2)]
        given = options(folder, admin, port, backends, pair)
        given["routes"] = [{**route, **({} if route["name"] == "ws" else {"policy": POLICIES[turn % 2]})} for route in ROUTES]
        return given

    with botserver(folder, behind), caddy(folder, "ours", made(wanted(0))["config"]):
        until_it_answers(port, "/api/health", pair.certificate)
        load = [sys.executable, str(ROOT / "tools/load.py"), "--url", f"https://localhost:{port}", "--ca", str(pair.certificate)]
        load += ["--schedule", f"{int(CHANGES * PAUSE) + 4}s:{RATE}", "--websockets", str(WEBSOCKETS), "--report", f"{folder}/report.json"]
        with subprocess.Popen(load) as process:
            for turn in range(1, CHANGES + 1):
                threading.Event().wait(PAUSE)
                way(admin, made(wanted(turn))["pools"])
            process.wait(120)
        running, _etag = Caddy(admin).read()
        assert edit(running, pools_from(made(wanted(CHANGES))["pools"])) == running, "the last change is not what runs"
    report: dict[str, t.Any] = json.loads((folder / "report.json").read_text())
    assert report["websockets"]["opened"] == WEBSOCKETS and report["requests"]["sent"] > RATE * CHANGES * PAUSE / 2, report
    return report


def words(report: dict[str, t.Any]) -> str:
    """A report in a few words."""
    requests, lost = report["requests"], len(report["websockets"]["lost"])
    return f"{requests['failed']} of {requests['sent']} requests failed, {lost} of {WEBSOCKETS} websockets lost"


def test_bench_g_a_change_of_the_structure(tmp_path: pathlib.Path, record: Record) -> None:
    ours, theirs = measured(tmp_path / "ours", at_once), measured(tmp_path / "theirs", one_by_one)
    failed, others = (report["requests"]["failed"] for report in (ours, theirs))
    assert ours["websockets"]["lost"] == [], "a websocket that was to live on for 300 s was lost"
    refused = [reason for report in (ours, theirs) for reason in report["requests"]["reasons"] if reason.startswith("status")]
    assert refused == [], "a request was answered with an error; a reload breaks connections, and that alone is measured"
    met = failed < others and len(ours["websockets"]["lost"]) <= len(theirs["websockets"]["lost"])
    ratio = failed / others if others else None
    record(Result("g", f"{CHANGES} changes of policy and maximum", words(ours), f"a PATCH for each: {words(theirs)}", ratio, met))

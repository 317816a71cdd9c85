# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(d) 50 scale events under requests and websockets: nothing fails, nothing is lost on instances that stay, Caddy is not reloaded."""

from __future__ import annotations

import dataclasses
import json
import re
import ssl
import statistics
import typing as t
import urllib.request

from bench_lab import SITE, Lab, seconds
from bench_results import Record, Result

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

pytest_plugins = ["bench_fixtures"]

#: how many serve all the time; the websockets are opened while only these do, and so they are on instances that stay
KEPT = 2
#: the size after each event: 25 out, 25 in
SIZES = [3, 4, 3, 2] * 12 + [3, 2]
RATE = 20.0
WEBSOCKETS = 12
#: each request lasts a while, so that some are in flight whenever an instance leaves
PATH = "/api/demo/echo?burn_ms=2&delay_ms=100"

ADMIN = "/run/caddy/admin.sock"
_WRITES = re.compile(r'^caddy_admin_http_requests_total\{(?=[^}]*method="(?!GET)[A-Z]+")[^}]*\} (\S+)$', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Configured:
    """Since when the proxy's Caddy runs what it runs: start and last load in epoch seconds, writes to its admin endpoint, ETag."""

    started: float
    loaded: float
    writes: float
    etag: str


def asked(lab: Lab, what: str, *options: str) -> str:
    """What Caddy's admin endpoint answers."""
    code, out, err = lab.lxd.execute("proxy-1", ["curl", "-sS", "--unix-socket", ADMIN, *options, f"http://localhost{what}"])
    assert code == 0, f"Caddy's admin endpoint did not answer {what}: {err}"
    return str(out)


def configured(lab: Lab) -> Configured:
    """What Caddy itself says of it."""
    metrics = asked(lab, "/metrics")
    etag = asked(lab, "/config/", "-o", "/dev/null", "-w", "%header{etag}")
    assert etag, "Caddy told no ETag of its configuration"
    return Configured(
        started=gauge(metrics, "process_start_time_seconds"),
        loaded=gauge(metrics, "caddy_config_last_reload_success_timestamp_seconds"),
        writes=writes(metrics),
        etag=etag,
    )


def writes(metrics: str) -> float:
    """How often the admin endpoint was asked for anything but to tell something."""
    return sum(float(value) for value in _WRITES.findall(metrics))


def gauge(metrics: str, name: str) -> float:
    """The value of a metric that has no labels."""
    found = re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE)
    assert found, f"Caddy's metrics have no {name}"
    return float(found[1])


def serving(lab: Lab) -> set[str]:
    """The instances that answer requests through Caddy just now."""
    trust = ssl.create_default_context(cafile=str(lab.authority()))
    seen = set()
    for _ in range(2 * KEPT):
        with urllib.request.urlopen(f"{SITE}/api/demo/echo", timeout=10, context=trust) as answer:
            seen.add(str(answer.headers["X-Instance"]))
    return seen


def in_flight(lab: Lab) -> int:
    """What is under way at all instances by Caddy's count, websockets among it."""
    return sum(int(one["num_requests"]) for one in json.loads(asked(lab, "/reverse_proxy/upstreams")))


def scaled(lab: Lab, sizes: t.Iterable[int]) -> list[float]:
    """Make the fleet each of these sizes, one after the other; returns how many seconds each took, from the command to its end."""
    took = []
    for number, size in enumerate(sizes, start=1):
        took.append(seconds(lambda size=size: lab.playbook("scale", count=size)))  # type: ignore[misc]
        assert len(lab.active()) == size
        print(f"  event {number}: {size} serve after {took[-1]:.1f} s", flush=True)
    return took


def test_50_scale_events_under_load(topology: Lab, record: Record) -> None:
    topology.playbook("scale", count=KEPT)
    kept = {f"botserver-{slot}" for slot in range(1, KEPT + 1)}
    wait_for("those that stay to serve", lambda: serving(topology), lambda names: names == kept, timeout=30)
    before = configured(topology)
    with topology.load(RATE, PATH, WEBSOCKETS) as load:
        wait_for("the websockets to be open", lambda: in_flight(topology), lambda count: count >= WEBSOCKETS, timeout=30)
        took = scaled(topology, SIZES)
        report = load.end()
    after = configured(topology)
    requests, sockets = report["requests"], report["websockets"]
    print(f"  sent {requests['sent']}, failed {requests['failed']} {requests['examples']}, latency {report['latency_ms']}", flush=True)
    print(f"  websockets {sockets}, Caddy {before} then {after}", flush=True)
    figures = (
        f"{requests['failed']} of {requests['sent']} requests failed, {len(sockets['lost'])} of {sockets['opened']} websockets lost, "
        f"{after.writes - before.writes:.0f} writes to Caddy; an event took {statistics.median(took):.1f} s, at most {max(took):.1f} s"
    )
    met = not requests["failed"] and not sockets["lost"] and before == after
    record(Result("d", f"{len(SIZES)} scale events at {RATE:g} requests/s with {WEBSOCKETS} websockets", figures, "-", None, met))
    assert {f"botserver-{slot}" for slot in range(1, max(SIZES) + 1)} <= report["instances"].keys(), "an instance served nobody"
    assert sockets["opened"] == WEBSOCKETS and sockets["opened_by_instance"].keys() == kept, sockets
    assert requests["failed"] == 0, requests
    assert sockets["lost"] == [], sockets
    assert before == after, "Caddy's configuration was loaded anew"

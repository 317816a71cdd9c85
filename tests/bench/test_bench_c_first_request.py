# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(c) From the decision to scale out to the first request that the new instance serves, against LXD alone."""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import statistics
import threading
import time
import typing as t

from bench_lab import BRIDGE, ENVIRONMENT, HTTPS_PORT, LIMITS, PROJECT, SUBNET, Lab, healthy
from bench_results import Record, within

from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.rules import rule_set
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import environment_file
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import RULES_PATH
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import limits_config
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

pytest_plugins = ["bench_fixtures"]

RUNS, TICKS = 3, 6
POLL = 0.02
#: requests per second; scale-request-threshold allows one instance 10
RATE = 30.0
PATH = "/api/demo/echo"
#: LXD alone starts one instance; sized in proportion, this load would start three at once
ONE_MORE = {"sizing": "steps"}
#: slots that the fleet of this bench never uses
SPARE_SLOTS = itertools.count(101)


class FirstSeen(threading.Thread):
    """A client of the site that asks every 20 ms and notes when each instance answered for the first time, in epoch seconds."""

    def __init__(self, authority: str) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, float] = {}
        self._ended = threading.Event()
        trust = ssl.create_default_context(cafile=authority)
        self._connection = http.client.HTTPSConnection("localhost", HTTPS_PORT, context=trust, timeout=5)

    def __enter__(self) -> FirstSeen:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self.join(timeout=10)

    def run(self) -> None:
        while not self._ended.wait(POLL):
            try:
                self._connection.request("GET", PATH)
                answer = self._connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
            else:
                if answer.status == 200:
                    self.seen.setdefault(answer.headers.get("X-Instance", ""), time.time())


def scale_out(lab: Lab) -> float:
    """Seconds from the recorded decision to the first answer of the new instance, through Caddy."""
    with FirstSeen(str(lab.authority())) as client:
        for _ in range(TICKS):
            lab.playbook("autoscale", gb_autoscale=ONE_MORE)
            decision = lab.decision()
            print(f"  {decision['action']}: {decision['reason']}", flush=True)
            if decision["action"] == "out":
                break
        assert decision["action"] == "out", f"{RATE} requests per second did not scale out within {TICKS} ticks"
        name = f"botserver-{decision['start'][0]}"
        wait_for(f"{name} to serve", lambda: client.seen.get(name), lambda at: at is not None, timeout=60, interval=POLL)
    return client.seen[name] - float(decision["time"])


def bare_start(lab: Lab, fingerprint: str) -> float:
    """Seconds for an instance of the same image and limits by LXD's own client, until its first healthy answer."""
    slot = next(SPARE_SLOTS)
    name, where = f"bare-{slot}", address(SUBNET, "botserver", slot)
    config, _card = limits_config(LIMITS)
    nic = {"type": "nic", "network": BRIDGE, "name": "eth0", "ipv4.address": where}
    client = ("lxc", "--project", PROJECT)
    begun = time.perf_counter()
    try:
        lab.run(*client, "init", fingerprint, name, stdin=json.dumps({"config": config, "devices": {"eth0": nic}}))
        # Without its environment botserver does not start, and without its rules it answers nobody.
        lab.run(*client, "file", "push", "--mode", "0600", "-", f"{name}/opt/gbo/bin/.env", stdin=environment_file(ENVIRONMENT).decode())
        rules = rule_set("botserver", SUBNET)
        lab.run(*client, "file", "push", "--mode", "0644", "-", f"{name}{RULES_PATH}", stdin=rules)
        lab.run(*client, "start", name)
        wait_for(f"{name} to answer", lambda: healthy(where), bool, timeout=60, interval=POLL)
        return time.perf_counter() - begun
    finally:
        if lab.lxd.exists(f"instances/{name}"):
            lab.delete(name)


def base_image(lab: Lab, name: str) -> str:
    """The fingerprint of the image that an instance was made from."""
    raw: dict[str, t.Any] = lab.lxd.get(f"instances/{name}")[0]
    return str(raw["config"]["volatile.base_image"])


def test_decision_to_first_request_served(topology: Lab, record: Record) -> None:
    ours, theirs = [], []
    with topology.load(RATE, PATH) as load:
        for _ in range(RUNS):
            topology.playbook("scale", count=1, gb_scale_in_keeps="delete")
            topology.clear("botserver")
            topology.forget()
            ours.append(scale_out(topology))
            theirs.append(bare_start(topology, base_image(topology, "botserver-1")))
            print(f"  ours {ours[-1]:.2f} s, bare LXD {theirs[-1]:.2f} s", flush=True)
        assert load.end()["requests"]["failed"] == 0
    record(within("c", f"decision to first request served, median of {RUNS}", statistics.median(ours), statistics.median(theirs), 1.5))

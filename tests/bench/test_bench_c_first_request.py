# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(c) From the decision to scale out to the first request that the new instance serves, against LXD alone: made anew, or kept warm (c2)."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import itertools
import json
import ssl
import statistics
import threading
import time
import typing as t

from bench_lab import BRIDGE, ENVIRONMENT, HTTPS_PORT, LIMITS, MAX_INSTANCES, PROJECT, SUBNET, Lab, healthy, seconds
from bench_results import Record, within

from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.rules import rule_set
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import environment_file, slots
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import RULES_PATH, observe
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
#: one instance is kept stopped; an idle tick makes it
STAND_BY = {"gb_warm_instances": 1}
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


def scale_out(lab: Lab, **variables: t.Any) -> tuple[str, float]:
    """The new instance, and the seconds from the recorded decision to its first answer, through Caddy."""
    with FirstSeen(str(lab.authority())) as client:
        for _ in range(TICKS):
            lab.playbook("autoscale", gb_autoscale=ONE_MORE, **variables)
            decision = lab.decision()
            print(f"  {decision['action']}: {decision['reason']}", flush=True)
            if decision["action"] == "out":
                break
        assert decision["action"] == "out", f"{RATE} requests per second did not scale out within {TICKS} ticks"
        name = f"botserver-{decision['start'][0]}"
        wait_for(f"{name} to serve", lambda: client.seen.get(name), lambda at: at is not None, timeout=60, interval=POLL)
    return name, client.seen[name] - float(decision["time"])


@dataclasses.dataclass(frozen=True)
class Bare:
    """An instance of the same image and limits by LXD's own client."""

    lab: Lab
    name: str
    address: str

    def make(self, fingerprint: str) -> None:
        """Make it, with what it needs to start."""
        config, _card = limits_config(LIMITS)
        nic = {"type": "nic", "network": BRIDGE, "name": "eth0", "ipv4.address": self.address}
        self._lxc("init", fingerprint, self.name, stdin=json.dumps({"config": config, "devices": {"eth0": nic}}))
        # Without its environment botserver does not start, and without its rules it answers nobody.
        self._push("0600", "/opt/gbo/bin/.env", environment_file(ENVIRONMENT).decode())
        self._push("0644", RULES_PATH, rule_set("botserver", SUBNET))

    def start(self) -> None:
        """Start it, and wait for its first healthy answer."""
        self._lxc("start", self.name)
        wait_for(f"{self.name} to answer", lambda: healthy(self.address), bool, timeout=60, interval=POLL)

    def make_and_start(self, fingerprint: str) -> None:
        """From nothing to its first healthy answer."""
        self.make(fingerprint)
        self.start()

    def _push(self, mode: str, path: str, content: str) -> None:
        self._lxc("file", "push", "--mode", mode, "-", f"{self.name}{path}", stdin=content)

    def _lxc(self, *command: str, stdin: str = "") -> None:
        self.lab.run("lxc", "--project", PROJECT, *command, stdin=stdin)


@contextlib.contextmanager
def bare(lab: Lab) -> t.Iterator[Bare]:
    """One that is still to be made; gone afterwards."""
    slot = next(SPARE_SLOTS)
    one = Bare(lab, f"bare-{slot}", address(SUBNET, "botserver", slot))
    try:
        yield one
    finally:
        if lab.lxd.exists(f"instances/{one.name}"):
            lab.delete(one.name)


def base_image(lab: Lab, name: str) -> str:
    """The fingerprint of the image that an instance was made from."""
    raw: dict[str, t.Any] = lab.lxd.get(f"instances/{name}")[0]
    return str(raw["config"]["volatile.base_image"])


def one_serves(lab: Lab) -> str:
    """A fleet of one with no instance standing by, and nothing remembered; returns the fingerprint of its image."""
    lab.playbook("scale", count=1, gb_scale_in_keeps="delete")
    lab.clear("botserver")
    lab.forget()
    [slot] = lab.active()
    return base_image(lab, f"botserver-{slot}")


def kept_warm(lab: Lab) -> list[str]:
    """The instances that stand by, stopped."""
    return [f"botserver-{slot}" for slot in slots(observe(lab.lxd), MAX_INSTANCES)["warm"]]


def test_decision_to_first_request_served(topology: Lab, record: Record) -> None:
    ours, theirs = [], []
    with topology.load(RATE, PATH) as load:
        for _ in range(RUNS):
            fingerprint = one_serves(topology)
            ours.append(scale_out(topology)[1])
            with bare(topology) as one:
                theirs.append(seconds(functools.partial(one.make_and_start, fingerprint)))
            print(f"  ours {ours[-1]:.2f} s, bare LXD {theirs[-1]:.2f} s", flush=True)
        assert load.end()["requests"]["failed"] == 0
    record(within("c", f"decision to first request served, median of {RUNS}", statistics.median(ours), statistics.median(theirs), 1.5))


def test_decision_to_first_request_served_by_an_instance_that_stood_by(topology: Lab, record: Record) -> None:
    """Both sides start what was made while nothing was asked of the site, and has never run."""
    ours, theirs = [], []
    for _ in range(RUNS):
        fingerprint = one_serves(topology)
        topology.playbook("autoscale", **STAND_BY)
        standing_by = kept_warm(topology)
        assert len(standing_by) == 1, f"an idle tick left {standing_by} standing by"
        with bare(topology) as one:
            one.make(fingerprint)
            with topology.load(RATE, PATH) as load:
                name, took = scale_out(topology, **STAND_BY)
                assert [name] == standing_by, "another instance was started than the one that stood by"
                ours.append(took)
                theirs.append(seconds(one.start))
                assert load.end()["requests"]["failed"] == 0
        print(f"  ours {ours[-1]:.2f} s, bare LXD {theirs[-1]:.2f} s", flush=True)
    what = f"the same with a warm instance, median of {RUNS}"
    record(within("c2", what, statistics.median(ours), statistics.median(theirs), 1.5))

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short ways to say what a test's fleet looks like, and an LXD that is one object in memory."""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Facts, History, InstanceFacts, Load, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Conflict

NOW = 1_000_000.0
PLACE = "profiles/gb-autoscale"
POLICY = Policy(enabled=True, min=1, max=4)


def one(slot: int, **more: t.Any) -> InstanceFacts:
    """A healthy instance of middling load that has been up for an hour."""
    given = {"ready": True, "started_at": NOW - 3600, "cpu": 50.0, "memory": 50.0, **more}
    return InstanceFacts(f"botserver-{slot}", slot, **given)


def fleet(
    *instances: InstanceFacts, requests: float | None = 100.0, missing: int = 0, notes: tuple[str, ...] = (), **readings: float | None
) -> Facts:
    """Facts of these instances now; ``readings`` are of other sources, with underscores for hyphens."""
    return Facts(NOW, instances, requests, missing, notes, {name.replace("_", "-"): value for name, value in readings.items()})


def even(count: int, *, requests: float | None = 100.0, **more: t.Any) -> Facts:
    """Facts of ``count`` equal instances in the lowest slots."""
    return fleet(*(one(slot, **more) for slot in range(1, count + 1)), requests=requests)


def calm(need: float = 1.0, **more: t.Any) -> History:
    """A history that knows the whole stabilisation window, in which the load asked for ``need`` instances.

    Of the load it knows that it has no noise, and nothing from which a trend could be seen.
    """
    loads = tuple(Load(NOW - ago, {"cpu": 100.0, "requests": 100.0}) for ago in range(580, 300, -30))
    return History(loads=loads, needs=tuple((NOW - ago, need) for ago in range(330, 0, -30)), **more)


def row(slot: int, **more: t.Any) -> dict[str, t.Any]:
    """A fleet entry as lxc_botserver_info returns it."""
    return {
        "name": f"botserver-{slot}",
        "slot": slot,
        "status": "Running",
        "state": "active",
        "address": f"10.87.0.{100 + slot}",
        "protected": False,
        "cpu_usage_ns": 0,
        "cpu_limit": 2.0,
        "memory_used_bytes": 250,
        "memory_limit_bytes": 1000,
        "started_at": NOW - 3600,
        **more,
    }


def proxy(total: int | None, time: float, **more: t.Any) -> dict[str, t.Any]:
    """A result of caddy_upstreams_info."""
    return {"requests_total": total, "time": time, "started_at": NOW - 9000, "upstreams": [], **more}


class FakeLxd:
    """One LXD object with its ETag. ``meanwhile`` are what others write just before our writes; ``afterwards`` just after."""

    def __init__(self, config: t.Mapping[str, str] | None = None) -> None:
        self.project = "gb"
        self.body: dict[str, t.Any] = {"name": "gb-autoscale", "description": "kept", "config": dict(config or {})}
        self.meanwhile: list[dict[str, str]] = []
        self.afterwards: list[dict[str, str]] = []
        self.writes = 0

    @property
    def config(self) -> dict[str, str]:
        """The object's config keys."""
        return t.cast(dict[str, str], self.body["config"])

    def get(self, path: str) -> tuple[t.Any, str]:
        """As the client's."""
        assert path == PLACE
        return copy.deepcopy(self.body), self._etag()

    def put(self, path: str, body: t.Any = None, *, etag: str = "") -> t.Any:
        """As the client's: 412 if the object is no longer the one with that ETag."""
        assert path == PLACE
        if self.meanwhile:
            self.config.update(self.meanwhile.pop(0))
        if etag != self._etag():
            raise Conflict("PUT was refused with 412: ETag doesn't match", status=412)
        self.writes += 1
        self.body = copy.deepcopy(body)
        if self.afterwards:
            self.config.update(self.afterwards.pop(0))

    def post(self, path: str, body: t.Any = None) -> t.Any:
        """As the client's; the one object is there already."""
        raise AssertionError(f"POST {path}")

    def _etag(self) -> str:
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()

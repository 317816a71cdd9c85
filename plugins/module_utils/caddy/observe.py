# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(caddy_upstreams_info) returns, and the waits before it."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import metrics
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import Json, proxies
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.health import probe_all, wait_healthy, wait_idle, wait_unhealthy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health, health_of
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput


def wait(caddy: Caddy, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The waits that the options ask for, in their order; what the last of them found.

    :raises InvalidInput: a wait for health, and not said how to ask for it
    :raises WaitTimeout: an upstream did not become healthy, or unhealthy
    """
    coming, going, timeout = params["wait_healthy"], params["wait_unhealthy"], params["wait_timeout"]
    health = _health(params)
    if (coming or going) and health is None:
        raise InvalidInput("wait_healthy and wait_unhealthy need health, which says how an upstream is asked.")
    if health is not None and coming:
        wait_healthy(dict.fromkeys(coming, health), timeout)
    if health is not None and going:
        running, _etag = caddy.read()
        wait_unhealthy(dict.fromkeys(going, health), notice(running, going), timeout)
    if not params["wait_idle"]:
        return {}
    left = wait_idle(caddy, params["wait_idle"], timeout)
    return {"idle": not any(left.values()), "in_flight": left}


def observe(caddy: Caddy, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Upstreams, requests and times, as the module returns them."""
    running, _etag = caddy.read()
    text, listed, now = caddy.metrics(), caddy.upstreams(), time.time()
    addresses = sorted(str(one["address"]) for one in listed)
    health = _health(params)
    answers = probe_all(dict.fromkeys(addresses, health)) if health is not None else {}
    return {
        "upstreams": [
            {
                "address": str(one["address"]),
                "in_flight": int(one["num_requests"]),
                "fails": int(one["fails"]),
                "healthy": answers[str(one["address"])].healthy if answers else None,
            }
            for one in sorted(listed, key=lambda one: str(one["address"]))
        ],
        "requests_total": metrics.requests_total(text, running, params["server"]),
        "started_at": metrics.counting_since(text),
        "time": now,
    }


def notice(running: Json, addresses: t.Collection[str]) -> float:
    """Seconds after which every pool that has one of the addresses knows that it fails; 0 where none checks them."""
    concerned = [one for one in proxies(running) if {up.get("dial") for up in one.get("upstreams") or []} & {*addresses}]
    return max((checks.notice for checks in map(health_of, concerned) if checks is not None), default=0.0)


def _health(params: t.Mapping[str, t.Any]) -> Health | None:
    given = params["health"]
    return Health(**{name: value for name, value in given.items() if value is not None}) if given else None

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(caddy_upstreams_info) returns, and the waits before it."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import Json, proxies
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.handlers import addresses, checks_of, health_of, policy_of
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.health import probe_all, wait_healthy, wait_idle, wait_unhealthy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.metrics import counting_since, traffic_of
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput


def wait(caddy: Caddy, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The waits that the options ask for, in their order; what the last of them found.

    :raises InvalidInput: a wait for an upstream's health, and neither said nor configured how to ask for it
    :raises WaitTimeout: an upstream did not become healthy, or unhealthy
    """
    coming, going, timeout = params["wait_healthy"], params["wait_unhealthy"], params["wait_timeout"]
    if coming or going:
        running, _etag = caddy.read()
        checks = _checks(params, running, [*coming, *going])
        if coming:
            wait_healthy({address: checks[address] for address in coming}, timeout)
        if going:
            failing = {address: checks[address] for address in going}
            wait_unhealthy(failing, notice(running, going), timeout, loaded=lambda: counting_since(caddy.metrics()))
    if not params["wait_idle"]:
        return {}
    left = wait_idle(caddy, params["wait_idle"], timeout)
    return {"idle": not any(left.values()), "in_flight": left}


def _checks(params: t.Mapping[str, t.Any], running: Json, wanted: t.Sequence[str]) -> dict[str, Health]:
    """How each address is asked: as the options say, else as the running pools do."""
    given = params["health"]
    if given:
        return dict.fromkeys(wanted, Health(**{name: value for name, value in given.items() if value is not None}))
    return checks_of(running, wanted)


def observe(caddy: Caddy, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Pools, upstreams, requests and times, as the module returns them.

    :raises InvalidInput: a pool is asked for that does not run
    """
    running, _etag = caddy.read()
    traffic = traffic_of(caddy.metrics(), caddy.upstreams(), running, time.time(), server=params["server"])
    pools = _asked(pools_of(running), params["pools"])
    if params["pools"]:
        members = {address for pool in pools for address in pool["upstreams"]}
        traffic["upstreams"] = [one for one in traffic["upstreams"] if one["address"] in members]
    if params["health"]:
        answers = probe_all(_checks(params, running, [one["address"] for one in traffic["upstreams"]]))
        traffic["upstreams"] = [{**one, "healthy": answers[one["address"]].healthy} for one in traffic["upstreams"]]
    return {**traffic, "pools": pools}


def pools_of(running: Json) -> list[Json]:
    """Every reverse_proxy handler with an C(@id): C(id), C(policy), C(upstreams) in their order, and whether they are C(checked)."""
    return [
        {"id": str(one["@id"]), "policy": policy_of(one), "upstreams": addresses(one), "checked": health_of(one) is not None}
        for one in proxies(running)
        if one.get("@id")
    ]


def _asked(pools: list[Json], names: t.Sequence[str]) -> list[Json]:
    unknown = [name for name in names if name not in [pool["id"] for pool in pools]]
    if unknown:
        known = ", ".join(pool["id"] for pool in pools) or "none"
        raise InvalidInput(f"No reverse_proxy handler of the running configuration carries @id {unknown[0]}; those that run: {known}.")
    return [pool for pool in pools if not names or pool["id"] in names]


def notice(running: Json, wanted: t.Collection[str]) -> float:
    """Seconds after which every pool that has one of the addresses knows that it fails; 0 where none checks them."""
    concerned = [one for one in proxies(running) if {*addresses(one)} & {*wanted}]
    return max((checks.notice for checks in map(health_of, concerned) if checks is not None), default=0.0)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Caddy's own metrics say about its traffic. Names: https://caddyserver.com/docs/metrics."""

from __future__ import annotations

import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import Json
from ansible_collections.generalbots.scaling.plugins.module_utils.prometheus import samples

REQUESTS = "caddy_http_requests_total"
STARTED = "process_start_time_seconds"
LOADED = "caddy_config_last_reload_success_timestamp_seconds"


def requests_total(text: str, config: Json, server: str) -> int | None:
    """How many requests a server has answered since :func:`counting_since`; None if that cannot be told.

    Caddy counts once for each of a server's routes that a request passes, under the name of the route's first handler. So
    the sum is the number of requests only where everything of a server stands in one route.
    """
    http = (config.get("apps") or {}).get("http") or {}
    routes = ((http.get("servers") or {}).get(server) or {}).get("routes") or []
    if "metrics" not in http or len(routes) != 1 or not routes[0].get("handle"):
        return None
    wanted = (server, routes[0]["handle"][0].get("handler"))
    return int(sum(value for _name, labels, value in samples(text, REQUESTS) if (labels.get("server"), labels.get("handler")) == wanted))


def counting_since(text: str) -> float | None:
    """When the counters began, in seconds since the epoch: the start of the process, or the last reload, which begins anew."""
    found: dict[str, float] = {name: value for name, _labels, value in samples(text, STARTED, LOADED)}
    return max(found.values(), default=None)


def in_flight(upstreams: t.Iterable[t.Mapping[str, t.Any]], addresses: t.Iterable[str]) -> dict[str, int]:
    """Requests and websockets in flight for each address; one that Caddy does not list has none."""
    listed = {str(one.get("address")): int(one.get("num_requests") or 0) for one in upstreams}
    return {address: listed.get(address, 0) for address in addresses}

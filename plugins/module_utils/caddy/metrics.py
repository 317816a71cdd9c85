# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Caddy's own metrics say about its traffic. Names: https://caddyserver.com/docs/metrics. All functions are pure."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import Json, plain, proxies
from ansible_collections.generalbots.scaling.plugins.module_utils.prometheus import samples

REQUESTS = "caddy_http_requests_total"
DURATIONS = "caddy_http_request_duration_seconds"
HEALTHY = "caddy_reverse_proxy_upstreams_healthy"
STARTED = "process_start_time_seconds"
LOADED = "caddy_config_last_reload_success_timestamp_seconds"

# Caddy brings its gauge of healthy upstreams up to date every 10 s. At a reload it says that all are, before any was asked.
GAUGE_SECONDS = 11.0
# How long a websocket was open is no latency.
_SWITCHED = "101"
# What of active checks decides who is healthy; the rest only says how soon it is noticed.
_ASKED = ("uri", "path", "port", "upstream", "method", "headers", "body", "expect_status", "expect_body", "follow_redirects")


def traffic_of(metrics_text: str, upstreams_json: t.Any, config_json: t.Any, now: float, *, server: str = "site") -> Json:
    """What one Caddy says about its traffic, from three answers of its admin endpoint.

    :param metrics_text: C(GET /metrics)
    :param upstreams_json: C(GET /reverse_proxy/upstreams), as text or decoded
    :param config_json: C(GET /config/), as text or decoded
    :param now: when they were read, in seconds since the epoch, by the clock of that Caddy
    :param server: the server of the configuration whose requests are counted
    :returns: ``time``, ``started_at``, ``requests_total``, ``durations`` and ``upstreams``; what cannot be told is None
    :raises ValueError: a text that is no JSON
    """
    config, listed = _decoded(config_json) or {}, _decoded(upstreams_json) or []
    return {
        "time": now,
        "started_at": counting_since(metrics_text),
        "requests_total": requests_total(metrics_text, config, server),
        "durations": durations(metrics_text, config, server),
        "upstreams": upstreams_of(listed, healthy(metrics_text, config, now)),
    }


def _decoded(value: t.Any) -> t.Any:
    return json.loads(value) if isinstance(value, (str, bytes)) else value


def requests_total(text: str, config: Json, server: str) -> int | None:
    """How many requests a server has answered since :func:`counting_since`; None if that cannot be told."""
    wanted = _counter(config, server)
    if wanted is None:
        return None
    return int(sum(value for _name, labels, value in samples(text, REQUESTS) if (labels.get("server"), labels.get("handler")) == wanted))


def durations(text: str, config: Json, server: str) -> Json | None:
    """The histogram of how long a server's requests took, in seconds and cumulative since :func:`counting_since`.

    :returns: ``{"buckets": {"0.005": 12.0, ..., "+Inf": 99.0}, "sum": 1.2, "count": 99.0}``, over all methods and statuses but those
        of websockets; None if it cannot be told
    """
    wanted = _counter(config, server)
    if wanted is None:
        return None
    found: Json = {"buckets": {}, "sum": 0.0, "count": 0.0}
    for name, labels, value in samples(text, *(f"{DURATIONS}_{part}" for part in ("bucket", "sum", "count"))):
        if (labels.get("server"), labels.get("handler")) != wanted or labels.get("code") == _SWITCHED:
            continue
        part = name.rpartition("_")[2]
        if part == "bucket":
            found["buckets"][labels["le"]] = found["buckets"].get(labels["le"], 0.0) + value
        else:
            found[part] += value
    return found


def _counter(config: Json, server: str) -> tuple[str, str] | None:
    """The labels (server, handler) under which each request is counted once, None if there are none.

    Caddy counts once for each of a server's routes that a request passes, under the name of the route's first handler. So it is
    the first route, if every request passes it and no other route counts under the same name.
    """
    http = (config.get("apps") or {}).get("http") or {}
    routes = ((http.get("servers") or {}).get(server) or {}).get("routes") or []
    names = [str((route.get("handle") or [{}])[0].get("handler", "")) for route in routes]
    if "metrics" not in http or not names or not names[0] or routes[0].get("match") or names[0] in names[1:]:
        return None
    return server, names[0]


def counting_since(text: str) -> float | None:
    """When the counters began, in seconds since the epoch: the start of the process, or the last reload, which begins anew."""
    found: dict[str, float] = {name: value for name, _labels, value in samples(text, STARTED, LOADED)}
    return max(found.values(), default=None)


def healthy(text: str, config: Json, now: float) -> dict[str, bool | None]:
    """Which upstreams Caddy holds for healthy, by address. What it says is at most 10 s old.

    None where that cannot be told: within :data:`GAUGE_SECONDS` of a reload, and for addresses that are not in :func:`gauges`.
    """
    since = counting_since(text)
    settled = since is not None and now >= since + GAUGE_SECONDS
    said = {labels.get("upstream", ""): value == 1 for _name, labels, value in samples(text, HEALTHY)}
    every = {plain(str(upstream.get("dial"))): None for one in proxies(config) for upstream in one.get("upstreams") or []}
    return {**every, **{address: said.get(dial) if settled else None for address, dial in gauges(config).items()}}


def gauges(config: Json) -> dict[str, str]:
    """The addresses that have a gauge of their health to be trusted, and how that is spelled.

    All pools write to the one gauge that a spelling has; so those are left out that pools ask for different things, or one does not ask.
    """
    asked: dict[str, list[Json]] = {}
    for one in proxies(config):
        active = (one.get("health_checks") or {}).get("active") or {}
        for upstream in one.get("upstreams") or []:
            asked.setdefault(str(upstream.get("dial")), []).append({name: active[name] for name in _ASKED if active.get(name)})
    told = [dial for dial, asks in asked.items() if all(one == asks[0] for one in asks)]
    return {plain(dial): dial for dial in sorted(told, key=lambda dial: not dial.startswith("tcp/"))}


def upstreams_of(listed: t.Iterable[t.Mapping[str, t.Any]], health: t.Mapping[str, bool | None]) -> list[Json]:
    """Every upstream that Caddy lists, by address, with ``in_flight``, recent ``fails`` and ``healthy``."""
    found: dict[str, Json] = {}
    for one in listed:
        address = plain(str(one.get("address")))
        entry = found.setdefault(address, {"address": address, "in_flight": 0, "fails": 0, "healthy": health.get(address)})
        entry["in_flight"] += int(one.get("num_requests") or 0)
        entry["fails"] += int(one.get("fails") or 0)
    return [found[address] for address in sorted(found)]


def in_flight(upstreams: t.Iterable[t.Mapping[str, t.Any]], addresses: t.Iterable[str]) -> dict[str, int]:
    """Requests and websockets in flight for each address; one that Caddy does not list has none."""
    listed = {one["address"]: int(one["in_flight"]) for one in upstreams_of(upstreams, {})}
    return {address: listed.get(plain(address), 0) for address in addresses}

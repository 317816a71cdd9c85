# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of upstreams as it is wanted, and the reverse_proxy handler that it makes.

Names and meaning of the keys: https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/.
Caddy accepts an empty pool and an address that cannot be dialled, and then answers every request with an error; both are
refused here, before anything is written.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import Json
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan

# Those that need no word beside their name; cookie has options of its own.
PLAIN_POLICIES = ("random", "first", "round_robin", "least_conn", "ip_hash", "client_ip_hash", "uri_hash")
POLICIES = (*PLAIN_POLICIES, "cookie")

_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")


@dataclasses.dataclass(frozen=True)
class Cookie:
    """Stickiness: who comes with the cookie is sent to the same upstream again. ``max_age`` is in seconds."""

    secret: str
    name: str = "lb"
    fallback: str = "random"
    max_age: float = 0


@dataclasses.dataclass(frozen=True)
class Health:
    """Active checks of each upstream; times in seconds. Without a port they go to the port that serves."""

    uri: str
    port: int | None = None
    interval: float = 10
    timeout: float = 5
    fails: int = 1
    passes: int = 1

    @property
    def notice(self) -> float:
        """Seconds after which Caddy knows for certain that an upstream fails since then."""
        return self.interval * self.fails + self.timeout

    def address(self, upstream: str) -> str:
        """Where the checks of an upstream go."""
        host, port = upstream.rsplit(":", 1)
        return f"{host}:{self.port or port}"


@dataclasses.dataclass(frozen=True)
class Pool:
    """What a reverse_proxy handler shall be; times in seconds, 0 is Caddy's own default."""

    id: str
    upstreams: tuple[str, ...]
    policy: str = "random"
    cookie: Cookie | None = None
    health: Health | None = None
    try_duration: float = 0
    try_interval: float = 0
    dial_timeout: float = 0
    fail_duration: float = 0
    max_fails: int = 1
    stream_timeout: float = 0
    stream_close_delay: float = 0


def pools_from(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Pool]:
    """The pools that a module's options describe.

    :raises InvalidInput: an empty pool, an address that is none, one that stands twice, an unknown policy, two pools with one id
    """
    pools = [pool_from(option) for option in options]
    ids = [pool.id for pool in pools]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InvalidInput(f"Pool {twice[0]} is described twice; give each once. Nothing was changed.")
    return pools


def pool_from(option: t.Mapping[str, t.Any]) -> Pool:
    """One pool; unset options (None) take their defaults. Raises InvalidInput as :func:`pools_from` does."""
    given = {name: value for name, value in option.items() if value is not None}
    given["upstreams"] = tuple(str(address) for address in given.get("upstreams", ()))
    for name, kind in (("cookie", Cookie), ("health", Health)):
        if name in given:
            given[name] = kind(**{key: value for key, value in given[name].items() if value is not None})
    pool = Pool(**given)
    problem = next(_problems(pool), None)
    if problem is not None:
        raise InvalidInput(f"Pool {pool.id}: {problem} Nothing was changed.")
    return pool


def _problems(pool: Pool) -> t.Iterator[str]:
    if not pool.upstreams:
        yield "it has no upstreams, and Caddy would answer every request with 503. List at least one address."
    seen: set[str] = set()
    for address in pool.upstreams:
        if not is_address(address):
            yield f"{address!r} is no address; write host:port with a port from 1 to 65535, such as 10.87.0.101:8080."
        if address.lower() in seen:
            yield f"{address} stands there twice; list each address once."
        seen.add(address.lower())
    yield from _policy_problems(pool)
    yield from _time_problems(pool)


def _policy_problems(pool: Pool) -> t.Iterator[str]:
    if pool.policy not in POLICIES:
        yield f"policy {pool.policy!r} is none of {', '.join(POLICIES)}."
    if (pool.policy == "cookie") != (pool.cookie is not None):
        yield "policy cookie and the options of cookie go together; give both or neither."
    if pool.cookie is not None and not pool.cookie.secret:
        yield "the cookie's secret is empty, and anybody could compute the address behind a cookie. Generate one."
    if pool.cookie is not None and pool.cookie.fallback not in PLAIN_POLICIES:
        yield f"fallback {pool.cookie.fallback!r} is none of {', '.join(PLAIN_POLICIES)}."


def _time_problems(pool: Pool) -> t.Iterator[str]:
    for name in ("try_duration", "try_interval", "dial_timeout", "fail_duration", "max_fails", "stream_timeout", "stream_close_delay"):
        if getattr(pool, name) < 0:
            yield f"{name} is {getattr(pool, name)}; it cannot be negative."
    health = pool.health
    if health is None:
        return
    if not health.uri.startswith("/"):
        yield f"the health check's uri {health.uri!r} does not begin with a slash."
    if health.port is not None and not 1 <= health.port <= 65535:
        yield f"the health check's port {health.port} is none; ports go from 1 to 65535."
    if min(health.interval, health.timeout, health.fails, health.passes) <= 0:
        yield "interval, timeout, fails and passes of the health check are greater than 0."


def is_address(text: str) -> bool:
    """Whether the text is C(host:port) with an IPv4 address, an IPv6 address in brackets, or a DNS name."""
    host, _colon, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        return False
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        return isinstance(ipaddress.ip_address(host[1:-1] if bracketed else host), ipaddress.IPv6Address) == bracketed
    except ValueError:
        all_digits = re.fullmatch(r"[0-9.]+", host) is not None
        return not bracketed and not all_digits and len(host) <= 253 and _NAME.fullmatch(host) is not None


def checks_of(pools: t.Sequence[Pool], addresses: t.Iterable[str]) -> dict[str, Health]:
    """How each address is asked for its health, by the first of its pools that checks it.

    :raises InvalidInput: no pool with health checks has the address
    """
    checks: dict[str, Health] = {}
    for address in addresses:
        found = next((pool.health for pool in pools if address in pool.upstreams and pool.health is not None), None)
        if found is None:
            raise InvalidInput(f"{address} cannot be waited for: no pool with health checks has it. Nothing was changed.")
        checks[address] = found
    return checks


def handler(pool: Pool, running: Json) -> Json:
    """The handler as the pool wants it; keys that a pool does not describe stay as they run.

    An upstream that stays keeps its own further keys, such as max_requests.
    """
    known = {str(one.get("dial")): one for one in running.get("upstreams") or []}
    health = _object(running.get("health_checks"), active=_active(pool.health), passive=_passive(pool))
    balancing = _object(
        running.get("load_balancing"),
        selection_policy=_selection(pool),
        try_duration=_duration(pool.try_duration),
        try_interval=_duration(pool.try_interval),
    )
    transport = _object(running.get("transport"), dial_timeout=_duration(pool.dial_timeout))
    if transport:
        transport.setdefault("protocol", "http")
    return _object(
        running,
        upstreams=[{**known.get(address, {}), "dial": address} for address in pool.upstreams],
        load_balancing=balancing or None,
        health_checks=health or None,
        transport=transport or None,
        stream_timeout=_duration(pool.stream_timeout),
        stream_close_delay=_duration(pool.stream_close_delay),
    )


def _object(running: Json | None, **managed: t.Any) -> Json:
    """The running object with the managed keys as given; None takes a key away."""
    kept = {name: value for name, value in (running or {}).items() if name not in managed}
    return {**kept, **{name: value for name, value in managed.items() if value is not None}}


def _selection(pool: Pool) -> Json:
    if pool.cookie is None:
        return {"policy": pool.policy}
    cookie = pool.cookie
    named = {"policy": "cookie", "name": cookie.name, "secret": cookie.secret, "fallback": {"policy": cookie.fallback}}
    return _object(named, max_age=_duration(cookie.max_age))


def _active(health: Health | None) -> Json | None:
    if health is None:
        return None
    times = {"interval": _duration(health.interval), "timeout": _duration(health.timeout)}
    return _object({"uri": health.uri, **times, "fails": health.fails, "passes": health.passes}, port=health.port)


def _passive(pool: Pool) -> Json | None:
    return {"fail_duration": _duration(pool.fail_duration), "max_fails": pool.max_fails} if pool.fail_duration else None


def _duration(seconds: float) -> str | None:
    """Seconds in Go's way of writing, None for 0."""
    return f"{seconds:g}s" if seconds else None


def plan(pools: t.Sequence[Pool], before: t.Mapping[str, Json], after: t.Mapping[str, Json]) -> Plan:
    """What changes between two states of the handlers, by id: one action for each pool that differs, secrets hidden."""
    changes = Plan()
    for pool in pools:
        old, new = before.get(pool.id, {}), after[pool.id]
        if old == new:
            continue
        for part in ("upstreams", "load_balancing", "health_checks", "transport", "stream_timeout", "stream_close_delay"):
            changes.differ(f"{pool.id} {part.replace('_', ' ')}", _shown(old.get(part)), _shown(new.get(part)))
        changes.differ(f"{pool.id} cookie secret", _secret(old), _secret(new), secret=True)
        changes.act("update", pool.id, f"{len(pool.upstreams)} upstreams, {pool.policy}")
    return changes


def _shown(part: t.Any) -> t.Any:
    """A part of a handler for people: upstreams by their address, no cookie secret."""
    if isinstance(part, list):
        return [one["dial"] if set(one) == {"dial"} else one for one in part]
    if isinstance(part, dict):
        return {name: _shown(value) for name, value in part.items() if name != "secret"}
    return part


def _secret(handler: Json) -> str | None:
    secret = ((handler.get("load_balancing") or {}).get("selection_policy") or {}).get("secret")
    return str(secret) if secret else None


def health_of(handler: Json) -> Health | None:
    """The active checks that a running handler makes; None where it makes none."""
    active = (handler.get("health_checks") or {}).get("active")
    if not active:
        return None
    return Health(
        uri=str(active.get("uri") or "/"),
        port=active.get("port") or None,
        interval=_seconds(active.get("interval"), 30),
        timeout=_seconds(active.get("timeout"), 5),
        fails=int(active.get("fails") or 1),
        passes=int(active.get("passes") or 1),
    )


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(duration: t.Any, default: float) -> float:
    """A duration of Caddy's, nanoseconds or text such as 1m30s, in seconds."""
    if isinstance(duration, str):
        parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d)", duration)
        return sum(float(number) * _UNITS[unit] for number, unit in parts) or default
    return float(duration) * 1e-9 if duration else default

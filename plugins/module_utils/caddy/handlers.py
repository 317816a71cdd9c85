# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reverse_proxy handler that a pool makes, and what a running one says. All functions are pure.

Names and meaning of the keys: https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/.
"""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import policies
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import as_json
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import (
    Json,
    edit_handlers,
    foreign,
    handlers,
    join,
    owned,
    plain,
    proxies,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.times import duration, in_seconds
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import ABSENT, EXACT, PRESENT, Health, Pool
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan


def edit(running: Json, pools: t.Sequence[Pool]) -> Json:
    """The running configuration with the handler of each pool as the pool wants it; all else stays.

    :raises InvalidInput: an id is not there or is no reverse_proxy, a pool would lose its last member, or a handler cannot be managed
    """
    edited = as_json(edit_handlers(running, {pool.id: functools.partial(handler, pool) for pool in pools}))
    return spelled(edited, [pool.id for pool in pools])


def handler(pool: Pool, running: Json) -> Json:
    """The handler as the pool wants it; keys that a pool does not describe stay as they run.

    An upstream that stays keeps its own further keys, such as max_requests.

    :raises InvalidInput: no member would be left, or the running handler cannot be managed so
    """
    if running.get("dynamic_upstreams"):
        raise InvalidInput(
            f"Pool {pool.id}: its handler has dynamic_upstreams, and Caddy heeds no others then. Take them out of the structure; "
            "nothing was changed."
        )
    wanted = {**owned(running), "upstreams": _members(pool, running)} if pool.state != EXACT else _wanted(pool, running)
    return join(foreign(running), wanted)


def _wanted(pool: Pool, running: Json) -> Json:
    """The part of the handler that the pool describes, without what is Caddy's default."""
    return _pruned(
        {
            "upstreams": _members(pool, running),
            "load_balancing": {
                "selection_policy": _selection(pool),
                "retries": pool.retries,
                "retry_match": [dict(match) for match in pool.retry_match],
                "try_duration": duration(pool.try_duration),
                "try_interval": duration(pool.try_interval if pool.retries or pool.try_duration else 0),
            },
            "health_checks": {"active": _active(pool.health), "passive": _passive(pool)},
            "transport": {
                name: duration(getattr(pool, name)) for name in ("dial_timeout", "response_header_timeout", "read_timeout", "write_timeout")
            },
            **{name: duration(getattr(pool, name)) for name in ("stream_timeout", "stream_close_delay", "flush_interval")},
        }
    )


def _pruned(value: Json) -> Json:
    """Without everything that is None, 0 or empty, at any depth."""
    inner = {name: _pruned(part) if isinstance(part, dict) else part for name, part in value.items()}
    return {name: part for name, part in inner.items() if part}


def _members(pool: Pool, running: Json) -> list[Json]:
    """The upstreams as they shall be: in the order that runs, where the pool gives the order no meaning."""
    live = {_key(str(one.get("dial"))): one for one in running.get("upstreams") or []}
    listed = {_key(address): address for address in pool.upstreams}
    if pool.state == EXACT:
        keys = list(live) if live.keys() == listed.keys() and not pool.policy.ordered else list(listed)
    else:
        _require_no_weights(pool, running)
        keys = [key for key in live if pool.state == PRESENT or key not in listed]
        keys += [key for key in listed if pool.state == PRESENT and key not in live]
    if not keys:
        raise InvalidInput(
            f"Pool {pool.id}: without {', '.join(pool.upstreams)} it would have no upstream left, and Caddy would answer every request "
            "with 503. Leave at least one; nothing was changed."
        )
    return [{**live.get(key, {}), "dial": listed.get(key) or plain(str(live[key]["dial"]))} for key in keys]


def _key(address: str) -> str:
    return plain(address).lower()


def _require_no_weights(pool: Pool, running: Json) -> None:
    policy = ((running.get("load_balancing") or {}).get("selection_policy") or {}).get("policy")
    if policy == "weighted_round_robin":
        word = "taken out" if pool.state == ABSENT else "added"
        raise InvalidInput(
            f"Pool {pool.id}: its policy weighted_round_robin has a weight for each upstream, so that none can be {word} alone. "
            "Use state exact with the weights; nothing was changed."
        )


def _selection(pool: Pool) -> Json:
    words = policies.selection(pool.policy)
    return {**words, "max_age": duration(pool.policy.cookie.max_age)} if pool.policy.cookie else words


def _active(health: Health | None) -> Json:
    if health is None:
        return {}
    times = {"interval": duration(health.interval), "timeout": duration(health.timeout)}
    counts = {"fails": health.fails, "passes": health.passes}
    return {"uri": health.uri, "port": health.port, **times, **counts, "expect_status": health.status, "expect_body": health.body}


def _passive(pool: Pool) -> Json:
    passive: Json = {"unhealthy_request_count": pool.unhealthy_request_count}
    if pool.fail_duration:
        passive |= {"fail_duration": duration(pool.fail_duration), "max_fails": pool.max_fails}
        passive |= {"unhealthy_status": list(pool.unhealthy_status), "unhealthy_latency": duration(pool.unhealthy_latency)}
    return passive


def spelled(config: Json, managed: t.Collection[str]) -> Json:
    """The configuration with C(tcp/) before the addresses that a managed pool lists without checking them while another pool checks them.

    Caddy keeps one gauge of health and one count of failures for each spelling of an address. So what a pool without checks, such as
    one for the case that all fail, holds for healthy does not cover what the others have found. All of ``config`` is ours to change.
    """
    checked = {_key(dial) for one in proxies(config) if health_of(one) for dial in _dials(one)}
    for name, one in handlers(config).items():
        if name in managed:
            prefix = "" if health_of(one) else "tcp/"
            for upstream in one.get("upstreams") or []:
                address = plain(str(upstream["dial"]))
                upstream["dial"] = (prefix if _key(address) in checked else "") + address
    return config


def _dials(one: Json) -> list[str]:
    return [str(upstream.get("dial")) for upstream in one.get("upstreams") or []]


def addresses(one: Json) -> list[str]:
    """The addresses of a running handler, in order."""
    return [plain(dial) for dial in _dials(one)]


def plan(pools: t.Sequence[Pool], before: t.Mapping[str, Json], after: t.Mapping[str, Json]) -> Plan:
    """What changes between two states of the handlers, by id: one action for each pool that differs, secrets hidden."""
    changes = Plan()
    for pool in pools:
        old, new = owned(before.get(pool.id, {})), owned(after[pool.id])
        if old == new:
            continue
        for part in sorted({*old, *new}, key=list({**new, **old}).index):
            changes.differ(f"{pool.id} {part.replace('_', ' ')}", _shown(old.get(part)), _shown(new.get(part)))
        changes.differ(f"{pool.id} cookie secret", _secret(old), _secret(new), secret=True)
        changes.act("update", pool.id, f"{len(new['upstreams'])} upstreams, {policy_of(new)}")
    return changes


def policy_of(one: Json) -> str:
    """The name of a running handler's policy."""
    return str(((one.get("load_balancing") or {}).get("selection_policy") or {}).get("policy") or "random")


def _shown(part: t.Any) -> t.Any:
    """A part of a handler for people: upstreams by their address, no cookie secret."""
    if isinstance(part, list):
        return [plain(one["dial"]) if isinstance(one, dict) and set(one) == {"dial"} else one for one in part]
    if isinstance(part, dict):
        return {name: _shown(value) for name, value in part.items() if name != "secret"}
    return part


def _secret(one: Json) -> str | None:
    secret = ((one.get("load_balancing") or {}).get("selection_policy") or {}).get("secret")
    return str(secret) if secret else None


def health_of(one: Json) -> Health | None:
    """The active checks that a running handler makes; None where it makes none."""
    active = (one.get("health_checks") or {}).get("active") or {}
    if not (active.get("uri") or active.get("path") or active.get("port")):
        return None
    return Health(
        uri=str(active.get("uri") or active.get("path") or "/"),
        port=active.get("port") or None,
        interval=in_seconds(active.get("interval"), 30),
        timeout=in_seconds(active.get("timeout"), 5),
        fails=int(active.get("fails") or 1),
        passes=int(active.get("passes") or 1),
        status=active.get("expect_status") or None,
        body=str(active.get("expect_body") or ""),
    )


def checks_of(config: Json, wanted: t.Iterable[str]) -> dict[str, Health]:
    """How each address is asked for its health, by the first of the configuration's pools that checks it.

    :raises InvalidInput: no pool with health checks has the address
    """
    pools = [(addresses(one), health_of(one)) for one in proxies(config)]
    checks: dict[str, Health] = {}
    for address in wanted:
        found = next((health for listed, health in pools if health is not None and plain(address) in listed), None)
        if found is None:
            raise InvalidInput(
                f"{address} cannot be waited for: no pool with health checks has it. Give a pool that has it health, or correct the "
                "address."
            )
        checks[address] = found
    return checks

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of upstreams as it is wanted.

Caddy accepts an empty pool and an address that cannot be dialled, and then answers every request with an error; both are
refused here, before anything is written, as is every option that would have no effect.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import policies
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import plain
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.policies import OPTIONS, Cookie, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

EXACT, PRESENT, ABSENT = STATES = ("exact", "present", "absent")

_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_TIMES = ("try_duration", "try_interval", "dial_timeout", "response_header_timeout", "read_timeout", "write_timeout", "fail_duration",
          "unhealthy_latency", "stream_timeout", "stream_close_delay")  # fmt: skip
_COUNTS = ("retries", "max_fails", "unhealthy_request_count")


@dataclasses.dataclass(frozen=True)
class Health:
    """Active checks of each upstream; times in seconds. Without a port they go to the port that serves.

    ``status`` is one code, or a digit for its hundred; without it any 2xx passes. ``body`` is a regular expression.
    """

    uri: str
    port: int | None = None
    interval: float = 10
    timeout: float = 5
    fails: int = 1
    passes: int = 1
    status: int | None = None
    body: str = ""

    @property
    def notice(self) -> float:
        """Seconds after which Caddy knows for certain that an upstream fails since then."""
        return self.interval * self.fails + self.timeout

    def address(self, upstream: str) -> str:
        """Where the checks of an upstream go."""
        host, port = upstream.rsplit(":", 1)
        return f"{host}:{self.port or port}"

    def expects(self, status: int) -> bool:
        """Whether a status is that of a healthy upstream."""
        wanted = self.status or 2
        return status == wanted or (wanted < 100 and status // 100 == wanted)


@dataclasses.dataclass(frozen=True)
class Pool:
    """What a reverse_proxy handler shall be; times in seconds, 0 is Caddy's own default.

    With ``state`` present or absent only the members are meant: these are added to, or taken out of, those that run.
    """

    id: str
    upstreams: tuple[str, ...]
    state: str = EXACT
    policy: Policy = policies.RANDOM
    health: Health | None = None
    retries: int = 0
    retry_match: tuple[t.Mapping[str, t.Any], ...] = ()
    try_duration: float = 0
    try_interval: float = 0.25
    dial_timeout: float = 0
    response_header_timeout: float = 0
    read_timeout: float = 0
    write_timeout: float = 0
    fail_duration: float = 0
    max_fails: int = 1
    unhealthy_status: tuple[int, ...] = ()
    unhealthy_latency: float = 0
    unhealthy_request_count: int = 0
    stream_timeout: float = 0
    stream_close_delay: float = 0
    flush_interval: float = 0


def pools_of(params: t.Mapping[str, t.Any]) -> list[Pool]:
    """The pools that a module's parameters describe: the list ``pools``, or the one that stands in the parameters themselves.

    :raises InvalidInput: both at once, or one that :func:`pools_from` refuses
    """
    names = {"id", *_single()}
    alone = {name: params[name] for name in names if params.get(name) is not None}
    if params.get("pools") is None:
        return pools_from([alone])
    beside = [name for name in sorted(alone) if name in ("id", "upstreams") or alone[name] != _single()[name]]
    if beside:
        raise InvalidInput(f"{', '.join(beside)} stands beside pools; write it into each of the pools that it is for. Nothing was changed.")
    return pools_from(params["pools"])


def _single() -> dict[str, t.Any]:
    """Every option of a pool but its id, with the value that stands for not given."""
    plain_options: dict[str, t.Any] = {field.name: field.default for field in dataclasses.fields(Pool) if field.name != "id"}
    return {**plain_options, "policy": "random", "cookie": None, "weights": None, "choose": None, "field": None, "fallback": None}


def pools_from(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Pool]:
    """The pools that a module's options describe.

    :raises InvalidInput: an empty pool, an address that is none, one that stands twice, an unknown policy, an option that does not
        belong to it or has no effect, two pools with one id
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
    if not given.get("id"):
        raise InvalidInput("A pool has no id; give the @id of its handler in the running configuration. Nothing was changed.")
    given["upstreams"] = tuple(plain(str(address)) for address in given.get("upstreams", ()))
    for name in ("retry_match", "unhealthy_status"):
        given[name] = tuple(given.get(name, ()))
    if "health" in given:
        given["health"] = Health(**_set(given["health"]))
    policy = _policy(given)
    pool = Pool(policy=policy, **{name: value for name, value in given.items() if name not in _POLICY_WORDS})
    problem = next(_problems(pool), None)
    if problem is not None:
        raise InvalidInput(f"Pool {pool.id}: {problem} Nothing was changed.")
    return pool


_POLICY_WORDS = frozenset({"policy", *(option for options in OPTIONS.values() for option in options)})


def _policy(given: t.Mapping[str, t.Any]) -> Policy:
    words = {name: value for name, value in given.items() if name in _POLICY_WORDS and name != "policy"}
    words["weights"] = tuple(words.get("weights", ()))
    if "cookie" in words:
        words["cookie"] = Cookie(**_set(words["cookie"]))
    return Policy(name=given.get("policy", "random"), **words)


def _set(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in options.items() if value is not None}


def _problems(pool: Pool) -> t.Iterator[str]:
    if pool.state not in STATES:
        yield f"state {pool.state!r} is none of {', '.join(STATES)}."
    if not pool.upstreams:
        yield "it has no upstreams, and Caddy would answer every request with 503. List at least one address."
    seen: set[str] = set()
    for address in pool.upstreams:
        if not is_address(address):
            yield f"{address!r} is no address; write host:port with a port from 1 to 65535, such as 10.87.0.101:8080."
        if address.lower() in seen:
            yield f"{address} stands there twice; list each address once."
        seen.add(address.lower())
    if pool.state != EXACT:
        yield from _partial_problems(pool)
        return
    yield from policies.problems(pool.policy, len(pool.upstreams))
    yield from _number_problems(pool)
    yield from _passive_problems(pool)
    yield from _retry_problems(pool)
    if pool.health is not None:
        yield from _health_problems(pool.health)


def _partial_problems(pool: Pool) -> t.Iterator[str]:
    """Options that would be given and not heeded."""
    bare = Pool(id=pool.id, upstreams=pool.upstreams, state=pool.state)
    beside = [field.name for field in dataclasses.fields(Pool) if getattr(pool, field.name) != getattr(bare, field.name)]
    if beside:
        yield f"state {pool.state} changes members and nothing else; leave out {', '.join(beside)}, or use state exact."


def _number_problems(pool: Pool) -> t.Iterator[str]:
    for name in (*_TIMES, *_COUNTS):
        if getattr(pool, name) < 0:
            yield f"{name} is {getattr(pool, name)}; it cannot be negative."
    if pool.flush_interval < 0 and pool.flush_interval != -1:
        yield f"flush_interval is {pool.flush_interval:g}; it is in seconds, or -1 to flush each piece at once."


def _passive_problems(pool: Pool) -> t.Iterator[str]:
    needing = {"max_fails": pool.max_fails > 1, "unhealthy_status": pool.unhealthy_status, "unhealthy_latency": pool.unhealthy_latency}
    for name, given in needing.items():
        if given and not pool.fail_duration:
            yield f"{name} has no effect without fail_duration, for which a failure counts; give both or neither."
    for status in pool.unhealthy_status:
        yield from _status_problems("unhealthy_status", status)


def _retry_problems(pool: Pool) -> t.Iterator[str]:
    if pool.retry_match and not (pool.retries or pool.try_duration):
        yield "retry_match has no effect without retries or try_duration; give one of them."
    for match in pool.retry_match:
        if not isinstance(match, t.Mapping) or not match:
            yield f"retry_match has {match!r}, which would repeat every request; write what it is to match, such as {{method: [GET]}}."
            return
        wrong = [str(method) for method in match.get("method", ()) if not re.fullmatch(r"[A-Z]+", str(method))]
        if wrong:
            yield f"retry_match has the method {wrong[0]!r}; methods are written in capitals."


def _health_problems(health: Health) -> t.Iterator[str]:
    if not health.uri.startswith("/"):
        yield f"the health check's uri {health.uri!r} does not begin with a slash."
    if health.port is not None and not 1 <= health.port <= 65535:
        yield f"the health check's port {health.port} is none; ports go from 1 to 65535."
    if min(health.interval, health.timeout, health.fails, health.passes) <= 0:
        yield "interval, timeout, fails and passes of the health check are greater than 0."
    if health.status is not None:
        yield from _status_problems("the health check's status", health.status)
    try:
        re.compile(health.body)
    except re.error as error:
        yield f"the health check's body {health.body!r} is no regular expression: {error}."


def _status_problems(what: str, status: int) -> t.Iterator[str]:
    if not (1 <= status <= 5 or 100 <= status <= 599):
        yield f"{what} has {status}; a status is 100 to 599, or 1 to 5 for all of a hundred."


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

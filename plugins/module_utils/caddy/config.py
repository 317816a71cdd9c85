# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's configuration as a value: finding handlers by their C(@id), and bringing two owners' parts together.

The structure (servers, TLS, routes) has one owner, the pools behind it another. Of a handler that carries the C(@id) of a pool,
the keys in :data:`OWNED` belong to the pool; where it stands, and all its other keys, belong to the structure. All functions are pure.
"""

from __future__ import annotations

import copy
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import HIDDEN

Json = dict[str, t.Any]

# What a pool describes of a reverse_proxy handler. A key with nothing behind it is meant with all that it holds.
OWNED: Json = {
    "upstreams": None,
    "load_balancing": dict.fromkeys(("selection_policy", "retries", "retry_match", "try_duration", "try_interval")),
    "health_checks": {
        "active": dict.fromkeys(("uri", "path", "port", "interval", "timeout", "fails", "passes", "expect_status", "expect_body")),
        "passive": dict.fromkeys(("fail_duration", "max_fails", "unhealthy_status", "unhealthy_latency", "unhealthy_request_count")),
    },
    "transport": dict.fromkeys(("dial_timeout", "response_header_timeout", "read_timeout", "write_timeout")),
    "stream_timeout": None,
    "stream_close_delay": None,
    "flush_interval": None,
}
_SECRET = re.compile(r"secret|passw|token|mac_key|private|authorization|api_?key|credential", re.IGNORECASE)
_PRIVATE_KEY = "PRIVATE KEY-----"
# A shorter one would blot out innocent words.
_TELLING = 8


def handlers(config: t.Any) -> dict[str, Json]:
    """Every object with an C(@id), wherever it stands, by that id. They are parts of ``config``, not copies.

    :raises InvalidInput: two objects carry the same id
    """
    found: dict[str, Json] = {}
    for one in _objects(config):
        name = one.get("@id")
        if name is None:
            continue
        if str(name) in found:
            raise InvalidInput(f"Two objects of the configuration carry @id {name}; each may stand once. Nothing was changed.")
        found[str(name)] = one
    return found


def _objects(value: t.Any) -> t.Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(part)


def plain(dial: str) -> str:
    """An address without the C(tcp/) that makes it another one for Caddy, and none for the network."""
    return dial.removeprefix("tcp/")


def proxies(config: Json) -> list[Json]:
    """Every reverse_proxy handler, with or without an C(@id)."""
    return [one for one in _objects(config) if one.get("handler") == "reverse_proxy"]


def proxy_ids(config: Json) -> list[str]:
    """The C(@id)s of the reverse_proxy handlers."""
    return [str(one["@id"]) for one in proxies(config) if one.get("@id")]


def require_admin(config: Json, socket: str) -> None:
    """Refuse a configuration that would take the admin endpoint away from where we reach it.

    :raises InvalidInput: the admin endpoint is off, or listens elsewhere
    """
    admin = config.get("admin") or {}
    listen = str(admin.get("listen", "localhost:2019, Caddy's default"))
    if admin.get("disabled") or listen.partition("|")[0] != f"unix/{socket}":
        where = "off" if admin.get("disabled") else f"at {listen}"
        raise InvalidInput(
            f"In the new configuration the admin endpoint is {where}, so that this Caddy could not be managed any more. "
            f"Set admin.listen to unix/{socket}|0600; nothing was changed."
        )


def owned(one: Json, names: Json | None = None) -> Json:
    """The part of a handler that a pool describes."""
    names = OWNED if names is None else names
    there = {name: inner for name, inner in names.items() if name in one}
    found = {name: owned(one[name], inner) if inner and isinstance(one[name], dict) else one[name] for name, inner in there.items()}
    return {name: part for name, part in found.items() if part not in ({}, None)}


def foreign(one: Json, names: Json | None = None) -> Json:
    """The rest of a handler, which a pool leaves as it is."""
    names = OWNED if names is None else names
    rest: Json = {}
    for name, part in one.items():
        if name not in names:
            rest[name] = part
        elif names[name] and isinstance(part, dict) and (inner := foreign(part, names[name])):
            rest[name] = inner
    return rest


def join(rest: Json, mine: Json) -> Json:
    """A handler from its two parts."""
    joined = _joined(rest, mine)
    if joined.get("transport"):
        joined["transport"].setdefault("protocol", "http")
    return joined


def _joined(rest: Json, mine: Json) -> Json:
    both = {name: _joined(rest[name], part) for name, part in mine.items() if isinstance(part, dict) and isinstance(rest.get(name), dict)}
    return copy.deepcopy({**rest, **mine, **both})


def unfilled(structure: Json) -> list[str]:
    """The C(@id)s of reverse_proxy handlers to which a structure gives no upstreams: pools are to fill them."""
    return [
        name
        for name, one in handlers(structure).items()
        if one.get("handler") == "reverse_proxy" and not one.get("upstreams") and not one.get("dynamic_upstreams")
    ]


def merge(structure: Json, running: Json, keep: t.Collection[str]) -> Json:
    """The structure, with what pools describe of the handlers in ``keep`` as it runs now.

    One that does not run yet stays as the structure has it.
    """
    merged = copy.deepcopy(structure)
    live = handlers(running)
    for name, one in handlers(merged).items():
        if name in keep and name in live:
            both = join(foreign(one), owned(live[name]))
            one.clear()
            one.update(both)
    return merged


def edit_handlers(running: Json, edits: t.Mapping[str, t.Callable[[Json], Json]]) -> Json:
    """The running configuration with each named reverse_proxy handler as its edit makes it; all else stays.

    :raises InvalidInput: a name is not there, or is no reverse_proxy
    """
    edited = copy.deepcopy(running)
    live = handlers(edited)
    for name, edit in edits.items():
        handler = live.get(name)
        if handler is None or handler.get("handler") != "reverse_proxy":
            known = ", ".join(sorted(key for key, one in live.items() if one.get("handler") == "reverse_proxy")) or "none"
            what = "carries @id" if handler is None else "is a reverse_proxy with @id"
            raise InvalidInput(
                f"No handler of the running configuration {what} {name}; reverse_proxy handlers with an @id there: {known}. "
                "Load the structure with caddy_config first, or correct the id; nothing was changed."
            )
        after = edit(copy.deepcopy(handler))
        handler.clear()
        handler.update(after)
    return edited


def structure_of(config: Json, keep: t.Collection[str]) -> Json:
    """The configuration for people: of handlers with pools only what the structure says, secrets hidden."""
    shown = copy.deepcopy(config)
    for name, one in handlers(shown).items():
        if name in keep:
            rest = foreign(one)
            one.clear()
            one.update(rest)
    return t.cast(Json, redacted(shown))


def secrets(value: t.Any) -> set[str]:
    """Every text with the name of a secret, for those who must not show it anywhere."""
    if isinstance(value, dict):
        own = {text for name, part in value.items() if _SECRET.search(name) for text in _texts(part) if len(text) >= _TELLING}
        return own.union(*map(secrets, value.values()))
    return set().union(*map(secrets, value)) if isinstance(value, list) else set()


def _texts(value: t.Any) -> t.Iterator[str]:
    """A text, or those of a list, such as the values of a header."""
    if isinstance(value, str):
        yield value
    for part in value if isinstance(value, list) else ():
        yield from _texts(part)


def redacted(value: t.Any) -> t.Any:
    """A copy in which every value with the name of a secret, and every private key, is hidden."""
    if isinstance(value, dict):
        return {name: _hidden(part) if _SECRET.search(name) else redacted(part) for name, part in value.items()}
    if isinstance(value, str):
        return HIDDEN if _PRIVATE_KEY in value else value
    return [redacted(part) for part in value] if isinstance(value, list) else value


def _hidden(value: t.Any) -> t.Any:
    """A copy without any text, which keeps its shape."""
    if isinstance(value, dict):
        return redacted(value)
    return [_hidden(part) for part in value] if isinstance(value, list) else HIDDEN if isinstance(value, str) else value

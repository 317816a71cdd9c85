# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's configuration as a value: finding handlers by their C(@id), and bringing two owners' parts together.

The structure (servers, TLS, routes) has one owner, the pools behind it another. A handler that carries one of the C(@id)s
of the pools belongs to the pools: the structure only says where it stands. All functions are pure.
"""

from __future__ import annotations

import copy
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import HIDDEN

Json = dict[str, t.Any]

POOLS = ("gb-ws", "gb-api", "gb-health", "gb-web")
_SECRET = re.compile(r"secret|passw|token|mac_key|private", re.IGNORECASE)


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


def merge(structure: Json, running: Json, keep: t.Collection[str]) -> Json:
    """The structure, with the handlers in ``keep`` as they run now. One that does not run yet stays as the structure has it."""
    merged = copy.deepcopy(structure)
    live = handlers(running)
    for name, handler in handlers(merged).items():
        if name in keep and name in live:
            handler.clear()
            handler.update(copy.deepcopy(live[name]))
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
    """The configuration for people: handlers of other owners by their C(@id) only, secrets hidden."""
    shown = copy.deepcopy(config)
    for name, handler in handlers(shown).items():
        if name in keep:
            kind = handler.get("handler")
            handler.clear()
            handler.update({"@id": name, "handler": kind})
    return t.cast(Json, redacted(shown))


def redacted(value: t.Any) -> t.Any:
    """A copy in which every value with the name of a secret is hidden."""
    if isinstance(value, dict):
        return {name: HIDDEN if _SECRET.search(name) and isinstance(part, str) else redacted(part) for name, part in value.items()}
    return [redacted(part) for part in value] if isinstance(value, list) else value

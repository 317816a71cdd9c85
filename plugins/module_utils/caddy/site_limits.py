# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate limits of a site: from rate-limit-* to the zones of caddy-ratelimit. All functions are pure.

The module (github.com/mholt/caddy-ratelimit v0.1.0) counts in a window that slides: a request passes if fewer than so many came in
the time before it. It has no burst, so that one is made of two windows, and no prefix of an IPv6 address, so that one is cut off
by an expression.
"""

from __future__ import annotations

import difflib
import math
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site_options import Json
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.times import duration
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import ENDPOINT

#: Where each of rate-limit-by is taken from, unless gb_rate_limit_keys says otherwise.
KEYS: t.Mapping[str, str] = {
    "ip": "{http.vars.client_ip}",
    "user": "{http.request.uri.query.user_id}",
    "tenant": "{http.request.host}",
    "session": "{http.request.uri.query.session_id}",
    "token": "{http.request.header.Authorization}",
}
#: The paths of the endpoints that have a limit of their own, unless gb_rate_limit_paths says otherwise.
PATHS: t.Mapping[str, tuple[str, ...]] = {
    "chat": ("/api/chat", "/api/chat/*", "/ws", "/ws/*"),
    "files": ("/api/files", "/api/files/*", "/api/drive", "/api/drive/*"),
    "auth": ("/api/auth", "/api/auth/*"),
}
ADDRESS = "gb_address"
_OWN = "ip"
# Every request has a host.
_ALWAYS = "tenant"

# What goes before the last 64 bits of an IPv6 address, in Go's way of writing it (RFC 5952): the first that matches. Zeros that :: stands
# for are written out as far as they belong to it, so that each network has one key. IPv4 stays as it is.
_NETWORKS = (
    (r"^::ffff:([0-9]+\.[0-9.]+)$", "${1}"),
    (r"^((?:[0-9a-f]+:){4})", "${1}"),
    (r"^((?:[0-9a-f]+:){3}):", "${1}0:"),
    (r"^((?:[0-9a-f]+:){2}):", "${1}0:0:"),
    (r"^([0-9a-f]+:):([0-9a-f]+:)(?:[0-9a-f]+:){3}[0-9a-f]+", "${1}0:0:${2}"),
    (r"^([0-9a-f]+:):", "${1}0:0:0:"),
    (r"^::((?:[0-9a-f]+:){2})(?:[0-9a-f]+:){3}[0-9a-f]+", "0:0:${1}"),
    (r"^::([0-9a-f]+:)(?:[0-9a-f]+:){3}[0-9a-f]+", "0:0:0:${1}"),
    (r"^::", "0:0:0:0:"),
)


class Limits:
    """What a site limits; ``options`` is the part C(limits) of its options."""

    def __init__(self, settings: t.Mapping[str, t.Any], options: Json, routes: t.Sequence[Json]) -> None:
        self.settings, self.options, self.routes = settings, options, routes
        self.enabled: bool = settings["rate-limit-enabled"]
        self.window: int = settings["rate-limit-window"]
        self.by: str = settings["rate-limit-by"]
        self.keys: dict[str, str] = {**KEYS, **options["keys"]}
        self.paths: dict[str, list[str]] = {**{name: list(paths) for name, paths in PATHS.items()}, **options["paths"]}
        self._check()

    def handlers(self) -> list[Json]:
        """The handlers that stand before the routes; none where nothing is limited."""
        zones = {"endpoints": self._endpoints(), "address": self._addresses(), "all": self._everything()} if self.enabled else {}
        found = [self._handler(name, part) for name, part in zones.items() if part]
        return [*self._names(), *found] if found or any(route["limit"] for route in self.routes) else []

    def of_route(self, route: Json) -> list[Json]:
        """The handler of a route's own limit, which holds whether rate-limit-enabled is true or not."""
        limit = route["limit"]
        if not limit:
            return []
        zone = self._zone(limit["requests"], limit["window"] or self.window, limit["by"] or self.by)
        name = f"route-{route['name']}"
        return [self._handler(name, {name: zone})]

    def _check(self) -> None:
        for by in (self.by, *(route["limit"]["by"] for route in self.routes if route["limit"] and route["limit"]["by"])):
            if by not in self.keys:
                raise InvalidInput(f"A limit is by {by!r}, and gb_rate_limit_keys has only {', '.join(self.keys)}. Nothing was changed.")
        for name in self._endpoint_names() if self.enabled else ():
            paths = self.paths.get(name)
            if not isinstance(paths, list) or not paths or not all(str(path).startswith("/") for path in paths):
                near = difflib.get_close_matches(name, self.paths, n=1, cutoff=0.6)
                meant = f", or did you mean {ENDPOINT}{near[0]}?" if near and near[0] != name else "."
                raise InvalidInput(
                    f"{ENDPOINT}{name} is set, and gb_rate_limit_paths has no list of paths named {name}. Add the paths there{meant} "
                    "Nothing was changed."
                )
        if self.options["proxies"] < 1:
            raise InvalidInput(f"gb_rate_limit_proxies is {self.options['proxies']}; it is 1 or more. Nothing was changed.")
        storage = self.options["storage"]
        if storage.get("module") == "file_system" and not str(storage.get("root", "")).startswith("/"):
            raise InvalidInput(
                f"storage of caddy_rate_limit is file_system with the root {storage.get('root')!r}, which no other proxy would share. Give "
                "the folder that all proxies have in common, as in {module: file_system, root: /srv/limits}. Nothing was changed."
            )

        for name, source in self.options["keys"].items():
            if not re.search(r"\{[^{}\s]+\}", str(source)):
                raise InvalidInput(
                    f"gb_rate_limit_keys has {name}: {source!r}, the same for every visitor, and all would share one limit. Write a "
                    "placeholder in braces, such as {http.request.header.X-User}. Nothing was changed."
                )

    def by_address(self) -> list[str]:
        """Which limits count by the visitor's address, or fall back on it where a request has none of what they count by."""
        everywhere = [("rate-limit-by", self.by)] if self.enabled else []
        own = [(f"the limit of route {route['name']}", route["limit"]["by"] or self.by) for route in self.routes if route["limit"]]
        return [f"{what} is {by}" for what, by in (*everywhere, *own) if by != _ALWAYS or _ALWAYS in self.options["keys"]]

    def _endpoint_names(self) -> list[str]:
        return [key.removeprefix(ENDPOINT) for key, value in self.settings.items() if key.startswith(ENDPOINT) and value]

    def _names(self) -> list[Json]:
        """Names for what tells clients apart: the address, an IPv6 one by its /64, and for others the address where there is none."""
        source = KEYS[_OWN] if _OWN not in self.options["keys"] else self.keys[_OWN]
        mappings = [{"input_regexp": pattern, "outputs": [network]} for pattern, network in _NETWORKS]
        found: list[Json] = [_map(source, ADDRESS, mappings)]
        used = {self.by, *(route["limit"]["by"] or self.by for route in self.routes if route["limit"])}
        nameless = [{"input": "", "outputs": [f"{{{ADDRESS}}}"]}]
        return [*found, *(_map(self.keys[by], f"gb_by_{by}", nameless) for by in sorted(used - {_OWN}))]

    def _everything(self) -> Json:
        """The limit over all: in one window up to the burst more, in two windows never more than twice."""
        requests = self.settings["rate-limit-requests"]
        burst = min(self.settings["rate-limit-burst"], requests)
        zones = {"all": self._zone(requests + burst, self.window, self.by)}
        if burst:
            zones["all-two-windows"] = self._zone(2 * requests, 2 * self.window, self.by)
        return zones

    def _addresses(self) -> Json:
        """A client can make up as many users, sessions and tokens as it likes, and so an address has a ceiling as well."""
        factor = self.options["address_factor"]
        if self.by in (_OWN, "tenant") or not factor:
            return {}
        return {"address": self._zone(factor * self.settings["rate-limit-requests"], self.window, _OWN)}

    def _endpoints(self) -> Json:
        zones = {}
        for name in self._endpoint_names():
            zone = self._zone(self.settings[ENDPOINT + name], self.window, self.by)
            zones[f"api-{name}"] = {"match": [{"path": [str(path) for path in self.paths[name]]}], **zone}
        return zones

    def _zone(self, requests: int, window: float, by: str) -> Json:
        """A zone; where several proxies share nothing, each has its share of it."""
        share = requests if self.options["storage"] else math.ceil(requests / self.options["proxies"])
        key = f"{{{ADDRESS}}}" if by == _OWN else f"{{gb_by_{by}}}"
        return {"key": key, "window": duration(window), "max_events": share}

    def _handler(self, name: str, zones: Json) -> Json:
        handler: Json = {"handler": "rate_limit", "rate_limits": zones}
        if self.options["storage"] and self.options["proxies"] > 1:
            sync = duration(self.options["sync"])
            handler["storage"] = self._storage(name)
            handler["distributed"] = {"read_interval": sync, "write_interval": sync, "purge_age": duration(max(60, 4 * self.window))}
        return handler

    def _storage(self, name: str) -> Json:
        """The storage in which the handlers of this name tell each other; of files each has a folder of its own.

        A file is written beside its place and moved there (certmagic's atomicfile), and a handler reads whatever lies in the folder
        but the file of its own proxy (caddy-ratelimit's distributed.go). In one folder it would come upon a file that another
        handler of its proxy is just writing, and count the proxy's own requests as another's too.
        """
        storage: Json = self.options["storage"]
        return {**storage, "root": f"{storage['root'].rstrip('/')}/{name}"} if storage.get("module") == "file_system" else storage


def _map(source: str, name: str, mappings: list[Json]) -> Json:
    return {"handler": "map", "source": source, "destinations": [f"{{{name}}}"], "mappings": mappings, "defaults": [source]}

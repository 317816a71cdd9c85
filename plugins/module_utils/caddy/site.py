# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site that Caddy serves, as a value: the whole configuration, and the pools that fill its reverse_proxy handlers.

Structure: https://caddyserver.com/docs/json/. Each server has exactly one route, which holds a subroute with everything: Caddy
counts a request once for each route of a server that it passes.
"""

from __future__ import annotations

import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import site_errors, site_routes, site_tls
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.handlers import edit
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site_limits import Limits
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site_options import Json, validated
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import pools_from
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

# What a query may name a visitor or a secret by; the access log hides their values.
HIDDEN = ("session_id", "user_id", "token", "access_token", "refresh_token", "api_key", "key", "password", "secret", "code", "state")

# What a visitor may claim about an address and no instance shall read; Caddy itself sees to X-Forwarded-*.
CLAIMED = ("Forwarded", "X-Real-IP")


class Site(t.TypedDict):
    """What a proxy needs: Caddy's configuration with its pools, these alone, and files that it names, by their place in the proxy."""

    config: Json
    pools: list[Json]
    keep: list[str]
    files: list[site_tls.File]


def build(given: t.Mapping[str, t.Any]) -> Site:
    """The site that the options describe (their shape is :data:`site_options.SITE`).

    :raises InvalidInput: an option that is none or cannot work, routes that hide each other, a pool that cannot be, a certificate
        that does not hold
    """
    options = validated(given)
    _check(options)
    routes = options["routes"]
    site_routes.check(routes)
    _check_addresses(options)
    site_tls.check_proxies(options["tls"], options["proxies"])
    tls = site_tls.build(options["tls"], options["hosts"], options["listen"], options["tls_folder"])
    pools = _pools(options)
    http = {"grace_period": options["grace_period"], "metrics": {}, "servers": _servers(options, tls)}
    apps = {"http": http, "tls": tls.app, "pki": {"certificate_authorities": {"local": {"install_trust": False}}}}
    structure = {"admin": {"listen": options["admin"]}, "logging": {"logs": _logs(options["log"])}, "apps": apps}
    config = edit(structure, pools_from(pools))
    return {"config": config, "pools": pools, "keep": [pool["id"] for pool in pools], "files": tls.files}


def _check(options: Json) -> None:
    settings = options["settings"]
    if not options["hosts"]:
        raise InvalidInput("gb_site_hosts is empty, and the site would answer to no name. List at least one; nothing was changed.")
    if not settings["health-enabled"]:
        raise InvalidInput(
            f"health-enabled is false, and without health checks Caddy would send requests to every one of the "
            f"{len(options['pool']['upstreams'])} slots, those without an instance included, and a drain would never end. "
            "Set health-enabled to true; nothing was changed."
        )
    if len(options["pool"]["cookie_secret"]) < 32:
        raise InvalidInput(
            "caddy_cookie_secret has fewer than 32 characters, and whoever guesses it can choose the instance that serves them. "
            "Generate one, the same for all proxies; nothing was changed."
        )


def _check_addresses(options: Json) -> None:
    """Refuse limits by an address that all who come by HTTP/3 have in common."""
    listen = options["listen"]
    if "h3" not in listen["protocols"] or not listen["proxy_protocol"]:
        return
    limits = Limits(options["settings"], options["limits"], options["routes"]).by_address()
    if limits:
        raise InvalidInput(
            f"HTTP/3 comes through the host's proxy device without the visitor's address, and {', and '.join(limits)}, which counts by the "
            "address, or falls back on it: all visitors would share one limit. Take h3 out of gb_http_versions, set gb_proxy_protocol to "
            "false where the proxy is reached directly, or limit by tenant; nothing was changed."
        )


def _pools(options: Json) -> list[Json]:
    common, routes = options["pool"], options["routes"]
    pools = [site_routes.pool(route, common, options["settings"]) for route in routes]
    if not common["panic"]:
        return pools
    sticky = [route["name"] for route in routes if route["policy"] == "cookie"]
    if sticky and not common["panic_health"]:
        raise InvalidInput(
            f"caddy_panic_health is empty, and route {sticky[0]} is sticky. Without checks of its own Caddy would hold the instances of "
            "its panic route for others than those that the cookie names, and its visitors would lose theirs where none is healthy. Give "
            "a path such as /health, or set caddy_panic to false; nothing was changed."
        )
    ids = [(site_errors.panic_id(route), pool) for route, pool in zip(routes, pools, strict=True)]
    own = [site_routes.panic_pool(name, common, pool) for name, pool in ids if name != site_errors.PANIC]
    shared = [site_routes.panic_pool(site_errors.PANIC, common)] if len(own) < len(routes) else []
    return [*pools, *own, *shared]


def _servers(options: Json, tls: site_tls.Tls) -> Json:
    listen = options["listen"]
    common = {"read_header_timeout": "10s", "automatic_https": {"disable": True}, **_wrappers(listen)}
    return {
        "redirect": {"listen": [listen["http"]], **common, "routes": [_one_route(_redirect(options))]},
        "site": {
            "listen": [listen["https"]],
            "protocols": listen["protocols"],
            **common,
            **_trust(listen),
            "tls_connection_policies": tls.policies,
            "logs": {},
            "routes": [_one_route(_site(options), _panic(options))],
            "errors": {"routes": site_errors.error_routes(_headers(options, None), options["pages"])},
        },
    }


def _one_route(routes: list[Json], errors: list[Json] | None = None) -> Json:
    subroute: Json = {"handler": "subroute", "routes": routes}
    return {"handle": [{**subroute, "errors": {"routes": errors}} if errors else subroute]}


def _redirect(options: Json) -> list[Json]:
    port = options["listen"]["public_https_port"]
    rest = ("" if port == 443 else f":{port}") + "{http.request.uri}"
    # Caddy takes the brackets away together with a port, and leaves them where there is none.
    bare = {"host": [host for host in options["hosts"] if ":" in host], "expression": "!{http.request.host}.startsWith('[')"}
    own = [{"match": [bare], "terminal": True, "handle": [_moved("https://[{http.request.host}]" + rest)]}] if bare["host"] else []
    return [{"handle": [_plain()]}, _other_hosts(options, _plain()), *own, {"handle": [_moved("https://{http.request.host}" + rest)]}]


def _moved(place: str) -> Json:
    return {"handler": "static_response", "status_code": 308, "headers": {"Location": [place]}}


def _plain() -> Json:
    """Headers for answers over plain HTTP, of which the site's own say nothing."""
    return {"handler": "headers", "response": {"deferred": True, "delete": ["Server"]}}


def _site(options: Json) -> list[Json]:
    limits = Limits(options["settings"], options["limits"], options["routes"])
    named = {"handler": "headers", "request": {"set": {"X-Request-Id": ["{http.request.uuid}"]}, "delete": list(CLAIMED)}}
    encode = {"handler": "encode", "encodings": {"zstd": {}, "gzip": {}}, "prefer": ["zstd", "gzip"]}
    before = limits.handlers()
    return [
        {"handle": [named, encode]},
        _other_hosts(options, _headers(options, None)),
        *([{"handle": before}] if before else []),
        *(_route(options, route, limits) for route in options["routes"]),
        site_errors.not_found(_headers(options, None)),
    ]


def _route(options: Json, route: Json, limits: Limits) -> Json:
    body = [{"handler": "request_body", "max_size": route["max_body"]}] if route["max_body"] else []
    proxy = {"@id": site_routes.pool_id(route), "handler": "reverse_proxy"}
    match = site_routes.matcher(route)
    handle = [_headers(options, route), *limits.of_route(route), *body, proxy]
    return {**({"match": match} if match else {}), "terminal": True, "handle": handle}


def _panic(options: Json) -> list[Json] | None:
    if not options["pool"]["panic"]:
        return None
    return site_errors.panic_routes(options["routes"], lambda route: _headers(options, route))


def _headers(options: Json, route: Json | None) -> Json:
    listen = options["listen"]
    moved = "h3" in listen["protocols"] and listen["public_https_port"] != 443
    alt_svc = f'h3=":{listen["public_https_port"]}"; ma=2592000' if moved else ""
    return site_routes.answer_headers(options["headers"], route, alt_svc)


def _other_hosts(options: Json, headers: Json) -> Json:
    answer = {"handler": "static_response", "status_code": 421}
    return {"match": [{"not": [{"host": options["hosts"]}]}], "terminal": True, "handle": [headers, answer]}


def _wrappers(listen: Json) -> Json:
    """Listeners that take the visitor's address from the PROXY protocol, where it comes from one who may say so."""
    if not listen["proxy_protocol"]:
        return {}
    wrapper = {"wrapper": "proxy_protocol", "allow": listen["proxy_protocol_from"], "timeout": "5s"}
    return {"listener_wrappers": [wrapper, {"wrapper": "tls"}]}


def _trust(listen: Json) -> Json:
    """Behind a trusted proxy the address is the last one in the header that none of the trusted has: a forged one stands before it."""
    if not listen["trusted_proxies"]:
        return {}
    source = {"source": "static", "ranges": listen["trusted_proxies"]}
    return {"trusted_proxies": source, "client_ip_headers": listen["client_ip_headers"], "trusted_proxies_strict": 1}


def _logs(log: Json) -> Json:
    """Caddy's own log goes to the journal, the access log into a file that Caddy rotates.

    Every slot without an instance fails each check: that is no news.
    """
    writer = {"output": "file", "filename": log["file"], "mode": "0640", "roll_size_mb": log["size_mb"], "roll_keep": log["keep"]}
    fields: Json = {name: {"filter": "delete"} for name in ("request>headers", "request>tls", "resp_headers")}
    hidden = [{"type": "replace", "parameter": name, "value": "hidden"} for name in (log["hidden"] or HIDDEN)]
    fields["request>uri"] = {"filter": "query", "actions": hidden}
    encoder = {"format": "filter", "wrap": {"format": "json"}, "fields": fields}
    access = {"level": "INFO", "include": ["http.log.access"], "writer": {**writer, "roll_keep_days": log["keep_days"]}, "encoder": encoder}
    exclude = ["http.log.access", "http.handlers.reverse_proxy.health_checker.active"]
    return {"default": {"level": "INFO", "exclude": exclude}, "access": access}

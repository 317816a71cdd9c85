# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what a site is made from: options with their types and defaults, as Ansible's own validator takes them."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.params import COOKIE, HEALTH, POOL, optional
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

Json = dict[str, t.Any]

_TEXTS: Json = {"type": "list", "elements": "str", "default": []}
_COOKIE: Json = optional(COOKIE, "name", fallback="least_conn", max_age=0)
_HEALTH: Json = optional(HEALTH, *HEALTH)
_LIMIT: Json = {
    "requests": {"type": "int", "required": True},
    "window": {"type": "int"},
    "by": {"type": "str"},
}

#: One route of gb_routes.
ROUTE: Json = {
    "name": {"type": "str", "required": True},
    "path": _TEXTS,
    "hosts": _TEXTS,
    "methods": _TEXTS,
    "headers": {"type": "dict", "default": {}},
    **optional(POOL, policy="round_robin"),
    **optional(POOL, "weights", "choose", "field", "fallback"),
    "cookie": {"type": "dict", "options": _COOKIE},
    **optional(POOL, "try_duration", "try_interval", "retries"),
    "health": {"type": "dict", "options": _HEALTH, "default": {}},
    "limit": {"type": "dict", "options": _LIMIT},
    "max_body": {"type": "bytes"},
    "response_timeout": {"type": "float"},
    **optional(POOL, "dial_timeout", "stream_timeout", "stream_close_delay"),
    "frames": _TEXTS,
    "response_headers": {"type": "dict", "default": {}},
}

#: What each of these options means; docs/caddy.md is made from it.
ROUTE_HELP: t.Mapping[str, str] = {
    "name": "Its name: small letters, digits and hyphens. The pool behind it has the `@id` `gb-<name>`.",
    "path": "Paths, with `*` for any text at the begin or the end. Case does not count.",
    "hosts": "Names out of `gb_site_hosts`.",
    "methods": "Methods, in capitals.",
    "headers": "Headers with their values, or lists of values.",
    "policy": "How an instance is chosen: one of Caddy's, see below. Default `round_robin`.",
    "weights": "For `weighted_round_robin`: the share of each slot that is in, in their order; one for every slot.",
    "choose": "For `random_choose`: among how many the least busy is taken.",
    "field": "For `header` and `query`: the name of the header, the key of the query.",
    "fallback": "For `header` and `query`: the policy for requests without it. Default `random`.",
    "cookie": "For `cookie`: `name`, `fallback` (default `least_conn`) and `max_age` in seconds (default: until the browser is closed).",
    "try_duration": "Seconds for which another instance is sought. Without it, `caddy_retries` others are tried, and then the panic route.",
    "try_interval": "Seconds between two tries. Default `caddy_try_interval`.",
    "retries": "How often it is tried again. Default `caddy_retries` others, and as many more as failures leave a slot out; with a "
    "`try_duration` of its own any number.",
    "health": "What differs from `caddy_health`: `uri`, `port`, `interval`, `timeout`, `fails`, `passes`, `status`, `body`.",
    "limit": "A limit of its own, which holds with `rate-limit-enabled` off too: `requests`, and if wanted `window` in seconds and `by`.",
    "max_body": "The largest body of a request, such as `10MB`. A larger one is answered with 413.",
    "dial_timeout": "Seconds that connecting may take. Default `caddy_dial_timeout`.",
    "response_timeout": "Seconds until an answer has to begin. Default `caddy_response_timeout`.",
    "stream_timeout": "Seconds after which a websocket is closed in any case. Default: never.",
    "stream_close_delay": "Seconds that websockets live on when the configuration changes. Default `caddy_stream_close_delay`.",
    "frames": "Who may show it in a frame: origins, `'self'` with its quotes, or `any`. Default: nobody.",
    "response_headers": "Headers of its answers, beside `caddy_headers` or in their place; one of null takes a common one away.",
}

_TLS: Json = {
    "source": {"type": "str", "choices": ["internal", "acme", "files"], "default": "internal"},
    "email": {"type": "str", "default": ""},
    "staging": {"type": "bool", "default": False},
    "directory": {"type": "str", "default": ""},
    "trusted_root": {"type": "path", "default": ""},
    "certificate": {"type": "path", "default": ""},
    "key": {"type": "path", "default": "", "no_log": False},
    "minimum": {"type": "str", "choices": ["1.2", "1.3"], "default": "1.2"},
}
_LOG: Json = {
    "file": {"type": "path", "required": True},
    "size_mb": {"type": "int", "default": 50},
    "keep": {"type": "int", "default": 5},
    "keep_days": {"type": "int", "default": 30},
    "hidden": _TEXTS,
}
_LISTEN: Json = {
    "http": {"type": "str", "default": ":80"},
    "https": {"type": "str", "default": ":443"},
    "public_http_port": {"type": "int", "default": 80},
    "public_https_port": {"type": "int", "default": 443},
    "protocols": {"type": "list", "elements": "str", "choices": ["h1", "h2", "h2c", "h3"], "default": ["h1", "h2"]},
    "proxy_protocol": {"type": "bool", "default": False},
    "proxy_protocol_from": {"type": "list", "elements": "str", "default": ["127.0.0.1/32"]},
    "trusted_proxies": _TEXTS,
    "client_ip_headers": {"type": "list", "elements": "str", "default": ["X-Forwarded-For"]},
}
_POOL: Json = {
    "upstreams": {"type": "list", "elements": "str", "required": True},
    "health": {"type": "dict", "options": _HEALTH, "required": True},
    "cookie_name": {"type": "str", "default": "gb_lb"},
    "cookie_secret": {"type": "str", "required": True, "no_log": True},
    "response_timeout": {"type": "float", "default": 0},
    **optional(POOL, dial_timeout=0.5, retries=2, try_duration=5, try_interval=0.1, fail_duration=3, max_fails=3, stream_close_delay=0),
    "panic": {"type": "bool", "default": True},
    "panic_health": {"type": "str", "default": "/health"},
}
_LIMITS: Json = {
    "keys": {"type": "dict", "default": {}, "no_log": False},
    "paths": {"type": "dict", "default": {}},
    "proxies": {"type": "int", "default": 1},
    "storage": {"type": "dict", "default": {}},
    "sync": {"type": "float", "default": 1},
    "address_factor": {"type": "int", "default": 10},
}
_PAGES: Json = {
    "maintenance": {"type": "str", "required": True},
    "retry_after": {"type": "int", "default": 10},
}

#: Everything that a site is made from.
SITE: Json = {
    "settings": {"type": "dict", "required": True},
    "admin": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "routes": {"type": "list", "elements": "dict", "options": ROUTE, "required": True},
    "headers": {"type": "dict", "default": {}},
    "grace_period": {"type": "str", "default": "10s"},
    "proxies": {"type": "int", "default": 1},
    "listen": {"type": "dict", "options": _LISTEN, "apply_defaults": True},
    "pool": {"type": "dict", "options": _POOL, "required": True},
    "limits": {"type": "dict", "options": _LIMITS, "apply_defaults": True},
    "tls": {"type": "dict", "options": _TLS, "apply_defaults": True},
    "tls_folder": {"type": "path", "default": "/etc/caddy/tls"},
    "log": {"type": "dict", "options": _LOG, "required": True},
    "pages": {"type": "dict", "options": _PAGES, "required": True},
}


def validated(given: t.Mapping[str, t.Any]) -> Json:
    """The options typed and with their defaults.

    :raises InvalidInput: with every unknown name, missing option and value of the wrong kind at once
    """
    result = ArgumentSpecValidator(SITE).validate(plain(given))
    if result.error_messages:
        raise InvalidInput(f"Caddy's site cannot be made: {'; '.join(result.error_messages)}. Correct them; nothing was changed.")
    return t.cast(Json, result.validated_parameters)


def plain(value: t.Any) -> t.Any:
    """A copy of plain dicts, lists and scalars, whatever template engine the value came from."""
    if isinstance(value, t.Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, str) else value

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site answers when nothing else does: the panic route, the maintenance page, and errors. All functions are pure.

Caddy has no share of healthy upstreams below which checks are no longer heeded. What it has is an error when none is healthy; the
route for that error leads to the same addresses, checked for nothing but life.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site_options import Json
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site_routes import matcher, pool_id

PANIC = "gb-panic"
STATUS = "{http.error.status_code}"
# A request that has not reached any upstream: none was healthy, or the one chosen took no connection. It can go anywhere.
NOT_SENT = "{http.error.status_code} == 503 || ({http.error.status_code} == 502 && {http.error.message}.startsWith('dial '))"
GONE = "{http.error.status_code} in [502, 503]"
# A request that changes something was sent, and no answer came: nobody here knows whether it was done.
CUT_OFF = f"{{http.error.status_code}} in [502, 504] && !({NOT_SENT}) && !({{http.request.method}} in ['GET', 'HEAD', 'OPTIONS', 'TRACE'])"
_JSON = {"Content-Type": ["application/json"], "Cache-Control": ["no-store"]}


def panic_id(route: Json) -> str:
    """The C(@id) of the panic pool of a route: one of its own for a sticky one, else the one that all share."""
    return f"{pool_id(route)}-panic" if route["policy"] == "cookie" else PANIC


def panic_routes(routes: t.Sequence[Json], headers: t.Callable[[Json], Json]) -> list[Json]:
    """The error routes of the site's subroute; what they do not take goes on as the error that it is.

    :param headers: the handler that sets a route's headers
    """
    found = [_with_headers(route, headers(route)) for route in routes]
    own = [route for route in routes if panic_id(route) != PANIC]
    found += [{"match": _matching(route), "terminal": True, "handle": [_proxy(panic_id(route))]} for route in own]
    if len(own) < len(routes):
        found.append({"match": [{"expression": NOT_SENT}], "terminal": True, "handle": [_proxy(PANIC)]})
    rethrown = {"handler": "error", "status_code": "{http.error.status_code}", "error": "{http.error.message}"}
    return [*found, {"handle": [rethrown]}]


def _with_headers(route: Json, headers: Json) -> Json:
    return {"group": "headers", "match": _matching(route), "handle": [headers]}


def _matching(route: Json) -> list[Json]:
    return [{**found, "expression": NOT_SENT} for found in matcher(route) or [{}]]


def _proxy(name: str) -> Json:
    return {"@id": name, "handler": "reverse_proxy"}


def error_routes(headers: Json, pages: Json) -> list[Json]:
    """The error routes of the server: JSON for too many requests, what was cut off, the maintenance page, one line for the rest."""
    away = {"Retry-After": [str(pages["retry_after"])], "Cache-Control": ["no-store"]}
    unavailable = {"error": "unavailable", "message": "No instance can answer at the moment; try again later."}
    too_many = {"error": "rate_limited", "message": "Too many requests; try again after the seconds that Retry-After says."}
    cut_off = {"error": "no_answer", "message": "The request was sent and no answer came: see whether it was done before repeating it."}
    html = {"Content-Type": ["text/html; charset=utf-8"], **away}
    return [
        {"handle": [headers]},
        _answer([{"expression": "{http.error.status_code} == 429"}], 429, _JSON, _body(too_many, limit="{http.rate_limit.exceeded.name}")),
        # No Retry-After: whatever heeds it by itself would do twice what was done.
        _answer(_of_programs(CUT_OFF), STATUS, _JSON, _body(cut_off)),
        {"match": [{"expression": CUT_OFF}], "terminal": True, "handle": [_line()]},
        _answer(_of_programs(GONE), 503, {**_JSON, **away}, _body(unavailable)),
        _answer([{"expression": GONE}], 503, html, pages["maintenance"]),
        {"handle": [_line()]},
    ]


def _line() -> Json:
    return _text(STATUS, f"{STATUS} {{http.error.status_text}}")


def _of_programs(expression: str) -> list[Json]:
    return [
        {"expression": expression, "path": ["/api", "/api/*"]},
        {"expression": expression, "header": {"Accept": ["*application/json*"]}},
    ]


def _answer(match: list[Json], status: int | str, headers: Json, body: str) -> Json:
    handler = {"handler": "static_response", "status_code": status, "headers": headers, "body": body}
    return {"match": match, "terminal": True, "handle": [handler]}


def _body(words: Json, **more: str) -> str:
    return json.dumps({**words, **more, "request_id": "{http.request.uuid}"}) + "\n"


def _text(status: str | int, words: str) -> Json:
    headers = {"Content-Type": ["text/plain; charset=utf-8"]}
    body = f"{words}, request {{http.request.uuid}}\n"
    return {"handler": "static_response", "status_code": status, "headers": headers, "body": body}


def not_found(headers: Json) -> Json:
    """The last route: what no other takes."""
    return {"handle": [headers, _text(404, "404 Not Found")]}

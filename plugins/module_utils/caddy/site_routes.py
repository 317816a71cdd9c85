# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of a site: what each matches, that none hides another, the pool behind it and its own headers. All pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site_options import Json
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

#: What a request may be sent again with when its connection broke: reading twice harms nobody.
HARMLESS = ("GET", "HEAD", "OPTIONS")
#: Headers that tell of a body. It has gone to the first instance, and the next one would be sent none. HTTP/1.1 cannot do without one of
#: the first two; HTTP/2 and HTTP/3 can, so that a body with none of the three is not seen.
BODY = ("Content-Length", "Transfer-Encoding", "Content-Type")
_REPEATED = {"method": list(HARMLESS), "not": [{"header": {name: ["*"]}} for name in BODY]}

#: How often one slot is tried for one request at most, however many failures leave it out.
SAME_SLOT = 10

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_METHOD = re.compile(r"[A-Z]+", re.ASCII)
_POLICY = "Content-Security-Policy"
_ORIGIN = re.compile(r"'self'|https?://[A-Za-z0-9.*:-]+", re.ASCII)


def refuse(name: str, problem: str) -> t.NoReturn:
    """Refuse a route, with its name."""
    raise InvalidInput(f"Route {name} of gb_routes: {problem} Nothing was changed.")


def check(routes: t.Sequence[Json]) -> None:
    """Look at the routes one by one and at each beside those before it.

    :raises InvalidInput: a name or match that is none, two routes of one name, a route that an earlier one hides
    """
    if not routes:
        raise InvalidInput("gb_routes is empty, and every request would be answered with 404. List a route; nothing was changed.")
    for place, route in enumerate(routes):
        _check_words(route)
        for earlier in routes[:place]:
            if earlier["name"] == route["name"]:
                refuse(route["name"], "its name stands twice; give each route one of its own.")
            if hides(earlier, route):
                refuse(route["name"], f"every request for it is taken by route {earlier['name']} before it; put it first, or take it out.")


def _check_words(route: Json) -> None:
    name = route["name"]
    if not _NAME.fullmatch(name) or len(name) > 40 or name == "panic" or name.endswith("-panic"):
        refuse(name, "a name has small letters, digits and hyphens, 40 at most, and does not end in panic.")
    for path in route["path"]:
        if not path.startswith(("/", "*")) or re.search(r"[\s{}?#\\]", path):
            refuse(name, f"path {path!r} is none; write it from the first slash on without query, with * for any text at begin or end.")
    for method in route["methods"]:
        if not _METHOD.fullmatch(method):
            refuse(name, f"method {method!r} is none; methods are written in capitals.")
    for origin in route["frames"]:
        if origin != "any" and not _ORIGIN.fullmatch(origin):
            refuse(name, f"frames {origin!r} is none; write any, 'self' with its quotes, or origins such as https://www.example.org.")
    limit = route["limit"] or {}
    if any(limit.get(name) is not None and limit[name] < 1 for name in ("requests", "window")):
        refuse(name, "requests and window of its limit are 1 or more.")
    if route["max_body"] is not None and route["max_body"] < 1:
        refuse(name, "max_body is 1 byte or more.")


def hides(first: Json, second: Json) -> bool:
    """Whether every request of the second route is one of the first, as far as prefixes, suffixes and equal words tell."""
    return (
        _all_in(first["path"], second["path"], covers)
        and _all_in(first["hosts"], second["hosts"], lambda one, other: one.lower() == other.lower())
        and _all_in(first["methods"], second["methods"], str.__eq__)
        and first["headers"].items() <= second["headers"].items()
    )


def _all_in(first: t.Sequence[str], second: t.Sequence[str], within: t.Callable[[str, str], bool]) -> bool:
    """Whether each of the second list is within one of the first; an empty list stands for everything."""
    return not first or (bool(second) and all(any(within(one, other) for one in first) for other in second))


def covers(one: str, other: str) -> bool:
    """Whether a path pattern matches all that another matches. Caddy's own rules: case does not count, * stands for any text
    at the begin or end; a * between them is compared as it is written."""
    one, other = one.lower(), other.lower()
    if one in ("*", "/*", other):
        return True
    inner = one.strip("*")
    if "*" in inner:
        return False
    begins, ends = one.endswith("*"), one.startswith("*")
    if begins and ends:
        return inner in other.strip("*")
    if begins:
        return not other.startswith("*") and other.split("*")[0].startswith(inner)
    return ends and not other.endswith("*") and other.rsplit("*", 1)[-1].endswith(inner)


def matcher(route: Json) -> list[Json]:
    """What Caddy matches for a route; nothing for one that takes everything."""
    words = {"path": route["path"], "host": route["hosts"], "method": route["methods"], "header": header_lists(route["headers"])}
    found = {name: word for name, word in words.items() if word}
    return [found] if found else []


def header_lists(headers: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """Headers as Caddy wants them, each with a list of values."""
    return {name: [str(part) for part in value] if isinstance(value, list) else [str(value)] for name, value in headers.items()}


def answer_headers(common: t.Mapping[str, t.Any], route: Json | None, alt_svc: str) -> Json:
    """The handler that sets the headers of an answer: those of every answer, the route's own, and its exception for frames.

    An own header of null takes one of the common ones away. ``frames`` lets the answer be shown in frames of those origins.
    """
    wanted = {**common, **(route["response_headers"] if route else {})}
    frames = route["frames"] if route else []
    if frames:
        wanted["X-Frame-Options"] = None
    values = header_lists({name: value for name, value in wanted.items() if value is not None})
    gone = [name for name, value in wanted.items() if value is None]
    if not _named(values, "Server"):
        gone.append("Server")
    values["X-Request-Id"] = ["{http.request.uuid}"]
    if alt_svc:
        values["Alt-Svc"] = [alt_svc]
    response: Json = {"deferred": True, "set": values, "delete": gone}
    if frames and "any" not in frames:
        _frame(response, f"frame-ancestors {' '.join(frames)}")
    return {"handler": "headers", "response": response}


def _frame(response: Json, policy: str) -> None:
    """Let a policy hold beside that of the site, or of the instance where the site says nothing of it.

    Caddy adds, sets and then deletes, so that what is added is gone where the header is set or deleted too.
    """
    values, gone = response["set"], response["delete"]
    own, deleted = _named(values, _POLICY), _named(gone, _POLICY)
    if not (own or deleted):
        response["add"] = {_POLICY: [policy]}
        return
    values[_POLICY] = [*(text for name in own for text in values.pop(name)), policy]
    response["delete"] = [name for name in gone if name not in deleted]


def _named(names: t.Iterable[str], wanted: str) -> list[str]:
    """Those that are a header's name, in whatever case it is written."""
    return [name for name in names if name.lower() == wanted.lower()]


def pool_id(route: Json) -> str:
    """The C(@id) of a route's pool."""
    return f"gb-{route['name']}"


def pool(route: Json, common: Json, settings: t.Mapping[str, t.Any]) -> Json:
    """The pool behind a route, as M(generalbots.scaling.caddy_upstreams) takes it."""
    own: Json = {"id": pool_id(route), "upstreams": common["upstreams"], "health": {**common["health"], **_given(route["health"])}}
    passive = _passive(common, settings)
    own |= _policy(route, common) | _tries(route, common, passive["max_fails"]) | passive
    own["dial_timeout"] = _first(route["dial_timeout"], common["dial_timeout"])
    own["response_header_timeout"] = _first(route["response_timeout"], common["response_timeout"])
    own |= _given({name: route[name] for name in ("stream_timeout", "stream_close_delay")})
    own.setdefault("stream_close_delay", common["stream_close_delay"])
    return own


def panic_pool(name: str, common: Json, sticky: Json | None = None) -> Json:
    """The same addresses for when none is healthy: whoever lives, ready or not, gets the request."""
    health = {**common["health"], "uri": common["panic_health"]} if common["panic_health"] else None
    chosen = {name: sticky[name] for name in ("policy", "cookie", "stream_close_delay")} if sticky else {"policy": "random"}
    return _given(
        {
            "id": name,
            "upstreams": common["upstreams"],
            "health": health and {option: value for option, value in health.items() if option not in ("status", "body")},
            **chosen,
            "try_duration": common["try_duration"],
            "try_interval": common["try_interval"],
            "retry_match": [_REPEATED] if common["try_duration"] else None,
            "dial_timeout": common["dial_timeout"],
            "response_header_timeout": common["response_timeout"],
        }
    )


def _policy(route: Json, common: Json) -> Json:
    words = _given({name: route[name] for name in ("policy", "weights", "choose", "field", "fallback")})
    if route["policy"] == "cookie" or route["cookie"]:
        own = _given(route["cookie"] or {"fallback": "least_conn"})
        words["cookie"] = {"name": common["cookie_name"], **own, "secret": common["cookie_secret"]}
    return words


def _tries(route: Json, common: Json, fails: int) -> Json:
    """How a slot that fails is replaced by another: quickly where the panic route seeks on, else for as long as is given.

    Most policies go back to the slot that failed until its ``fails`` failures leave it out; only then another one is tried.
    """
    quick = common["panic"] and route["try_duration"] is None
    others = common["retries"] and common["retries"] + min(fails, SAME_SLOT) - 1
    retries = _first(route["retries"], others if quick else 0)
    duration = 0 if quick else _first(route["try_duration"], common["try_duration"])
    words: Json = {"retries": retries, "try_duration": duration, "try_interval": _first(route["try_interval"], common["try_interval"])}
    if retries or duration:
        words["retry_match"] = [_REPEATED]
    return words


def _passive(common: Json, settings: t.Mapping[str, t.Any]) -> Json:
    if settings["circuit-breaker-enabled"]:
        threshold, timeout = settings["circuit-breaker-threshold"], settings["circuit-breaker-timeout"]
        return {"fail_duration": timeout, "max_fails": threshold, "unhealthy_status": [5]}
    return {"fail_duration": common["fail_duration"], "max_fails": common["max_fails"] if common["fail_duration"] else 1}


def _given(options: t.Mapping[str, t.Any]) -> Json:
    return {name: value for name, value in options.items() if value is not None}


def _first(*values: t.Any) -> t.Any:
    return next((value for value in values if value is not None), None)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site as a value: which routes hide others, what a route becomes, and which sites are refused."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import random
import re
import typing as t

import pytest
import yaml

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import policies, site, site_limits, site_options, site_routes
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import handlers, proxies
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS

WEB = {"name": "web"}


def options(*routes: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    """A site's options; ``settings`` are added to the defaults of the table."""
    pool = {"upstreams": ["10.0.0.1:8080", "10.0.0.2:8080"], "health": {"uri": "/api/health", "port": 8079}, "cookie_secret": "s" * 40}
    return {
        "admin": "unix//run/caddy/admin.sock|0600",
        "hosts": ["bots.test"],
        "routes": [*routes] or [WEB],
        "log": {"file": "/var/log/caddy/access.log"},
        "pages": {"maintenance": "away"},
        **more,
        "settings": {**{name: key.default for name, key in KEYS.items()}, **more.get("settings", {})},
        "pool": {**pool, **more.get("pool", {})},
    }


def pools(*routes: dict[str, t.Any], **more: t.Any) -> dict[str, dict[str, t.Any]]:
    return {pool["id"]: pool for pool in site.build(options(*routes, **more))["pools"]}


def test_every_option_of_a_route_is_explained_and_no_other() -> None:
    assert {*site_options.ROUTE_HELP} == {*site_options.ROUTE}


def test_the_example_of_the_documentation_makes_a_site() -> None:
    page = (pathlib.Path(__file__).resolve().parents[3] / "docs/caddy.md").read_text(encoding="utf-8")
    routes = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["gb_routes"]
    assert {f"gb-{route['name']}" for route in routes} <= pools(*routes).keys()


def test_every_policy_is_explained_and_no_other() -> None:
    assert {*policies.POLICY_HELP} == {*policies.POLICIES}


def test_the_configuration_is_filled_and_the_pools_are_those_in_it() -> None:
    made = site.build(options(WEB, pool={"panic": True}))
    assert {one["@id"] for one in proxies(made["config"])} == {*made["keep"]} == {"gb-web", "gb-panic"}
    assert [len(one["upstreams"]) for one in handlers(made["config"]).values()] == [2, 2]


def test_each_server_has_one_route_so_that_caddy_counts_each_request_once() -> None:
    servers = site.build(options())["config"]["apps"]["http"]["servers"]
    assert [len(server["routes"]) for server in servers.values()] == [1, 1]


@pytest.mark.parametrize(
    "one, other, covered",
    [
        ("/*", "/api", True),
        ("*", "/api", True),
        ("/api/*", "/api/health", True),
        ("/API/*", "/api/health", True),
        ("/api/*", "/api", False),
        ("/api*", "/api", True),
        ("/api/*", "/api/x*", True),
        ("/api/x*", "/api/*", False),
        ("*.png", "/a/b.png", True),
        ("*.png", "/a/*.png", True),
        ("*.png", "/a/b.png*", False),
        ("*/media/*", "/a/media/b", True),
        ("/a*b/*", "/a1b/c", False),
        ("/a", "/b", False),
    ],
)
def test_what_one_path_covers_of_another(one: str, other: str, covered: bool) -> None:
    assert site_routes.covers(one, other) is covered


@pytest.mark.parametrize(
    "first, second, hidden",
    [
        ({}, {"path": ["/api/*"]}, True),
        ({"path": ["/api/*"]}, {}, False),
        ({"path": ["/a", "/b"]}, {"path": ["/b"]}, True),
        ({"path": ["/a"]}, {"path": ["/a", "/b"]}, False),
        ({"methods": ["GET"]}, {"methods": ["GET", "POST"]}, False),
        ({"methods": ["GET", "POST"]}, {"methods": ["GET"]}, True),
        ({"hosts": ["A.test"]}, {"hosts": ["a.test"]}, True),
        ({"headers": {"X-A": "1"}}, {"headers": {"X-A": "1", "X-B": "2"}}, True),
        ({"headers": {"X-A": "1"}}, {}, False),
    ],
)
def test_a_route_that_is_hidden_is_refused(first: dict[str, t.Any], second: dict[str, t.Any], hidden: bool) -> None:
    given = options({"name": "one", **first}, {"name": "two", **second})
    if not hidden:
        site.build(given)
        return
    with pytest.raises(InvalidInput, match="Route two of gb_routes: every request for it is taken by route one before it"):
        site.build(given)


@pytest.mark.parametrize(
    "route, reason",
    [
        ({"name": "Web"}, "a name has small letters"),
        ({"name": "my-panic"}, "does not end in panic"),
        ({"name": "web", "path": ["api"]}, "path 'api' is none"),
        ({"name": "web", "path": ["/a b"]}, "path '/a b' is none"),
        ({"name": "web", "methods": ["get"]}, "method 'get' is none"),
        ({"name": "web", "frames": ["self"]}, "frames 'self' is none"),
        ({"name": "web", "max_body": 0}, "max_body is 1 byte or more"),
        ({"name": "web", "limit": {"requests": 1, "window": 0}}, "requests and window of its limit are 1 or more"),
        ({"name": "web", "policy": "weighted_round_robin", "weights": [1]}, "2 upstreams, 1 weights"),
    ],
)
def test_a_route_that_cannot_work_is_refused(route: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        site.build(options(route))
    assert reason in str(error.value) and "othing was changed" in str(error.value)


def test_two_routes_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="its name stands twice"):
        site.build(options({"name": "a", "path": ["/a"]}, {"name": "a", "path": ["/b"]}))


def test_a_writing_request_is_never_sent_twice() -> None:
    for pool in pools({"name": "a", "path": ["/a"], "try_duration": 3}, {"name": "b", "path": ["/b"], "policy": "cookie"}, WEB).values():
        (match,) = pool["retry_match"]
        assert match["method"] == ["GET", "HEAD", "OPTIONS"]
        assert match["not"] == [{"header": {name: ["*"]}} for name in ("Content-Length", "Transfer-Encoding", "Content-Type")]


def test_the_breaker_takes_the_place_of_the_short_memory_of_failures() -> None:
    settings = {"circuit-breaker-enabled": True, "circuit-breaker-threshold": 4, "circuit-breaker-timeout": 9}
    assert pools()["gb-web"].items() >= {"fail_duration": 3.0, "max_fails": 3}.items() and "unhealthy_status" not in pools()["gb-web"]
    broken = pools(settings=settings)["gb-web"]
    assert (broken["fail_duration"], broken["max_fails"], broken["unhealthy_status"]) == (9, 4, [5])


@pytest.mark.parametrize(
    "route, more, retries",
    [
        ({}, {}, 4),
        ({}, {"pool": {"max_fails": 1}}, 2),
        ({}, {"pool": {"retries": 0}}, 0),
        ({}, {"pool": {"fail_duration": 0}}, 2),
        ({}, {"settings": {"circuit-breaker-enabled": True, "circuit-breaker-threshold": 5}}, 6),
        ({}, {"settings": {"circuit-breaker-enabled": True, "circuit-breaker-threshold": 999}}, 11),
        ({"retries": 1}, {}, 1),
        ({"try_duration": 3}, {}, 0),
    ],
)
def test_a_slot_is_tried_until_it_is_left_out_and_then_others(route: dict[str, t.Any], more: dict[str, t.Any], retries: int) -> None:
    assert pools({**WEB, **route}, **more)["gb-web"]["retries"] == retries


def test_a_sticky_route_has_a_panic_pool_of_its_own_and_the_others_share_one() -> None:
    found = pools({"name": "ws", "path": ["/ws"], "policy": "cookie"}, {"name": "a", "path": ["/a"]}, WEB)
    assert {*found} == {"gb-ws", "gb-a", "gb-web", "gb-ws-panic", "gb-panic"}
    assert found["gb-ws-panic"]["cookie"] == found["gb-ws"]["cookie"] and found["gb-panic"]["policy"] == "random"
    assert found["gb-panic"]["health"]["uri"] == "/health" and found["gb-panic"]["health"]["port"] == 8079
    assert {*pools(WEB, pool={"panic": False})} == {"gb-web"}


def test_a_sticky_panic_route_without_checks_is_refused() -> None:
    """Its addresses would be spelled otherwise than those that the cookie was made of."""
    sticky = {"name": "ws", "path": ["/ws"], "policy": "cookie"}
    with pytest.raises(InvalidInput, match="caddy_panic_health is empty, and route ws is sticky"):
        site.build(options(sticky, WEB, pool={"panic_health": ""}))
    assert pools(WEB, pool={"panic_health": ""})["gb-panic"].get("health") is None
    assert {*pools(sticky, WEB, pool={"panic_health": "", "panic": False})} == {"gb-ws", "gb-web"}


def test_a_route_says_what_differs_from_the_others() -> None:
    own = {"health": {"uri": "/ready", "fails": 9}, "dial_timeout": 4, "response_timeout": 5, "stream_timeout": 6, "stream_close_delay": 7}
    pool = pools({"name": "web", **own})["gb-web"]
    assert (pool["health"]["uri"], pool["health"]["fails"], pool["health"]["port"]) == ("/ready", 9, 8079)
    assert (pool["dial_timeout"], pool["response_header_timeout"], pool["stream_timeout"], pool["stream_close_delay"]) == (4, 5, 6, 7)


@pytest.mark.parametrize(
    "frames, policy, option",
    [
        ([], None, ["DENY"]),
        (["any"], None, None),
        (["'self'", "https://a.test"], ["frame-ancestors 'self' https://a.test"], None),
    ],
)
def test_who_may_show_a_route_in_a_frame(frames: list[str], policy: list[str] | None, option: list[str] | None) -> None:
    route = {"frames": frames, "response_headers": {}}
    response = site_routes.answer_headers({"X-Frame-Options": "DENY"}, route, "")["response"]
    assert response.get("add", {}).get("Content-Security-Policy") == policy
    assert response["set"].get("X-Frame-Options") == option and ("X-Frame-Options" in response["delete"]) is (option is None)


ANCESTORS = "frame-ancestors https://a.test"


@pytest.mark.parametrize(
    "common, own, policies",
    [
        ({"Content-Security-Policy": "default-src 'self'"}, {}, ["default-src 'self'", ANCESTORS]),
        ({"content-security-policy": "a"}, {}, ["a", ANCESTORS]),
        ({}, {"Content-Security-Policy": ["a", "b"]}, ["a", "b", ANCESTORS]),
        ({"Content-Security-Policy": "a"}, {"Content-Security-Policy": None}, [ANCESTORS]),
    ],
)
def test_a_policy_of_the_sites_own_and_that_of_frames_hold_both(
    common: dict[str, t.Any], own: dict[str, t.Any], policies: list[str]
) -> None:
    """Caddy adds before it sets and deletes: what is added beside them is gone."""
    response = site_routes.answer_headers(common, {"frames": ["https://a.test"], "response_headers": own}, "")["response"]
    assert "add" not in response and response["set"]["Content-Security-Policy"] == policies
    assert [name.lower() for name in (*response["set"], *response["delete"])].count("content-security-policy") == 1


@pytest.mark.parametrize("name", ["Server", "server"])
def test_a_server_of_the_users_own_is_named(name: str) -> None:
    response = site_routes.answer_headers({name: "x"}, None, "")["response"]
    assert response["set"][name] == ["x"] and "Server" not in response["delete"]


def test_every_unknown_name_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as error:
        site.build({**options({"name": "web", "polici": "first"}), "colour": "red"})
    assert "polici" in str(error.value) and "colour" in str(error.value)


def test_secrets_and_sessions_are_hidden_in_the_access_log() -> None:
    logs = site.build(options())["config"]["logging"]["logs"]
    encoder = logs["access"]["encoder"]["fields"]
    assert {action["parameter"] for action in encoder["request>uri"]["actions"]} >= {"token", "session_id", "password", "api_key"}
    assert encoder["request>headers"] == {"filter": "delete"} and "http.log.access" in logs["default"]["exclude"]


def test_the_secret_of_the_cookie_stands_nowhere_else() -> None:
    text = json.dumps(site.build(options({"name": "ws", "policy": "cookie"}))["config"])
    assert text.count("s" * 40) == 2, "once in the pool, once in its panic pool"


@pytest.mark.parametrize(
    "storage, told_in",
    [
        ({"module": "file_system", "root": "/srv/limits/"}, ["/srv/limits/endpoints", "/srv/limits/all", "/srv/limits/route-web"]),
        ({"module": "redis", "address": "10.0.0.5:6379"}, [None] * 3),
    ],
)
def test_each_kind_of_limit_has_a_folder_of_its_own_where_proxies_share_files(storage: dict[str, str], told_in: list[str | None]) -> None:
    """In one folder a proxy would read a file that another of its own handlers is just writing, and count itself as another."""
    limited = {**WEB, "limit": {"requests": 5}}
    made = site.build(options(limited, settings={"rate-limit-enabled": True}, limits={"proxies": 2, "storage": storage}))
    found = limiters(made["config"])
    assert [one["storage"].get("root") for one in found] == told_in
    assert all({**one["storage"], "root": ""} == {**storage, "root": ""} and one["distributed"] for one in found)


@pytest.mark.parametrize("source", ["http.request.header.X-User", "", "{}", "{http.request. header}"])
def test_a_limit_by_what_is_the_same_for_all_is_refused(source: str) -> None:
    with pytest.raises(InvalidInput, match=r"gb_rate_limit_keys has user: .*all would share one limit"):
        site.build(options(limits={"keys": {"user": source}}))


@pytest.mark.parametrize(
    "settings, limit, more, told",
    [
        ({"rate-limit-by": "ip"}, None, {}, "rate-limit-by is ip"),
        ({"rate-limit-by": "user"}, None, {}, "rate-limit-by is user"),
        ({"rate-limit-by": "session"}, {"requests": 1, "by": "token"}, {}, "rate-limit-by is session, and the limit of route web is token"),
        ({"rate-limit-by": "tenant"}, {"requests": 1, "by": "ip"}, {}, "and the limit of route web is ip"),
        ({"rate-limit-enabled": False, "rate-limit-by": "ip"}, {"requests": 1}, {}, "and the limit of route web is ip"),
        ({"rate-limit-by": "tenant"}, None, {"keys": {"tenant": "{http.request.header.X-Tenant}"}}, "rate-limit-by is tenant"),
        ({"rate-limit-by": "tenant"}, {"requests": 1}, {}, None),
        ({"rate-limit-enabled": False, "rate-limit-by": "ip"}, None, {}, None),
    ],
)
def test_http3_without_addresses_and_a_limit_that_needs_them(
    settings: dict[str, t.Any], limit: dict[str, t.Any] | None, more: dict[str, t.Any], told: str | None
) -> None:
    listen = {"protocols": ["h1", "h2", "h3"], "proxy_protocol": True}
    given = options({**WEB, "limit": limit}, settings={"rate-limit-enabled": True, **settings}, limits=more, listen=listen)
    site.build({**given, "listen": {**listen, "proxy_protocol": False}})
    if told is None:
        site.build(given)
        return
    with pytest.raises(InvalidInput) as error:
        site.build(given)
    assert told in str(error.value) and "all visitors would share one limit" in str(error.value)


def test_acme_is_for_one_proxy() -> None:
    tls = {"source": "acme", "email": "a@b.test", "directory": "https://ca.test/acme"}
    site.build(options(tls=tls, proxies=1))
    site.build(options(proxies=2))
    with pytest.raises(InvalidInput, match=r"gb_tls has source acme, and gb_proxies is 2.*use source files, or set gb_proxies to 1"):
        site.build(options(tls=tls, proxies=2))


def test_each_network_of_64_bits_has_one_key() -> None:
    """Over addresses with zeros anywhere, written as Go and Python write them."""
    made = site.build(options(settings={"rate-limit-enabled": True, "rate-limit-by": "ip"}))
    text = json.dumps(made["config"])
    chance = random.Random(1)
    found: dict[str, set[int]] = {}
    for _turn in range(20_000):
        value = sum(chance.choice((0, 0, 1, 0xFFFF, chance.randrange(1 << 16))) << (16 * place) for place in range(8))
        found.setdefault(key_of(ipaddress.IPv6Address(value).compressed), set()).add(value >> 64)
    networks = [network for one in found.values() for network in one]
    assert len(networks) == len({*networks}) == len(found) > 1000
    assert key_of("::ffff:192.0.2.1") == key_of("192.0.2.1") == "192.0.2.1"
    assert all(json.dumps(pattern) in text for pattern, _network in site_limits._NETWORKS)


def key_of(address: str) -> str:
    """What an address counts by: Caddy's map handler takes the first pattern that is found."""
    for pattern, network in site_limits._NETWORKS:
        if match := re.search(pattern, address):
            return match.expand(re.sub(r"\$\{(\d)\}", r"\\g<\1>", network))
    return address


def limiters(part: t.Any) -> list[dict[str, t.Any]]:
    """Every rate_limit handler, in the order in which requests come to them."""
    if isinstance(part, list):
        return [one for item in part for one in limiters(item)]
    if not isinstance(part, dict):
        return []
    return [part] if part.get("handler") == "rate_limit" else limiters([*part.values()])

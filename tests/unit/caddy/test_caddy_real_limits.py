# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate limits on a real Caddy: the limit with its burst, by what clients are told apart, endpoints, and who is believed."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import time
import typing as t

import pytest
from caddy_fakes import Call
from caddy_real import RealCaddy, binary, configure, needs_caddy, real_caddy, slot, until

pytestmark = needs_caddy
pytest_plugins = ["caddy_fixtures"]

LIMITS: dict[str, t.Any] = {
    "rate-limit-enabled": True, "rate-limit-requests": 5, "rate-limit-window": 60, "rate-limit-burst": 0, "rate-limit-by": "ip",
    "rate-limit-api-chat": 1000, "rate-limit-api-files": 1000, "rate-limit-api-auth": 1000,
}  # fmt: skip


@contextlib.contextmanager
def limited(call: Call, caddy: RealCaddy, given: dict[str, t.Any] | None = None, **settings: t.Any) -> t.Iterator[None]:
    """A site with one instance under these limits; underscores stand for hyphens."""
    wanted = {**LIMITS, **{name.replace("_", "-"): value for name, value in settings.items()}}
    with slot(caddy, 1):
        configure(call, caddy, settings=wanted, **(given or {}))
        until("slot 1 to serve", lambda: caddy.get("/", source="127.0.9.9")[0] == 200)
        yield


def statuses(caddy: RealCaddy, count: int, path: str = "/", **more: str) -> list[int]:
    """The statuses of so many requests, one after the other."""
    return [caddy.get(path, **more)[0] for _ in range(count)]


def test_beyond_the_limit_there_is_429_with_a_time_and_words(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy):
        assert statuses(caddy, 5) == [200] * 5
        status, headers, body = caddy.get("/")
        assert status == 429 and 1 <= int(headers["retry-after"]) <= 60
        assert headers["content-type"] == "application/json" and headers["x-frame-options"] == "DENY"
        said = json.loads(body)
        assert (said["error"], said["limit"], said["request_id"]) == ("rate_limited", "all", headers["x-request-id"])
        assert statuses(caddy, 1, source="127.0.0.2") == [200], "another address has a limit of its own"


def test_disabled_there_is_none(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy, rate_limit_enabled=False):
        assert statuses(caddy, 8) == [200] * 8
        assert '"handler": "rate_limit"' not in json.dumps(
            caddy.role(settings={**LIMITS, "rate-limit-enabled": False})["__caddy_site"]["config"]
        )


def test_a_burst_is_borrowed_from_the_window_after_it(call: Call, caddy: RealCaddy) -> None:
    """5 in 3 s and 3 more: 8 at once, and then 2, for two windows never have more than 10."""
    with limited(call, caddy, rate_limit_burst=3, rate_limit_window=3):
        begin = time.monotonic()
        assert statuses(caddy, 9) == [200] * 8 + [429]
        until("the first window to be over", lambda: time.monotonic() > begin + 3.1)
        assert statuses(caddy, 3) == [200] * 2 + [429]
        assert time.monotonic() < begin + 5.9, "too slow to see anything"
        until("two windows to be over", lambda: statuses(caddy, 1) == [200])
        assert time.monotonic() > begin + 5.9


@pytest.mark.parametrize(
    "by, one, other",
    [
        ("user", {"path": "/?user_id=1"}, {"path": "/?user_id=2"}),
        ("session", {"path": "/?session_id=1"}, {"path": "/?session_id=2"}),
        ("token", {"Authorization": "Bearer 1"}, {"Authorization": "Bearer 2"}),
        ("tenant", {"host": "other.test"}, {"host": "localhost"}),
    ],
)
def test_clients_are_told_apart_by_what_is_asked_for(
    call: Call, caddy: RealCaddy, by: str, one: dict[str, str], other: dict[str, str]
) -> None:
    given = {"gb_site_hosts": ["localhost", "other.test"]}
    with limited(call, caddy, given, rate_limit_by=by, rate_limit_requests=2):
        # From another address each time: it is not the address that counts.
        assert [caddy.get(**{"path": "/", **one}, source=f"127.0.2.{turn}")[0] for turn in (1, 2, 3)] == [200, 200, 429]
        assert caddy.get(**{"path": "/", **other})[0] == 200


def test_who_has_no_session_counts_by_address(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy, rate_limit_by="session", rate_limit_requests=2):
        assert statuses(caddy, 3) == [200, 200, 429]
        assert statuses(caddy, 1, source="127.0.0.2") == [200]


def test_many_sessions_of_one_address_have_a_ceiling(call: Call, caddy: RealCaddy) -> None:
    """Ten times the limit, by the role's default."""
    with limited(call, caddy, rate_limit_by="session", rate_limit_requests=2):
        assert [caddy.get(f"/?session_id={turn}")[0] for turn in range(21)] == [200] * 20 + [429]


def test_where_it_is_taken_from_can_be_changed(call: Call, caddy: RealCaddy) -> None:
    given = {"gb_rate_limit_keys": {"user": "{http.request.header.X-User}"}}
    with limited(call, caddy, given, rate_limit_by="user", rate_limit_requests=1):
        assert [caddy.get("/", **{"X-User": name})[0] for name in ("a", "a", "b")] == [200, 429, 200]


def test_endpoints_have_limits_of_their_own(call: Call, caddy: RealCaddy) -> None:
    given = {"gb_rate_limit_paths": {"search": ["/api/search", "/api/search/*"]}}
    with limited(call, caddy, given, rate_limit_requests=1000, **{"rate-limit-api-auth": 2, "rate-limit-api-search": 1}):
        assert statuses(caddy, 2, "/api/auth") + statuses(caddy, 1, "/api/auth/login") == [200, 200, 429]
        assert statuses(caddy, 2, "/api/search/x") == [200, 429]
        assert json.loads(caddy.get("/api/search")[2])["limit"] == "api-search"
        assert statuses(caddy, 3, "/api/authority") == [200] * 3


def test_a_route_has_a_limit_of_its_own(call: Call, caddy: RealCaddy) -> None:
    """It holds with rate-limit-enabled off as well."""
    routes = [{"name": "login", "path": ["/login"], "limit": {"requests": 2, "window": 30, "by": "ip"}}, {"name": "web"}]
    with limited(call, caddy, {"gb_routes": routes}, rate_limit_enabled=False):
        assert statuses(caddy, 3, "/login") == [200, 200, 429]
        assert statuses(caddy, 3, "/page") == [200] * 3


def test_what_visitors_say_of_themselves_is_not_believed(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy):
        assert [caddy.get("/", **{"X-Forwarded-For": f"192.0.2.{turn}"})[0] for turn in range(6)] == [200] * 5 + [429]


def test_behind_a_trusted_proxy_the_last_address_that_is_not_a_proxys_counts(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy, {"gb_trusted_proxies": ["127.0.0.0/24"]}):
        forged = [{"X-Forwarded-For": f"203.0.113.{turn}, 192.0.2.1, 127.0.0.7"} for turn in range(6)]
        assert [caddy.get("/", **headers)[0] for headers in forged] == [200] * 5 + [429]
        assert caddy.get("/", **{"X-Forwarded-For": "192.0.2.2"})[0] == 200
        # An address that is not trusted may say what it likes.
        assert [caddy.get("/", source="127.0.3.1", **headers)[0] for headers in forged] == [200] * 5 + [429]


def test_an_ipv6_visitor_is_a_network_of_64_bits(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy, {"gb_trusted_proxies": ["127.0.0.0/24"]}):
        same = [f"2001:db8:1:2:{turn}::{turn}" for turn in range(1, 7)]
        assert [caddy.get("/", **{"X-Forwarded-For": address})[0] for address in same] == [200] * 5 + [429]
        assert caddy.get("/", **{"X-Forwarded-For": "2001:db8:1:3::1"})[0] == 200
        zeros = ["2001:db8:1::5", "2001:db8:1:0:a:b:c:d", "2001:db8:1::a:0:0:d", "2001:db8:1::b:c:d", "2001:db8:1:0:1::", "2001:db8:1::"]
        assert [caddy.get("/", **{"X-Forwarded-For": address})[0] for address in zeros] == [200] * 5 + [429]


def test_the_proxy_protocol_is_believed_from_the_hosts_device_alone(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy):
        assert [spoken(caddy, "127.0.0.1", "192.0.2.1") for _ in range(6)] == [200] * 5 + [429]
        assert spoken(caddy, "127.0.0.1", "192.0.2.2") == 200
        assert [spoken(caddy, "127.0.4.1", f"192.0.2.{turn}") for turn in range(6)] == [200] * 5 + [429]
        until("the requests to be logged", lambda: len(caddy.log("access.log")) >= 13)
        assert {"192.0.2.1", "192.0.2.2", "127.0.4.1"} <= {line["request"]["client_ip"] for line in caddy.log("access.log")}


def spoken(caddy: RealCaddy, source: str, claimed: str) -> int:
    """The status of a request on a connection that begins with the PROXY protocol, version 1."""
    with socket.create_connection(("127.0.0.1", caddy.https), 10, source_address=(source, 0)) as plain:
        plain.sendall(f"PROXY TCP4 {claimed} 127.0.0.1 40000 {caddy.https}\r\n".encode())
        with caddy.trust().wrap_socket(plain, server_hostname="localhost") as one:
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return int(one.makefile("rb").readline().split()[1])


def test_counts_outlive_a_change_of_the_configuration(call: Call, caddy: RealCaddy) -> None:
    with limited(call, caddy):
        assert statuses(caddy, 5) == [200] * 5
        configure(call, caddy, settings=LIMITS, caddy_grace_period="9s")
        assert statuses(caddy, 1) == [429]


@contextlib.contextmanager
def second(caddy: RealCaddy) -> t.Iterator[RealCaddy]:
    """Another proxy before the same slots."""
    program = binary()
    assert program is not None
    with real_caddy(program) as one:
        one.port, one.gate = caddy.port, caddy.gate
        yield one


def alternating(proxies: t.Sequence[RealCaddy], count: int) -> int:
    """How many of so many requests pass that a visitor sends to the proxies in turn."""
    return [proxies[turn % len(proxies)].get("/")[0] for turn in range(count)].count(200)


def test_each_of_several_proxies_has_its_share(call: Call, caddy: RealCaddy) -> None:
    """Of 5 for two: 3 each, one more than the limit, which is the bound."""
    with limited(call, caddy, {"gb_rate_limit_proxies": 2}), second(caddy) as other:
        configure(call, other, settings=LIMITS, gb_rate_limit_proxies=2)
        until("it to serve as well", lambda: other.get("/", source="127.0.9.9")[0] == 200)
        assert alternating([caddy, other], 12) == 6


def in_common(folder: pathlib.Path, sync: float) -> dict[str, t.Any]:
    """Variables of one of two proxies that share a folder: they write every ``sync`` seconds, and read then and when configured."""
    storage = {"module": "file_system", "root": str(folder)}
    return {"caddy_rate_limit": {"keys": {}, "paths": {}, "proxies": 2, "storage": storage, "sync": sync}}


NEVER = 3600.0


def until_told(folder: pathlib.Path) -> None:
    """Until the only proxy that writes has written what it has counted by now, whatever it was just writing."""
    place = folder / "all/rate_limit/instances"
    seen = {file.stat().st_mtime_ns for file in place.glob("*.rlstate")}

    def twice() -> bool:
        seen.update(file.stat().st_mtime_ns for file in place.glob("*.rlstate"))
        return len(seen) >= 3

    until("it to write twice", twice)


def test_until_they_have_told_each_other_each_of_two_proxies_lets_the_whole_limit_pass(
    call: Call, caddy: RealCaddy, tmp_path: pathlib.Path
) -> None:
    """The bound: as many times the limit as there are proxies."""
    shared = in_common(tmp_path, NEVER)
    with limited(call, caddy, shared), second(caddy) as other:
        configure(call, other, settings=LIMITS, **shared)
        assert statuses(caddy, 6) == statuses(other, 6) == [200] * 5 + [429]


def test_what_a_proxy_was_told_counts_and_nothing_else_until_it_is_told_again(call: Call, caddy: RealCaddy, tmp_path: pathlib.Path) -> None:
    with limited(call, caddy, in_common(tmp_path, 0.05)), second(caddy) as other:
        assert statuses(caddy, 3) == [200] * 3
        until_told(tmp_path)
        configure(call, caddy, settings=LIMITS, **in_common(tmp_path, NEVER))
        until("its last write to be done", lambda: len(list(tmp_path.glob("all/rate_limit/instances/*"))) == 1)
        # A configuration that begins while the one before writes takes the half-written file for another proxy's, until it reads
        # again, which here is never: so once more, now that nobody writes.
        configure(call, caddy, settings=LIMITS, **in_common(tmp_path, NEVER + 1))
        configure(call, other, settings=LIMITS, **in_common(tmp_path, NEVER))
        assert statuses(other, 4) == [200] * 2 + [429] * 2, "of 5 it was told that 3 are used"
        assert statuses(caddy, 4) == [200] * 2 + [429] * 2, "it was told nothing"


def test_a_proxy_never_counts_its_own_requests_as_anothers(call: Call, caddy: RealCaddy, tmp_path: pathlib.Path) -> None:
    """However often it writes and reads: 40 pass with an exchange for about each of them."""
    with limited(call, caddy, in_common(tmp_path, 0.005), rate_limit_requests=40):
        assert statuses(caddy, 42) == [200] * 40 + [429] * 2


def test_proxies_that_tell_each_other_let_nothing_more_pass(call: Call, caddy: RealCaddy, tmp_path: pathlib.Path) -> None:
    shared = in_common(tmp_path, 0.1)
    with limited(call, caddy, shared), second(caddy) as other:
        configure(call, other, settings=LIMITS, **shared)
        assert statuses(caddy, 6) == [200] * 5 + [429], "the other has counted nothing that could be told"
        until("the other to know", lambda: statuses(other, 1) == [429])
        assert alternating([caddy, other], 6) == 0


def test_a_folder_that_cannot_be_shared_is_refused(caddy: RealCaddy, tmp_path: pathlib.Path) -> None:
    wanted = in_common(tmp_path, 1)
    wanted["caddy_rate_limit"]["storage"]["root"] = "limits"
    with pytest.raises(AssertionError, match="file_system with the root 'limits', which no other proxy would share"):
        caddy.role(settings=LIMITS, **wanted)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy as site.yml leaves it: who a visitor is, what is logged, who owns the configuration and the ports."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import typing as t
import urllib.request

from caddy_fleet import HTTPS, WORK, Fleet

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

SAVED = "/var/lib/caddy/.config/caddy/autosave.json"


def access_log(fleet: Fleet) -> list[dict[str, object]]:
    return [json.loads(line) for line in fleet.run("proxy-1", "cat", "/var/log/caddy/access.log").splitlines()]


def test_visitors_are_told_apart_by_their_own_address_and_not_by_what_they_say(fleet: Fleet) -> None:
    """Through the host's proxy device, where every connection comes from the proxy's own loopback."""
    first = [fleet.ask("/api/auth?bot_name=default", source="127.0.0.11", **{"X-Forwarded-For": f"10.0.0.{turn}"}) for turn in range(12)]
    assert [status for status, _headers, _body in first] == [200] * 10 + [429] * 2
    _status, headers, body = first[-1]
    assert 1 <= int(headers["retry-after"]) <= 60 and headers["content-type"] == "application/json"
    assert json.loads(body)["error"] == "rate_limited" and json.loads(body)["limit"] == "api-auth"
    assert fleet.ask("/api/auth?bot_name=default", source="127.0.0.12")[0] == 200
    assert fleet.ask("/api/demo/echo", source="127.0.0.11")[0] == 200
    assert {"127.0.0.11", "127.0.0.12"} <= {str(dict(entry["request"])["client_ip"]) for entry in access_log(fleet)}  # type: ignore[call-overload]


def test_the_access_log_is_json_with_the_request_id_and_no_secrets(fleet: Fleet) -> None:
    _status, headers, _body = fleet.ask("/api/demo/echo?token=5ecret&a=1", Cookie="gb_lb=5ecret", Authorization="Bearer 5ecret")
    text = wait_for(
        "the request to be logged",
        lambda: fleet.run("proxy-1", "cat", "/var/log/caddy/access.log"),
        lambda seen: headers["x-request-id"] in seen,
        timeout=5,
    )
    assert '"/api/demo/echo?a=1&token=hidden"' in text and "5ecret" not in text
    assert fleet.run("proxy-1", "stat", "-c", "%U %a", "/var/log/caddy/access.log").split() == ["caddy", "640"]


def test_a_restart_brings_what_ran(fleet: Fleet) -> None:
    before = fleet.caddy("/config/")
    fleet.run("proxy-1", "systemctl", "restart", "caddy")
    assert fleet.caddy("/config/") == before
    assert json.loads(fleet.run("proxy-1", "cat", SAVED)) == before


def test_killed_in_the_middle_of_storing_it_starts_and_the_next_run_repairs(fleet: Fleet) -> None:
    before = fleet.caddy("/config/")
    fleet.run("proxy-1", "sh", "-c", f"systemctl kill -s KILL --kill-who=main caddy; truncate -s 500 {SAVED}")
    fleet.run("proxy-1", "systemctl", "restart", "caddy")
    assert "apps" not in fleet.caddy("/config/")
    assert "changed=1" in fleet.play("--tags", "caddy").split("PLAY RECAP")[1]
    assert fleet.caddy("/config/") == before
    assert fleet.ask("/api/demo/echo")[0] == 200


def test_a_second_server_on_our_port_is_found_and_named(fleet: Fleet) -> None:
    """Caddy would start beside it without a word, and the two would share the connections."""
    likewise = "--property=User=caddy --property=AmbientCapabilities=CAP_NET_BIND_SERVICE --setenv=HOME=/var/tmp"
    fleet.run("proxy-1", "sh", "-c", f"systemd-run --unit=second {likewise} /usr/local/bin/caddy respond --listen :443 hello")
    try:
        listening = ("ss", "-Hltn", "sport = :443")
        wait_for("two to listen", lambda: fleet.run("proxy-1", *listening), lambda seen: len(seen.splitlines()) == 2, timeout=15)
        said = fleet.play("--tags", "caddy", fails=True)
        assert "443" in said and "caddy (pid" in said
    finally:
        fleet.run("proxy-1", "systemctl", "stop", "second")


# An authority of our own that speaks ACME: a second Caddy in the proxy, with a root that nobody knew before.
AUTHORITY = {
    "admin": {"disabled": True},
    "storage": {"module": "file_system", "root": "/var/tmp/authority"},
    "apps": {
        "pki": {"certificate_authorities": {"local": {"name": "Authority of the tests", "install_trust": False}}},
        "tls": {
            "certificates": {"automate": ["localhost"]},
            "automation": {"policies": [{"subjects": ["localhost"], "issuers": [{"module": "internal"}]}]},
        },
        "http": {
            "servers": {
                "acme": {
                    "listen": ["127.0.0.1:9443"],
                    "automatic_https": {"disable": True},
                    "tls_connection_policies": [{"default_sni": "localhost"}],
                    "routes": [{"handle": [{"handler": "acme_server"}]}],
                }
            }
        },
    },
}
ROOT = "/var/tmp/authority/pki/authorities/local/root.crt"


@contextlib.contextmanager
def authority(fleet: Fleet) -> t.Iterator[str]:
    """The authority while the block runs, and its root certificate as PEM."""
    write = f"cat > /var/tmp/authority.json << 'END'\n{json.dumps(AUTHORITY)}\nEND"
    start = "systemd-run --unit=authority /usr/local/bin/caddy run --config /var/tmp/authority.json"
    fleet.run("proxy-1", "sh", "-c", f"{write}\n{start}")
    try:
        root = wait_for("the authority's root", lambda: fleet.lxd.read_file("proxy-1", ROOT), bool, timeout=20)
        assert root
        yield root.decode()
    finally:
        fleet.run("proxy-1", "systemctl", "stop", "authority")


def shown_to(root: str) -> str:
    """What comes of a connection that trusts this authority alone: the version of TLS, or the error."""
    context = ssl.create_default_context(cadata=root)
    try:
        with socket.create_connection(("127.0.0.1", HTTPS), 10) as plain, context.wrap_socket(plain, server_hostname="localhost") as one:
            return str(one.version())
    except ssl.SSLError as error:
        return str(error)


def test_a_certificate_comes_from_an_authority_that_speaks_acme(fleet: Fleet) -> None:
    with authority(fleet) as root:
        WORK.mkdir(parents=True, exist_ok=True)
        (WORK / "authority.crt").write_text(root)
        assert "CERTIFICATE_VERIFY_FAILED" in shown_to(root)
        tls = {"source": "acme", "directory": "https://localhost:9443/acme/local/directory", "trusted_root": str(WORK / "authority.crt")}
        try:
            fleet.play("--tags", "caddy", "-e", json.dumps({"gb_tls": tls}))
            wait_for("the authority's certificate", lambda: shown_to(root), lambda seen: seen == "TLSv1.3", timeout=60)
            assert "changed=0" in fleet.play("--tags", "caddy", "-e", json.dumps({"gb_tls": tls})).split("PLAY RECAP")[1]
        finally:
            fleet.play("--tags", "caddy")
    assert fleet.ask("/api/demo/echo")[0] == 200


@contextlib.contextmanager
def http3(fleet: Fleet) -> t.Iterator[int]:
    """A Caddy on this host that passes requests on to the published port by HTTP/3, and its own port."""
    binaries = sorted(
        pathlib.Path("~/.cache/generalbots.scaling/caddy").expanduser().glob("*/caddy"), key=lambda path: path.stat().st_mtime
    )
    (WORK / "client").mkdir(parents=True, exist_ok=True)
    (WORK / "client/root.crt").write_text(fleet.root)
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = int(one.getsockname()[1])
    tls = {"ca": {"provider": "file", "pem_files": [str(WORK / "client/root.crt")]}, "server_name": "localhost"}
    passing = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{HTTPS}"}],
        "transport": {"protocol": "http", "versions": ["3"], "tls": tls},
        "headers": {"request": {"set": {"Host": ["localhost"]}}},
    }
    server = {"listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": [{"handle": [passing]}]}
    config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"client": server}}}}
    (WORK / "client/caddy.json").write_text(json.dumps(config))
    environment = {**os.environ, "HOME": str(WORK / "client")}
    with (
        (WORK / "client/log").open("wb") as log,
        subprocess.Popen(
            [str(binaries[-1]), "run", "--config", str(WORK / "client/caddy.json")], env=environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield port
        finally:
            process.terminate()


def test_http_3_is_published_where_it_is_asked_for(fleet: Fleet) -> None:
    wanted = {"gb_http_versions": ["h1", "h2", "h3"], "gb_settings_overrides": {"rate-limit-by": "tenant"}}
    fleet.play("--tags", "instances,caddy", "-e", json.dumps(wanted))
    try:
        assert f'h3=":{HTTPS}"' in fleet.ask("/api/demo/echo")[1]["alt-svc"]
        with http3(fleet) as port:
            url = f"http://127.0.0.1:{port}/api/demo/echo?by=http3"
            status = wait_for("an answer by HTTP/3", lambda: status_of(url), lambda seen: seen == 200, timeout=20)
        assert status == 200
        lines = wait_for("the log", lambda: by_http3(fleet), bool, timeout=5)
        assert {str(dict(line["request"])["proto"]) for line in lines} == {"HTTP/3.0"}  # type: ignore[call-overload]
    finally:
        fleet.play("--tags", "instances,caddy")


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except OSError:
        return 0


def by_http3(fleet: Fleet) -> list[dict[str, object]]:
    return [line for line in access_log(fleet) if "by=http3" in str(line["request"])]

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What site.yml brought up."""

from __future__ import annotations

import typing as t

import requests
from topology import PROJECT, URL, WORK, Site

Hosts = t.Callable[[str], t.Any]


def journal(host: t.Any, unit: str) -> str:
    """The end of a unit's journal, for the message of a failed test."""
    return str(host.run(f"journalctl -u {unit} -n 40 --no-pager").stdout)


def test_only_the_minimum_runs(site: Site) -> None:
    assert site.slots() == {"active": [1]}


def test_botserver_runs_as_its_user_and_is_called_a_demo(instance: Hosts) -> None:
    host = instance("botserver-1")
    assert host.service("botserver").is_running, journal(host, "botserver")
    assert host.service("gb-gate.socket").is_running, journal(host, "gb-gate.socket")
    assert host.run("stat -c %U /proc/$(systemctl show -p MainPID --value botserver)").stdout.strip() == "gbuser"
    assert host.run("/opt/gbo/bin/botserver --version").stdout.startswith("demo botserver ")


def test_the_environment_is_for_root_only_and_not_in_lxd(site: Site, instance: Hosts) -> None:
    file = instance("botserver-1").file("/opt/gbo/bin/.env")
    assert (file.mode, file.user, file.group) == (0o600, "root", "root")
    assert "GB_DEMO_STANDALONE" in file.content_string
    assert "GB_DEMO_STANDALONE" not in str(site.config("botserver-1"))


def test_each_instance_has_an_identity_of_its_own(site: Site, instance: Hosts) -> None:
    identities = {name: instance(name).file("/etc/machine-id").content_string.strip() for name in ("botserver-1", "proxy-1")}
    assert len(set(identities.values())) == 2
    assert all(len(identity) == 32 for identity in identities.values())
    assert instance("proxy-1").run("hostname").stdout.strip() == "proxy-1"


def test_caddy_runs_and_its_admin_endpoint_is_a_socket_for_few(instance: Hosts) -> None:
    host = instance("proxy-1")
    assert host.service("caddy").is_running, journal(host, "caddy")
    assert not host.socket("tcp://127.0.0.1:2019").is_listening
    assert host.file("/run/caddy").mode & 0o007 == 0
    assert "http.handlers.rate_limit" in host.run("/usr/local/bin/caddy list-modules").stdout


def test_the_site_answers_over_tls_through_caddy(site: Site) -> None:
    answer = requests.get(f"{URL}/api/health", verify=str(WORK / "ca.crt"), timeout=10)
    assert (answer.status_code, answer.headers["X-Instance"]) == (200, "botserver-1")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "demo botserver" in answer.json()["version"]


def test_plain_http_is_sent_to_https(site: Site) -> None:
    answer = requests.get("http://localhost:18080/api/health", allow_redirects=False, timeout=10)
    assert answer.status_code in (301, 302, 307, 308)
    assert answer.headers["Location"].startswith("https://localhost")


def test_nothing_but_the_proxy_is_published(site: Site) -> None:
    raw, _etag = site.lxd.get("instances", recursion="1")
    devices = [(item["name"], device) for item in raw for device in item["expanded_devices"].values()]
    published = {(name, device["listen"]) for name, device in devices if device["type"] == "proxy"}
    assert published == {("proxy-1", "tcp:127.0.0.1:18080"), ("proxy-1", "tcp:127.0.0.1:18443")}


def test_a_restart_of_caddy_brings_the_same_configuration(site: Site) -> None:
    before = site.run("proxy-1", "python3", "-c", READ_CONFIG)
    site.run("proxy-1", "systemctl", "restart", "caddy")
    assert site.run("proxy-1", "python3", "-c", READ_CONFIG) == before
    assert "gb-api" in before


READ_CONFIG = """
import http.client, json, socket
link = http.client.HTTPConnection('localhost')
link.sock = socket.socket(socket.AF_UNIX)
link.sock.connect('/run/caddy/admin.sock')
link.request('GET', '/config/')
print(json.dumps(json.load(link.getresponse()), sort_keys=True))
"""


def test_the_inventory_knows_the_instances(site: Site) -> None:
    assert site.lxd.project == PROJECT
    assert site.config("botserver-1")["user.gb.slot"] == "1"


def test_a_second_run_in_check_mode_predicts_nothing(site: Site) -> None:
    assert "changed=0" in site.play("site", "--check", "--diff").split("PLAY RECAP")[1]

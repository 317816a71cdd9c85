# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers to whom: scans from the host and from instances, and what keeps it so."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import typing as t

import pytest
from topology import PROJECT, Site

from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.listeners import listeners
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address, gateway

SUBNET = "10.88.0.0/24"
PROXY, BOTSERVER = address(SUBNET, "proxy", 1), address(SUBNET, "botserver", 1)
ALL = "1-65535"
#: ports that something here listens on or could
LIKELY = "20-25,53,80,443,2019,2379,5432,6333,6379,8008,8079,8080,8443,9090,9999"
FORBIDDEN = 9999

# Which TCP ports of a host take a connection, several hundred at a time; one that is silent for two seconds counts as closed.
SCAN = """
import select, socket, sys
spans = [part.partition("-") for part in sys.argv[2].split(",")]
ports = [port for first, _, last in spans for port in range(int(first), int(last or first) + 1)]
found = []
for at in range(0, len(ports), 500):
    poll, waiting = select.poll(), {}
    for port in ports[at : at + 500]:
        link = socket.socket()
        link.setblocking(False)
        link.connect_ex((sys.argv[1], port))
        poll.register(link, select.POLLOUT)
        waiting[link.fileno()] = (link, port)
    while waiting:
        answers = poll.poll(2000)
        if not answers:
            break
        for number, _ in answers:
            link, port = waiting.pop(number)
            poll.unregister(number)
            if link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(port)
            link.close()
    for link, _ in waiting.values():
        link.close()
print(*found)
"""
# Connects to the bridge's name service from a given source address.
ASK_FROM = """
import socket, sys
try:
    socket.create_connection((sys.argv[2], 53), timeout=2, source_address=(sys.argv[1], 0)).close()
    print("answered")
except TimeoutError:
    print("silence")
"""
CONNECT_ADMIN = "import socket; socket.socket(socket.AF_UNIX).connect('/run/caddy/admin.sock')"


def ports(text: str) -> set[int]:
    return {int(port) for port in text.split()}


def from_host(host: str, which: str = LIKELY) -> set[int]:
    """The open ports of an instance, as the host sees them."""
    return ports(subprocess.run([sys.executable, "-c", SCAN, host, which], check=True, capture_output=True, text=True).stdout)


@pytest.fixture
def listener(site: Site) -> t.Iterator[None]:
    """Something in botserver-1 that listens on all addresses, as a service would that somebody installed there."""
    unit = "gb-test-listener"
    site.run("botserver-1", "systemd-run", f"--unit={unit}", "python3", "-m", "http.server", str(FORBIDDEN))
    wait = f"until ss -Hltn sport = :{FORBIDDEN} | grep -q .; do sleep 0.1; done"
    site.run("botserver-1", "timeout", "20", "sh", "-c", wait)
    yield
    site.run("botserver-1", "systemctl", "stop", unit)


@pytest.mark.usefixtures("listener")
def test_a_service_that_the_table_does_not_know_answers_nobody(site: Site) -> None:
    assert ports(site.run("botserver-1", "python3", "-c", SCAN, "127.0.0.1", LIKELY)) == {8079, 8080, FORBIDDEN}
    assert from_host(BOTSERVER, ALL) == {8079}
    assert ports(site.run("proxy-1", "python3", "-c", SCAN, BOTSERVER, LIKELY)) == {8079, 8080}


def test_a_proxy_answers_visitors_and_nothing_else(site: Site) -> None:
    assert from_host(PROXY, ALL) == {80, 443}
    assert ports(site.run("botserver-1", "python3", "-c", SCAN, PROXY, LIKELY)) == {80, 443}


def test_the_host_listens_on_nothing_of_ours_but_what_is_published() -> None:
    ours = {(one.address, one.port, one.device[1]) for one in listeners() if one.device and one.device[0] == PROJECT}
    assert ours == {("127.0.0.1", 18080, "proxy-1"), ("127.0.0.1", 18443, "proxy-1")}


def test_the_admin_socket_is_roots_and_caddys(site: Site) -> None:
    site.run("proxy-1", "python3", "-c", CONNECT_ADMIN)
    code, _out, err = site.lxd.execute("proxy-1", ["su", "-s", "/bin/sh", "nobody", "-c", f'python3 -c "{CONNECT_ADMIN}"'])
    assert code != 0 and "PermissionError" in err


def test_no_instance_can_speak_in_the_name_of_another(site: Site) -> None:
    borrowed = address(SUBNET, "proxy", 9)
    site.run("botserver-1", "ip", "address", "add", f"{borrowed}/32", "dev", "eth0")
    try:
        said = [site.run("botserver-1", "python3", "-c", ASK_FROM, own, gateway(SUBNET)).strip() for own in (BOTSERVER, borrowed)]
    finally:
        site.run("botserver-1", "ip", "address", "del", f"{borrowed}/32", "dev", "eth0")
    assert said == ["answered", "silence"]


@pytest.mark.parametrize("name", ["botserver-1", "proxy-1"])
def test_the_rules_are_there_before_the_network_is(site: Site, name: str) -> None:
    properties = ("--property=ActiveState", "--property=InactiveExitTimestampMonotonic", "--property=ActiveEnterTimestampMonotonic")
    rules, network = (
        dict(line.split("=") for line in site.run(name, "systemctl", "show", *properties, unit).split())
        for unit in ("gb-exposure.service", "networking.service")
    )
    assert rules["ActiveState"] == network["ActiveState"] == "active"
    assert 0 < int(rules["ActiveEnterTimestampMonotonic"]) <= int(network["InactiveExitTimestampMonotonic"])


def test_a_rule_that_was_added_by_hand_is_foreseen_and_put_right(site: Site) -> None:
    site.run("botserver-1", "nft", "insert", "rule", "inet", "gb_exposure", "input", "tcp", "dport", "1-65535", "accept")
    assert "changed=1" in site.play("site", "--tags", "firewall", "--check").split("PLAY RECAP")[1]
    assert 8080 in from_host(BOTSERVER)
    assert "changed=1" in site.play("site", "--tags", "firewall").split("PLAY RECAP")[1]
    assert from_host(BOTSERVER) == {8079}


def test_a_door_of_the_users_own_opens_and_closes(site: Site) -> None:
    door = {"gb_exposure_extra": [{"to": "botserver", "ports": [8080], "from": ["host"], "purpose": "a test"}]}
    site.play("site", "--tags", "firewall", "-e", json.dumps(door))
    assert from_host(BOTSERVER) == {8079, 8080}
    site.play("site", "--tags", "firewall")
    assert from_host(BOTSERVER) == {8079}
    door["gb_exposure_extra"][0]["to"] = "botservr"
    said = site.play("site", "--tags", "firewall", "-e", json.dumps(door), fails=True)
    assert "gb_exposure_extra[0]: to is 'botservr'; it must be one of proxy" in said
    assert "changed=0" in said.split("PLAY RECAP")[1]


def test_a_port_that_somebody_has_is_refused_before_anything_is_changed(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = site.play("site", "--tags", "instances", "-e", f"gb_publish_http_port={port}", fails=True)
    assert f"gb_publish_http_port is {port}, and on 127.0.0.1 that port is taken by" in said
    assert "Nothing was changed" in said
    assert "changed=0" in said.split("PLAY RECAP")[1]

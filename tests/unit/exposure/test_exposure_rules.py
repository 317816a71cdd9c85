# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the table of who may speak to whom to the rules of a component."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.filter.exposure_rules import exposure_rules
from ansible_collections.generalbots.scaling.plugins.filter.virtual_address import virtual_address
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure import table
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.rules import doors_of, number_of, rule_set
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import RANGES, address, component_range

SUBNET = "10.87.0.0/24"


def accepted(component: str, **options: t.Any) -> list[str]:
    """What the doors of a component accept, one line of the rule set each."""
    lines = [line.strip() for line in rule_set(component, SUBNET, **options).splitlines()]
    return [line for line in lines if "accept comment" in line and '"DHCP"' not in line]


def test_a_botserver_accepts_requests_of_proxies_and_checks_of_proxies_host_and_controller() -> None:
    assert accepted("botserver") == [
        'ip saddr 10.87.0.11-10.87.0.19 tcp dport 8080 accept comment "visitors\' requests"',
        'ip saddr 10.87.0.11-10.87.0.19 tcp dport 8079 accept comment "health checks"',
        'ip saddr 10.87.0.1 tcp dport 8079 accept comment "health checks"',
        'ip saddr 10.87.0.91-10.87.0.99 tcp dport 8079 accept comment "health checks"',
    ]


def test_visitors_reach_a_proxy_by_both_families_and_only_proxies_speak_vrrp_to_it() -> None:
    assert accepted("proxy") == [
        'tcp dport { 80, 443 } accept comment "visitors"',
        'udp dport 443 accept comment "visitors, HTTP/3"',
        'ip saddr 10.87.0.11-10.87.0.19 ip protocol 112 accept comment "who holds the virtual address"',
    ]


@pytest.mark.parametrize("component", table.COMPONENTS)
def test_everything_else_is_dropped_and_the_whole_is_one_transaction(component: str) -> None:
    lines = [line.strip() for line in rule_set(component, SUBNET).splitlines() if not line.startswith("#")]
    assert lines[:3] == ["table inet gb_exposure", "delete table inet gb_exposure", "table inet gb_exposure {"]
    assert "type filter hook input priority filter; policy drop;" in lines
    assert lines[-4:-2] == ["meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited"]
    assert [line for line in lines if line.startswith(("accept", "counter accept"))] == []


def test_every_component_has_addresses_and_every_door_leads_to_and_from_what_there_is() -> None:
    assert set(table.COMPONENTS) == set(RANGES)
    known = {*table.COMPONENTS, table.HOST, table.ANYWHERE}
    assert [door for door in table.DOORS if door.to not in table.COMPONENTS or not set(door.sources) <= known] == []
    assert [door for door in table.DOORS for port in door.ports if isinstance(port, str) and port not in table.PORTS] == []


def test_only_the_proxy_is_open_to_anywhere() -> None:
    assert {door.to for door in table.DOORS if table.ANYWHERE in door.sources} == {"proxy"}


def test_no_number_of_instances_changes_a_rule() -> None:
    first, last = component_range(SUBNET, "botserver")
    assert (first, last) == (address(SUBNET, "botserver", 1), address(SUBNET, "botserver", 150))
    assert f"ip saddr {first}-{last} tcp dport 5432" in rule_set("postgres", SUBNET)


def test_ports_that_are_variables_follow_them() -> None:
    lines = accepted("botserver", ports={"botserver": "9000"})
    assert ["dport 9000" in line for line in lines] == [True, False, False, False]
    assert all("dport 8079" in line for line in lines[1:])


@pytest.mark.parametrize("value", ["", "http", 0, 65536, -1])
def test_a_variable_that_is_no_port_is_named(value: t.Any) -> None:
    with pytest.raises(InvalidInput, match=r"gb_gate_port is .* a port is a number from 1 to 65535"):
        number_of("gate", {"gate": value})


def test_doors_of_the_user_are_added() -> None:
    extra = [{"to": "botserver", "ports": [9100], "from": ["monitoring", "192.0.2.7", "198.51.100.0/24"], "purpose": "node exporter"}]
    assert accepted("botserver", extra=extra)[4:] == [
        'ip saddr 10.87.0.81-10.87.0.89 tcp dport 9100 accept comment "node exporter"',
        'ip saddr 192.0.2.7 tcp dport 9100 accept comment "node exporter"',
        'ip saddr 198.51.100.0/24 tcp dport 9100 accept comment "node exporter"',
    ]
    assert accepted("proxy", extra=extra) == accepted("proxy")


@pytest.mark.parametrize(
    ("door", "said"),
    [
        ({"to": "redis-1", "ports": [1], "from": ["host"]}, "to is 'redis-1'; it must be one of proxy"),
        ({"to": ["proxy", "redis"], "ports": [1], "from": ["host"]}, "to is ['proxy', 'redis']; it must be one of proxy"),
        ("redis", "it is 'redis'; it must be a mapping with to, from and ports"),
        (None, "it is None; it must be a mapping"),
        ({"to": "redis", "ports": [1], "from": ["host"], 1: 2, "port": 2}, "unknown key 1, port; known are to, ports"),
        ({"to": "redis", "ports": ["²"], "from": ["host"]}, "ports is ['²']"),
        ({"to": "redis", "ports": [], "from": ["host"]}, "ports is []; it must be a list of numbers"),
        ({"to": "redis", "ports": [70000], "from": ["host"]}, "ports is [70000]"),
        ({"to": "redis", "ports": 6379, "from": ["host"]}, "ports is 6379"),
        ({"to": "redis", "ports": [1], "from": []}, "from is []"),
        ({"to": "redis", "ports": [1], "from": ["everywhere"]}, "from is ['everywhere']"),
        ({"to": "redis", "ports": [1], "from": ["2001:db8::1"]}, "IPv4 addresses or networks"),
        ({"to": "redis", "ports": [1], "from": ["host"], "protocol": "sctp"}, "protocol is 'sctp'; it must be one of tcp, udp, vrrp"),
        ({"to": "proxy", "ports": [1], "from": ["proxy"], "protocol": "vrrp"}, "none for vrrp"),
        ({"to": "redis", "ports": [1], "from": ["host"], "port": 2}, "unknown key port; known are to, ports"),
        ({"to": "redis", "ports": [1], "from": ["host"], "purpose": 'x" accept'}, "purpose must be up to 100 letters"),
    ],
)
def test_a_door_that_is_none_is_refused_with_its_place(door: t.Any, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        doors_of([{"to": "redis", "ports": [1], "from": ["host"]}, door])
    assert str(raised.value).startswith("gb_exposure_extra[1]: ")
    assert said in str(raised.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput, match=r"\[0\]: to is 'x'.*\[1\]: from is None"):
        doors_of([{"to": "x", "ports": [1], "from": ["host"]}, {"to": "redis", "ports": [1]}])


def test_the_filter_says_what_is_wrong() -> None:
    assert exposure_rules("redis", SUBNET) == rule_set("redis", SUBNET)
    with pytest.raises(AnsibleFilterError, match="There is no component 'cache'; known are proxy, etcd"):
        exposure_rules("cache", SUBNET)
    with pytest.raises(AnsibleFilterError, match="which is no IPv4 network"):
        exposure_rules("redis", "10.87.0/24")


@pytest.mark.parametrize(("given", "said"), [("10.87.0.10", "10.87.0.2 to 10.87.0.9"), ("10.88.0.2", "are kept"), ("vip", "no IPv4")])
def test_a_virtual_address_that_a_slot_may_have_is_refused(given: str, said: str) -> None:
    assert (virtual_address("10.87.0.9", SUBNET), virtual_address("", SUBNET)) == ("10.87.0.9", "10.87.0.2")
    with pytest.raises(AnsibleFilterError, match=said):
        virtual_address(given, SUBNET)


@pytest.mark.skipif(not (shutil.which("nft", path="/usr/sbin:/usr/bin") and shutil.which("unshare")), reason="there is no nft here")
@pytest.mark.parametrize("component", table.COMPONENTS)
def test_nft_takes_the_rules_twice(component: str) -> None:
    twice = rule_set(component, SUBNET, extra=[{"to": component, "ports": [9100, 9101], "from": ["anywhere"], "protocol": "udp"}]) * 2
    command = ["unshare", "--map-root-user", "--net", "--", "/usr/sbin/nft", "-f", "-"]
    done = subprocess.run(command, input=twice, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr

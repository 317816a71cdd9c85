# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table as the nftables rule set of one component. Pure: it depends on no instance, so scaling changes no rule set."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.table import (
    ANYWHERE,
    COMPONENTS,
    DOORS,
    HOST,
    PORTS,
    Door,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import component_range, gateway

#: family and name of the table in the kernel; other tables are never touched
TABLE = "inet gb_exposure"
PROTOCOLS = ("tcp", "udp", "vrrp")
#: the texts of a rule set stand between quotation marks
_PURPOSE = re.compile(r"[\w .,:/()+-]{1,100}")

# Of ICMP comes in what finds neighbours and reports what is wrong, and ping. VRRP stands by its number, 112: a small system has no
# list of names. TCP is refused by a reset, which the kernel does not ration as it does errors by ICMP, so that nobody waits.
# The first two lines make the whole file one transaction, whether the table is there or not: no packet ever meets no rules.
_TEMPLATE = """\
# What {component} accepts. Made by the role generalbots.scaling.firewall: changes here are overwritten.
table {table}
delete table {table}
table {table} {{
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname "lo" accept
        icmp type {{ echo-request, destination-unreachable, time-exceeded, parameter-problem }} accept
        icmpv6 type {{ echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem }} accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, mld-listener-query }} ip6 hoplimit {{ 1, 255 }} accept
        ip saddr {gateway} udp sport 67 udp dport 68 accept comment "DHCP"
{doors}        meta l4proto tcp reject with tcp reset
        reject with icmpx type admin-prohibited
    }}
}}
"""


def rule_set(
    component: str,
    subnet: str,
    *,
    ports: t.Mapping[str, t.Any] | None = None,
    extra: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> str:
    """What ``nft -f`` loads in the containers of a component.

    :param subnet: the bridge's network in CIDR notation
    :param ports: values of the variable ports, by their names in the table; those not given have their defaults
    :param extra: further doors, see :func:`doors_of`
    :raises InvalidInput: unknown component, port or source
    """
    if component not in COMPONENTS:
        raise InvalidInput(f"There is no component {component!r}; known are {', '.join(COMPONENTS)}.")
    doors = [door for door in (*DOORS, *doors_of(extra)) if door.to == component]
    lines = [line for door in doors for line in _lines(door, subnet, ports or {})]
    return _TEMPLATE.format(component=component, table=TABLE, gateway=gateway(subnet), doors="".join(f"        {line}\n" for line in lines))


def doors_of(extra: t.Sequence[t.Mapping[str, t.Any]]) -> list[Door]:
    """The user's own doors: ``{to: component, ports: [9100], from: [monitoring, 192.0.2.7], protocol: tcp, purpose: …}``.

    :raises InvalidInput: with everything that is wrong with any of them
    """
    wrong = [f"gb_exposure_extra[{number}]: {text}" for number, item in enumerate(extra) for text in _faults(item)]
    if wrong:
        raise InvalidInput(" ".join(wrong))
    return [
        Door(
            item["to"],
            tuple(int(port) for port in item.get("ports", ())),
            tuple(str(source) for source in item["from"]),
            str(item.get("purpose", "by gb_exposure_extra")),
            item.get("protocol", "tcp"),
        )
        for item in extra
    ]


def _faults(item: t.Any) -> t.Iterator[str]:
    if not isinstance(item, t.Mapping):
        yield f"it is {item!r}; it must be a mapping with to, from and ports, such as {{to: redis, ports: [9121], from: [monitoring]}}."
        return
    unknown = sorted(str(key) for key in item if key not in ("to", "ports", "from", "protocol", "purpose"))
    if unknown:
        yield f"unknown key {', '.join(unknown)}; known are to, ports, from, protocol, purpose."
    # A list cannot be looked for in a mapping.
    if not isinstance(item.get("to"), str) or item["to"] not in COMPONENTS:
        yield f"to is {item.get('to')!r}; it must be one of {', '.join(COMPONENTS)}. Give each of several an element of its own."
    protocol = item.get("protocol", "tcp")
    if protocol not in PROTOCOLS:
        yield f"protocol is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}."
    ports = item.get("ports", [])
    if not isinstance(ports, list) or not all(_is_port(port) for port in ports) or bool(ports) == (protocol == "vrrp"):
        yield f"ports is {ports!r}; it must be a list of numbers from 1 to 65535, and none for vrrp."
    sources = item.get("from")
    if not isinstance(sources, list) or not sources or not all(_is_source(str(source)) for source in sources):
        yield f"from is {sources!r}; it must be a list of components, {HOST}, {ANYWHERE}, IPv4 addresses or networks."
    if not _PURPOSE.fullmatch(str(item.get("purpose", "x"))):
        yield "purpose must be up to 100 letters, digits, blanks and .,:/()+-"


def _is_port(value: t.Any) -> bool:
    return str(value).isascii() and str(value).isdigit() and 1 <= int(value) <= 65535


def _is_source(source: str) -> bool:
    return source in (HOST, ANYWHERE) or source in COMPONENTS or _network(source) is not None


def _network(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError:
        return None


def _lines(door: Door, subnet: str, ports: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    comment = f'accept comment "{door.purpose}"'
    match = _port_match(door, ports)
    for source in door.sources:
        if source == ANYWHERE:
            yield f"{match} {comment}"
        else:
            yield f"ip saddr {_source_match(source, subnet)} {match} {comment}"


def _port_match(door: Door, ports: t.Mapping[str, t.Any]) -> str:
    if door.protocol == "vrrp":
        return "ip protocol 112"
    numbers = sorted(number_of(port, ports) for port in door.ports)
    return f"{door.protocol} dport {numbers[0] if len(numbers) == 1 else '{ ' + ', '.join(map(str, numbers)) + ' }'}"


def number_of(port: int | str, ports: t.Mapping[str, t.Any]) -> int:
    """The number of a port of the table; raises InvalidInput if the variable behind it holds none."""
    if isinstance(port, int):
        return port
    variable, default = PORTS[port]
    value = ports.get(port, default)
    if not _is_port(value):
        raise InvalidInput(f"{variable} is {value!r}; a port is a number from 1 to 65535.")
    return int(value)


def _source_match(source: str, subnet: str) -> str:
    if source == HOST:
        return gateway(subnet)
    if source in COMPONENTS:
        return "-".join(component_range(subnet, source))
    return str(_network(source)).removesuffix("/32")

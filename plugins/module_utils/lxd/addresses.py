# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address an instance has: a function of its component and slot, so that a slot keeps its address for ever."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    InvalidInput,
)

#: component → (offset in the subnet, number of slots); ranges never overlap
RANGES: t.Mapping[str, tuple[int, int]] = {
    "proxy": (10, 9),
    "etcd": (20, 9),
    "postgres": (30, 9),
    "redis": (40, 9),
    "sentinel": (50, 9),
    "qdrant": (60, 9),
    "shard": (70, 9),
    "monitoring": (80, 9),
    "control": (90, 9),
    "botserver": (100, 150),
}
#: what of a network card keeps its instance from using the addresses of others: rules of nftables trust addresses
NO_SPOOFING: t.Mapping[str, str] = {"security.mac_filtering": "true", "security.ipv4_filtering": "true"}
#: first and last offset in the subnet that a virtual address may have: no slot is there
VIRTUAL = (2, 9)


def instance_name(component: str, slot: int) -> str:
    """``<component>-<slot>``, as every instance of ours is named."""
    return f"{component}-{slot}"


def address(subnet: str, component: str, slot: int) -> str:
    """The static IPv4 address of a slot.

    :param subnet: the bridge's network in CIDR notation, at least a /24
    :param slot: counted from 1
    :raises InvalidInput: unknown component, slot out of its range, or a subnet that is too small or no subnet
    """
    if component not in RANGES:
        raise InvalidInput(f"There is no component {component!r}; known are {', '.join(RANGES)}.")
    offset, slots = RANGES[component]
    if not 1 <= slot <= slots:
        raise InvalidInput(f"{component} has slots 1 to {slots}; {slot} is none of them.")
    return str(_network(subnet).network_address + offset + slot)


def _network(subnet: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise InvalidInput(f"gb_subnet is {subnet!r}, which is no IPv4 network: {error}. Write it like 10.87.0.0/24.") from error
    if network.prefixlen > 24:
        raise InvalidInput(f"gb_subnet {subnet} has {network.num_addresses} addresses; a /24 or larger is needed.")
    return network


def component_range(subnet: str, component: str) -> tuple[str, str]:
    """The first and the last address that slots of a component can have; raises as :func:`address` does."""
    return address(subnet, component, 1), address(subnet, component, RANGES[component][1])


def virtual_address(subnet: str, wanted: str) -> str:
    """``wanted`` if it may be the address that several proxies share; the first that may be if it is empty.

    :raises InvalidInput: no IPv4 address, or one that is not kept free for this in the subnet
    """
    base = _network(subnet).network_address
    first, last = base + VIRTUAL[0], base + VIRTUAL[1]
    if not wanted:
        return str(first)
    try:
        given = ipaddress.IPv4Address(wanted)
    except ValueError as error:
        raise InvalidInput(f"gb_virtual_address is {wanted!r}, which is no IPv4 address. Take one from {first} to {last}.") from error
    if not first <= given <= last:
        raise InvalidInput(
            f"gb_virtual_address is {given}; in {subnet} the addresses {first} to {last} are kept for this. Take one of them."
        )
    return str(given)


def gateway(subnet: str) -> str:
    """The bridge's own address: the first of the subnet."""
    return str(_network(subnet).network_address + 1)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: component_instances
short_description: The numbered instances of a component, with their addresses
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Makes the list that M(generalbots.scaling.lxc_instance) takes as O(generalbots.scaling.lxc_instance#module:instances),
    named C(<component>-<n>) from 1 on.
  - Each one gets the static address of its slot, a network card that cannot pretend to be another, and the rules of its component for
    its first start.
options:
  _input:
    description: The component, such as V(proxy).
    type: str
    required: true
  count:
    description: How many.
    type: int
    required: true
  subnet:
    description: The bridge's network in CIDR notation.
    type: str
    required: true
  network:
    description: The bridge.
    type: str
    required: true
  image:
    description: Alias of the image they are made from.
    type: str
    required: true
  limits:
    description: Their limits.
    type: dict
    default: {}
  first_devices:
    description: Further devices of the first one, by name. Null for one that shall not be there.
    type: dict
    default: {}
  firewall_rules:
    description:
      - Their rules, as P(generalbots.scaling.exposure_rules#filter) makes them. Without it, what the table of the collection allows the
        component.
    type: str
  shares_address:
    description:
      - They share a virtual address. Their network cards then let them use addresses of others, because LXD knows of no second address
        that a card may have.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Two proxies
  generalbots.scaling.lxc_instance:
    component: proxy
    instances: "{{ 'proxy' | generalbots.scaling.component_instances(2, subnet='10.87.0.0/24', network='gbbr0', image='gb/proxy') }}"
"""

RETURN = r"""
_value:
  description: The instances.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.rules import rule_set
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import NO_SPOOFING, address, instance_name

Devices = t.Mapping[str, t.Mapping[str, t.Any] | None]


def component_instances(
    component: str,
    count: int,
    *,
    subnet: str,
    network: str,
    image: str,
    limits: t.Mapping[str, t.Any] | None = None,
    first_devices: Devices | None = None,
    firewall_rules: str | None = None,
    shares_address: bool = False,
) -> list[dict[str, t.Any]]:
    """The instances of a component; raises AnsibleFilterError where a slot has no address."""
    try:
        slots = range(1, int(count) + 1)
        rules = rule_set(component, subnet) if firewall_rules is None else firewall_rules
        cards = {slot: _card(component, slot, subnet, network, shares_address) for slot in slots}
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error
    return [
        {
            "name": instance_name(component, slot),
            "image": image,
            "limits": dict(limits or {}),
            "firewall_rules": rules,
            "config": {"user.gb.slot": str(slot), "user.gb.state": "active"},
            "devices": {"eth0": cards[slot], **((first_devices or {}) if slot == 1 else {})},
        }
        for slot in slots
    ]


def _card(component: str, slot: int, subnet: str, network: str, shares_address: bool) -> dict[str, str]:
    card = {"type": "nic", "name": "eth0", "network": network, "ipv4.address": address(subnet, component, slot), **NO_SPOOFING}
    return {**card, "security.ipv4_filtering": "false"} if shares_address else card


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"component_instances": component_instances}

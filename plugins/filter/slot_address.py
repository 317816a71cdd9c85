# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: slot_address
short_description: The address of a slot
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Computes the static address that a slot of a component has for ever.
positional: component, subnet
options:
  _input:
    description: The slot, counted from 1.
    type: int
    required: true
  component:
    description: The component, such as V(botserver).
    type: str
    required: true
  subnet:
    description: The bridge's network in CIDR notation.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where slot 3 is
  ansible.builtin.debug:
    msg: "{{ 3 | generalbots.scaling.slot_address('botserver', '10.87.0.0/24') }}"
"""

RETURN = r"""
_value:
  description: The IPv4 address.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address


def slot_address(slot: int, component: str, subnet: str) -> str:
    """The address of a slot; raises AnsibleFilterError where it has none."""
    try:
        return address(subnet, component, int(slot))
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"slot_address": slot_address}

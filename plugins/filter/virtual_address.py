# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: virtual_address
short_description: The address that several proxies share
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Gives the address back if it may be the virtual address of proxies in a subnet, where the second to the ninth address are kept for this.
    For an empty one, gives the first of them.
positional: subnet
options:
  _input:
    description: The address.
    type: str
    required: true
  subnet:
    description: The bridge's network in CIDR notation.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the virtual address
  ansible.builtin.debug:
    msg: "{{ '10.87.0.5' | generalbots.scaling.virtual_address('10.87.0.0/24') }}"
"""

RETURN = r"""
_value:
  description: The address.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import addresses


def virtual_address(address: str, subnet: str) -> str:
    """The address; raises AnsibleFilterError where it is none that may be shared."""
    try:
        return addresses.virtual_address(subnet, address)
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"virtual_address": virtual_address}

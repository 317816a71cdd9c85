#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_ports_info
short_description: See what listens on this host, and whether ports are taken
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Tells who listens on which TCP ports of the host that the module runs on, and which of some wanted ports somebody else has, from what
    the kernel shows.
  - What a proxy device of O(project) listens on is not somebody else's.
  - As another user than root it cannot name processes, nor recognize its own proxy devices.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
  - generalbots.scaling.attributes.info_module
options:
  ports:
    description: The ports that are wanted.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address, V(0.0.0.0) for all.
        type: str
        required: true
      port:
        description: The port.
        type: int
        required: true
      variable:
        description: The variable that it comes from, which is returned with it.
        type: str
        default: ""
  project:
    description: The project whose proxy devices are our own.
    type: str
    default: generalbots
"""

EXAMPLES = r"""
- name: See whether the site can be published
  generalbots.scaling.host_ports_info:
    ports:
      - address: 127.0.0.1
        port: 8443
  register: published

- name: See what the host listens on
  generalbots.scaling.host_ports_info:
  register: open
"""

RETURN = r"""
listeners:
  description: Every listening TCP socket of the host, in order of port and address.
  type: list
  elements: dict
  returned: always
  contains:
    address:
      description: The address, V(0.0.0.0) or V(::) for all.
      type: str
    port:
      description: The port.
      type: int
    owner:
      description: Its process in words; empty where it cannot be read.
      type: str
      sample: nginx (pid 812)
    device:
      description: The proxy device that it belongs to, with V(project), V(instance) and V(name); null for any other socket.
      type: dict
taken:
  description: The wanted ports that somebody else has.
  type: list
  elements: dict
  returned: always
  contains:
    address:
      description: The address.
      type: str
    port:
      description: The port.
      type: int
    variable:
      description: The variable that it comes from.
      type: str
    by:
      description: Who has it, in words.
      type: str
      sample: nginx (pid 812), which listens on 0.0.0.0
"""

import ipaddress
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.listeners import Wanted, in_order, listeners, taken
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

PORT: dict[str, t.Any] = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "variable": {"type": "str", "default": ""},
}
SPEC = ArgumentSpec(
    options={
        "ports": {"type": "list", "elements": "dict", "default": [], "options": PORT},
        "project": {"type": "str", "default": "generalbots"},
    }
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare what is wanted with what the kernel shows."""
    wanted = [Wanted(**item) for item in module.params["ports"]]
    for want in wanted:
        try:
            ipaddress.ip_address(want.address)
        except ValueError as error:
            raise InvalidInput(f"{want.variable or 'address'}: {error}. Give an address of this host.") from error
    present = listeners()
    return {"listeners": in_order(present), "taken": taken(wanted, present, module.params["project"])}


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

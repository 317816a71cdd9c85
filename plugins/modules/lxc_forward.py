#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_forward
short_description: Lead ports of a host's address to addresses on an LXD or Incus bridge
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Manages the network forwards of one project on one bridge. Those that are given exist, others of the project are removed.
  - A forward leads to an address, whichever instance has it, so that it survives the loss of any of them. Visitors' addresses are kept.
  - Forwards carry the name of their project. Those of others are left alone, and an address that they have is refused.
  - A forward of a loopback address leads nowhere unless the host is told to route such addresses, and one of V(0.0.0.0) never does. Both
    are refused.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.full
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  network:
    description: The bridge.
    type: str
    required: true
  forwards:
    description: All forwards of the project.
    type: list
    elements: dict
    required: true
    suboptions:
      listen_address:
        description: The host's address.
        type: str
        required: true
      ports:
        description: Its ports that lead somewhere.
        type: list
        elements: dict
        required: true
        suboptions:
          protocol:
            description: The protocol.
            type: str
            choices: [tcp, udp]
            default: tcp
          listen_port:
            description: The host's port.
            type: int
            required: true
          target_address:
            description: The address on the bridge.
            type: str
            required: true
          target_port:
            description: The port there.
            type: int
            required: true
seealso:
  - module: generalbots.scaling.lxc_instance
"""

EXAMPLES = r"""
- name: The host's port 443 leads to the virtual address of the proxies
  generalbots.scaling.lxc_forward:
    network: gbbr0
    forwards:
      - listen_address: 192.0.2.10
        ports:
          - listen_port: 443
            target_address: 10.87.0.5
            target_port: 443

- name: Nothing is forwarded any more
  generalbots.scaling.lxc_forward:
    network: gbbr0
    forwards: []
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done.
  type: list
  elements: str
  returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.forwards import Forward, carry_out, observe, plan_forwards
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import LXD_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

PORT: dict[str, t.Any] = {
    "protocol": {"type": "str", "default": "tcp", "choices": ["tcp", "udp"]},
    "listen_port": {"type": "int", "required": True},
    "target_address": {"type": "str", "required": True},
    "target_port": {"type": "int", "required": True},
}
FORWARD: dict[str, t.Any] = {
    "listen_address": {"type": "str", "required": True},
    "ports": {"type": "list", "elements": "dict", "required": True, "options": PORT},
}
SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "network": {"type": "str", "required": True},
            "forwards": {"type": "list", "elements": "dict", "required": True, "options": FORWARD},
        }
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare the project's forwards with what is wanted, and make it so."""
    wanted = [Forward.of(item) for item in module.params["forwards"]]
    lxd = connect(module.params)
    network = module.params["network"]
    plan = plan_forwards(network, lxd.project, wanted, observe(lxd, network))
    if not module.check_mode:
        carry_out(lxd, plan)
    return plan.result()


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

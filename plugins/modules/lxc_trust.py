#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_trust
short_description: Trust a client certificate for one project, and no more
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - The client may do everything in O(project) and is refused everywhere else.
  - The daemon is made to listen at O(address) where it does not listen at all. An address that is set already is kept and returned.
  - Only the certificate comes here. Its key stays where it was made.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.full
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  name:
    description:
      - The name of the trust entry. Another certificate of that name that is good for O(project) alone is not trusted any more.
      - Entries of that name that are good for more are somebody else's and stay.
    type: str
    required: true
  certificate:
    description: The client's certificate in PEM. Required for O(state=present).
    type: str
  address:
    description: Where the daemon listens if it does not yet, V(host:port). The default is reached from its own host only.
    type: str
    default: 127.0.0.1:9443
  state:
    description:
      - V(present), it is trusted for O(project).
      - V(absent), it is not trusted. The address is taken back if this module set it and no client is left.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: generalbots.scaling.lxc_instance
"""

EXAMPLES = r"""
- name: The controller in its container reaches its project
  generalbots.scaling.lxc_trust:
    name: generalbots-control
    certificate: "{{ lookup('ansible.builtin.file', 'control.crt') }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order and in words.
  type: list
  elements: str
  returned: always
server_certificate:
  description: The daemon's certificate in PEM, for clients to trust that one and nothing else.
  type: str
  returned: always
reached_at:
  description: Where the daemon is reached from its own host, V(host:port).
  type: str
  returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import trust
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import LXD_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "required": True},
            "certificate": {"type": "str"},
            "address": {"type": "str", "default": "127.0.0.1:9443"},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[("state", "present", ["certificate"])],
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare what is trusted with what is wanted, and make it so."""
    params, lxd = module.params, connect(module.params)
    server = trust.look(lxd)
    if params["state"] == "present":
        client = trust.client_of(params["name"], lxd.project, params["certificate"])
        plan = trust.plan_present(client, server, params["address"])
    else:
        plan = trust.plan_absent(trust.Client(params["name"], lxd.project), server)
    if not module.check_mode:
        trust.carry_out(lxd, plan, server)
    return plan.result(server_certificate=server.certificate, reached_at=trust.reached_at(server, params["address"]))


def main() -> None:
    """Entry point."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

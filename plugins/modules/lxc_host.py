#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_host
short_description: Give an LXD or Incus host a pool, a bridge and a project for containers
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Brings up a storage pool, a bridge, the project and the project's profile V(default).
  - What exists is used. A pool is never formatted or resized, a bridge that this module did not make never changed, and keys that are not
    managed stay.
  - A subnet that collides with a route of the host is refused. Routes are only looked at where the engine is reached by a unix socket,
    for then it runs on the same host as this module.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.full
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  pool:
    description: The storage pool.
    type: dict
    required: true
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      driver:
        description:
          - Its driver, when it has to be made.
          - V(auto) is btrfs in a loop file where the engine can make one, else a directory.
        type: str
        choices: [auto, btrfs, dir, lvm, zfs]
        default: auto
      size:
        description: Size of its loop file, when it has to be made and the driver uses one.
        type: str
        default: 20GiB
  network:
    description: The bridge.
    type: dict
    required: true
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      subnet:
        description: Its network in CIDR notation, a V(/24) or larger; the first address is the bridge's own. Needed for O(state=present).
        type: str
  description:
    description: Description of what has to be made.
    type: str
    default: General Bots
  state:
    description:
      - V(present), all of it exists.
      - V(absent), the project is removed, which must hold nothing any more. The bridge and the pool are removed as well if this module
        made them and nothing else uses them.
    type: str
    choices: [present, absent]
    default: present
  leaving:
    description:
      - With O(state=absent), names of instances that an earlier task removes. In check mode they are still there and count as gone.
    type: list
    elements: str
    default: []
seealso:
  - module: generalbots.scaling.lxc_image
  - module: generalbots.scaling.lxc_instance
"""

EXAMPLES = r"""
- name: The host is ready for containers
  generalbots.scaling.lxc_host:
    project: generalbots
    pool:
      name: gb
      size: 50GiB
    network:
      name: gbbr0
      subnet: 10.87.0.0/24

- name: The project is gone, and with it what nothing else uses
  generalbots.scaling.lxc_host:
    project: generalbots
    pool:
      name: gb
    network:
      name: gbbr0
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order and in words.
  type: list
  elements: str
  returned: always
kept:
  description: With O(state=absent), what was not removed and why.
  type: list
  elements: str
  returned: always
  sample: ["storage pool gb: used by /1.0/images/4f0c"]
"""

import json
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import (
    LXD_SPEC,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import (
    Lxd,
    connect,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.host import (
    HostSpec,
    carry_out,
    look,
    plan_absent,
    plan_present,
    without,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
    run,
)

POOL: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "driver": {"type": "str", "default": "auto", "choices": ["auto", "btrfs", "dir", "lvm", "zfs"]},
    "size": {"type": "str", "default": "20GiB"},
}
NETWORK: dict[str, t.Any] = {"name": {"type": "str", "required": True}, "subnet": {"type": "str"}}
SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "pool": {"type": "dict", "required": True, "options": POOL},
            "network": {"type": "dict", "required": True, "options": NETWORK},
            "description": {"type": "str", "default": "General Bots"},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "leaving": {"type": "list", "elements": "str", "default": []},
        }
    )
)


def routes(module: AnsibleModule, lxd: Lxd) -> list[dict[str, t.Any]]:
    """The IPv4 routes of the engine's host, none where that is another host."""
    if not lxd.where.startswith("unix:"):
        return []
    ip = module.get_bin_path("ip", required=True)
    return list(json.loads(module.run_command([ip, "-4", "-json", "route"], check_rc=True)[1] or "[]"))


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare the host with what is wanted, and make it so."""
    lxd = connect(module.params)
    pool, network = module.params["pool"], module.params["network"]
    spec = HostSpec(
        project=lxd.project,
        pool=pool["name"],
        pool_driver=pool["driver"],
        pool_size=pool["size"],
        network=network["name"],
        subnet=network["subnet"] or "",
        description=module.params["description"],
    )
    host = look(lxd, spec, routes(module, lxd))
    if module.check_mode:
        host = without(host, lxd.project, module.params["leaving"])
    plan, kept = (plan_present(spec, host), []) if module.params["state"] == "present" else plan_absent(spec, host)
    if not module.check_mode:
        carry_out(lxd, plan, module.warn)
    return plan.result(kept=kept)


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_botserver_info
short_description: Read the fleet of botserver containers with its usage
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Returns every instance of the fleet, its slot, state and usage. The number of requests to LXD does not depend on the size of the fleet.
  - Processor time is a counter, the autoscaler makes a percentage from two samples. Memory is without the page cache.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.info_module
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  max_slots:
    description: The number of slots, C(scale-max-instances).
    type: int
    default: 10
  subnet:
    description: The network of the bridge in CIDR notation.
    type: str
    required: true
seealso:
  - module: generalbots.scaling.lxc_botserver
  - module: generalbots.scaling.autoscale_run
"""

EXAMPLES = r"""
- name: Read the fleet
  generalbots.scaling.lxc_botserver_info:
    subnet: 10.87.0.0/24
    max_slots: 10
  register: fleet
"""

RETURN = r"""
fleet:
  description: The instances, by slot in ascending order.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: Its name.
      type: str
    slot:
      description: Its slot.
      type: int
    status:
      description: Its power state in LXD's words.
      type: str
    state:
      description: V(active), V(draining), V(failed) or V(warm), which is stopped and kept.
      type: str
    marked:
      description: The state that it is meant to have, which one that stands still does not.
      type: str
    address:
      description: Its address.
      type: str
    image:
      description: Version of the golden image it was made from.
      type: str
    drain_deadline:
      description: Epoch seconds at which a drain ends in any case.
      type: float
    failure:
      description: Why it failed.
      type: str
    protected:
      description: Whether it must not be taken in.
      type: bool
    cpu_usage_ns:
      description: Processor time used since its start, in nanoseconds.
      type: int
    cpu_limit:
      description: Cores that it may use.
      type: float
    memory_used_bytes:
      description: Memory in use without the page cache.
      type: int
    memory_limit_bytes:
      description: Memory that it may use.
      type: int
    started_at:
      description: When it was started, in epoch seconds.
      type: float
slots:
  description: Slots by state; V(free) are those that have no instance.
  type: dict
  returned: always
time:
  description: When this was read, in epoch seconds.
  type: float
  returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import (
    LXD_SPEC,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import (
    connect,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import (
    now,
    read_fleet,
    slots,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
    run,
)

SPEC = LXD_SPEC.merge(ArgumentSpec(options={"max_slots": {"type": "int", "default": 10}, "subnet": {"type": "str", "required": True}}))


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Read the instances and the metrics of the project."""
    time = now()
    observed, fleet = read_fleet(connect(module.params), module.params["subnet"])
    return {
        "time": time,
        "fleet": fleet,
        "slots": slots(observed, module.params["max_slots"]),
    }


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

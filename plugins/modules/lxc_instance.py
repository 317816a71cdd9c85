#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_instance
short_description: Manage LXD or Incus containers, many in one call
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Creates, changes, starts, stops, freezes and removes instances of one component, several at once.
  - Only the config keys and devices that are given are compared and changed; all others stay as they are.
    A key or device given as null is removed.
  - Every instance carries a mark of its component. An instance of a wanted name that does not carry it is never touched.
  - Changes are written on the condition that nobody else changed the instance since it was read.
  - In a cluster of LXD or Incus the instances of a component are made as far apart as its failure domains and members allow. Members that
    are not online, or whose C(scheduler.instance) is not V(all), get none. An instance that exists is not moved.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.lxd.run
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(state=restarted) restarts running instances on every run.
options:
  instances:
    description:
      - The instances, by name. All of them are brought into O(state).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the instance.
        type: str
        required: true
      image:
        description: Alias of the image to create it from. Not looked at for an instance that exists.
        type: str
      profiles:
        description: Its profiles, in order. Without it, a new instance gets the project's default profile.
        type: list
        elements: str
      config:
        description: Config keys and their values. Every value is given to LXD as a string; null unsets the key.
        type: dict
        default: {}
      devices:
        description: Devices by name, each as a mapping. Null removes the device.
        type: dict
        default: {}
      firewall_rules:
        description:
          - What it loads into nftables when it starts, as P(generalbots.scaling.exposure_rules#filter) makes it. Written into an instance
            that does not run; in running ones it is left to the role C(firewall), which loads it as well.
        type: str
      limits:
        description:
          - Limits, which become config keys and, for the network, keys of the device named eth0.
          - Where they are given they are all that the instance has. One that is left out is taken away, unless it stands in C(config).
          - Without it, those that an instance has are left alone.
        type: dict
        suboptions:
          cpu:
            description: Number of cores, or a set such as V(0-3).
            type: str
          cpu_allowance:
            description: A slice of time such as V(25ms/100ms), which is a hard limit, or a share such as V(50%).
            type: str
          memory:
            description: Memory such as V(512MiB).
            type: str
          disk_priority:
            description: Priority on the disks, 0 to 10.
            type: int
          ingress:
            description: Rate of incoming traffic such as V(100Mbit).
            type: str
          egress:
            description: Rate of outgoing traffic such as V(100Mbit).
            type: str
  component:
    description:
      - The component that the instances belong to. It is their mark and their inventory group.
    type: str
    required: true
  take_memory:
    description:
      - Whether a running instance gets a memory limit that is smaller than the one it has. LXD kills processes of an instance that uses
        more than that. With V(false) it keeps the larger one, so that what runs in it can be told first to use less.
      - A size and a share of the host's memory cannot be compared. In place of the one it gets the other at once.
    type: bool
    default: true
  state:
    description:
      - V(present), they exist, in whatever power state they are.
      - V(started), V(stopped), V(frozen), they exist and are in that state. A stopped instance is changed without being booted.
      - V(restarted), they are stopped and started again.
      - V(absent), they are stopped and deleted, with all they hold.
    type: str
    choices: [present, started, stopped, frozen, restarted, absent]
    default: started
seealso:
  - module: generalbots.scaling.lxc_instance_info
  - module: generalbots.scaling.lxc_botserver
"""

EXAMPLES = r"""
- name: Two proxies are up and have their addresses
  generalbots.scaling.lxc_instance:
    component: proxy
    instances:
      - name: proxy-1
        image: gb/proxy
        limits: {cpu: "1", memory: 512MiB}
      - name: proxy-2
        image: gb/proxy
    state: started

- name: A bake container is gone
  generalbots.scaling.lxc_instance:
    component: bake
    instances:
      - name: bake-proxy
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: always
connection:
  description: The connection plugin that reaches instances of the engine, for C(ansible_connection).
  type: str
  returned: always
instances:
  description: The instances as they are after the run; in check mode as they were found.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: Its name.
      type: str
    status:
      description: Its power state in LXD's words.
      type: str
    address:
      description: Its IPv4 address on O(nic).
      type: str
    component:
      description: The component it is marked with.
      type: str
failed_instances:
  description: Instances that failed, with the reason of each.
  type: dict
  returned: on failure
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import (
    LXD_SPEC,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import (
    connect,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import (
    STATES,
    Runner,
    brief,
    observe,
    observe_with_files,
    plan,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import (
    LIMIT_OPTIONS,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.params import (
    RUN_SPEC,
    run_options,
    specs_of,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.placement import (
    places,
    spread,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
    run,
)

SPEC = LXD_SPEC.merge(RUN_SPEC).merge(
    ArgumentSpec(
        options={
            "instances": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "image": {"type": "str"},
                    "profiles": {"type": "list", "elements": "str"},
                    "config": {"type": "dict", "default": {}},
                    "devices": {"type": "dict", "default": {}},
                    "firewall_rules": {"type": "str"},
                    "limits": {"type": "dict", "options": LIMIT_OPTIONS},
                },
            },
            "component": {"type": "str", "required": True},
            "take_memory": {"type": "bool", "default": True},
            "state": {"type": "str", "default": "started", "choices": list(STATES)},
        }
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Observe, plan, and unless in check mode execute."""
    params = module.params
    specs = specs_of(params["instances"], params["component"])
    lxd = connect(params)
    # What is to go need not be readable.
    observed = observe(lxd) if params["state"] == "absent" else observe_with_files(lxd, specs)
    targets = spread(specs, observed, places(lxd, specs, observed))
    wanted = plan(specs, observed, params["state"], targets, take_memory=params["take_memory"], best_effort=params["limits_best_effort"])
    if not module.check_mode and wanted.changed:
        runner = Runner(lxd, run_options(params))
        try:
            runner.run(wanted)
        finally:
            for warning in runner.warnings:
                module.warn(warning)
        observed = observe(lxd)
    names = [spec.name for spec in specs]
    instances = [brief(observed[name], params["nic"]) for name in names if name in observed]
    return wanted.result(instances=instances, connection=lxd.engine.connection)


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

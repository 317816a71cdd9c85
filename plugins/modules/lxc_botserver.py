#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_botserver
short_description: Manage the fleet of botserver containers by slots
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - A slot is a number from 1 to O(max_slots). Its instance is C(botserver-<slot>) and has the same address for ever,
    so that the load balancer can list all slots once and never has to be changed when the fleet grows or shrinks.
  - What state a slot is in is kept in LXD, in C(user.gb.*) of its instance.
  - Several slots are created, started and stopped at the same time.
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
    support: full
options:
  state:
    description:
      - V(present), the slots have an instance, in whatever power state.
      - V(started), they run and their gate is open. A slot that was draining takes requests again.
      - V(draining), they are marked with a deadline and their gate is closed, so that the load balancer sends nothing new.
        What is in flight goes on. A deadline that is already set is kept.
      - V(stopped), they are stopped gracefully and kept as warm slots.
      - V(failed), they are stopped and kept for inspection, marked with O(failure). They are not used again until started by number
        or removed.
      - V(absent), they are stopped gracefully and deleted.
    type: str
    choices: [present, started, draining, stopped, failed, absent]
    default: started
  slots:
    description: The slots, by number. For any other state than V(present) and V(started) they must be named.
    type: list
    elements: int
  count:
    description:
      - How many instances there shall be at least. The lowest warm or free slots are taken.
      - More active instances than that are left alone, taking one in is a drain and asked for by slot.
    type: int
  max_slots:
    description: The number of slots, C(scale-max-instances).
    type: int
    default: 10
  subnet:
    description: The network of the bridge in CIDR notation. The address of slot n is the network's plus 100 + n.
    type: str
    required: true
  network:
    description: The bridge that the instances are connected to.
    type: str
    required: true
  image:
    description:
      - Alias of the golden image that new instances are made from.
      - Without it, the one that M(generalbots.scaling.lxc_image) set for the project.
    type: str
  image_version:
    description: Version of that image, which is kept with each instance made from it.
    type: str
    default: ""
  limits:
    description: Limits of every instance.
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
  environment:
    description:
      - The environment of botserver. It is written into each instance, never into LXD's configuration.
      - Without it, the file is not looked at.
    type: dict
  environment_path:
    description: Where in the instance the environment file is.
    type: path
    default: /opt/gbo/bin/.env
  firewall_rules:
    description:
      - What an instance loads into nftables when it starts, as P(generalbots.scaling.exposure_rules#filter) makes it. Written into each
        instance that does not run; in running ones it is left to the role C(firewall), which loads it as well.
      - Without it, what the table of the collection allows a botserver.
    type: str
  port:
    description: The port that botserver listens on.
    type: int
    default: 8080
  proxy_port_base:
    description:
      - Publish every instance on the host as well, at this port plus its slot. Such a port bypasses the load balancer with all its limits.
    type: int
  proxy_listen:
    description: The host's address for O(proxy_port_base).
    type: str
    default: 127.0.0.1
  health:
    description:
      - Wait until every started instance answers its health check, asked from where this module runs.
      - An instance that does not is marked failed, stopped and kept.
    type: dict
    suboptions:
      port:
        description: The port that is asked, the gate's.
        type: int
        default: 8079
      path:
        description: The path that is asked.
        type: str
        default: /api/health
      timeout:
        description: Seconds until it must answer with a status of 2xx.
        type: int
        default: 60
  drain_timeout:
    description: Seconds from now until the deadline that V(draining) sets.
    type: int
    default: 300
  failure:
    description: The reason that V(failed) keeps with the instance.
    type: str
    default: ""
seealso:
  - module: generalbots.scaling.lxc_botserver_info
  - module: generalbots.scaling.caddy_upstreams
"""

EXAMPLES = r"""
- name: At least three instances run
  generalbots.scaling.lxc_botserver:
    count: 3
    max_slots: 10
    image: gb/botserver
    subnet: 10.87.0.0/24
    network: gbbr0
    limits: {cpu: "1", memory: 512MiB}

- name: Slot 3 gets nothing new
  generalbots.scaling.lxc_botserver:
    slots: [3]
    state: draining
    subnet: 10.87.0.0/24
    network: gbbr0
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: always
slots:
  description: The slots that the call was about.
  type: list
  elements: int
  returned: always
restart_needed:
  description: Running instances whose environment file was changed, or would be; botserver reads it when it starts.
  type: list
  elements: str
  returned: always
failed_instances:
  description: Instances that failed, with the reason of each.
  type: dict
  returned: on failure
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import (
    LXD_SPEC,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import (
    connect,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet_run import (
    execute,
    look_at,
    with_image,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import (
    LIMIT_OPTIONS,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.params import (
    RUN_SPEC,
    run_options,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
    run,
)

SPEC = LXD_SPEC.merge(RUN_SPEC).merge(
    ArgumentSpec(
        options={
            "state": {"type": "str", "default": "started", "choices": list(fleet.FLEET_STATES)},
            "slots": {"type": "list", "elements": "int"},
            "count": {"type": "int"},
            "max_slots": {"type": "int", "default": 10},
            "subnet": {"type": "str", "required": True},
            "network": {"type": "str", "required": True},
            "image": {"type": "str"},
            "image_version": {"type": "str", "default": ""},
            "limits": {"type": "dict", "options": LIMIT_OPTIONS},
            "environment": {"type": "dict", "no_log": True},
            "environment_path": {"type": "path", "default": "/opt/gbo/bin/.env"},
            "firewall_rules": {"type": "str"},
            "port": {"type": "int", "default": 8080},
            "proxy_port_base": {"type": "int"},
            "proxy_listen": {"type": "str", "default": "127.0.0.1"},
            "health": {
                "type": "dict",
                "options": {
                    "port": {"type": "int", "default": 8079},
                    "path": {"type": "str", "default": "/api/health"},
                    "timeout": {"type": "int", "default": 60},
                },
            },
            "drain_timeout": {"type": "int", "default": 300},
            "failure": {"type": "str", "default": ""},
        },
        required_one_of=[("slots", "count")],
        mutually_exclusive=[("slots", "count")],
        required_if=[("state", state, ("slots",)) for state in ("draining", "stopped", "failed", "absent")],
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Observe, plan, and unless in check mode execute."""
    params = module.params
    names = {field.name for field in dataclasses.fields(fleet.FleetSpec)}
    spec = fleet.FleetSpec(**{name: value for name, value in params.items() if name in names and value is not None})
    lxd = connect(params)
    spec = with_image(lxd, spec)
    numbers, look = look_at(lxd, spec, params["slots"], params["count"], params["state"])
    wanted = fleet.plan_fleet(spec, numbers, look, params["state"])
    if not module.check_mode:
        execute(lxd, wanted, run_options(params), params["health"], module.warn)
    rewritten = {action.target for action in wanted.actions if action.verb == "write"}
    running = {name for name, instance in look.observed.items() if instance.status == "Running"}
    return wanted.result(slots=numbers, restart_needed=sorted(rewritten & running))


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

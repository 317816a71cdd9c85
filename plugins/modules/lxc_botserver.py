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
  - generalbots.scaling.lxd.fleet
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.full
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  state:
    description:
      - V(present), the slots have an instance, in whatever power state.
      - V(started), they run and their gate is open. A slot that was draining takes requests again.
      - V(draining), they are marked with a deadline and their gate is closed, so that the load balancer sends nothing new.
        What is in flight goes on. A deadline that is already set is kept.
      - V(stopped), they are stopped gracefully and kept as warm slots.
      - V(warm), they have an instance that is ready to be started; one that is made is not started, one that runs goes on.
      - V(failed), they are stopped and kept for inspection, marked with O(failure). They are not used again until started by number
        or removed.
      - V(absent), they are stopped gracefully and deleted.
    type: str
    choices: [present, started, draining, stopped, warm, failed, absent]
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
  health:
    description:
      - Wait until every started instance answers its health check, asked from where this module runs.
      - An instance that does not is marked failed, stopped and kept.
      - Where no botserver is healthy yet, the first one starts alone and the others after it is healthy, because botserver migrates its
        database when it starts and has no lock for that. Those that run already are waited for first, for O(health.timeout) as well.
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
  description:
    - Running instances whose environment is another than O(environment). botserver reads it when it starts, so it is not written before.
    - M(generalbots.scaling.autoscale_run) with its option C(restart) does both, one instance after the other.
  type: list
  elements: str
  returned: always
restart_slots:
  description:
    - The slots of RV(restart_needed), for the option C(restart). A name may come back without a part that is also a value of
      O(environment), which Ansible hides in all that a module says; a number never does.
  type: list
  elements: int
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
    plan_health,
    with_image,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.params import (
    FLEET_SPEC,
    RUN_SPEC,
    run_options,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
    run,
)

SPEC = (
    LXD_SPEC.merge(RUN_SPEC)
    .merge(FLEET_SPEC)
    .merge(
        ArgumentSpec(
            options={
                "state": {"type": "str", "default": "started", "choices": list(fleet.FLEET_STATES)},
                "slots": {"type": "list", "elements": "int"},
                "count": {"type": "int"},
                "max_slots": {"type": "int", "default": 10},
                "health": {
                    "type": "dict",
                    "options": {
                        "port": {"type": "int", "default": 8079},
                        "path": {"type": "str", "default": "/api/health"},
                        "timeout": {"type": "int", "default": 60},
                    },
                },
                "failure": {"type": "str", "default": ""},
            },
            required_one_of=[("slots", "count")],
            mutually_exclusive=[("slots", "count")],
            required_if=[("state", state, ("slots",)) for state in ("draining", "stopped", "warm", "failed", "absent")],
        )
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
    restart_needed = fleet.leave_to_restart(wanted, look.observed)
    if params["health"] is not None:
        plan_health(wanted)
    if not module.check_mode:
        execute(lxd, wanted, run_options(params), params["health"], module.warn)
    restart_slots = sorted(slot for name in restart_needed if (slot := fleet.slot_of(look.observed[name])) is not None)
    return wanted.result(slots=numbers, restart_needed=restart_needed, restart_slots=restart_slots)


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

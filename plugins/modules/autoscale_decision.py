#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: autoscale_decision
short_description: Decide whether the fleet should grow, shrink or stay
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Computes one decision of the autoscaler from what was measured and what is remembered. It connects to nothing and changes nothing.
  - Any metric may scale out; all of them must agree to scale in. How far follows from the load, its trend and its noise; the rules
    C(scale-rule-*) take one instance at a time beside that.
  - An unknown metric blocks a step in and not a step out. If nothing at all is known, the fleet is held and RV(decision.alert) is true.
  - Before a step in, the load is projected onto the smaller fleet; a tenth of every threshold must stay free.
  - A fleet outside of C(scale-min-instances) and C(scale-max-instances) is led back without regard to the cooldown.
  - A step in never delays a step out.
  - Instances that stay unhealthy are replaced, the new one first.
  - With C(scale-enabled) false nothing is touched, the bounds included.
attributes:
  check_mode:
    support: full
    details:
      - This module only computes.
  diff_mode:
    support: N/A
    details:
      - This module only computes.
  idempotent:
    support: full
    details:
      - The same options give the same decision.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  settings:
    description:
      - The settings by their names in C(config.csv), as the lookup P(generalbots.scaling.config_csv#lookup) returns them.
    type: dict
    required: true
  fleet:
    description:
      - RV(generalbots.scaling.lxc_botserver_info#module:fleet).
    type: list
    elements: dict
    required: true
  fleet_time:
    description:
      - When the fleet was sampled, RV(generalbots.scaling.lxc_botserver_info#module:time).
    type: float
    required: true
  traffic:
    description:
      - The results of M(generalbots.scaling.caddy_upstreams_info), one for each proxy, always in the same order.
      - A proxy that could not be asked is given as an empty mapping, so that its share counts as unknown and not as zero.
    type: list
    elements: dict
    default: []
  state:
    description:
      - What the last tick left, RV(generalbots.scaling.autoscale_state_info#module:autoscale).
      - A state that cannot be read is replaced by a fresh one, with a remark in RV(notes).
    type: dict
    default: {}
seealso:
  - module: generalbots.scaling.autoscale_state
"""

EXAMPLES = r"""
- name: Decide
  generalbots.scaling.autoscale_decision:
    settings: "{{ gb_settings }}"
    fleet: "{{ fleet_info.fleet }}"
    fleet_time: "{{ fleet_info.time }}"
    traffic: "{{ [caddy_info] }}"
    state: "{{ remembered.autoscale }}"
  register: tick

- name: Remember the step before taking it
  generalbots.scaling.autoscale_state:
    state: recorded
    holder: "control-1/{{ run_id }}"
    record: "{{ tick.state }}"
"""

RETURN = r"""
decision:
  description: What to do now.
  returned: success
  type: dict
  contains:
    action:
      description: V(out), V(in) or V(hold).
      type: str
      sample: out
    current:
      description: Instances that make up the fleet now.
      type: int
      sample: 1
    desired:
      description: Instances that shall make it up.
      type: int
      sample: 2
    start:
      description: The slots to start.
      type: list
      elements: int
      sample: [2, 3]
    drain:
      description: The slots to drain; never together with C(start).
      type: list
      elements: int
      sample: []
    replace:
      description: The unhealthy slots whose replacement is under way.
      type: list
      elements: int
      sample: []
    slot:
      description: The first slot to start or to drain; null on V(hold).
      type: int
      sample: 2
    recommended:
      description: The size that the load alone asks for within the bounds; null where that cannot be told.
      type: int
      sample: 3
    next:
      description: What comes next, in words.
      type: str
      sample: looked at again in 30 s
    rule:
      description: The rule that spoke, also if it was held back.
      type: str
      sample: proportional
    reason:
      description: What was seen, what follows from it or what held it back, and what comes next, in words.
      type: str
      sample: "CPU 90 % of 70 % (in all 90 % now) needs 2 instances: start slot 2, 1 to 2 instances; looked at again in 30 s."
    metrics:
      description:
        - For each metric its mean over what is known (C(value)), the same with the unknown counted as idle (C(floor)), its projection onto
          one instance less (C(projected)), its C(threshold), C(unit), how many could not be read (C(missing)), and whether it is over
          its threshold (C(over)). Null is unknown.
      type: dict
      sample: {"cpu": {"value": 84.0, "floor": 84.0, "projected": null, "threshold": 70, "unit": "%", "missing": 0, "over": true}}
    guards:
      description: The guards that held the step back or made it smaller, each with C(name) and C(reason).
      type: list
      elements: dict
      sample: []
    alert:
      description: Whether a person should look, because the autoscaler is blind, gave up, or most instances are unhealthy.
      type: bool
      sample: false
    time:
      description: O(fleet_time).
      type: float
      sample: 1767225600.0
state:
  description:
    - The state to record, with the step in it as pending. Record it before the step is taken. The next tick sees in the fleet whether
      the step came true; only then does it start a cooldown, otherwise it is counted in C(failures).
  returned: success
  type: dict
notes:
  description: Why something is unknown, and remarks on the state that was given.
  returned: success
  type: list
  elements: str
  sample: ["CPU of botserver-2: there is no earlier sample of it yet"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.tick import tick
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = ArgumentSpec(
    options={
        "settings": {"type": "dict", "required": True},
        "fleet": {"type": "list", "elements": "dict", "required": True},
        "fleet_time": {"type": "float", "required": True},
        "traffic": {"type": "list", "elements": "dict", "default": []},
        "state": {"type": "dict", "default": {}},
    },
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """One tick from the module's options."""
    given = module.params
    done = tick(given["settings"], given["fleet"], given["traffic"], given["state"], given["fleet_time"])
    return {"changed": False, "decision": done.decision.as_dict(), "state": done.state.as_dict(), "notes": list(done.notes)}


def main() -> None:
    """Entry point."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

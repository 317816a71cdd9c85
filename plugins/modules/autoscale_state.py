#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: autoscale_state
short_description: Lock the fleet for one controller, keep what the autoscaler remembers, pause it or pin a size
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - The lock and the autoscaler's state are the keys C(user.gb.lock) and C(user.gb.autoscale) of the profile C(gb-autoscale) in the
    project, which no instance uses. It is made where it is missing, with what an earlier version kept in the project's own keys.
  - Both are written only if the profile is still as it was read (ETag); after a conflict it is read and judged again, a few times.
  - A lock has a holder, a purpose and an expiry. While it is valid, another holder is refused and told who holds it, for what and until
    when. A lock past its expiry is taken over, so that a run that was killed stops nobody for longer than O(ttl).
attributes:
  check_mode:
    support: full
    details:
      - A lock that is held by somebody else fails a run; in check mode it is only reported, in RV(lock) and RV(mine).
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Locking again extends one's own lock and therefore changes it. Unlocking and recording are idempotent.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
  - generalbots.scaling.lxd
options:
  state:
    description:
      - V(locked) takes the lock, or extends one's own.
      - V(unlocked) gives one's own lock back. It fails if somebody else holds it by now.
      - V(recorded) keeps O(record). With O(holder) given it is refused unless that one holds the lock.
      - V(paused) lets the autoscaler take no step in the direction O(pause), V(resumed) takes that back.
      - V(pinned) lets it keep O(pin) instances, V(unpinned) takes that back. All four are done whoever holds the lock.
    type: str
    required: true
    choices: [locked, unlocked, recorded, paused, resumed, pinned, unpinned]
  pause:
    description:
      - Which steps to pause.
    type: str
    choices: [in, out, both]
    default: both
  pin:
    description:
      - The number of instances to keep. Required for O(state=pinned).
    type: int
  holder:
    description:
      - Who takes, gives back or uses the lock. It must be different for every run, for example host name and process id.
      - Required for V(locked) and V(unlocked) of O(state).
    type: str
  purpose:
    description:
      - What the lock is held for, told to those who have to wait. Required for O(state=locked).
    type: str
  ttl:
    description:
      - Seconds after which the lock may be taken over. Choose more than the longest run needs, drains included.
    type: int
    default: 900
  record:
    description:
      - RV(generalbots.scaling.autoscale_run#module:state). Required for O(state=recorded).
    type: dict
seealso:
  - module: generalbots.scaling.autoscale_state_info
  - module: generalbots.scaling.autoscale_run
"""

EXAMPLES = r"""
- name: Be the only one who scales
  generalbots.scaling.autoscale_state:
    state: locked
    holder: "control-1/{{ run_id }}"
    purpose: autoscale

- name: Remember the step before taking it
  generalbots.scaling.autoscale_state:
    state: recorded
    holder: "control-1/{{ run_id }}"
    record: "{{ tick.state }}"

- name: Let others scale
  generalbots.scaling.autoscale_state:
    state: unlocked
    holder: "control-1/{{ run_id }}"
"""

RETURN = r"""
lock:
  description: The lock as it is, or in check mode would be, afterwards. Null if nobody holds it.
  returned: success
  type: dict
  contains:
    holder:
      description: Who holds it.
      type: str
      sample: control-1/4711
    purpose:
      description: What for.
      type: str
      sample: autoscale
    since:
      description: Since when, in seconds since the epoch. Extending it does not change that.
      type: float
      sample: 1767224700.0
    expires:
      description: Until when, in seconds since the epoch.
      type: float
      sample: 1767225600.0
mine:
  description: Whether O(holder) holds the lock afterwards.
  returned: success
  type: bool
  sample: true
taken_over:
  description: The stale lock of somebody else that was taken over, or null.
  returned: success
  type: dict
autoscale:
  description: The recorded state afterwards, in the shape of RV(generalbots.scaling.autoscale_run#module:state).
  returned: success
  type: dict
note:
  description: Says so if the recorded state could not be read and stands as a fresh one here.
  returned: success
  type: str
  sample: ""
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import controller
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import LXD_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "state": {"type": "str", "required": True, "choices": list(controller.STATES)},
            "holder": {"type": "str"},
            "purpose": {"type": "str"},
            "ttl": {"type": "int", "default": 900},
            "record": {"type": "dict"},
            "pause": {"type": "str", "default": "both", "choices": ["in", "out", "both"]},
            "pin": {"type": "int"},
        },
        required_if=[
            ("state", "locked", ["holder", "purpose"]),
            ("state", "unlocked", ["holder"]),
            ("state", "recorded", ["record"]),
            ("state", "pinned", ["pin"]),
        ],
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Do what the option state says."""
    return controller.change(connect(module.params), module.params, time.time(), write=not module.check_mode)


def main() -> None:
    """Entry point."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

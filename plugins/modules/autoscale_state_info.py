#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: autoscale_state_info
short_description: Read who controls the fleet and what the autoscaler remembers
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Reads the lock and the autoscaler's state from the profile C(gb-autoscale) of the project in LXD.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.info_module
  - generalbots.scaling.attributes.actiongroup_scaling
  - generalbots.scaling.lxd
seealso:
  - module: generalbots.scaling.autoscale_state
"""

EXAMPLES = r"""
- name: Read what the last tick left
  generalbots.scaling.autoscale_state_info:
    project: "{{ gb_lxd_project }}"
  register: remembered

- name: Show the last decisions
  ansible.builtin.debug:
    msg: "{{ remembered.autoscale.decisions | map(attribute='reason') | list }}"
"""

RETURN = r"""
lock:
  description: C(holder), C(purpose), C(since) and C(expires) (seconds since the epoch) of the lock, or null if nobody holds it.
  returned: success
  type: dict
  sample: {"holder": "control-1/4711", "purpose": "autoscale", "since": 1767224700.0, "expires": 1767225600.0}
locked:
  description: Whether there is a lock that has not expired.
  returned: success
  type: bool
  sample: true
autoscale:
  description:
    - The recorded state, with the times of the last steps (C(history)), the step whose outcome has not been seen yet (C(pending)), the
      number of steps that failed (C(failures)), what an operator has set (C(controls)), and the last C(decisions). A
      fresh one if none is recorded.
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
from ansible_collections.generalbots.scaling.plugins.module_utils.module import run

SPEC = LXD_SPEC


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """The lock and the state as they are."""
    return controller.info(connect(module.params), time.time())


def main() -> None:
    """Entry point."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: autoscale_report
short_description: Show what the autoscaler did and why, as a page and as text
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Puts together what the decision log of the autoscaler holds and what LXD remembers, which are the state, the lock and the fleet.
  - The page shows the timeline of load, thresholds, instances and decisions, each decision's reason, the fleet as it is, and what wants
    a look. It is one file that loads nothing, in light and in dark; the text says the same to a terminal.
  - Where LXD does not answer, the report is made from the log alone and says so first, and likewise where it does not serve a log.
options:
  dest:
    type: path
    description:
      - The file that gets the page. It tells of the deployment, so only the user who makes it may read it. Without this, only the text is
        made.
  logs:
    type: list
    elements: path
    default: []
    description:
      - Decision logs to read, as RV(generalbots.scaling.autoscale_run#module:decision) with a few more keys, one JSON object on each
        line. Rotated ones (C(<log>.1) and so on, not compressed) beside them are read as well. A log that is not there counts as empty.
      - Decisions that are in no log are taken from the state in LXD, which remembers the latest ones.
  instance_logs:
    type: list
    elements: dict
    default: []
    description:
      - Decision logs in instances, which LXD is asked for; their rotations are read as well. An instance or a log that is not there
        counts as empty.
    suboptions:
      instance:
        type: str
        required: true
        description: The name of the instance, such as V(control-1).
      path:
        type: str
        default: /var/log/generalbots/decisions.jsonl
        description: The log in it.
  hours:
    type: float
    default: 24
    description: How far back the report goes.
  settings:
    type: dict
    description:
      - Typed settings by their C(config.csv) names, for bounds and the interval. By default those that the last run acted by, which are
        recorded in LXD.
  title:
    type: str
    description: Whose autoscaler it is. By default the name of O(project).
  subnet:
    type: str
    required: true
    description: The subnet that the slots have their addresses in, such as V(10.87.0.0/24).
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
  - generalbots.scaling.lxd
attributes:
  check_mode:
    support: full
    details: [Makes the report and does not write the page.]
  diff_mode:
    support: none
    details: [The page is made anew each time.]
  idempotent:
    support: none
    details: [A report carries the moment at which it was made, so O(dest) is written each time.]
seealso:
  - module: generalbots.scaling.autoscale_state_info
  - module: generalbots.scaling.autoscale_run
"""

EXAMPLES = r"""
- name: Make a page about the last day
  generalbots.scaling.autoscale_report:
    project: "{{ gb_lxd_project }}"
    subnet: "{{ gb_subnet }}"
    logs: ["{{ gb_decision_log }}"]
    dest: ./autoscaler.html
  register: report

- name: Show it here as well
  ansible.builtin.debug:
    msg: "{{ report.text.splitlines() }}"
"""

RETURN = r"""
dest:
  description: The file with the page, empty if none was written, as in check mode.
  returned: success
  type: str
  sample: /root/autoscaler.html
verdict:
  description: V(good), V(warn) if something is worth a look, or V(bad) if something cannot wait.
  returned: success
  type: str
  sample: good
concerns:
  description: What wants a look, grave things first, each with C(text) and C(grave).
  returned: success
  type: list
  elements: dict
  sample: [{"text": "Pinned to 3 instances until somebody unpins it.", "grave": false}]
ticks:
  description: How many ticks the report covers.
  returned: success
  type: int
  sample: 2880
unreadable:
  description: How many lines of the logs could not be read and were left out.
  returned: success
  type: int
  sample: 0
steps:
  description: How many ticks scaled C(out) and C(in), and how many of these were C(reversals) of the step before.
  returned: success
  type: dict
  sample: {"out": 4, "in": 3, "reversals": 1}
mean_instances:
  description: The fleet's mean size over the ticks, or null without any.
  returned: success
  type: float
  sample: 2.41
text:
  description: The report as plain text, at most 69 columns wide, so that Ansible shows it within 80.
  returned: success
  type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report_run
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import LXD_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "dest": {"type": "path"},
            "logs": {"type": "list", "elements": "path", "default": []},
            "instance_logs": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "instance": {"type": "str", "required": True},
                    "path": {"type": "str", "default": "/var/log/generalbots/decisions.jsonl"},
                },
            },
            "hours": {"type": "float", "default": 24},
            "settings": {"type": "dict"},
            "title": {"type": "str"},
            "subnet": {"type": "str", "required": True},
        }
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """The report of this moment."""
    return report_run.run(module.params, time.time(), check=module.check_mode)


def main() -> None:
    """Entry point."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

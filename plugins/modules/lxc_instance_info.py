#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_instance_info
short_description: Read the instances of an LXD or Incus project
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Returns the instances of a project that belong to this collection, or to one of its components, in one request.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.info_module
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  component:
    description: Only instances of this component.
    type: str
  missing_ok:
    description:
      - An engine that does not run here, or a project that does not exist, is no failure. RV(engine_answers) and RV(project_exists) tell.
    type: bool
    default: false
  nic:
    description: The network card whose address is returned.
    type: str
    default: eth0
seealso:
  - module: generalbots.scaling.lxc_instance
"""

EXAMPLES = r"""
- name: Read all instances
  generalbots.scaling.lxc_instance_info:
  register: all_instances

- name: Read the proxies
  generalbots.scaling.lxc_instance_info:
    component: proxy
  register: proxies
"""

RETURN = r"""
engine_answers:
  description: Whether the engine runs. Only with O(missing_ok) it can be false.
  type: bool
  returned: always
project_exists:
  description: Whether the engine runs and has the project. Only with O(missing_ok) it can be false.
  type: bool
  returned: always
instances:
  description: The instances, by name in ascending order.
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
      description: Its IPv4 address on O(nic), if it has one.
      type: str
    component:
      description: The component it is marked with.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import (
    LXD_SPEC,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import (
    connect,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import (
    brief,
    observe_project,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
    run,
)

SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "component": {"type": "str"},
            "missing_ok": {"type": "bool", "default": False},
            "nic": {"type": "str", "default": "eth0"},
        }
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Read the project and return what is ours in it."""
    wanted = module.params["component"]
    try:
        observed = observe_project(connect(module.params))
    except (Unreachable, ApiError) as error:
        if not module.params["missing_ok"] or (isinstance(error, ApiError) and error.status != 404):
            raise
        return {"instances": [], "engine_answers": isinstance(error, ApiError), "project_exists": False}
    found = sorted(observed.values(), key=lambda instance: instance.name)
    ours = [item for item in found if item.component is not None and wanted in (None, item.component)]
    return {"instances": [brief(item, module.params["nic"]) for item in ours], "engine_answers": True, "project_exists": True}


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxc_image
short_description: Import or publish the image of a component, by version
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - An image is known by the alias C(gb/<component>/<version>). If there is one of that alias, it is not made again.
  - Images are shared between projects. Which one a project's new instances are made from is a key of the project.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.full
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  component:
    description: The component, such as V(botserver), or V(base) for the system below all of them.
    type: str
    required: true
  version:
    description: The version, made of all that goes into the image, as by P(generalbots.scaling.tree_hash#lookup).
    type: str
    required: true
  state:
    description: Whether there is such an image.
    type: str
    choices: [present, absent]
    default: present
  metadata:
    description: Path of the metadata tarball, where the module runs. With O(rootfs).
    type: path
  rootfs:
    description: Path of the root file system as squashfs or tarball.
    type: path
  instance:
    description: A stopped instance to publish instead.
    type: str
  remote:
    description: URL of a simplestreams server to copy from instead.
    type: str
  remote_alias:
    description: The image's name on O(remote).
    type: str
    default: debian/12
  use:
    description: Make it the image that new instances of the component are made from, in this project.
    type: bool
    default: true
  prune:
    description: Delete images of other versions of the component that no instance of this project was made from and that no project uses.
    type: bool
    default: false
  operation_timeout:
    description: Seconds that an import or a publication may take.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Publish what was baked
  generalbots.scaling.lxc_image:
    component: botserver
    version: 4f2a91c03b7e
    instance: bake-botserver
    prune: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: always
alias:
  description: The image's alias.
  type: str
  returned: always
existed:
  description: Whether there was such an image before.
  type: bool
  returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import LXD_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.images import STATES, ImageSpec, execute, observe, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = LXD_SPEC.merge(
    ArgumentSpec(
        options={
            "component": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": list(STATES)},
            "metadata": {"type": "path"},
            "rootfs": {"type": "path"},
            "instance": {"type": "str"},
            "remote": {"type": "str"},
            "remote_alias": {"type": "str", "default": "debian/12"},
            "use": {"type": "bool", "default": True},
            "prune": {"type": "bool", "default": False},
            "operation_timeout": {"type": "int", "default": 600},
        },
        required_together=[("metadata", "rootfs")],
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Observe, plan, and unless in check mode execute."""
    params = module.params
    names = ("component", "version", "metadata", "rootfs", "instance", "remote", "remote_alias", "use", "prune")
    spec = ImageSpec(**{name: params[name] for name in names if params[name] is not None})
    lxd = connect(params)
    shelf = observe(lxd)
    wanted = plan(spec, shelf, params["state"])
    if not module.check_mode:
        execute(lxd, wanted, float(params["operation_timeout"]))
    return wanted.result(alias=spec.alias, existed=bool(shelf.by_alias(spec.alias) or shelf.nameless(spec)))


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

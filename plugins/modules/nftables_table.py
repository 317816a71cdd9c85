#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nftables_table
short_description: Keep one table of nftables as given, in the kernel and on disk
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Loads a table of nftables and keeps its rules in a file for the next start of the system.
  - The rules are first tried in a network namespace of their own. What nft refuses, or what makes another table as well, is refused
    before anything is changed.
  - What the kernel has is compared with what it made of the rules there, so that a rule that was added or removed by hand is noticed and
    put right.
  - Rules are replaced in one transaction. No packet meets a table that is half loaded, and connections that exist live on.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.full
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  rules:
    description:
      - What C(nft -f) takes. To replace the table as a whole, it declares the table, deletes it, and declares it anew.
    type: str
    required: true
  table:
    description: Family and name of the table that O(rules) make. No other table is looked at.
    type: str
    default: inet gb_exposure
  path:
    description: The file that keeps the rules. Loading it when the system starts is the business of a service.
    type: path
    default: /etc/gb-exposure.nft
requirements:
  - nft and unshare, where the module runs
seealso:
  - plugin: generalbots.scaling.exposure_rules
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Accept nothing but what the table of the collection allows a proxy
  generalbots.scaling.nftables_table:
    rules: "{{ 'proxy' | generalbots.scaling.exposure_rules('10.87.0.0/24') }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: always
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.nft import Nft, Wanted, plan_table
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = ArgumentSpec(
    options={
        "rules": {"type": "str", "required": True},
        "table": {"type": "str", "default": "inet gb_exposure"},
        "path": {"type": "path", "default": "/etc/gb-exposure.nft"},
    }
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare the table with what is wanted, and make it so."""

    def command(argv: t.Sequence[str], text: str) -> tuple[int, str, str]:
        code, out, err = module.run_command(list(argv), data=text, binary_data=True)
        return code, out, err

    nft = Nft(command, module.get_bin_path("nft", required=True, opt_dirs=["/usr/sbin", "/sbin"]))
    wanted = Wanted(module.params["table"], module.params["rules"], module.params["path"])
    plan = plan_table(wanted, nft.look(wanted))
    if not module.check_mode:
        nft.carry_out(plan)
    return plan.result()


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: patroni_config
short_description: Check Patroni's dynamic configuration
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Returns the configuration as it is, or refuses it because it cannot do what it says. Timers must keep Patroni's rule and be such as
    the version takes, parameters that Patroni sets itself must not be there, and a single member must not wait for a standby.
  - So a playbook can refuse it before there is a cluster. M(generalbots.scaling.patroni_cluster) checks the same.
options:
  _input:
    description: The dynamic configuration.
    type: dict
    required: true
  patroni:
    description: The version of Patroni.
    type: str
    required: true
  members:
    description: How many members there will be.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Refuse timers that break the rule
  ansible.builtin.debug:
    msg: "{{ {'ttl': 20, 'loop_wait': 5, 'retry_timeout': 5} | generalbots.scaling.patroni_config(patroni='4.1.5') }}"
"""

RETURN = r"""
_value:
  description: The configuration.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.config import check, modern
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import version_tuple


def patroni_config(config: t.Mapping[str, t.Any], *, patroni: str, members: int = 1) -> t.Mapping[str, t.Any]:
    """The configuration; raises AnsibleFilterError where it cannot do what it says."""
    wanted = modern(config)
    try:
        check(wanted, wanted, version_tuple(str(patroni)), int(members))
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error
    return config


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"patroni_config": patroni_config}

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: postgres_settings
short_description: PostgreSQL's parameters for a container
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Computes PostgreSQL's parameters from the memory of its container and from who connects.
  - Refuses what does not fit. A botserver holds ten connections to the main database and five to that of each bot.
options:
  _input:
    description: The container's memory, such as V(1GiB).
    type: str
    required: true
  botservers:
    description: How many botservers there may be.
    type: int
    required: true
  bots:
    description: Bots that each of them serves.
    type: int
    default: 1
  reserved:
    description: Connections of everybody else.
    type: int
    default: 20
  own:
    description: Parameters that win over the computed ones.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what 2 GiB are used for
  ansible.builtin.debug:
    msg: "{{ '2GiB' | generalbots.scaling.postgres_settings(botservers=10, bots=3) }}"
"""

RETURN = r"""
_value:
  description: Parameters by name.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.sizing import Need, settings


def postgres_settings(
    memory: str, *, botservers: int, bots: int = 1, reserved: int = 20, own: t.Mapping[str, t.Any] | None = None
) -> dict[str, t.Any]:
    """The parameters; raises AnsibleFilterError where they do not fit."""
    try:
        return settings(str(memory), Need(int(botservers), int(bots), int(reserved)), own)
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"postgres_settings": postgres_settings}

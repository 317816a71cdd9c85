# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: autoscale_policy
short_description: What the autoscaler would go by
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Makes the autoscaler's policy from settings, as a tick does.
  - Refuses what a tick would refuse, such as a rule on a metric that nothing measures, with the list of those that there are.
options:
  _input:
    description: Typed settings by their C(config.csv) names, as P(generalbots.scaling.config_csv#lookup) returns them.
    type: dict
    required: true
  options:
    description: What C(config.csv) has no keys for, C(gb_autoscale).
    type: dict
    default: {}
  sources:
    description: Where further metrics are read, C(gb_autoscale_sources).
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show from which size to which the fleet is scaled
  ansible.builtin.debug:
    msg: "{{ policy.min }} to {{ policy.max }}"
  vars:
    policy: "{{ gb_settings | generalbots.scaling.autoscale_policy(gb_autoscale, gb_autoscale_sources) }}"
"""

RETURN = r"""
_value:
  description: The policy.
  type: dict
  contains:
    enabled:
      description: Whether anything is scaled at all.
      type: bool
    min:
      description: The smallest fleet.
      type: int
    max:
      description: The largest fleet.
      type: int
    rules:
      description: The rules of C(config.csv), each with its C(key), its C(metric), its C(level) and its C(direction).
      type: list
      elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.preflight import checked
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput


def autoscale_policy(
    settings: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any] | None = None, sources: t.Sequence[t.Mapping[str, t.Any]] = ()
) -> dict[str, t.Any]:
    """The policy; raises AnsibleFilterError where a tick would refuse it."""
    try:
        policy = checked(settings, options or {}, sources)
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error
    rules = [{"key": one.key, "metric": one.metric, "level": one.level, "direction": one.direction} for one in policy.steps]
    return {"enabled": policy.enabled, "min": policy.min, "max": policy.max, "rules": rules}


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"autoscale_policy": autoscale_policy}

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: exposure_rules
short_description: What a component accepts, as rules for nftables
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Renders the table of who may speak to whom as the rule set of one component, for M(generalbots.scaling.nftables_table).
  - Everything else that comes in is refused. Components are let in by the address ranges of their slots, so that scaling changes no rule.
positional: subnet
options:
  _input:
    description: The component, such as V(botserver).
    type: str
    required: true
  subnet:
    description: The bridge's network in CIDR notation.
    type: str
    required: true
  ports:
    description: Ports that are variables, by their names V(botserver) and V(gate). Those not given have their defaults.
    type: dict
    default: {}
  extra:
    description:
      - Further doors, each with the keys V(to), a component; V(from), a list of components, V(host), V(anywhere), addresses or networks;
        V(ports), a list; V(protocol), V(tcp) by default, V(udp) or V(vrrp); and V(purpose).
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show what a botserver accepts when a Prometheus of yours may read its exporter
  ansible.builtin.debug:
    msg: "{{ 'botserver' | generalbots.scaling.exposure_rules('10.87.0.0/24', extra=doors) }}"
  vars:
    doors:
      - to: botserver
        ports: [9100]
        from: [192.0.2.7]
"""

RETURN = r"""
_value:
  description: What C(nft -f) loads.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.rules import rule_set


def exposure_rules(
    component: str,
    subnet: str,
    ports: t.Mapping[str, t.Any] | None = None,
    extra: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> str:
    """The rule set of a component; raises AnsibleFilterError where something of it is no component, port or source."""
    try:
        return rule_set(component, subnet, ports=ports, extra=extra)
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"exposure_rules": exposure_rules}

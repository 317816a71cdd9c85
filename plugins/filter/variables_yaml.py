# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: variables_yaml
short_description: Write variables so that Ansible reads the same values again
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Returns the YAML of a file of variables, sorted, for an Ansible that has no vault password of ours.
  - A value that is vaulted is written as what it stands for, so the file is a secret wherever one of the values is.
  - Text that Ansible would take for a template is marked with C(!unsafe), so that it stays what it is.
  - Values are those that JSON has. A date becomes text, and so does a key that is a number.
options:
  _input:
    description: The variables.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Hand on what another controller needs
  ansible.builtin.copy:
    content: "{{ {'command': ['docker', 'inspect'], 'token': token} | generalbots.scaling.variables_yaml }}"
    dest: /etc/example/group_vars/all.yml
    mode: "0600"
  no_log: true
"""

RETURN = r"""
_value:
  description: The content of the file.
  type: str
"""

import typing as t

import yaml

#: what begins a template, whatever stands around it
TEMPLATES = ("{{", "{%", "{#")


class _Dumper(yaml.SafeDumper):
    """Marks text that would be taken for a template."""

    def ignore_aliases(self, data: t.Any) -> bool:
        """Each value is written out where it stands."""
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    if any(mark in value for mark in TEMPLATES):
        return dumper.represent_scalar("!unsafe", value, style="'")
    return dumper.represent_str(value)


_Dumper.add_representer(str, _text)
# Vaulted text stands for text that carries tags of Ansible's.
_Dumper.add_multi_representer(str, _text)


def _plain(value: t.Any) -> t.Any:
    """A value without the tags that Ansible's carry, and vaulted text as what it stands for."""
    if isinstance(value, t.Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def variables_yaml(variables: t.Mapping[str, t.Any]) -> str:
    """The variables in YAML."""
    text: str = yaml.dump(_plain(variables), Dumper=_Dumper, allow_unicode=True, default_flow_style=False, width=200)
    return text


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"variables_yaml": variables_yaml}

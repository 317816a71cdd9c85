# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup of a deployment's settings."""

from __future__ import annotations

DOCUMENTATION = r"""
name: config_csv
author: The generalbots.scaling contributors (@generalbots)
short_description: Typed settings from a General Bots config.csv
version_added: "0.1.0"
description:
  - Reads a C(config.csv) on the controller, checks every key of this collection, and returns the settings typed and with defaults.
  - Keys of others (C(llm-*), C(theme-*) and so on) pass through untouched.
  - When something is wrong, the lookup fails once and lists every problem with file, line, key, value, rule and remedy.
options:
  _terms:
    description: Path of a C(config.csv) on the controller. A relative path starts at the playbook's directory.
    type: list
    elements: path
    required: true
  overrides:
    description:
      - Keys and values that win over the file; values may be typed or text.
      - An empty value takes a key of the file back to its default.
    type: dict
    default: {}
  want:
    description:
      - What is returned for each file.
      - V(settings) is a dictionary of every key of the collection with its typed value, none where it is unset without a default.
      - V(given) is a dictionary of the keys that are set, each with its line, or the word C(override).
      - V(foreign) is a dictionary of the keys of others, as written.
      - V(unconsumed) is a list of the given keys that ask for something on which nothing acts yet.
    type: str
    choices: [settings, given, foreign, unconsumed]
    default: settings
notes:
  - The keys are described in the page C(docs/settings.md) of the collection.
"""

EXAMPLES = r"""
- name: Show how far the fleet may grow
  ansible.builtin.debug:
    msg: "{{ gb_settings['scale-max-instances'] }}"
  vars:
    gb_settings: "{{ lookup('generalbots.scaling.config_csv', gb_config_csv, overrides=gb_settings_overrides) }}"

- name: Refuse what nothing acts on yet
  ansible.builtin.assert:
    that: query('generalbots.scaling.config_csv', gb_config_csv, want='unconsumed')[0] | length == 0
"""

RETURN = r"""
_raw:
  description: One element for each file, as O(want) says. Durations are seconds, percentages 0 to 100.
  type: list
  elements: raw
  sample:
    - scale-enabled: true
      scale-max-instances: 4
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import Settings, load_file


class LookupModule(LookupBase):
    """``lookup('generalbots.scaling.config_csv', path)``."""

    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[t.Any]:
        """One result for each path; raises AnsibleLookupError with every problem of the first file that has any."""
        self.set_options(var_options=variables, direct=kwargs)
        overrides, want = self.get_option("overrides"), self.get_option("want")
        return [_wanted(self._load(term, overrides), want) for term in terms]

    def _load(self, term: str, overrides: dict[str, t.Any]) -> Settings:
        if not isinstance(term, str) or not term.strip():
            raise AnsibleLookupError(f"config_csv needs the path of a config.csv, got {term!r}. Set gb_config_csv.")
        path = self._loader.path_dwim(term) if self._loader else term
        try:
            return load_file(path, overrides)
        except InvalidInput as error:
            raise AnsibleLookupError(str(error)) from None


def _wanted(settings: Settings, want: str) -> t.Any:
    return settings.values if want == "settings" else getattr(settings, want)

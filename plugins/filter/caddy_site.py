# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: caddy_site
short_description: The configuration of Caddy for a site, from data
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Makes the whole configuration of Caddy from settings, routes and options for TLS, limits and logs, and the pools behind it.
  - The role C(caddy) hands the first to M(generalbots.scaling.caddy_config), which loads what is new in it by one write, and the second
    to M(generalbots.scaling.caddy_upstreams), which brings pools that ran before to what they shall be.
  - Refuses what cannot work before anything is changed, such as a route that hides another, an endpoint without paths, or a certificate
    that has expired, does not belong to its key, or is for other names.
options:
  _input:
    description: The options of the site, as the role C(caddy) puts them together.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how many routes the site has
  ansible.builtin.debug:
    msg: "{{ (my_site | generalbots.scaling.caddy_site).pools | length }}"
"""

RETURN = r"""
_value:
  description: The site.
  type: dict
  contains:
    config:
      description: Caddy's configuration, whose reverse_proxy handlers have an C(@id) and are filled.
      type: dict
    pools:
      description: The pools that fill those handlers. They hold the secret of the sticky cookie, and so does the configuration.
      type: list
      elements: dict
    keep:
      description: The C(@id)s of those handlers.
      type: list
      elements: str
    files:
      description: Files of the controller that have to be in the proxy before the configuration is loaded.
      type: list
      elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site import build
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput


def caddy_site(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The site; raises AnsibleFilterError where the options cannot work."""
    try:
        return dict(build(options))
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name → function."""
        return {"caddy_site": caddy_site}

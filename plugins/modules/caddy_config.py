#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: caddy_config
short_description: Load the structure of Caddy's configuration
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Makes the running Caddy serve a configuration, by one write that is conditional on the ETag that was read, and reads it back.
  - A configuration that Caddy would refuse is refused before it is written, in check mode too, with Caddy's words and the place.
  - A port that another process listens on is refused too. Caddy itself would share it without a word.
  - Of handlers with the C(@id)s in O(keep), what M(generalbots.scaling.caddy_upstreams) has options for stays as it runs. Their other
    keys, such as C(headers), are those of O(config).
  - Each change is a reload, which closes connections. Where nothing differs, nothing is written.
extends_documentation_fragment:
  - generalbots.scaling.caddy
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
attributes:
  check_mode:
    support: full
    details:
      - Caddy loads the configuration without serving it, and so says whether it would refuse it.
  diff_mode:
    support: full
    details:
      - Of handlers of O(keep) only what O(config) says is shown. Values with the name of a secret and private keys are hidden.
  idempotent:
    support: full
options:
  config:
    description:
      - The whole configuration in Caddy's JSON structure.
      - It says where the admin endpoint listens, too, which has to be O(socket).
    type: dict
    required: true
  keep:
    description:
      - The C(@id)s of handlers whose pools others manage.
      - Without it, those of every C(reverse_proxy) handler to which O(config) gives no upstreams.
      - One that does not run yet is loaded as it stands in O(config).
    type: list
    elements: str
  user:
    description:
      - As whom Caddy loads the new configuration to say whether it would refuse it. Loading makes log files and Caddy's own authority
        where there are none yet, so that it should be the user whom the service runs as.
      - Without it, as whom the module runs.
    type: str
  validate:
    description:
      - Whether Caddy is asked before. Without it, a configuration that Caddy refuses fails when it is written, and changes nothing either.
      - Not to be asked for in check mode, where files that the configuration names are not there yet.
    type: bool
    default: true
seealso:
  - module: generalbots.scaling.caddy_upstreams
"""

EXAMPLES = r"""
- name: Serve one site over plain HTTP
  generalbots.scaling.caddy_config:
    config:
      admin:
        listen: unix//run/caddy/admin.sock|0600
      apps:
        http:
          metrics: {}
          servers:
            site:
              listen: [":80"]
              routes:
                - handle:
                    - "@id": gb-web
                      handler: reverse_proxy
"""

RETURN = r"""
version:
  description: The version of Caddy.
  type: str
  returned: success
  sample: 2.11.9
added:
  description:
    - The C(@id)s of C(reverse_proxy) handlers that did not run before. In check mode they do not run yet, and so they are what
      O(generalbots.scaling.caddy_upstreams#module:added) is for.
  type: list
  elements: str
  returned: success
  sample: [gb-web]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.argspec import CADDY_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy, as_json, reconcile, require_version
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import (
    Json,
    merge,
    proxy_ids,
    require_admin,
    secrets,
    structure_of,
    unfilled,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.preflight import check_ports, validate
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = CADDY_SPEC.merge(
    ArgumentSpec(
        options={
            "config": {"type": "dict", "required": True},
            "keep": {"type": "list", "elements": "str", "no_log": False},
            "user": {"type": "str"},
            "validate": {"type": "bool", "default": True},
        }
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Load the structure where it differs from what runs."""
    wanted = as_json(module.params["config"])
    module.no_log_values |= secrets(wanted)
    keep = unfilled(wanted) if module.params["keep"] is None else module.params["keep"]
    require_admin(wanted, module.params["socket"])
    version = require_version(module.params["binary"])
    check_ports(wanted, module.params["socket"])
    caddy = Caddy(module.params["socket"], module.params["timeout"])

    def edit(running: Json) -> Json:
        after = merge(wanted, running, keep)
        if after != running and module.params["validate"]:
            validate(module.params["binary"], after, module.params["user"])
        return after

    change = reconcile(caddy, edit, check=module.check_mode)
    added = [name for name in proxy_ids(change.after) if name not in proxy_ids(change.before)]
    diff = {"before": structure_of(change.before, keep), "after": structure_of(change.after, keep)}
    return {"changed": change.changed, "diff": diff, "version": version, "added": added}


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

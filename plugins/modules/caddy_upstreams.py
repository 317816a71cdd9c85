#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: caddy_upstreams
short_description: Manage the pools behind Caddy's reverse_proxy handlers
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Makes handlers of the running Caddy, named by their C(@id), have the given upstreams, policy, health checks and times.
  - All pools are changed together, by one write that is conditional on the ETag that was read, and read back.
  - Keys of a handler that this module has no option for stay as they are.
  - An empty pool, an address that is none, an address given twice and an unknown C(@id) are refused before anything is written.
    Caddy itself would accept them and answer requests with errors.
  - Each change is a reload, which closes connections. List an address for every slot once, and let health checks tell which of
    them exist; then starting and stopping instances needs no change.
extends_documentation_fragment:
  - generalbots.scaling.caddy
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Of a cookie's secret it only shows that it changes.
  idempotent:
    support: full
options:
  pools:
    description: The pools. Handlers that are not named stay as they are.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The C(@id) of the handler in the running configuration.
        type: str
        required: true
      upstreams:
        description: The addresses, as V(host:port), in the order that V(first) tries them.
        type: list
        elements: str
        required: true
      policy:
        description: How an upstream is chosen.
        type: str
        choices: [random, first, round_robin, least_conn, ip_hash, client_ip_hash, uri_hash, cookie]
        default: random
      cookie:
        description: The cookie, with O(pools[].policy=cookie) and only then.
        type: dict
        suboptions:
          secret:
            description: What the cookie's value is computed with, so that it does not give an address away.
            type: str
            required: true
          name:
            description: The cookie's name.
            type: str
            default: lb
          fallback:
            description: How the first upstream of a visitor is chosen.
            type: str
            choices: [random, first, round_robin, least_conn, ip_hash, client_ip_hash, uri_hash]
            default: random
          max_age:
            description: Seconds that a browser keeps the cookie. With V(0) until it is closed.
            type: int
            default: 0
      health:
        description: Active checks. Without them every upstream counts as healthy.
        type: dict
        suboptions:
          uri:
            description: The path that is asked for. Any C(2xx) is healthy.
            type: str
            required: true
          port:
            description: The port that is asked. Without it, the one that serves.
            type: int
          interval:
            description: Seconds from one check to the next.
            type: float
            default: 10
          timeout:
            description: Seconds after which a check without an answer has failed.
            type: float
            default: 5
          fails:
            description: Failures in a row that take an upstream out.
            type: int
            default: 1
          passes:
            description: Passes in a row that take it in again.
            type: int
            default: 1
      try_duration:
        description:
          - Seconds for which another upstream is sought when one cannot be connected to.
          - A request that reached an upstream is repeated only if it is a C(GET).
        type: float
        default: 0
      try_interval:
        description: Seconds between two tries.
        type: float
        default: 0.25
      dial_timeout:
        description: Seconds that connecting to an upstream may take. With V(0) it is Caddy's own 3 seconds.
        type: float
        default: 0
      fail_duration:
        description:
          - Seconds for which an upstream that failed a request is left out, before active checks have noticed. V(0) for not at all.
          - Shorter than O(pools[].try_duration), so that a request survives it even where there is only one upstream.
        type: float
        default: 0
      max_fails:
        description: Failed requests within O(pools[].fail_duration) that leave an upstream out.
        type: int
        default: 1
      stream_timeout:
        description: Seconds after which a websocket is closed in any case. V(0) for never.
        type: float
        default: 0
      stream_close_delay:
        description: Seconds that websockets live on when the configuration is changed.
        type: float
        default: 0
  wait_healthy:
    description:
      - Addresses of the pools to wait for until they pass their health checks, asked from where the module runs.
      - An address whose pool has no checks cannot be waited for.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds after which the wait is a failure.
    type: int
    default: 60
seealso:
  - module: generalbots.scaling.caddy_config
  - module: generalbots.scaling.caddy_upstreams_info
"""

EXAMPLES = r"""
- name: Balance the API over two slots
  generalbots.scaling.caddy_upstreams:
    pools:
      - id: gb-api
        upstreams: [10.87.0.101:8080, 10.87.0.102:8080]
        policy: round_robin
        try_duration: 5
        health: {uri: /api/health, port: 8079, interval: 2, timeout: 1}
    wait_healthy: [10.87.0.101:8080]

- name: Keep each visitor's websocket on one instance
  generalbots.scaling.caddy_upstreams:
    pools:
      - id: gb-ws
        upstreams: [10.87.0.101:8080, 10.87.0.102:8080]
        policy: cookie
        cookie: {secret: "{{ my_cookie_secret }}", fallback: least_conn}
        stream_close_delay: 300
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: success
  sample: ["update gb-api: 2 upstreams, round_robin"]
version:
  description: The version of Caddy.
  type: str
  returned: success
  sample: 2.11.9
"""

import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.argspec import CADDY_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy, as_json, reconcile, require_version
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import edit_handlers, handlers
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.health import wait_healthy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.params import POOLS_OPTION
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import checks_of, handler, plan, pools_from
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = CADDY_SPEC.merge(
    ArgumentSpec(
        options={
            "pools": POOLS_OPTION,
            "wait_healthy": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "int", "default": 60},
        }
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Change the pools where they differ, and wait for the members that are asked for."""
    pools = pools_from(module.params["pools"])
    checks = checks_of(pools, module.params["wait_healthy"])
    version = require_version(module.params["binary"])
    edits = {pool.id: functools.partial(handler, pool) for pool in pools}
    caddy = Caddy(module.params["socket"], module.params["timeout"])
    change = reconcile(caddy, lambda running: as_json(edit_handlers(running, edits)), check=module.check_mode)
    if checks and not module.check_mode:
        wait_healthy(checks, module.params["wait_timeout"])
    return plan(pools, handlers(change.before), handlers(change.after)).result(version=version)


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

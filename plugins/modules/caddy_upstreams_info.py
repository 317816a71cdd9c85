#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: caddy_upstreams_info
short_description: Read the upstreams of Caddy, and wait for them
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Returns the pools, every upstream with what is in flight there, how many requests Caddy has answered and how long they took.
  - Whether an upstream is healthy is what Caddy's metrics say, which are up to 10 seconds old. With O(health) each is asked from where
    the module runs instead, all at once.
  - The waits are made in the order in which they stand here, before anything is returned.
extends_documentation_fragment:
  - generalbots.scaling.caddy
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.info_module
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  pools:
    description: The C(@id)s of the pools to tell about. Without it, all, and upstreams that no pool lists any more.
    type: list
    elements: str
    default: []
  server:
    description: The server of Caddy's configuration whose requests are counted.
    type: str
    default: site
  health:
    description:
      - How to ask an upstream for its health. Without it, O(wait_healthy) and O(wait_unhealthy) ask as the running pools do.
    type: dict
    suboptions:
      uri:
        description: The path that is asked for.
        type: str
        required: true
      port:
        description: The port that is asked. Without it, the one that serves.
        type: int
      timeout:
        description: Seconds after which a check without an answer has failed. Connecting may take one second of them.
        type: float
        default: 5
      passes:
        description: Passes in a row that O(wait_healthy) waits for.
        type: int
        default: 1
      status:
        description: The status of a healthy upstream, or V(2) for all of C(200) to C(299) and so on. Without it any C(2xx).
        type: int
      body:
        description: A regular expression that is found in the body of a healthy upstream's answer.
        type: str
  wait_healthy:
    description:
      - Addresses to wait for until they pass their checks, asked from where the module runs. On timeout the module fails and says what
        they answered last.
    type: list
    elements: str
    default: []
  wait_unhealthy:
    description:
      - Addresses to wait for until they fail their checks, and for as long then as Caddy needs to notice by the interval, fails and
        timeout that run in its pools. After that it sends them nothing new.
      - On timeout the module fails and says which still pass.
    type: list
    elements: str
    default: []
  wait_idle:
    description:
      - Addresses to wait for until no request and no websocket is in flight there. One that Caddy does not list is idle.
      - On timeout the module does B(not) fail. It returns RV(idle=false) with RV(in_flight), so that the playbook can decide what
        becomes of them.
    type: list
    elements: str
    default: []
  wait_timeout:
    description:
      - Seconds that each of the waits may take. What Caddy needs to notice is added to O(wait_unhealthy).
      - A reload makes Caddy forget what it noticed, and so O(wait_unhealthy) begins anew then, five times at most.
    type: int
    default: 60
seealso:
  - module: generalbots.scaling.caddy_upstreams
"""

EXAMPLES = r"""
- name: Read the traffic
  generalbots.scaling.caddy_upstreams_info:
    health: {uri: /api/health, port: 8079}
  register: traffic

- name: Wait until slot 3 gets nothing new and has nothing left to do
  generalbots.scaling.caddy_upstreams_info:
    health: {uri: /api/health, port: 8079}
    wait_unhealthy: [10.87.0.103:8080]
    wait_idle: [10.87.0.103:8080]
    wait_timeout: 300
  register: drained
"""

RETURN = r"""
version:
  description: The version of Caddy, null if O(binary) does not tell it.
  type: str
  returned: always
  sample: 2.11.9
upstreams:
  description:
    - Every upstream that Caddy knows, by address. One that was taken out stays listed while anything is in flight there.
  type: list
  elements: dict
  returned: always
  contains:
    address:
      description: The address.
      type: str
      sample: 10.87.0.101:8080
    in_flight:
      description: Requests and websockets in flight.
      type: int
    fails:
      description: Requests that failed recently, where Caddy remembers them.
      type: int
    healthy:
      description:
        - Whether it passes its check, with O(health). Else whether Caddy holds it for healthy.
        - Null where Caddy does not tell, which is so for 11 seconds after a change, for an upstream that no pool lists, and for one that
          pools check in different ways.
      type: bool
pools:
  description: Every C(reverse_proxy) handler of the configuration that has an C(@id).
  type: list
  elements: dict
  returned: always
  contains:
    id:
      description: The C(@id).
      type: str
      sample: gb-api
    policy:
      description: How an upstream is chosen.
      type: str
      sample: round_robin
    upstreams:
      description: The addresses, in their order.
      type: list
      elements: str
    checked:
      description: Whether it has active checks.
      type: bool
durations:
  description:
    - How long the requests of O(server) took since RV(started_at), as a histogram. Websockets are left out, which last as they like.
    - Null where RV(requests_total) is.
  type: dict
  returned: always
  contains:
    buckets:
      description: For each bound in seconds, how many took no longer. The last bound is V(+Inf).
      type: dict
      sample: {"0.1": 12.0, "+Inf": 14.0}
    sum:
      description: The seconds of all.
      type: float
    count:
      description: How many there are.
      type: float
requests_total:
  description:
    - Requests that O(server) has answered since RV(started_at). A websocket counts when it ends.
    - Null if Caddy does not count, or not each request once. It does where every request passes the server's first route, and no
      other route begins with the same kind of handler.
  type: int
  returned: always
started_at:
  description: >-
    When counting began, in seconds since the epoch. This is the start of Caddy's process, or its last reload, which begins anew.
  type: float
  returned: always
time:
  description: When this was read, in seconds since the epoch.
  type: float
  returned: always
idle:
  description: Whether nothing is in flight at the addresses of O(wait_idle).
  type: bool
  returned: with O(wait_idle)
in_flight:
  description: What is in flight at each address of O(wait_idle).
  type: dict
  returned: with O(wait_idle)
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.argspec import CADDY_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy, version_of
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.observe import observe, wait
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.params import PROBE
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = CADDY_SPEC.merge(
    ArgumentSpec(
        options={
            "pools": {"type": "list", "elements": "str", "default": []},
            "server": {"type": "str", "default": "site"},
            "health": {"type": "dict", "options": PROBE},
            "wait_healthy": {"type": "list", "elements": "str", "default": []},
            "wait_unhealthy": {"type": "list", "elements": "str", "default": []},
            "wait_idle": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "int", "default": 60},
        },
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Wait as asked, then read."""
    caddy = Caddy(module.params["socket"], module.params["timeout"])
    waited = wait(caddy, module.params)
    return {"version": version_of(module.params["binary"]), **observe(caddy, module.params), **waited}


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

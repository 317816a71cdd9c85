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
  - An empty pool, an address that is none, an address given twice, an unknown C(@id), and an option that has no effect are refused
    before anything is written. Caddy itself would accept most of these and answer requests with errors.
  - Give one pool by its options, or several as O(pools).
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
  <<: &pool
    id:
      description: The C(@id) of the handler in the running configuration. Every pool has one.
      type: str
    upstreams:
      description:
        - The addresses, as V(host:port), each once. They are a set, whose order only counts for the policies V(first) and
          V(weighted_round_robin). The same ones in another order are no change otherwise.
      type: list
      elements: str
    state:
      description:
        - With V(exact) the pool has these upstreams and no others, and every other option is as given here or as its default.
        - With V(present) these are added to those that run, with V(absent) they are taken out. Nothing else changes then, and no
          other option may be given. A pool is never left without upstreams.
      type: str
      choices: [exact, present, absent]
      default: exact
    policy:
      description:
        - How an upstream is chosen among those that are healthy.
        - V(random), V(round_robin), V(least_conn), V(random_choose), the least busy of some at random, and V(weighted_round_robin) spread.
        - V(first) takes the first in the list that is healthy.
        - V(ip_hash), V(client_ip_hash), V(uri_hash), V(header) and V(query) choose the same upstream for the same address of the
          connection, address of the client as trusted proxies tell it, path and query, header, or key of the query. V(cookie) for the
          same browser.
      type: str
      choices: [random, random_choose, first, round_robin, least_conn, ip_hash, client_ip_hash, uri_hash, weighted_round_robin,
                header, query, cookie]
      default: random
    weights:
      description:
        - With V(weighted_round_robin), for each upstream its share, in their order. One with V(0) gets no new requests.
        - Caddy gives the shares to the upstreams that are healthy, in their order. Where the first is not, the second has its share.
      type: list
      elements: int
    choose:
      description: With V(random_choose), among how many the least busy is taken. Without it, two.
      type: int
    field:
      description: With V(header) the name of the header, with V(query) the key.
      type: str
    fallback:
      description: With V(header) and V(query), how an upstream is chosen for requests that have none. Without it, V(random).
      type: str
      choices: &plain [random, random_choose, first, round_robin, least_conn, ip_hash, client_ip_hash, uri_hash]
    cookie:
      description: The cookie, with the policy V(cookie) and only then.
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
          description: How an upstream is chosen for a visitor without a cookie, and for one whose upstream is gone.
          type: str
          choices: *plain
          default: random
        max_age:
          description: Seconds that a browser keeps the cookie. With V(0) until it is closed.
          type: int
          default: 0
    health:
      description:
        - Active checks. Without them every upstream counts as healthy.
        - An upstream is spelled C(tcp/host:port) in a pool without checks, where another pool has checks for it. So each has its own
          view of that upstream's health. For people it remains the same address.
      type: dict
      suboptions:
        uri:
          description: The path that is asked for.
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
          description: >-
            Failures that take an upstream out. Caddy counts them from when the upstream came in, also if checks passed between them.
          type: int
          default: 1
        passes:
          description: Passes that take it in again, counted likewise from when it was taken out.
          type: int
          default: 1
        status:
          description: The status of a healthy upstream, or V(2) for all of C(200) to C(299) and so on. Without it any C(2xx).
          type: int
        body:
          description: A regular expression that is found in the body of a healthy upstream's answer.
          type: str
    retries:
      description: How often a request is tried again elsewhere at most. With V(0) as often as O(try_duration) allows, by default never.
      type: int
      default: 0
    retry_match:
      description:
        - Which requests may be repeated after they have reached an upstream, as a list of Caddy's matchers. Without it, every C(GET).
        - A request for which no connection came about is tried again in any case. Repeat only what does no harm when it is done twice.
      type: list
      elements: dict
    try_duration:
      description: Seconds for which another upstream is sought when one cannot be connected to, or none is healthy.
      type: float
      default: 0
    try_interval:
      description: Seconds between two tries. Without O(retries) and O(try_duration) there are none.
      type: float
      default: 0.25
    dial_timeout:
      description: Seconds that connecting to an upstream may take. With V(0) it is Caddy's own 3 seconds.
      type: float
      default: 0
    response_header_timeout:
      description: Seconds that an upstream may take to begin its answer. With V(0) without end.
      type: float
      default: 0
    read_timeout:
      description: Seconds that a read from an upstream may take, in websockets as well. With V(0) without end.
      type: float
      default: 0
    write_timeout:
      description: Seconds that a write to an upstream may take. With V(0) without end.
      type: float
      default: 0
    fail_duration:
      description:
        - Seconds for which a failed request counts against its upstream, before active checks have noticed. V(0) for not at all.
        - Shorter than O(try_duration), so that a request survives it even where there is only one upstream.
      type: float
      default: 0
    max_fails:
      description: Failed requests within O(fail_duration) that leave an upstream out.
      type: int
      default: 1
    unhealthy_status:
      description: Statuses that make a request a failed one, or V(5) for all of C(500) to C(599) and so on. Needs O(fail_duration).
      type: list
      elements: int
    unhealthy_latency:
      description: Seconds that make a request a failed one, when its answer took as long. V(0) for none. Needs O(fail_duration).
      type: float
      default: 0
    unhealthy_request_count:
      description: Requests in flight that make an upstream full, so that it gets no more. V(0) for any number.
      type: int
      default: 0
    stream_timeout:
      description: Seconds after which a websocket is closed in any case. V(0) for never.
      type: float
      default: 0
    stream_close_delay:
      description: Seconds that websockets live on when the configuration is changed.
      type: float
      default: 0
    flush_interval:
      description: Seconds after which a part of an answer is passed on. V(-1) for each part at once, V(0) for Caddy's own choice.
      type: float
      default: 0
  pools:
    description:
      - Several pools, which are changed together by one write. Each has the options that stand here beside O(pools).
      - Handlers that are not named stay as they are.
    type: list
    elements: dict
    suboptions: *pool
  added:
    description:
      - The C(added) of M(generalbots.scaling.caddy_config). In check mode it has loaded none of them, and the pools with these C(@id)s that
        do not run are left out, for they would be loaded as they shall be. Any other that does not run is refused.
      - Heeded in check mode only.
    type: list
    elements: str
    default: []
  wait_healthy:
    description:
      - Addresses of the pools to wait for until they pass their health checks, asked from where the module runs, and Caddy itself says
        so. It says so at most 11 seconds later, where it can be told from its metrics.
      - An address whose pools have no checks cannot be waited for.
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
    id: gb-api
    upstreams: [10.87.0.101:8080, 10.87.0.102:8080]
    policy: round_robin
    try_duration: 5
    health: {uri: /api/health, port: 8079, interval: 2, timeout: 1}
    wait_healthy: [10.87.0.101:8080]

- name: Take one of them out, whatever else the pool is
  generalbots.scaling.caddy_upstreams:
    id: gb-api
    upstreams: [10.87.0.102:8080]
    state: absent

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

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.argspec import CADDY_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy, reconcile, require_version
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import Json, handlers
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.handlers import checks_of, edit, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.health import view_of, wait_healthy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.params import POOL_OPTIONS
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Pool, pools_of
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = CADDY_SPEC.merge(
    ArgumentSpec(
        options={
            **POOL_OPTIONS,
            "added": {"type": "list", "elements": "str", "default": []},
            "wait_healthy": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "int", "default": 60},
        },
        required_one_of=[["id", "pools"]],
    )
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Change the pools where they differ, and wait for the members that are asked for."""
    pools, waited = pools_of(module.params), module.params["wait_healthy"]
    version = require_version(module.params["binary"])
    caddy = Caddy(module.params["socket"], module.params["timeout"])

    def there(running: Json) -> list[Pool]:
        planned = {*module.params["added"]}.difference(handlers(running)) if module.check_mode else set()
        return [pool for pool in pools if pool.id not in planned]

    def wanted(running: Json) -> Json:
        after = edit(running, there(running))
        checks_of(after, waited)
        return after

    change = reconcile(caddy, wanted, check=module.check_mode)
    if waited and not module.check_mode:
        wait_healthy(checks_of(change.after, waited), module.params["wait_timeout"], view=view_of(caddy))
    return plan(there(change.before), handlers(change.before), handlers(change.after)).result(version=version)


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_cluster
short_description: Manage the members of an etcd cluster
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Compares the members that an etcd cluster knows with those there shall be. Removes what is lost, makes a joining member known,
    gives learners their vote when they have caught up, and waits until everybody is healthy.
  - Members are started and stopped elsewhere. One that joins is made known first, then started with RV(initial_cluster).
  - Nothing is removed where the rest would have no majority that answers.
extends_documentation_fragment:
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.full
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  endpoints:
    description:
      - Client URLs of members, such as V(https://10.87.0.21:2379). One that answers is enough.
    type: list
    elements: str
    required: true
  members:
    description: The members there shall be, each name with its peer URL.
    type: dict
    required: true
  join:
    description:
      - The member that may be added now, because it is about to start. Only one is added at a time.
    type: str
  learner:
    description: Add it as a learner, which has no vote before it has caught up. Needs etcd 3.4.
    type: bool
    default: true
  replace:
    description:
      - Members whose data is lost, such as those in a new container. What the cluster remembers of them is removed.
      - A member that was added and has not started yet has no data to lose, and is left as it is.
    type: list
    elements: str
    default: []
  purge:
    description: Remove members that are not in O(members).
    type: bool
    default: false
  ca_file:
    description: Path of the authority's certificate, where the module runs.
    type: path
  client_cert:
    description: Path of the certificate to show.
    type: path
  client_key:
    description: Path of that certificate's key.
    type: path
  timeout:
    description: Seconds for each request.
    type: int
    default: 5
  wait:
    description:
      - V(healthy) waits until each of O(members) votes, answers and sees a leader. In check mode nothing is waited for.
    type: str
    choices: [none, healthy]
    default: healthy
  wait_timeout:
    description: Seconds for O(wait), and for a learner to catch up.
    type: int
    default: 60
requirements:
  - requests
"""

EXAMPLES = r"""
- name: Three members, all healthy
  generalbots.scaling.etcd_cluster:
    endpoints: [https://10.87.0.21:2379]
    ca_file: /etc/etcd/ca.crt
    client_cert: /etc/etcd/member.crt
    client_key: /etc/etcd/member.key
    members:
      etcd-1: https://10.87.0.21:2380
      etcd-2: https://10.87.0.22:2380
      etcd-3: https://10.87.0.23:2380

- name: The container of etcd-3 was lost, and a new one is about to start
  generalbots.scaling.etcd_cluster:
    endpoints: [https://10.87.0.21:2379, https://10.87.0.22:2379]
    members:
      etcd-1: https://10.87.0.21:2380
      etcd-2: https://10.87.0.22:2380
      etcd-3: https://10.87.0.23:2380
    replace: [etcd-3]
    join: etcd-3
    wait: none
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  type: list
  elements: str
  returned: always
members:
  description: The members as they are after the run; in check mode as they were found.
  type: list
  elements: dict
  returned: always
  contains:
    id:
      description: Its number, in decimal digits.
      type: str
    name:
      description: Its name; empty for one that has not started yet.
      type: str
    peer_urls:
      description: Where the other members reach it.
      type: list
      elements: str
    client_urls:
      description: Where clients reach it.
      type: list
      elements: str
    learner:
      description: Whether it has no vote yet.
      type: bool
    leader:
      description: Whether it leads.
      type: bool
    healthy:
      description: Whether it answers and sees a leader.
      type: bool
    version:
      description: Its version of etcd.
      type: str
    db_size:
      description: Size of its database in bytes.
      type: int
    error:
      description: Why it is not healthy.
      type: str
known:
  description: Names of those of O(members) that the cluster knows, started or not.
  type: list
  elements: str
  returned: always
initial_cluster:
  description: What a joining member has to be started with, as C(ETCD_INITIAL_CLUSTER).
  type: str
  returned: always
  sample: etcd-1=https://10.87.0.21:2380,etcd-2=https://10.87.0.22:2380
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.client import Etcd, Tls
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.members import Wanted, initial_cluster, known, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.members import run as take
from ansible_collections.generalbots.scaling.plugins.module_utils.etcd.observe import look, wait_healthy
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run

SPEC = ArgumentSpec(
    options={
        "endpoints": {"type": "list", "elements": "str", "required": True},
        "members": {"type": "dict", "required": True},
        "join": {"type": "str"},
        "learner": {"type": "bool", "default": True},
        "replace": {"type": "list", "elements": "str", "default": []},
        "purge": {"type": "bool", "default": False},
        "ca_file": {"type": "path"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "timeout": {"type": "int", "default": 5},
        "wait": {"type": "str", "choices": ["none", "healthy"], "default": "healthy"},
        "wait_timeout": {"type": "int", "default": 60},
    },
    required_together=[("client_cert", "client_key")],
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Observe, plan, and unless in check mode execute and wait."""
    params = module.params
    wanted = Wanted(params["members"], params["replace"], params["join"], params["learner"], params["purge"])
    etcd = Etcd(params["endpoints"], Tls(params["ca_file"], params["client_cert"], params["client_key"]), params["timeout"])
    waits = params["wait"] == "healthy" and not module.check_mode
    view = look(etcd, patience=params["wait_timeout"] if waits else 0)
    steps = plan(wanted, view.members, view.healthy)
    if not module.check_mode and steps.changed:
        take(etcd, steps, timeout=params["wait_timeout"])
        view = look(etcd)
    if waits:
        view = wait_healthy(etcd, wanted, timeout=params["wait_timeout"])
    names = known(wanted, view.members)
    return steps.result(members=view.as_dicts(), known=names, initial_cluster=initial_cluster(wanted, view.members))


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

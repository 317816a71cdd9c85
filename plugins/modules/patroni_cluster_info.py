#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_cluster_info
short_description: Read a Patroni cluster
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Returns the members of a Patroni cluster, its dynamic configuration, and what is missing to its health. Every member is asked, all at
    once.
  - Members that belong to another cluster, or hold a database of another origin, are an error.
extends_documentation_fragment:
  - generalbots.scaling.patroni
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.info_module
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  restarted:
    description:
      - Whether a member that waits for a restart of PostgreSQL is one of the RV(problems). It is told in RV(pending_restart) in any case.
    type: bool
    default: true
seealso:
  - module: generalbots.scaling.patroni_cluster
"""

EXAMPLES = r"""
- name: Read the cluster
  generalbots.scaling.patroni_cluster_info:
    urls: [https://10.87.0.31:8008, https://10.87.0.32:8008]
    scope: generalbots
    ca_file: /etc/patroni/ca.crt
    members: 3
  register: cluster

- name: Show who leads, and what is wrong
  ansible.builtin.debug:
    msg: "{{ cluster.leader }} leads. {{ cluster.problems | join('; ') }}"
"""

RETURN = r"""
leader:
  description: Name of the member that leads, null if none does.
  type: str
  returned: always
  sample: postgres-1
members:
  description: The members.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: Its name.
      type: str
    role:
      description: One of V(leader), V(standby_leader), V(sync_standby), V(quorum_standby) and V(replica).
      type: str
    state:
      description: V(running) for a leader that is well and V(streaming) for a standby that is; else what Patroni says.
      type: str
    url:
      description: Its REST API.
      type: str
    host:
      description: The address of its PostgreSQL.
      type: str
    port:
      description: The port of its PostgreSQL.
      type: int
    timeline:
      description: Its timeline.
      type: int
    lag:
      description: Bytes that it is behind the leader, null if unknown or for the leader.
      type: int
    pending_restart:
      description: Whether a setting waits for a restart of its PostgreSQL.
      type: bool
    paused:
      description: Whether it knows that automatic failover is off; null if it does not answer.
      type: bool
    tags:
      description: Its tags.
      type: dict
    version:
      description: Its version of Patroni.
      type: str
    server_version:
      description: Its version of PostgreSQL, such as V(150018).
      type: int
    scope:
      description: The cluster that it belongs to.
      type: str
    system:
      description: The identifier of its database.
      type: str
    seen:
      description: When it last read the cluster's store, in seconds of its clock.
      type: int
    silent:
      description: Why it does not answer, else empty.
      type: str
paused:
  description: Whether automatic failover is off.
  type: bool
  returned: always
pending_restart:
  description: Members that wait for a restart of PostgreSQL.
  type: list
  elements: str
  returned: always
problems:
  description: What is missing to health; empty for a healthy cluster.
  type: list
  elements: str
  returned: always
config:
  description: The dynamic configuration.
  type: dict
  returned: always
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.manage import CONNECTION, HEALTH, connect, need_of, shown
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import observe

OWN = ArgumentSpec(options={"restarted": {"type": "bool", "default": True}})


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Read everything once."""
    view = observe(connect(module.params), module.params["scope"])
    need = dataclasses.replace(need_of(module.params), restarted=module.params["restarted"])
    return {**shown(view, need), "config": view.config}


def main() -> None:
    """Entry point of the module."""
    run(CONNECTION.merge(HEALTH).merge(OWN), body)


if __name__ == "__main__":
    main()

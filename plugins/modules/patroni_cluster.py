#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_cluster
short_description: Bring a Patroni cluster into a desired state
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Changes the dynamic configuration, pauses and resumes, copies broken standbys anew, hands over the lead and restarts members whose
    settings need it, through Patroni's REST API. What is so already is left alone.
  - The configuration is compared as Patroni and PostgreSQL read it, so V("100") is V(100) and V(on) is V(true), and written with one
    request that holds the differences only.
  - The lead is never moved unless O(leader) asks for it. A run after a failover leaves it where it is.
  - A member that was told to reload its configuration does so when its loop begins. A password that it refuses is therefore shown again for
    C(loop_wait) and five seconds, at most O(wait_timeout).
  - Every step is read back from the cluster. What does not come about within O(wait_timeout) is an error that says what was there.
extends_documentation_fragment:
  - generalbots.scaling.patroni
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
attributes:
  check_mode:
    support: partial
    details:
      - Restarts for parameters of extensions are not foreseen. Only members that have read such a parameter know that it needs one.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(reinitialize_members) copies anew on every run, because nothing tells a fresh copy from an older one.
options:
  config:
    description:
      - Dynamic configuration, as C(PATCH /config) takes it. Null removes a key.
      - Timers that break C(loop_wait + 2 * retry_timeout <= ttl), or that the members' version does not take, are refused. So are
        parameters that Patroni sets itself.
    type: dict
  config_state:
    description:
      - Whether O(config) is V(merged) into the running configuration, or is V(replaced) for it, which removes every other key.
      - What was merged once and is not named any more stays. Of PostgreSQL's parameters it is told, as a warning and in
        RV(leftover_parameters), if O(config) names any; one that is null in O(config) is removed.
    type: str
    choices: [merged, replaced]
    default: merged
  pause:
    description: Whether automatic failover is off. Every member has to confirm it.
    type: bool
  leader:
    description:
      - The member that shall lead. It gets the lead by a switchover, when it runs, follows, and has every acknowledged write.
    type: str
  allow_data_loss:
    description:
      - Lets O(leader) be reached by a failover where a switchover cannot be. Writes that were acknowledged may be lost.
    type: bool
    default: false
  restart:
    description:
      - With V(pending), members that wait for a restart of PostgreSQL are restarted, one at a time. Standbys come first, and the primary
        comes first where a setting becomes smaller that standbys must not have smaller.
      - With V(never), who waits for one is only told (RV(pending_restart)), and is no problem.
    type: str
    choices: [never, pending]
    default: never
  reinitialize:
    description:
      - With V(broken), standbys that have not followed for O(reinitialize_after) seconds throw their data away and copy the leader's, one
        at a time.
    type: str
    choices: [never, broken]
    default: never
  reinitialize_after:
    description: Seconds for O(reinitialize). They are waited in check mode too.
    type: int
    default: 30
  reinitialize_members:
    description: Standbys that are copied anew whatever state they are in.
    type: list
    elements: str
    default: []
  wait:
    description:
      - V(healthy) first waits for a leader and for O(members) members, and at the end until there is one leader, every standby streams on
        its timeline and is no more than O(maximum_lag) behind, O(synchronous) of them are synchronous, and, with O(restart=pending),
        nobody waits for a restart.
      - In check mode nothing is waited for.
    type: str
    choices: [none, healthy]
    default: healthy
  wait_timeout:
    description: Seconds for each wait and for each step.
    type: int
    default: 180
seealso:
  - module: generalbots.scaling.patroni_cluster_info
"""

EXAMPLES = r"""
- name: Three members that lose no acknowledged write
  generalbots.scaling.patroni_cluster:
    urls: [https://10.87.0.31:8008, https://10.87.0.32:8008]
    scope: generalbots
    username: patroni
    password: "{{ vault_patroni_password }}"
    ca_file: /etc/patroni/ca.crt
    members: 3
    synchronous: 1
    config:
      synchronous_mode: true
      synchronous_mode_strict: true
      postgresql:
        parameters:
          max_connections: 200
    restart: pending

- name: Hand over the lead
  generalbots.scaling.patroni_cluster:
    urls: [https://10.87.0.31:8008]
    scope: generalbots
    username: patroni
    password: "{{ vault_patroni_password }}"
    leader: postgres-2

- name: No automatic failover while the network is worked on
  generalbots.scaling.patroni_cluster:
    urls: [https://10.87.0.31:8008]
    scope: generalbots
    username: patroni
    password: "{{ vault_patroni_password }}"
    pause: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order. Restarts are those that were made.
  type: list
  elements: str
  returned: always
  sample: ["configure the cluster: ttl", "switch over postgres-2: from postgres-1"]
leftover_parameters:
  description: Parameters of PostgreSQL that are set in the cluster and not named in O(config), where that names any.
  type: list
  elements: str
  returned: always
  sample: [log_min_duration_statement]
leader:
  description: Name of the member that leads, null if none does.
  type: str
  returned: always
  sample: postgres-1
members:
  description: The members as they are after the run; in check mode as they were found. See M(generalbots.scaling.patroni_cluster_info).
  type: list
  elements: dict
  returned: always
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
  description: What is missing to health.
  type: list
  elements: str
  returned: always
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec, run
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.manage import (
    CONNECTION,
    HEALTH,
    Manner,
    connect,
    manage,
    need_of,
    warning_of,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.plan import Wanted
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.run import Cluster

OWN = ArgumentSpec(
    options={
        "config": {"type": "dict"},
        "config_state": {"type": "str", "choices": ["merged", "replaced"], "default": "merged"},
        "pause": {"type": "bool"},
        "leader": {"type": "str"},
        "allow_data_loss": {"type": "bool", "default": False},
        "restart": {"type": "str", "choices": ["never", "pending"], "default": "never"},
        "reinitialize": {"type": "str", "choices": ["never", "broken"], "default": "never"},
        "reinitialize_after": {"type": "int", "default": 30},
        "reinitialize_members": {"type": "list", "elements": "str", "default": []},
        "wait": {"type": "str", "choices": ["none", "healthy"], "default": "healthy"},
        "wait_timeout": {"type": "int", "default": 180},
    },
)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Say what is wanted in the terms of the utilities, which do the rest."""
    params = module.params
    wanted = Wanted(
        config=params["config"],
        replace=params["config_state"] == "replaced",
        pause=params["pause"],
        leader=params["leader"],
        lossy=params["allow_data_loss"],
        restart=params["restart"] == "pending",
        reinitialize=params["reinitialize_members"],
        members=params["members"],
    )
    repair = params["reinitialize_after"] if params["reinitialize"] == "broken" else None
    need = dataclasses.replace(need_of(params), restarted=wanted.restart)
    manner = Manner(not module.check_mode, params["wait"] == "healthy", repair)
    result = manage(Cluster(connect(params), params["scope"], params["wait_timeout"]), wanted, need, manner)
    warning = warning_of(result, params["scope"])
    if warning:
        module.warn(warning)
    return result


def main() -> None:
    """Entry point of the module."""
    run(CONNECTION.merge(HEALTH).merge(OWN), body)


if __name__ == "__main__":
    main()

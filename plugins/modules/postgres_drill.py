#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_drill
short_description: Break the PostgreSQL cluster on purpose and prove that nothing was lost
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - In each round a client writes through botserver's own address of the database, from within a botserver instance, and logs every attempt.
    At a random moment a fault is injected; it lasts until writes are acknowledged again, is healed, and when the cluster is healthy the
    client reads back. From its log it is judged whether an acknowledged write is lost, a write is there twice or although it was refused,
    a writer did not see its own write, or two primaries acknowledged at the same time.
  - This interrupts the database of whoever uses it for some seconds, and some faults for longer. It is refused while the cluster is not
    healthy.
  - Everything it does goes through LXD; whatever it did is undone at the end of the round, also when the round fails.
  - Runs on the controller. The instance needs python3-psycopg2, which the role endpoints installs.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
attributes:
  check_mode:
    description: Checks the cluster and says what would be done to it.
    support: full
  diff_mode:
    description: There is nothing that would stay different.
    support: none
  idempotent:
    description: Each run is a drill of its own, except that rounds in O(results) count as done.
    support: none
options:
  faults:
    description:
      - What happens, in turns. One or more of V(switchover), V(power-off), V(freeze), V(kill-postgres), V(kill-patroni), V(kill-both),
        V(kill-etcd-leader), V(power-off-both-leaders), V(etcd-majority), V(cut), V(cut-in), V(cut-out), V(cut-etcd), V(cut-clients),
        V(disk-full), V(starve), V(busy), V(succession), V(while-reinit), V(while-switchover).
    type: list
    elements: str
    required: true
  target:
    description: The instance that is hit. By default the one that the fault is about, such as the primary of that moment.
    type: str
  rounds:
    description: How often each fault is drilled.
    type: int
    default: 1
  seconds:
    description: No round begins after so many seconds.
    type: float
    default: 3600
  results:
    description: File on the controller that each round is added to, as a line of JSON. Rounds that it holds count as done.
    type: path
  report:
    description: File on the controller for a page about the rounds of this run, HTML that needs nothing else.
    type: path
  force:
    description: Drill a cluster that is not healthy as well.
    type: bool
    default: false
  subnet:
    description: Network that instances have their addresses from.
    type: str
    required: true
  client:
    description: The botserver instance that the client writes from.
    type: str
    default: botserver-1
  scope:
    description: Name of the Patroni cluster.
    type: str
    default: generalbots
  database:
    description: What the client connects to, as botserver does. Its schema C(gb_drill) is made and removed again.
    type: dict
    required: true
    suboptions:
      host:
        description: Address in the botserver instance.
        type: str
        default: 127.0.0.1
      port:
        description: Port of the primary there.
        type: int
        default: 5432
      dbname:
        description: Database.
        type: str
        default: botserver
      user:
        description: Role.
        type: str
        default: gbuser
      password:
        description: Its password.
        type: str
        required: true
  writers:
    description: How many write at once.
    type: int
    default: 4
  rate:
    description: Writes a second of each.
    type: float
    default: 25
  recover_timeout:
    description: Seconds within which writes must be acknowledged again.
    type: float
    default: 90
  heal_timeout:
    description: Seconds within which the cluster must be healthy after healing.
    type: float
    default: 180
seealso:
  - module: generalbots.scaling.patroni_cluster
  - module: generalbots.scaling.patroni_cluster_info
"""

EXAMPLES = r"""
- name: Cut the primary's power, and fail if that lost anything
  generalbots.scaling.postgres_drill:
    faults: [power-off]
    subnet: 10.87.0.0/24
    database:
      password: "{{ postgres_user_password }}"
    report: drill.html
  register: drill
  failed_when: not drill.good
"""

RETURN = r"""
good:
  description: Whether every round was judged, nothing was violated, and everything was healthy afterwards.
  type: bool
  returned: when not in check mode
words:
  description: What came out of each round, in words.
  type: list
  elements: str
  returned: always
rounds:
  description: The rounds of this run, each with RV(ignore:fault), target, verdict and problems.
  type: list
  elements: dict
  returned: when not in check mode
summary:
  description: For each fault the outage (p50, p95 and max in seconds), acknowledged writes, violations, and rounds beyond the bar.
  type: list
  elements: dict
  returned: when not in check mode
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.options import SPEC, drill
from ansible_collections.generalbots.scaling.plugins.module_utils.module import run


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """Drill, or say what would be done."""
    return drill(module.params, check=module.check_mode)


def main() -> None:
    """Entry point of the module."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

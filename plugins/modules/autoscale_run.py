#!/usr/bin/python
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: autoscale_run
short_description: One run of the autoscaler, from reading the fleet to acting on it
version_added: "0.1.0"
author:
  - The generalbots.scaling contributors (@generalbots)
description:
  - Locks the fleet, reads it and its traffic, decides, records what was decided, takes the steps, records again and unlocks.
  - With O(count) it brings the fleet to that size instead, with O(restart) it renews slots one after the other, with O(refresh) it rolls
    the fleet onto the current image.
  - Every step is written into LXD before it is taken. A run that dies anywhere is continued by the next one.
  - It runs where LXD is reached, and asks the load balancers through LXD; no other host is needed.
attributes:
  check_mode:
    support: full
    details:
      - The decision of check mode is the one that a run at that moment takes. Nothing is locked, recorded or logged.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - What it does depends on the load. At the same size and without load it changes nothing.
extends_documentation_fragment:
  - generalbots.scaling.lxd
  - generalbots.scaling.lxd.fleet
  - generalbots.scaling.attributes
  - generalbots.scaling.attributes.actiongroup_scaling
options:
  config_csv:
    description:
      - The bot's C(config.csv), where this module runs.
      - A file that is broken while the autoscaler runs does not stop it. The last settings that were sound go on, and each run says so.
    type: path
    required: true
  overrides:
    description: Keys of C(config.csv) with values that win over the file.
    type: dict
    default: {}
  unconsumed:
    description: What to do about keys that are set and that nothing acts on.
    type: str
    choices: [refuse, warn]
    default: refuse
  options:
    description: What C(config.csv) has no keys for, the mapping C(gb_autoscale).
    type: dict
    default: {}
  sources:
    description:
      - Where further metrics come from. Each has exactly one of C(redis_list), C(command) and C(prometheus).
      - What cannot be read in time is unknown, never zero.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The metric's name, as the rules of C(config.csv) name it, for example V(queue).
        type: str
        required: true
      timeout:
        description: Seconds until it counts as unknown.
        type: float
        default: 2.0
      max_age:
        description:
          - Seconds; a value whose time is longer ago counts as unknown.
          - A list in Redis and a command are read now. Prometheus gives the time of the query, not that of the samples behind it, which may
            be of up to 5 minutes before (its lookback), so this only tells of a Prometheus whose clock is behind. Let a query that must not
            use older samples give no value then, as sum(x and (time() - timestamp(x) < 120)) does.
        type: float
        default: 120.0
      redis_list:
        description: The length of a list in Redis.
        type: dict
        suboptions:
          host:
            description: The server.
            type: str
            default: 127.0.0.1
          port:
            description: Its port.
            type: int
            default: 6379
          username:
            description: The user of its access list.
            type: str
          password:
            description: The password.
            type: str
          db:
            description: The number of the database.
            type: int
            default: 0
          list:
            description: The key of the list.
            type: str
            required: true
          tls:
            description: Whether the connection is encrypted.
            type: bool
            default: false
          ca_cert:
            description: Path of the authority that signed the server's certificate.
            type: path
      command:
        description: What a command prints, one number.
        type: dict
        suboptions:
          argv:
            description: The command and its arguments; no shell.
            type: list
            elements: str
            required: true
          instance:
            description: The instance that it is run in. Without it, it runs where this module does.
            type: str
          environment:
            description: Further environment, for a command that runs where this module does.
            type: dict
      prometheus:
        description: An instant query that gives one value.
        type: dict
        suboptions:
          url:
            description: The server, for example V(http://127.0.0.1:9090).
            type: str
            required: true
          query:
            description: The query.
            type: str
            required: true
          username:
            description: The user, for basic authentication.
            type: str
          password:
            description: The user's password.
            type: str
          token:
            description: A bearer token.
            type: str
          ca_cert:
            description: Path of the authority that signed the server's certificate.
            type: path
  count:
    description:
      - Bring the fleet to this size instead of deciding.
      - An instance that is frozen (C(lxc pause)) serves nobody. It does not count, and is left alone.
    type: int
  restart:
    description:
      - Drain, stop and start these slots one after the other instead of deciding.
      - A slot without an instance, or with one that failed, is refused. One that is warm is passed over, as it has what is new when it
        starts.
    type: list
    elements: int
    default: []
  refresh:
    description:
      - Roll the fleet onto the image that new instances are started from, instead of deciding. One after the other, an instance of that
        image is started first and then one of an older image is drained and deleted; protected and frozen ones stay.
      - Where one does not come up or does not stay healthy, it is kept for inspection, new instances are started from the image of before
        again, and what was rolled already is rolled back. The run then fails.
    type: bool
    default: false
  checkpoint:
    description: Seconds for which the first instance of a new image is watched before an old one goes for it, with O(refresh).
    type: int
    default: 60
  min_healthy:
    description: How many per cent of the others must be healthy before an old instance goes, with O(refresh).
    type: float
    default: 90
  force:
    description:
      - Decide as if C(scale-enabled) were true and no cooldown ran, neither C(scale-cooldown-seconds) nor C(cooldown_out),
        C(cooldown_in) or C(stabilisation) of O(options).
    type: bool
    default: false
  wait:
    description: End when the drains that it began, or found, are over. Otherwise later runs go on with them.
    type: bool
    default: false
  lock_wait:
    description:
      - Seconds to wait for the lock while somebody else holds it. With V(0) there is no waiting, as befits a timer that comes again.
      - Check mode takes no lock and waits for none.
    type: int
    default: 0
  skip_locked:
    description: While somebody else (still) holds the lock, do nothing and say so in RV(skipped_reason). Otherwise that is a failure.
    type: bool
    default: false
  warm:
    description:
      - How many stopped slots of the current image are kept ready. One is made in a run that has nothing else to do, and none while
        C(scale-enabled) is false.
    type: int
    default: 0
  gate_port:
    description: The port of the instances' health gate.
    type: int
    default: 8079
  health_timeout:
    description: Seconds until a started instance must be healthy.
    type: int
    default: 120
  drain_policy:
    description:
      - What happens when requests outlive a drain's deadline. V(force), it is stopped all the same. V(keep), it is left draining.
        V(abort), it takes requests again; for a slot of O(restart) that is a failure.
      - The same holds for an instance whose gate cannot be closed, or that answers as healthy however often it is closed.
    type: str
    choices: [force, keep, abort]
    default: force
  keeps:
    description: What becomes of an instance that was taken in. V(warm), it is kept stopped.
    type: str
    choices: [warm, delete]
    default: warm
  stop_timeout:
    description: Seconds that a graceful stop may take.
    type: int
    default: 40
  limits_best_effort:
    description: Run without a limit that the host's kernel cannot apply, and warn. Otherwise that is a failure.
    type: bool
    default: false
  parallel:
    description: How many instances are worked on at once.
    type: int
    default: 8
  holder:
    description: Who holds the lock. By default the host and the process, so that a lock of a process that died here is taken over at once.
    type: str
  ttl:
    description: Seconds after which the lock of a run that died elsewhere may be taken over. A run that goes on renews it.
    type: int
    default: 300
  admin_socket:
    description: Caddy's admin socket in the proxies.
    type: path
    default: /run/caddy/admin.sock
  server:
    description: The server of Caddy's configuration whose requests are counted.
    type: str
    default: site
  decision_log:
    description: A file that gets a line of JSON for each run. Without it there is none.
    type: path
  decision_log_bytes:
    description: The size from which on the log is put away; four older ones are kept.
    type: int
    default: 10000000
  textfile:
    description: A file that gets the metrics of each run, in the format of node exporter's textfile collector. Without it there is none.
    type: path
seealso:
  - module: generalbots.scaling.autoscale_state
  - module: generalbots.scaling.autoscale_state_info
  - module: generalbots.scaling.lxc_botserver
"""

EXAMPLES = r"""
- name: One tick
  generalbots.scaling.autoscale_run:
    config_csv: /etc/generalbots/config.csv
    subnet: 10.87.0.0/24
    network: gbbr0
    limits: {cpu: "1", memory: 512MiB}

- name: Three instances
  generalbots.scaling.autoscale_run:
    config_csv: /etc/generalbots/config.csv
    subnet: 10.87.0.0/24
    network: gbbr0
    count: 3
    wait: true

- name: Roll the fleet onto a new image
  generalbots.scaling.autoscale_run:
    config_csv: /etc/generalbots/config.csv
    subnet: 10.87.0.0/24
    network: gbbr0
    refresh: true
    wait: true
"""

RETURN = r"""
decision:
  description: What to do now, the same in check mode. Null if the run was skipped.
  returned: success
  type: dict
  contains:
    action:
      description: V(out), V(in) or V(hold).
      type: str
      sample: out
    current:
      description: Instances that make up the fleet now.
      type: int
      sample: 1
    desired:
      description: Instances that shall make it up.
      type: int
      sample: 2
    start:
      description: The slots to start.
      type: list
      elements: int
      sample: [2, 3]
    drain:
      description: The slots to drain; never together with C(start).
      type: list
      elements: int
      sample: []
    replace:
      description: The unhealthy slots whose replacement is under way.
      type: list
      elements: int
      sample: []
    slot:
      description: The first slot to start or to drain; null on V(hold).
      type: int
      sample: 2
    recommended:
      description: The size that the load alone asks for within the bounds; null where that cannot be told.
      type: int
      sample: 3
    bounds:
      description: The least and the most instances that there may be now, schedules included; null where the size was asked for by hand.
      type: dict
      sample: {min: 2, max: 6}
    next:
      description: What comes next, in words.
      type: str
      sample: looked at again in 30 s
    rule:
      description: The rule that spoke, also if it was held back.
      type: str
      sample: proportional
    reason:
      description: What was seen, what follows from it or what held it back, and what comes next, in words.
      type: str
      sample: "CPU 90 % of 70 % (in all 90 % now) needs 2 instances: start slot 2, 1 to 2 instances; looked at again in 30 s."
    metrics:
      description:
        - For each metric its mean over what is known (C(value)), the same with the unknown counted as idle (C(floor)), its projection onto
          one instance less (C(projected)), its C(threshold), C(unit), how many could not be read (C(missing)), and whether it is over
          its threshold (C(over)). Null is unknown.
      type: dict
      sample: {"cpu": {"value": 84.0, "floor": 84.0, "projected": null, "threshold": 70, "unit": "%", "missing": 0, "over": true}}
    guards:
      description: The guards that held the step back or made it smaller, each with C(name) and C(reason).
      type: list
      elements: dict
      sample: []
    alert:
      description:
        - Whether a person should look, because the autoscaler is blind, gave up, most instances are unhealthy, failed slots keep the fleet
          below its minimum, or C(config.csv) is broken and the last good one is in use.
      type: bool
      sample: false
    time:
      description: When the fleet was looked at, in seconds since the epoch.
      type: float
      sample: 1767225600.0
did:
  description: What was done, in order.
  returned: success
  type: list
  elements: str
failed:
  description: The slots that did not do what they should, with the reason of each. Any makes the run fail.
  returned: always
  type: dict
notes:
  description: Why something is unknown, what failed and is tried again, and whose lock was taken over.
  returned: success
  type: list
  elements: str
state:
  description:
    - What is remembered from now on, with the step that was decided as pending. The next run sees in the fleet whether it came true.
  returned: success
  type: dict
skipped_reason:
  description: Who holds the lock, if the run was skipped for that.
  returned: when skipped
  type: str
took:
  description: Seconds.
  returned: success
  type: float
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import RUN_SPEC, Ports, job_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import Run
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.argspec import LXD_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.module import run

SPEC = LXD_SPEC.merge(RUN_SPEC)


def body(module: AnsibleModule) -> dict[str, t.Any]:
    """The run that the options describe."""
    job = job_of(module.params)
    return Run(lambda: connect(module.params), job, module.check_mode, Ports(warn=module.warn)).result()


def main() -> None:
    """Entry point."""
    run(SPEC, body)


if __name__ == "__main__":
    main()

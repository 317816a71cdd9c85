# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question to Patroni from within a member's container, because from elsewhere nobody may ask it."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address

COMPONENT = "postgres"
#: roles of the member that holds the leader's lock
LEADS = ("leader", "standby_leader")
#: runs with what the container has, and prints C(cluster) as U(https://patroni.readthedocs.io/en/latest/rest_api.html) gives it and, if
#: asked for it, C(leader), the leader's own status, and C(config). Arguments: address of a member, seconds for each answer, and "leader"
#: and "config" or nothing
PROGRAM = f"""
import json, ssl, sys, urllib.request
trust = ssl.create_default_context(cafile="/etc/patroni/ca.crt")
patroni = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust))
def ask(url):
    return json.load(patroni.open(url, timeout=float(sys.argv[2])))
said = {{"cluster": ask("https://%s:8008/cluster" % sys.argv[1])}}
if "leader" in sys.argv[3:]:
    leaders = [one["api_url"] for one in said["cluster"]["members"] if one["role"] in {LEADS!r}]
    said["leader"] = ask(leaders[0]) if leaders else None
if "config" in sys.argv[3:]:
    said["config"] = ask("https://%s:8008/config" % sys.argv[1])
print(json.dumps(said))
"""


class Connection(t.Protocol):
    """The one call of an LXD connection that is made here."""

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = ...) -> tuple[int, str, str]:
        """Run a command in an instance."""


def ask(lxd: Connection, member: str, subnet: str, *, seconds: float = 3, leader: bool = False, config: bool = False) -> dict[str, t.Any]:
    """What a member says of its cluster (C(cluster)) and, if wished, what the leader says of itself (C(leader), null without one).

    :param member: the name of the instance
    :param subnet: of the site, from which the member's address follows
    :param seconds: how long each answer may take
    :param config: the dynamic configuration is told as well (C(config))
    :raises ScalingError: with the last words of the program, if there is no answer
    """
    where = address(subnet, COMPONENT, int(member.rpartition("-")[2]))
    patience = seconds * (1 + leader + config) + 2
    argv = [
        "timeout",
        f"{patience:g}",
        "/usr/bin/python3",
        "-c",
        PROGRAM,
        where,
        f"{seconds:g}",
        *(["leader"] if leader else []),
        *(["config"] if config else []),
    ]
    code, out, err = lxd.execute(member, argv, timeout=patience + 7)
    if code != 0:
        raise ScalingError(f"{member}: {(err.strip().splitlines() or [f'exit status {code}'])[-1]}")
    answer: dict[str, t.Any] = json.loads(out)
    return answer

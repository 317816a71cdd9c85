# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Healing the fleet after the database failed over.

botserver keeps one connection for its sessions as long as it lives. Once that was cut it answers as before and stores no session any
more, and nothing that it exposes shows it. Only a restart helps. So the autoscaler remembers who was the primary and since when it runs,
and when that is another one it renews every slot once, one after the other, with nothing dropped. It is part of a tick, and not an event
that the database's side sends, because a tick may die anywhere and the next one goes on: an event that gets lost heals nobody.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance

COMPONENT = "postgres"
#: the key beside the autoscaler's state
KEY = "user.gb.database"
#: asks a member of Patroni for the leader and the leader for itself; prints name, timeline and start of the primary
ASK = """
import json, ssl, sys, urllib.request
trust = ssl.create_default_context(cafile="/etc/patroni/ca.crt")
patroni = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust))
def ask(url):
    return json.load(patroni.open(url, timeout=3))
leaders = [one for one in ask(f"https://{sys.argv[1]}:8008/cluster")["members"] if one["role"] in ("leader", "standby_leader")]
if leaders:
    said = ask(leaders[0]["api_url"])
    if said.get("state") == "running":
        print(leaders[0]["name"], said["timeline"], said["postmaster_start_time"])
"""


class Connection(t.Protocol):
    """The one call of an LXD connection that is made here."""

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = ...) -> tuple[int, str, str]:
        """Run a command in an instance."""


@dataclasses.dataclass(frozen=True)
class Healing:
    """The primary that is known, and the slots that have not been renewed since it took over."""

    primary: str = ""
    slots: tuple[int, ...] = ()

    def without(self, slot: int) -> Healing:
        """With one slot less to renew."""
        return dataclasses.replace(self, slots=tuple(one for one in self.slots if one != slot))

    def text(self) -> str:
        """As its key holds it; empty where nothing is known."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True) if self.primary else ""


def from_text(text: str | None) -> tuple[Healing, str]:
    """What a key holds, and a note. A text that is none of ours is taken for nothing: the fleet is then not renewed for its sake."""
    if not text:
        return Healing(), ""
    try:
        data = json.loads(text)
        return Healing(str(data["primary"]), tuple(int(slot) for slot in data["slots"])), ""
    except (ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        return Healing(), f"What was recorded of the database cannot be read ({why}); the primary is noted afresh."


def primary(lxd: Connection, observed: t.Mapping[str, Instance], subnet: str) -> tuple[str, str]:
    """Who leads and since when, from whichever member answers, and why nobody knows. Both are empty where there is no cluster."""
    members = sorted(name for name, one in observed.items() if one.component == COMPONENT and one.status == "Running")
    heard = []
    for name in members:
        where = address(subnet, COMPONENT, int(name.rpartition("-")[2]))
        try:
            code, out, err = lxd.execute(name, ["timeout", "8", "/usr/bin/python3", "-c", ASK, where], timeout=15)
        except ScalingError as error:
            heard.append(str(error))
            continue
        if code == 0 and out.strip():
            return out.strip(), ""
        heard.append(f"{name}: {(err.strip().splitlines() or ['nobody leads'])[-1]}")
    return "", f"Nobody tells who leads the database: {' | '.join(heard)}" if heard else ""


def plan(before: Healing, now: str, active: t.Sequence[int]) -> tuple[Healing, str]:
    """What is to be renewed from here on, and why, in words.

    :param now: the primary as :func:`primary` tells it. While nobody knows, nothing is begun: botserver does not start without one.
    :param active: the slots that serve
    """
    if not now:
        return before, ""
    if not before.primary:
        return Healing(now), ""
    if now == before.primary:
        return Healing(now, tuple(slot for slot in before.slots if slot in active)), ""
    words = f"The database failed over ({_words(before.primary)}, now {_words(now)}): every slot is renewed, one after the other."
    return Healing(now, tuple(sorted(active))), words


def _words(marker: str) -> str:
    name, _space, rest = marker.partition(" ")
    timeline, _space, since = rest.partition(" ")
    return f"{name} on timeline {timeline} since {since}"

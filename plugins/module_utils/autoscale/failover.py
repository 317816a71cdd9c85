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
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, running
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni import inside

#: the key beside the autoscaler's state
KEY = "user.gb.database"


@dataclasses.dataclass(frozen=True)
class Healing:
    """The primary that is known, and the slots that have not been renewed since it took over.

    :param back: those of them whose requests outlived their drain and that were put back
    :param later: when those are tried again, in seconds since the epoch; 0 is at once
    """

    primary: str = ""
    slots: tuple[int, ...] = ()
    later: float = 0.0
    back: tuple[int, ...] = ()

    def without(self, slots: t.Collection[int]) -> Healing:
        """With fewer slots to renew."""
        left, back = (tuple(one for one in those if one not in slots) for those in (self.slots, self.back))
        return dataclasses.replace(self, slots=left, back=back, later=self.later if back else 0.0)

    def put_back(self, slots: t.Collection[int], later: float) -> Healing:
        """With slots that are tried again at that time, and not before."""
        return dataclasses.replace(self, back=tuple(sorted({*self.back, *slots})), later=later)

    def due(self, now: float, longest: float) -> list[int]:
        """The slots to renew at this time, those that were put back last.

        :param longest: seconds for which one is put off at the most: a clock that was set back must not do so for longer than was meant
        """
        waiting = self.back if 0 < self.later - now <= longest else ()
        return sorted((slot for slot in self.slots if slot not in waiting), key=lambda slot: (slot in self.back, slot))

    def text(self) -> str:
        """As its key holds it; empty where nothing is known."""
        kept = {name: value for name, value in dataclasses.asdict(self).items() if name not in ("later", "back") or value}
        return json.dumps(kept, sort_keys=True) if self.primary else ""


def from_text(text: str | None) -> tuple[Healing, str]:
    """What a key holds, and a note. A text that is none of ours is taken for nothing: the fleet is then not renewed for its sake."""
    if not text:
        return Healing(), ""
    try:
        data = json.loads(text)
        who, slots, later = str(data["primary"]), tuple(int(slot) for slot in data["slots"]), float(data.get("later", 0))
        # What an earlier version put off was all that was left.
        back = tuple(int(slot) for slot in data.get("back", slots if later else ()))
        return Healing(who, slots, later, back), ""
    except (ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        return Healing(), f"What was recorded of the database cannot be read ({why}); the primary is noted afresh."


def primary(lxd: inside.Connection, observed: t.Mapping[str, Instance], subnet: str) -> tuple[str, str]:
    """Who leads and since when, from whichever member answers, and why nobody knows. Both are empty where there is no cluster."""
    heard = []
    for name in running(observed, inside.COMPONENT):
        try:
            said = inside.ask(lxd, name, subnet, leader=True)
        except (ScalingError, ValueError) as error:
            heard.append(str(error))
            continue
        leads = next((one["name"] for one in said["cluster"]["members"] if one["role"] in inside.LEADS), "")
        if leads and said["leader"].get("state") == "running":
            return f"{leads} {said['leader']['timeline']} {said['leader']['postmaster_start_time']}", ""
        heard.append(f"{name}: nobody leads")
    return "", f"Nobody tells who leads the database: {' | '.join(heard)}" if heard else ""


def plan(before: Healing, now: str, serving: t.Sequence[int]) -> tuple[Healing, str]:
    """What is to be renewed from here on, and why, in words.

    :param now: the primary as :func:`primary` tells it. While nobody knows, nothing is begun: botserver does not start without one.
    :param serving: the slots that are up, those on their way out among them: a drain that is broken off puts its slot back
    """
    if not now:
        return before, ""
    if not before.primary:
        return Healing(now), ""
    if now == before.primary:
        return before.without({*before.slots} - {*serving}), ""
    words = f"The database failed over ({_words(before.primary)}, now {_words(now)}): every slot is renewed, one after the other."
    return Healing(now, tuple(sorted(serving))), words


def _words(marker: str) -> str:
    name, _space, rest = marker.partition(" ")
    timeline, _space, since = rest.partition(" ")
    return f"{name} on timeline {timeline} since {since}"

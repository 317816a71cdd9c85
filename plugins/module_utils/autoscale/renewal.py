# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking slots out and starting them anew, one after the other: by hand, or after the database failed over."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import traffic
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import FATAL, Actor, Failure, How, serving
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, observe

Observed = t.Mapping[str, Instance]
#: whether to renew a slot now, given the fleet as it is
Begins = t.Callable[[int, Observed], bool]


@dataclasses.dataclass(frozen=True)
class Lent:
    """What a run does for those that work through its fleet slot by slot.

    :param drained: goes on with the slots' drains until they are over, or failed; returns those that still drain
    :param record: remembers how far things have come
    :param traffic: what the load balancers say
    :param say: takes words for the log
    """

    drained: t.Callable[[t.Collection[int]], t.Collection[int]]
    record: t.Callable[[], None]
    traffic: t.Callable[[Observed], t.Sequence[traffic.Entry]]
    say: t.Callable[[str], None]


class Renewal:
    """Renews slots; what fails is among the actor's failures.

    :param asked: the slots whose renewal a person waits for; none after a failover, where a later run goes on
    """

    def __init__(self, lxd: Lxd, actor: Actor, how: How, lent: Lent, asked: t.Collection[int] = ()) -> None:
        self._lxd = lxd
        self._actor = actor
        self._how = how
        self._lent = lent
        self._asked = asked

    def run(self, slots: t.Sequence[int], begins: Begins = lambda _slot, _observed: True) -> bool:
        """Take the slots out and start them anew, until one fails; returns whether none did.

        A fleet of one gets a second instance meanwhile, where there may be one. It stays where the one that it stands in for is not back.

        :param begins: asked before each; one that it is against is left as it is
        """
        actor = self._actor
        told, spare = len(actor.failures), self._spare(slots)
        standing_in = actor.start(spare, observe(self._lxd)) if spare else []
        if spare and not standing_in and self._asked:
            # What it did not come up with is what the only one that serves would be started with.
            return False
        for slot in standing_in:
            self._lent.say(f"Slot {slot} serves while the only other one is renewed.")
        if not self._one_by_one(slots, told, begins):
            return False
        if standing_in and not {*slots} & {*fleet.slots(observe(self._lxd), self._how.spec.max_slots)["draining"]}:
            actor.drain(standing_in, observe(self._lxd), self._how.keeps)
            self._lent.drained(standing_in)
        return True

    def _one_by_one(self, slots: t.Sequence[int], told: int, begins: Begins) -> bool:
        """Renew the slots; each is noted as done before the next one is begun. Returns whether nothing failed since ``told`` failures.

        It ends as well with a slot that is left draining: with the next one, nobody might be left to take requests. A restart by hand has
        then failed for the others, whereas those that a failover left are renewed later.
        """
        actor = self._actor
        for done, slot in enumerate(slots, 1):
            observed = observe(self._lxd)
            if not begins(slot, observed):
                continue
            actor.drain([slot], observed, "start")
            left = self._lent.drained([slot])
            self._lent.record()
            if any(one.kind in FATAL for one in actor.failures[told:]):
                return False
            if left:
                why = f"slot {slot} still drains (drain policy keep), and only one at a time is taken out"
                actor.failures += [Failure(later, "drain_timeout", why) for later in slots[done:] if later in self._asked]
                return not self._asked
        return True

    def _spare(self, slots: t.Collection[int]) -> list[int]:
        """A slot to start before the only one that serves is taken out; none where others serve, or where there is no other to be had."""
        observed, spec = observe(self._lxd), self._how.spec
        now, up = fleet.slots(observed, spec.max_slots), serving(observed, spec)
        if len(up) != 1 or up[0] not in slots:
            return []
        others = fleet.spare(now, spec.max_slots)
        if not others:
            held = {name: now[name] for name in ("draining", "failed") if now[name]}
            why = f"other slots are held: {held}" if held else f"scale-max-instances is {spec.max_slots}"
            self._lent.say(f"There is no second instance to be had ({why}), so visitors wait while the only one is renewed.")
        return others[:1]

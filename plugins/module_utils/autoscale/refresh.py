# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling the fleet onto the image that new instances are started from.

One slot after the other: an instance of the new image is started first, then the old one is drained and deleted. Which slot an
instance takes the place of stands in its keys, so a run that dies anywhere is gone on with and the fleet grows by no second one;
and of which image that slot was and how many instances there were, so that nothing goes for a mark that is no longer true.
The first instance of the new image is watched before anything is taken away for it. Where one does not come up, or does not stay
healthy, the image of before is the one that is started again, and what was rolled already is rolled back.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import FATAL, Actor, Failure, frozen
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.renewal import Lent
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.words import capital, slots_words
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet, store
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address, instance_name
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.images import image_key
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, observe

Observed = t.Mapping[str, Instance]


@dataclasses.dataclass(frozen=True)
class Move:
    """A slot of an older image, and the one that takes its place: one that does so already, or one to start; None: there is no room.

    :param version: the older image's
    """

    old: int
    version: str
    new: int | None
    there: bool


def versions(observed: Observed, spec: fleet.FleetSpec) -> dict[int, str]:
    """The image versions of the active slots that are to be rolled onto the current image. A frozen one stays what it is."""
    still = frozen(observed)
    return {slot: version for slot, version in _old(observed, spec).items() if slot not in still}


def left_frozen(observed: Observed, spec: fleet.FleetSpec) -> str:
    """Which slots of an older image stay what they are because a person has paused them, in words; empty where there is none."""
    old = sorted({*_old(observed, spec)} & {*frozen(observed)})
    return f"{capital(slots_words(old))} is frozen (lxc pause) and stays of its older image: unfreeze it and refresh again." if old else ""


def _old(observed: Observed, spec: fleet.FleetSpec) -> dict[int, str]:
    """The image versions of the active slots that are not of the current image. A protected one stays what it is."""
    active = fleet.slots(observed, spec.max_slots)["active"]
    mine = {slot: observed[instance_name(fleet.COMPONENT, slot)] for slot in active}
    movable = {slot: one for slot, one in mine.items() if not fleet.protected(one)}
    return {slot: one.config[fleet.IMAGE_KEY] for slot, one in movable.items() if fleet.outdated(one, spec)}


def move(observed: Observed, spec: fleet.FleetSpec) -> Move | None:
    """The next move; None when the whole fleet is of the current image. One that was begun is gone on with first."""
    old = versions(observed, spec)
    if not old:
        return None
    begun = _begun(observed, spec)
    for slot in sorted(old):
        if slot in begun:
            return Move(slot, old[slot], begun[slot], True)
    now = fleet.slots(observed, spec.max_slots)
    spare = sorted(fleet.spare(now, spec.max_slots), key=lambda slot: (slot in now["free"], slot))
    first = min(old)
    return Move(first, old[first], spare[0] if spare else None, False)


def _begun(observed: Observed, spec: fleet.FleetSpec) -> dict[int, int]:
    """Slots whose place an active instance of the current image has taken, with its slot."""
    return {old: new for new, old in _marked(observed, spec).items() if old is not None}


def _untrue(observed: Observed, spec: fleet.FleetSpec) -> list[int]:
    """Active slots with a mark that means nothing any more."""
    return [new for new, old in _marked(observed, spec).items() if old is None]


def _marked(observed: Observed, spec: fleet.FleetSpec) -> dict[int, int | None]:
    """Active slots with a mark, and the slot whose place each has taken; None where it has not, or no longer.

    The old one must be what it was when it was marked, and without it there must be as many as before: where a tick has taken one in
    meanwhile, that was the one too many.
    """
    active = fleet.slots(observed, spec.max_slots)["active"]
    keys = {slot: observed[instance_name(fleet.COMPONENT, slot)] for slot in active}
    former = {f"{slot} {one.config.get(fleet.IMAGE_KEY)}": slot for slot, one in keys.items() if fleet.outdated(one, spec)}
    found: dict[int, int | None] = {}
    for slot, one in keys.items():
        if fleet.REPLACES_KEY in one.config:
            said, _space, before = one.config[fleet.REPLACES_KEY].rpartition(" ")
            true = not fleet.outdated(one, spec) and before.isdecimal() and len(active) > int(before)
            found[slot] = former.get(said) if true else None
    return found


def _mark(step: Move, observed: Observed, spec: fleet.FleetSpec) -> str:
    """What is written into the keys of an instance that is started for a move: the old slot, its image, and how many are active."""
    return f"{step.old} {step.version} {len(fleet.slots(observed, spec.max_slots)['active'])}"


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a rolling keeps to.

    :param project: where it is written which image new instances are started from
    :param checkpoint: seconds for which the first instance of the image is watched
    :param min_healthy: per cent of the others that must be healthy before an instance goes
    """

    project: str
    checkpoint: float
    min_healthy: float


class Rolling:
    """Rolls the fleet; what fails is among the actor's failures."""

    def __init__(self, lxd: Lxd, actor: Actor, rules: Rules, lent: Lent) -> None:
        self._lxd = lxd
        self._actor = actor
        self._rules = rules
        self._lent = lent

    def run(self, spec: fleet.FleetSpec) -> None:
        """Roll onto the image of the spec, and back onto that of before where an instance of it does not stay well."""
        version = self._roll(spec, self._rules.checkpoint)
        if version and spec.image is not None:
            spec = self._back(spec, spec.image, version)
            self._roll(spec, 0.0)
        words = left_frozen(observe(self._lxd), spec)
        if words:
            self._lent.say(words)

    def _roll(self, spec: fleet.FleetSpec, checkpoint: float) -> str:
        """Slot by slot; returns the version to go back to, empty where the image is good, or nobody can tell yet."""
        first = True
        while (step := self._next(spec)) is not None:
            if step.new is None:
                why = "there is no free slot for what shall take its place; raise scale-max-instances, or remove failed instances"
                # It stays, and serves: nothing was started that did not come up.
                self._actor.failures.append(Failure(step.old, "stop", why))
                return ""
            if not self._comes(step, step.new, spec) or (first and not self._actor.watch(step.new, checkpoint)):
                return step.version
            first = False
            if not self._take_the_place(step.old, step.new, spec):
                return ""
        return ""

    def _next(self, spec: fleet.FleetSpec) -> Move | None:
        """The next move, by marks that are true; the others are taken away."""
        observed = observe(self._lxd)
        step = move(observed, spec)
        for slot in _untrue(observed, spec):
            self._unmark(slot)
        return step

    def _unmark(self, slot: int) -> None:
        store.edit(self._lxd, f"instances/{instance_name(fleet.COMPONENT, slot)}", lambda _keys: {fleet.REPLACES_KEY: None})

    def _comes(self, step: Move, new: int, spec: fleet.FleetSpec) -> bool:
        """Whether what takes the place is there, or comes up now."""
        observed = observe(self._lxd)
        return step.there or bool(self._actor.start([new], observed, replaces=_mark(step, observed, spec)))

    def _take_the_place(self, old: int, new: int, spec: fleet.FleetSpec) -> bool:
        """Drain and delete the old one, unless somebody has paused it meanwhile; returns whether the next one may be begun."""
        if old in frozen(observe(self._lxd)):
            return True
        failures, ill = self._actor.failures, self._ill(old, spec)
        if ill:
            words = f"it stays, because {slots_words(ill)} is not healthy and {self._rules.min_healthy:g} % of the fleet must be"
            failures.append(Failure(old, "stop", words))
            return False
        self._actor.drain([old], observe(self._lxd), "delete")
        self._lent.drained([old])
        observed = observe(self._lxd)
        if instance_name(fleet.COMPONENT, old) not in observed:
            self._unmark(new)
            # What takes this slot from here on is new, and a failover of before has not cut its connection.
            self._actor.renewed.add(old)
        self._lent.record()
        if old in fleet.slots(observed, spec.max_slots)["active"]:
            failures.append(Failure(old, "stop", "its requests outlived its drain, and it was put back"))
            return False
        return not any(one.kind in FATAL and one.slot == old for one in failures)

    def _ill(self, leaving: int, spec: fleet.FleetSpec) -> list[int]:
        """The slots that are not healthy, if they are so many that none more may go; those that nobody says anything of are.

        Those that are frozen are none of the fleet that has to be healthy: a person has taken them out.
        """
        observed = observe(self._lxd)
        healthy = {one["address"]: one.get("healthy") for entry in self._lent.traffic(observed) for one in entry.get("upstreams", ())}
        others = [slot for slot in fleet.slots(observed, spec.max_slots)["active"] if slot not in (leaving, *frozen(observed))]
        ill = [slot for slot in others if healthy.get(f"{address(spec.subnet, fleet.COMPONENT, slot)}:{spec.port}") is False]
        return ill if len(others) - len(ill) < self._rules.min_healthy / 100 * len(others) else []

    def _back(self, spec: fleet.FleetSpec, image: str, version: str) -> fleet.FleetSpec:
        """Start instances from the image of before again, from here on as well; returns the fleet with it."""
        alias = f"{image.rpartition('/')[0]}/{version}"
        store.edit(self._lxd, f"projects/{self._rules.project}", lambda _keys: {image_key(fleet.COMPONENT): alias})
        self._lent.say(
            f"Image {spec.image_version} is no good: instances are started from {alias} again, and what was rolled already is rolled back."
        )
        former = dataclasses.replace(spec, image=alias, image_version=version)
        self._actor.use(former)
        return former

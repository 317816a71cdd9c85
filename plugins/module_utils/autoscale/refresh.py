# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling the fleet onto the image that new instances are started from.

One slot after the other: an instance of the new image is started first, then the old one is drained and deleted. Which slot an
instance takes the place of stands in its keys, so a run that dies anywhere is gone on with and the fleet grows by no second one.
The first instance of the new image is watched before anything is taken away for it. Where one does not come up, or does not stay
healthy, the image of before is the one that is started again, and what was rolled already is rolled back.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import instance_name
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance

Observed = t.Mapping[str, Instance]


@dataclasses.dataclass(frozen=True)
class Move:
    """A slot of an older image, and the one that takes its place: one that does so already, or one to start; None: there is no room."""

    old: int
    new: int | None
    there: bool


def versions(observed: Observed, spec: fleet.FleetSpec) -> dict[int, str]:
    """The image versions of the active slots that are not of the current image. A protected one stays what it is."""
    active = fleet.slots(observed, spec.max_slots)["active"]
    mine = {slot: observed[instance_name(fleet.COMPONENT, slot)] for slot in active}
    movable = {slot: one for slot, one in mine.items() if one.config.get(fleet.PROTECTED_KEY) != "true"}
    return {slot: one.config[fleet.IMAGE_KEY] for slot, one in movable.items() if fleet.outdated(one, spec)}


def move(observed: Observed, spec: fleet.FleetSpec) -> Move | None:
    """The next move; None when the whole fleet is of the current image. One that was begun is gone on with first."""
    old = sorted(versions(observed, spec))
    if not old:
        return None
    begun = _begun(observed, spec)
    for slot in old:
        if slot in begun:
            return Move(slot, begun[slot], True)
    now = fleet.slots(observed, spec.max_slots)
    spare = sorted((slot for slot in [*now["warm"], *now["free"]] if slot <= spec.max_slots), key=lambda slot: (slot in now["free"], slot))
    return Move(old[0], spare[0] if spare else None, False)


def _begun(observed: Observed, spec: fleet.FleetSpec) -> dict[int, int]:
    """Slots whose place an active instance of the current image has taken, with its slot."""
    found = {}
    for slot in fleet.slots(observed, spec.max_slots)["active"]:
        one = observed[instance_name(fleet.COMPONENT, slot)]
        said = one.config.get(fleet.REPLACES_KEY, "")
        if said.isdigit() and not fleet.outdated(one, spec):
            found[int(said)] = slot
    return found


def before(alias: str, version: str) -> str:
    """The alias of another version of an image."""
    return f"{alias.rpartition('/')[0]}/{version}"

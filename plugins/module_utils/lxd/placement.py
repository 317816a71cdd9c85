# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where new instances go in a cluster of LXD or Incus: those of one component as far apart as its failure domains allow."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, InstanceSpec


@dataclasses.dataclass(frozen=True)
class Place:
    """A member of the engine's cluster, and its failure domain (C(lxc cluster edit), key C(failure_domain))."""

    name: str
    domain: str


def places(lxd: Lxd, specs: t.Sequence[InstanceSpec], observed: t.Mapping[str, Instance]) -> tuple[Place, ...]:
    """The members that take instances by themselves and are online; none where there is no cluster, or no instance to be made."""
    if all(spec.name in observed for spec in specs) or not lxd.get("")[0]["environment"].get("server_clustered"):
        return ()
    found, _etag = lxd.get("cluster/members", recursion="1")
    return tuple(
        Place(one["server_name"], one.get("failure_domain") or "default")
        for one in found
        if one["status"] == "Online" and (one.get("config") or {}).get("scheduler.instance", "all") == "all"
    )


def spread(specs: t.Sequence[InstanceSpec], observed: t.Mapping[str, Instance], among: t.Sequence[Place]) -> dict[str, str]:
    """Name of each instance that is not there yet → member to make it on; empty without members to choose from.

    The failure domain with the fewest instances of the component is taken, in it the member with the fewest of them, and of those the
    one with the fewest instances at all.
    """
    domains = {place.name: place.domain for place in among}
    taken = [(one.component, one.location) for one in observed.values()]
    chosen: dict[str, str] = {}
    for spec in (spec for spec in specs if spec.name not in observed and among):
        alike = [where for component, where in taken if component == spec.component]
        in_domains = [domains.get(where) for where in alike]
        everywhere = [where for _component, where in taken]
        best = min(
            among, key=lambda one: (in_domains.count(one.domain), alike.count(one.name), everywhere.count(one.name), one.name)
        )  # fmt: skip
        chosen[spec.name] = best.name
        taken.append((spec.component, best.name))
    return chosen

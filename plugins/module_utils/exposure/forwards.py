# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network forwards: an address of the host whose ports lead to addresses on the bridge, whichever instance has them.

Those of a project carry its name, and only those are changed or removed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan

Json = t.Mapping[str, t.Any]

MARK = "user.gb.project"
#: bridges are those of the default project
GLOBAL = "default"
_KEYS = ("protocol", "listen_port", "target_address", "target_port")


@dataclasses.dataclass(frozen=True)
class Forward:
    """Ports of ``listen_address``, each with the keys of :data:`_KEYS`, all strings."""

    listen_address: str
    ports: tuple[t.Mapping[str, str], ...]

    @classmethod
    def of(cls, item: Json) -> Forward:
        """From an element of the module's option, or from what the daemon shows; ports in an order that compares."""
        ports = [{key: str(port[key]) for key in _KEYS} for port in item.get("ports") or ()]
        return cls(str(item["listen_address"]), tuple(sorted(ports, key=lambda port: (port["protocol"], port["listen_port"]))))


def observe(lxd: Lxd, network: str) -> list[Json]:
    """All forwards of the network as the daemon shows them; a network that does not exist has none."""
    try:
        found, _etag = lxd.get(f"networks/{network}/forwards", recursion="1", project=GLOBAL)
    except ApiError as error:
        if error.status != 404:
            raise
        return []
    return list(found or [])


def plan_forwards(network: str, project: str, wanted: t.Sequence[Forward], observed: t.Sequence[Json]) -> Plan:
    """What makes ``wanted`` the forwards of the project.

    :raises InvalidInput: an address whose forward would lead nowhere
    :raises Refused: an address is forwarded for somebody else
    """
    for forward in wanted:
        _check(forward.listen_address)
    plan = Plan()
    there = {item["listen_address"]: item for item in observed}
    addresses = {forward.listen_address for forward in wanted}
    for forward in wanted:
        _plan_one(plan, network, project, forward, there.get(forward.listen_address))
    for address, item in sorted(there.items()):
        if _owner(item) == project and address not in addresses:
            plan.differ(f"forward {address}", _shown(Forward.of(item)), None)
            plan.act("delete", f"forward {address}", path=f"networks/{network}/forwards/{address}")
    return plan


def _check(address: str) -> None:
    """The kernel routes no loopback address to a bridge, and a packet's destination is never all addresses."""
    try:
        given = ipaddress.IPv4Address(address)
    except ValueError as error:
        raise InvalidInput(f"{address} cannot be forwarded: {error}. Give one IPv4 address of the host.") from error
    if given.is_loopback or given.is_unspecified:
        raise InvalidInput(
            f"{address} cannot be forwarded to the bridge: "
            + ("the kernel does not route loopback addresses there." if given.is_loopback else "a forward has one address.")
            + " Give an address of the host's network card, or the bridge's own for this host alone."
        )


def _plan_one(plan: Plan, network: str, project: str, forward: Forward, there: Json | None) -> None:
    body = {"config": {MARK: project}, "ports": [dict(port) for port in forward.ports]}
    title = f"forward {forward.listen_address}"
    if there is None:
        plan.differ(title, None, _shown(forward))
        plan.act("create", title, path=f"networks/{network}/forwards", body={"listen_address": forward.listen_address, **body})
        return
    if _owner(there) != project:
        raise Refused(
            f"{forward.listen_address} is forwarded on {network} already, {_whose(there)}. It was left alone. "
            "Publish on another address (gb_publish_address), or remove that forward."
        )
    if plan.differ(title, _shown(Forward.of(there)), _shown(forward)):
        plan.act("update", title, path=f"networks/{network}/forwards/{forward.listen_address}", body=body)


def _owner(item: Json) -> str:
    return str((item.get("config") or {}).get(MARK, ""))


def _whose(item: Json) -> str:
    return f"for project {_owner(item)}" if _owner(item) else "by somebody else"


def _shown(forward: Forward) -> list[str]:
    return [f"{port['protocol']} {port['listen_port']} to {port['target_address']} {port['target_port']}" for port in forward.ports]


def carry_out(lxd: Lxd, plan: Plan) -> None:
    """Execute a plan of :func:`plan_forwards`; those that go make room first."""
    for action in sorted(plan.actions, key=lambda action: action.verb != "delete"):
        path = action.detail["path"]
        if action.verb == "delete":
            lxd.delete(path, project=GLOBAL)
        elif action.verb == "create":
            lxd.post(path, action.detail["body"], project=GLOBAL)
        else:
            lxd.put(path, action.detail["body"], project=GLOBAL)

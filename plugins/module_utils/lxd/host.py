# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs before instances can exist: storage pool, bridge, project, and the project's default profile.

What exists is used as it is: a pool is never formatted or resized, a bridge never moved to another subnet, and keys
that are not ours are kept. What this collection makes carries :data:`MARK`, and only that is ever removed.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t
from urllib.parse import parse_qs

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Action, Plan

Json = t.Mapping[str, t.Any]

MARK = "user.gb.managed"
#: the profile of the project whose keys the autoscaler remembers by; no instance uses it
AUTOSCALE_PROFILE = "gb-autoscale"
#: drivers whose pool is a file of a given size unless it is told otherwise
SIZED_DRIVERS = frozenset({"btrfs", "zfs", "lvm"})
#: seconds that making a pool may take
POOL_TIMEOUT = 300.0
#: Pools, bridges and projects are looked for here: our own project may not exist yet, or not any more.
GLOBAL = "default"
#: Profiles and volumes are the project's own; images and networks are those of the default project.
FEATURES: t.Mapping[str, str] = {
    "features.images": "false",
    "features.networks": "false",
    "features.profiles": "true",
    "features.storage.volumes": "true",
}


@dataclasses.dataclass(frozen=True)
class HostSpec:
    """What is wanted. ``subnet`` is in CIDR notation; ``pool_size`` is in LXD's notation, such as 20GiB."""

    project: str
    pool: str
    network: str
    subnet: str = ""
    pool_driver: str = "auto"
    pool_size: str = ""
    description: str = ""

    @property
    def bridge_address(self) -> str:
        """The bridge's own address with its prefix: the first of the subnet."""
        net = ipaddress.IPv4Network(self.subnet)
        return f"{net.network_address + 1}/{net.prefixlen}"


@dataclasses.dataclass(frozen=True)
class Host:
    """What is there; None for what does not exist. ``etags`` is by kind."""

    pool: Json | None
    network: Json | None
    project: Json | None
    profile: Json | None
    etags: t.Mapping[str, str]
    drivers: t.Sequence[str] = ()
    instances: t.Sequence[str] = ()
    routes: t.Sequence[Json] = ()


def look(lxd: Lxd, spec: HostSpec, routes: t.Sequence[Json] = ()) -> Host:
    """Read everything that a plan needs.

    :param routes: the host's IPv4 routes as ``ip -json route`` gives them; empty where the daemon is elsewhere
    """
    found: dict[str, Json | None] = {}
    etags: dict[str, str] = {}
    for kind, path in _paths(spec).items():
        found[kind], etags[kind] = _read(lxd, path, GLOBAL)
    project = found["project"]
    profile, etag = _read(lxd, "profiles/default", spec.project) if has_own_profiles(project) else (None, "")
    return Host(
        pool=found["pool"],
        network=found["network"],
        project=project,
        profile=profile,
        etags={**etags, "profile": etag},
        drivers=[driver["Name"] for driver in lxd.get("", project=GLOBAL)[0]["environment"]["storage_supported_drivers"]],
        instances=[path.rpartition("/")[2].partition("?")[0] for path in lxd.get("instances", project=spec.project)[0]] if project else [],
        routes=routes,
    )


def has_own_profiles(project: Json | None) -> bool:
    """Whether the project exists and its profiles are its own; else ``profiles/default`` would be the default project's."""
    return project is not None and project["config"].get("features.profiles") == "true"


def plan_present(spec: HostSpec, host: Host) -> Plan:
    """What makes the host as wanted.

    :raises InvalidInput: the subnet is none, or the pool's driver is not supported by this daemon
    :raises Refused: the subnet collides with a route, or the bridge's name is taken by something else
    """
    _check_project(spec)
    _check_network(spec, host)
    plan = Plan()
    _plan_pool(plan, spec, host)
    _plan_network(plan, spec, host)
    _plan_project(plan, spec, host)
    _plan_profile(plan, spec, host)
    return plan


def without(host: Host, project: str, names: t.Sequence[str]) -> Host:
    """The host as it is once these instances of the project are gone."""
    gone = {f"/1.0/instances/{name}" for name in names}

    def rest(there: Json | None) -> Json | None:
        kept = [use for use in _used_by(there or {}) if not (use.partition("?")[0] in gone and _project_of(use) == project)]
        return there and {**there, "used_by": kept}

    left = [name for name in host.instances if name not in names]
    return dataclasses.replace(host, instances=left, project=rest(host.project), network=rest(host.network), pool=rest(host.pool))


def plan_absent(spec: HostSpec, host: Host) -> tuple[Plan, list[str]]:
    """What removes the host's parts, and in words what is kept and why.

    :raises Refused: the project still holds something
    """
    _check_project(spec)
    plan, kept = Plan(), []
    if host.project is not None:
        _check_empty(spec, host)
        if any(_is_memory(use) for use in _used_by(host.project)):
            plan.act("delete", f"profile {AUTOSCALE_PROFILE}", "what the autoscaler remembers", path=f"profiles/{AUTOSCALE_PROFILE}")
        plan.differ("project", spec.project, None)
        plan.act("delete", f"project {spec.project}", path=f"projects/{spec.project}")
    for title, name, path, there in (
        ("network", spec.network, f"networks/{spec.network}", host.network),
        ("storage pool", spec.pool, f"storage-pools/{spec.pool}", host.pool),
    ):
        if there is None:
            continue
        reason = _why_kept(there, spec.project)
        if reason:
            kept.append(f"{title} {name}: {reason}")
            continue
        plan.differ(title.replace(" ", "_"), name, None)
        plan.act("delete", f"{title} {name}", path=path)
    return plan, kept


def carry_out(lxd: Lxd, plan: Plan, warn: t.Callable[[str], None]) -> None:
    """Execute a plan of this file, in order.

    :param warn: is told when a pool fell back to another driver
    """
    for action in plan.actions:
        path, body, etag = action.detail["path"], action.detail.get("body"), action.detail.get("etag", "")
        project = lxd.project if path.startswith("profiles/") else GLOBAL
        if action.verb == "delete":
            lxd.delete(path, project=project)
        elif action.verb == "update":
            lxd.patch(path, body, etag=etag, project=project)
        elif path == "storage-pools":
            _make_pool(lxd, action, warn)
        else:
            lxd.post(path, body, project=project)


def _make_pool(lxd: Lxd, action: Action, warn: t.Callable[[str], None]) -> None:
    body = action.detail["body"]
    try:
        lxd.post("storage-pools", body, timeout=POOL_TIMEOUT, project=GLOBAL)
    except ApiError as error:
        if not action.detail["fallback"]:
            raise
        warn(f"Storage pool {body['name']} is a plain directory, because a btrfs pool could not be made: {error}")
        plain = {**body, "driver": "dir", "config": {key: value for key, value in body["config"].items() if key != "size"}}
        lxd.post("storage-pools", plain, timeout=POOL_TIMEOUT, project=GLOBAL)


def _paths(spec: HostSpec) -> dict[str, str]:
    return {"pool": f"storage-pools/{spec.pool}", "network": f"networks/{spec.network}", "project": f"projects/{spec.project}"}


def _read(lxd: Lxd, path: str, project: str) -> tuple[Json | None, str]:
    try:
        found, etag = lxd.get(path, project=project)
    except ApiError as error:
        if error.status == 404:
            return None, ""
        raise
    return found, etag


def _check_project(spec: HostSpec) -> None:
    if spec.project == "default":
        raise InvalidInput(
            "The project may not be default: everything of ours lives in a project of its own. Set gb_lxd_project to another name."
        )


def _check_network(spec: HostSpec, host: Host) -> None:
    try:
        wanted = ipaddress.IPv4Network(spec.subnet)
    except ValueError as error:
        raise InvalidInput(f"The subnet {spec.subnet!r} is no IPv4 network: {error}. Write it like 10.87.0.0/24.") from error
    if wanted.prefixlen > 24:
        raise InvalidInput(f"The subnet {spec.subnet} has {wanted.num_addresses} addresses; a /24 or larger is needed.")
    if host.network is not None:
        _check_bridge(spec, host.network)
    for route in host.routes:
        # Docker marks a network without containers linkdown; it is taken all the same.
        if route.get("dst") in (None, "default") or route.get("dev") == spec.network:
            continue
        if wanted.overlaps(ipaddress.IPv4Network(route["dst"], strict=False)):
            raise Refused(
                f"The subnet {spec.subnet} of bridge {spec.network} collides with this host's route {_in_words(route)}. "
                f"Set gb_subnet to a network that the host does not use.",
                route=dict(route),
            )


def _check_bridge(spec: HostSpec, network: Json) -> None:
    if not network.get("managed"):
        raise Refused(
            f"There is a network interface {spec.network} on this host that the engine does not manage; it is left alone. "
            f"Set gb_network to another name."
        )
    address = network["config"].get("ipv4.address", "none")
    if address != spec.bridge_address:
        raise Refused(
            f"The bridge {spec.network} exists with ipv4.address {address}; {spec.bridge_address} is wanted, "
            f"and an existing bridge is never moved. Set gb_subnet to its subnet, or gb_network to another name."
        )


def _in_words(route: Json) -> str:
    via = f" via {route['gateway']}" if route.get("gateway") else ""
    device = f" dev {route['dev']}" if route.get("dev") else ""
    return f"{route['dst']}{via}{device}"


def _driver(spec: HostSpec, host: Host) -> str:
    if spec.pool_driver == "auto":
        return "btrfs" if "btrfs" in host.drivers else "dir"
    if spec.pool_driver not in host.drivers:
        raise InvalidInput(
            f"This daemon has no storage driver {spec.pool_driver}; it has {', '.join(sorted(host.drivers))}. "
            f"Install the driver's tools and restart the daemon, or set gb_pool_driver to auto."
        )
    return spec.pool_driver


def _plan_pool(plan: Plan, spec: HostSpec, host: Host) -> None:
    if host.pool is not None:
        return
    driver = _driver(spec, host)
    config = {MARK: "true"}
    if driver in SIZED_DRIVERS and spec.pool_size:
        config["size"] = spec.pool_size
    body = {"name": spec.pool, "driver": driver, "description": spec.description, "config": config}
    plan.differ("storage_pool", None, {"name": spec.pool, "driver": driver, **config})
    fallback = spec.pool_driver == "auto" and driver == "btrfs"
    plan.act("create", f"storage pool {spec.pool}", driver, path="storage-pools", body=body, fallback=fallback)


def _plan_network(plan: Plan, spec: HostSpec, host: Host) -> None:
    wanted = {"ipv4.nat": "true", "ipv6.address": "none", "dns.domain": "lxd"}
    if host.network is None:
        config = {"ipv4.address": spec.bridge_address, **wanted, MARK: "true"}
        body = {"name": spec.network, "type": "bridge", "description": spec.description, "config": config}
        plan.differ("network", None, {"name": spec.network, **config})
        plan.act("create", f"network {spec.network}", spec.bridge_address, path="networks", body=body)
        return
    if host.network["config"].get(MARK) != "true":
        return  # somebody else's, which is used as it is
    # LXD leaves out what is its default: lxd is the domain, and no IPv6 is no key at all.
    there = {"dns.domain": "lxd", "ipv6.address": "none", **host.network["config"]}
    _plan_config(plan, "network", spec.network, f"networks/{spec.network}", there, wanted, host.etags["network"])


def _plan_project(plan: Plan, spec: HostSpec, host: Host) -> None:
    if host.project is None:
        body = {"name": spec.project, "description": spec.description, "config": dict(FEATURES)}
        plan.differ("project", None, {"name": spec.project, **FEATURES})
        plan.act("create", f"project {spec.project}", path="projects", body=body)
        return
    there = {**dict.fromkeys(FEATURES, "false"), **host.project["config"]}
    _plan_config(plan, "project", spec.project, f"projects/{spec.project}", there, FEATURES, host.etags["project"])


def _plan_config(plan: Plan, kind: str, name: str, path: str, there: Json, wanted: Json, etag: str) -> None:
    changed = {key: value for key, value in wanted.items() if there.get(key) != value}
    if not changed:
        return
    plan.differ(kind, {key: there.get(key) for key in changed}, changed)
    plan.act("update", f"{kind} {name}", ", ".join(changed), path=path, body={"config": changed}, etag=etag)


def _plan_profile(plan: Plan, spec: HostSpec, host: Host) -> None:
    there = host.profile["devices"] if host.profile else {}
    wanted = {
        "root": {"type": "disk", "path": "/", "pool": spec.pool},
        "eth0": {"type": "nic", "name": "eth0", "network": spec.network, "security.mac_filtering": "true"},
    }
    merged = {name: {**there.get(name, {}), **keys} for name, keys in wanted.items()}
    changed = {name: device for name, device in merged.items() if there.get(name) != device}
    if not changed:
        return
    plan.differ("profile", {name: there.get(name) for name in changed}, changed)
    etag = host.etags["profile"]
    plan.act("update", "profile default", ", ".join(changed), path="profiles/default", body={"devices": changed}, etag=etag)


def _check_empty(spec: HostSpec, host: Host) -> None:
    if host.instances:
        raise Refused(
            f"The project {spec.project} still holds {', '.join(sorted(host.instances))}; nothing was removed. Remove the instances first.",
            instances=sorted(host.instances),
        )
    left = [use for use in _used_by(host.project or {}) if use.partition("?")[0] != "/1.0/profiles/default" and not _is_memory(use)]
    if left:
        raise Refused(f"The project {spec.project} still holds {', '.join(left)}; nothing was removed. Remove these first.", left=left)


def _is_memory(use: str) -> bool:
    return use.partition("?")[0] == f"/1.0/profiles/{AUTOSCALE_PROFILE}"


def _used_by(there: Json) -> list[str]:
    return sorted(there.get("used_by") or [])


def _project_of(use: str) -> str:
    """The project of what uses something; LXD names that of the default project not."""
    return parse_qs(use.partition("?")[2]).get("project", [GLOBAL])[0]


def _why_kept(there: Json, project: str) -> str:
    if there["config"].get(MARK) != "true":
        return "it was not made by this collection"
    others = [use for use in _used_by(there) if use != f"/1.0/profiles/default?project={project}"]
    return f"used by {', '.join(others)}" if others else ""

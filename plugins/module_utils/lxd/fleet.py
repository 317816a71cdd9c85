# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The botserver fleet: slots, what state each one is in, and the plan that brings slots into another.

A slot is a number from 1 to the maximum; its instance, if there is one, is ``botserver-<slot>`` with a static address.
All memory is in LXD: ``user.gb.*`` of the instances. Nothing is counted by any other means.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import ipaddress
import math
import re
import time
import typing as t

from ansible.module_utils.parsing.convert_bool import BOOLEANS_FALSE

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    InvalidInput,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.rules import rule_set
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import (
    NO_SPOOFING,
    address,
    instance_name,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import (
    File,
    Instance,
    InstanceSpec,
    observe_project,
    plan,
    rules_file,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import (
    cores,
    limits_wanted,
    size_bytes,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan
from ansible_collections.generalbots.scaling.plugins.module_utils.prometheus import (
    samples,
)

COMPONENT = "botserver"
SLOT_KEY = "user.gb.slot"
STATE_KEY = "user.gb.state"
DEADLINE_KEY = "user.gb.drain-deadline"
IMAGE_KEY = "user.gb.image"
FAILURE_KEY = "user.gb.failure"
PROTECTED_KEY = "user.gb.protected"
#: when the gate of a draining slot was closed, in epoch seconds
GATE_KEY = "user.gb.gate-closed"
#: the deadline of a drain that is kept beyond it, once that was told
KEPT_KEY = "user.gb.drain-kept"
#: the slot whose place an instance takes while the fleet is rolled onto another image
REPLACES_KEY = "user.gb.replaces"
#: what becomes of a draining slot when it is idle: one of THENS
THEN_KEY = "user.gb.drain-then"
THENS = ("warm", "delete", "start", "failed")
GATE_UNITS = ("gb-gate.socket", "gb-gate.service")
FLEET_STATES = ("present", "started", "draining", "stopped", "warm", "failed", "absent")
_PORT_DEVICE = re.compile(r"port-\d+", re.ASCII)
#: the state of a slot → the power state that goes with it
_POWER = {
    "present": "present",
    "started": "started",
    "draining": "present",
    "stopped": "stopped",
    "warm": "present",
    "failed": "stopped",
    "absent": "absent",
}


@dataclasses.dataclass(frozen=True)
class FleetSpec:
    """The fleet as the user describes it. Sizes and rates are written as LXD writes them; times are seconds.

    ``limits`` are all that an instance has; with None those that it has are left alone. ``firewall_rules`` is what nft loads in every
    instance; None for what the table of the collection allows a botserver.
    """

    subnet: str
    network: str
    image: str | None = None
    image_version: str = ""
    max_slots: int = 10
    limits: t.Mapping[str, t.Any] | None = None
    limits_best_effort: bool = False
    environment: t.Mapping[str, str] | None = None
    environment_path: str = "/opt/gbo/bin/.env"
    firewall_rules: str | None = None
    port: int = 8080
    proxy_port_base: int | None = None
    proxy_listen: str = "127.0.0.1"
    drain_timeout: float = 300.0
    drain_then: str = "warm"
    failure: str = ""
    replaces: str = ""


def environment_file(environment: t.Mapping[str, t.Any]) -> bytes:
    """An environment file for systemd: sorted ``NAME="value"`` lines.

    :raises InvalidInput: a name that is none, or a value with a line break
    """
    lines = []
    for name, value in sorted(environment.items()):
        if not name.isidentifier():
            raise InvalidInput(f"environment has the name {name!r}; a name is made of letters, digits and _.")
        if value is None:
            raise InvalidInput(f"The value of {name} in environment is null; give a text, or leave the name out.")
        text = str(value)
        if "\n" in text or "\r" in text:
            raise InvalidInput(f"The value of {name} in environment has a line break, which an environment file cannot hold.")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines).encode()


def slot_of(instance: Instance) -> int | None:
    """The slot of an instance of the fleet; None for any other instance, a copy of one under another name among them."""
    value = instance.config.get(SLOT_KEY, "")
    known = instance.component == COMPONENT and value.isascii() and value.isdecimal()
    return int(value) if known and instance.name == instance_name(COMPONENT, int(value)) else None


def slot_state(instance: Instance) -> str:
    """active, draining, failed or warm; an instance that is stopped and was not put away counts as warm, a frozen one does not."""
    marked = instance.config.get(STATE_KEY, "")
    if marked in ("draining", "failed"):
        return marked
    meant = marked == "active" and instance.status != "Stopped"
    return "active" if meant or instance.status == "Running" else "warm"


def slots(observed: t.Mapping[str, Instance], max_slots: int) -> dict[str, list[int]]:
    """The slots by state, each list ascending; ``free`` are those up to ``max_slots`` that have no instance."""
    found: dict[str, list[int]] = {"active": [], "draining": [], "warm": [], "failed": [], "free": []}
    taken = set()
    for instance in observed.values():
        slot = slot_of(instance)
        if slot is not None:
            taken.add(slot)
            found[slot_state(instance)].append(slot)
    found["free"] = [slot for slot in range(1, max_slots + 1) if slot not in taken]
    return {state: sorted(numbers) for state, numbers in found.items()}


def spare(now: t.Mapping[str, t.Sequence[int]], max_slots: int) -> list[int]:
    """The slots that can be started, warm or free and within the bounds, ascending; ``now`` is what :func:`slots` gives."""
    return sorted(slot for slot in [*now["warm"], *now["free"]] if slot <= max_slots)


def choose_slots(observed: t.Mapping[str, Instance], spec: FleetSpec, numbers: t.Sequence[int] | None, count: int | None) -> list[int]:
    """The slots that a call is about: those that are named, or the active ones filled up to ``count``.

    Filling takes the lowest warm or free slots; draining and failed ones are left alone. More active instances than
    ``count`` are all kept: taking one in is a drain, which is asked for by slot.

    :raises InvalidInput: a slot out of range, or more instances wanted than there are slots
    """
    if numbers is not None:
        known = _known(observed)
        wrong = [slot for slot in numbers if not 1 <= slot <= spec.max_slots and slot not in known]
        if wrong:
            raise InvalidInput(f"Slots are 1 to {spec.max_slots} (scale-max-instances); {wrong} are not.")
        return sorted(set(numbers))
    now = slots(observed, spec.max_slots)
    startable = spare(now, spec.max_slots)
    missing = max((count or 0) - len(now["active"]), 0)
    if missing > len(startable):
        held = {state: now[state] for state in ("draining", "failed") if now[state]}
        raise InvalidInput(
            f"{count} instances are wanted and {len(now['active'])} run, but only {len(startable)} of {spec.max_slots} slots are to be had"
            + (f" (others are held: {held})" if held else "")
            + ". Raise scale-max-instances, or remove failed instances."
        )
    return sorted([*now["active"], *startable[:missing]])


@dataclasses.dataclass(frozen=True)
class WarmWork:
    """What the warm slots need: those to make, lowest first, and those to make anew because their image is outdated."""

    create: tuple[int, ...] = ()
    renew: tuple[int, ...] = ()


def warm_work(observed: t.Mapping[str, Instance], spec: FleetSpec, wanted: int) -> WarmWork:
    """What has to be done so that ``wanted`` stopped, provisioned slots of the current image are ready, as far as there are slots.

    A slot whose name an instance of somebody else has is none of them.
    """
    now = slots(observed, spec.max_slots)
    warm = [slot for slot in now["warm"] if slot <= spec.max_slots]
    old = {slot for slot in warm if outdated(observed[instance_name(COMPONENT, slot)], spec)}
    missing = max(wanted - len(warm), 0)
    current = len(warm) - len(old)
    free = [slot for slot in now["free"] if instance_name(COMPONENT, slot) not in observed]
    return WarmWork(tuple(free[:missing]), tuple(sorted(old)[: max(wanted - current, 0)]))


def outdated(instance: Instance, spec: FleetSpec) -> bool:
    """Whether it was made from another image than new ones are; False where one of the two is not known."""
    version = instance.config.get(IMAGE_KEY, "")
    return bool(version and spec.image_version and version != spec.image_version)


def protected(instance: Instance) -> bool:
    """Whether a person has said that it stays: by any word of Ansible's for true, or by one that is none for false either."""
    said = instance.config.get(PROTECTED_KEY, "").strip().lower()
    return bool(said) and said not in BOOLEANS_FALSE


def _known(observed: t.Mapping[str, Instance]) -> list[int]:
    return [slot for instance in observed.values() if (slot := slot_of(instance)) is not None]


def instance_spec(spec: FleetSpec, slot: int) -> InstanceSpec:
    """The instance of a slot as the fleet wants it, in no particular state."""
    config, card = limits_wanted(spec.limits)
    own_address = address(spec.subnet, COMPONENT, slot)
    nic = {"type": "nic", "network": spec.network, "name": "eth0", "ipv4.address": own_address, **NO_SPOOFING, **card}
    devices: dict[str, t.Mapping[str, str] | None] = {"eth0": nic}
    proxy = proxy_device(spec, slot)
    if proxy:
        devices[proxy[0]] = proxy[1]
    environment = () if spec.environment is None else (File(spec.environment_path, environment_file(spec.environment)),)
    return InstanceSpec(
        name=instance_name(COMPONENT, slot),
        component=COMPONENT,
        image=spec.image,
        config={SLOT_KEY: str(slot), **config},
        devices=devices,
        files=(*environment, rules_file(_rules(spec))),
    )


def mac_of(subnet: str, slot: int) -> str:
    """The hardware address of a slot, as fixed as its IP address.

    An instance that is made anew with another one is unreachable from its neighbours for as long as they trust what they know of the
    IP address, which is half a minute (Linux, base_reachable_time). One that has none of ours keeps what LXD gave it.
    """
    host = ipaddress.IPv4Address(address(subnet, COMPONENT, slot)).packed
    return "00:16:3e:" + ":".join(f"{byte:02x}" for byte in host[1:])


def _rules(spec: FleetSpec) -> str:
    return rule_set(COMPONENT, spec.subnet, ports={"botserver": spec.port}) if spec.firewall_rules is None else spec.firewall_rules


def proxy_device(spec: FleetSpec, slot: int) -> tuple[str, dict[str, str]] | None:
    """The optional proxy device of a slot (name, device), which publishes it on the host past Caddy."""
    if spec.proxy_port_base is None:
        return None
    port = spec.proxy_port_base + slot
    return f"port-{port}", {"type": "proxy", "listen": f"tcp:{spec.proxy_listen}:{port}", "connect": f"tcp:127.0.0.1:{spec.port}"}


def _published(instance: Instance) -> list[str]:
    """The proxy devices by which an instance is published on the host, whatever port base they were made for."""
    return [name for name, device in instance.devices.items() if device.get("type") == "proxy" and _PORT_DEVICE.fullmatch(name)]


@dataclasses.dataclass(frozen=True)
class Look:
    """The fleet as it is: the instances, which gates are open in those that drain, and the time in epoch seconds."""

    observed: t.Mapping[str, Instance]
    open_gates: frozenset[str] = frozenset()
    now: float = 0.0


def plan_fleet(spec: FleetSpec, numbers: t.Sequence[int], look: Look, state: str) -> Plan:
    """What brings the slots into ``state``; see the module documentation of M(lxc_botserver) for the states."""
    wanted = Plan()
    for slot in numbers:
        base = instance_spec(spec, slot)
        instance = look.observed.get(base.name)
        if instance is None and state in ("draining", "stopped", "failed", "absent"):
            continue
        wanted_spec = _in_state(base, spec, instance, state, look.now)
        one = plan([wanted_spec], look.observed, _POWER[state], best_effort=spec.limits_best_effort)
        if state == "stopped":
            # A run that dies in between must find a draining slot, not one that seems to be put away.
            one.actions.sort(key=lambda action: action.verb == "update")
        _add_gate(one, base.name, look, state)
        wanted.extend(one)
    return wanted


def leave_to_restart(wanted: Plan, observed: t.Mapping[str, Instance]) -> list[str]:
    """Take out of a plan what writes into instances that run or are frozen, and return their names: they have to be started anew.

    botserver reads its environment when it starts. Were the file written before, and the restart failed, no later run would see that
    another one is due.
    """
    stale = {
        one.target for one in wanted.actions if one.verb == "write" and one.target in observed and observed[one.target].status != "Stopped"
    }
    wanted.actions[:] = [one for one in wanted.actions if one.verb != "write" or one.target not in stale]
    return sorted(stale)


def _in_state(base: InstanceSpec, spec: FleetSpec, instance: Instance | None, state: str, now: float) -> InstanceSpec:
    marks = _marks(spec, instance, state, now)
    if instance is not None and state in ("draining", "stopped", "failed", "absent"):
        # What leaves the fleet is not brought up to date on its way out.
        return dataclasses.replace(base, config=marks, devices={}, files=())
    hardware = mac_of(spec.subnet, int(str(base.config[SLOT_KEY]))) if instance is None else instance.devices.get("eth0", {}).get("hwaddr")
    if hardware:
        base = dataclasses.replace(base, devices={**base.devices, "eth0": {**(base.devices["eth0"] or {}), "hwaddr": hardware}})
    if instance is not None:
        # One of another port base, or of a time when botservers were published, leads past the load balancer and its limits.
        base = dataclasses.replace(base, devices={**dict.fromkeys(_published(instance)), **base.devices})
    else:
        marks = {key: value for key, value in marks.items() if value is not None}
        if spec.image_version:
            marks[IMAGE_KEY] = spec.image_version
    return dataclasses.replace(base, config={**base.config, **marks})


def _marks(spec: FleetSpec, instance: Instance | None, state: str, now: float) -> dict[str, str | None]:
    if state == "draining":
        drains = instance is not None and slot_state(instance) == "draining"
        known = instance.config if instance is not None and drains else {}
        deadline = known.get(DEADLINE_KEY) or str(int(now + spec.drain_timeout))
        return {STATE_KEY: "draining", DEADLINE_KEY: deadline, THEN_KEY: known.get(THEN_KEY) or spec.drain_then}
    over: dict[str, str | None] = {DEADLINE_KEY: None, GATE_KEY: None, THEN_KEY: None, KEPT_KEY: None}
    if state == "started":
        return {STATE_KEY: "active", FAILURE_KEY: None, REPLACES_KEY: spec.replaces or None, **over}
    if state in ("stopped", "warm"):
        return {STATE_KEY: "warm", **over}
    if state == "failed":
        return {STATE_KEY: "failed", FAILURE_KEY: spec.failure or "unknown", **over}
    return {}


def _add_gate(wanted: Plan, name: str, look: Look, state: str) -> None:
    instance = look.observed.get(name)
    if instance is None or instance.status != "Running":
        return
    if state == "draining" and name in look.open_gates:
        wanted.differ(f"{name} gate", "open", "closed")
        wanted.act("close-gate", name, "the load balancer sends nothing new from now on")
    if state == "started" and slot_state(instance) == "draining":
        wanted.differ(f"{name} gate", "closed", "open")
        wanted.act("open-gate", name, "it takes requests again")


def open_gates(lxd: Lxd, names: t.Iterable[str]) -> frozenset[str]:
    """Which of the running instances have their health gate open."""
    is_open = []
    for name in names:
        _code, out, _err = lxd.execute(name, ["systemctl", "is-active", *GATE_UNITS])
        if "active" in out.split():
            is_open.append(name)
    return frozenset(is_open)


def read_fleet(lxd: Lxd, subnet: str) -> tuple[dict[str, Instance], list[dict[str, t.Any]]]:
    """All instances of the project, and of those of the fleet the usage, in the shape that lxc_botserver_info documents.

    Processor time comes with the instances. Memory comes from ``/1.0/metrics`` (which LXD computes at most every 8 s, too seldom
    for a rate), because only there it is told apart from the page cache. Both are one request whatever the size of the fleet,
    and LXD answers them at once.

    :raises ApiError: with status 404, there is no such project
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        metrics = pool.submit(_metrics, lxd)
        observed = observe_project(lxd)
        return observed, _fleet(observed, metrics.result(), subnet)


def fleet_facts(lxd: Lxd, observed: t.Mapping[str, Instance], subnet: str) -> list[dict[str, t.Any]]:
    """As :func:`read_fleet`, of instances that have been read already."""
    return _fleet(observed, _metrics(lxd), subnet)


def _fleet(observed: t.Mapping[str, Instance], metrics: t.Mapping[str, t.Mapping[str, float]], subnet: str) -> list[dict[str, t.Any]]:
    ours = [(slot, instance) for instance in observed.values() if (slot := slot_of(instance)) is not None]
    return [_facts(slot, instance, metrics.get(instance.name, {}), subnet) for slot, instance in sorted(ours, key=lambda item: item[0])]


def _facts(slot: int, instance: Instance, metrics: t.Mapping[str, float], subnet: str) -> dict[str, t.Any]:
    running = instance.status == "Running"
    total, available = metrics.get("MemTotal"), metrics.get("MemAvailable")
    used = int(total - available) if running and total is not None and available is not None else None
    cpus = int(metrics["cpus"]) if "cpus" in metrics else None
    return {
        "name": instance.name,
        "slot": slot,
        "status": instance.status,
        "state": slot_state(instance),
        "marked": instance.config.get(STATE_KEY) or None,
        "address": instance.devices.get("eth0", {}).get("ipv4.address") or address(subnet, COMPONENT, slot),
        "image": instance.config.get(IMAGE_KEY, ""),
        "drain_deadline": moment_of(instance, DEADLINE_KEY),
        "drain_then": instance.config.get(THEN_KEY) or None,
        "gate_closed_at": moment_of(instance, GATE_KEY),
        "failure": instance.config.get(FAILURE_KEY) or None,
        "protected": protected(instance),
        "cpu_usage_ns": (instance.state.get("cpu") or {}).get("usage") if running else None,
        "cpu_limit": cores(instance.expanded_config, cpus),
        "memory_used_bytes": used,
        "memory_limit_bytes": size_bytes(instance.expanded_config.get("limits.memory", "")) or (int(total) if total is not None else None),
        "started_at": started_at(instance),
    }


def started_at(instance: Instance) -> float | None:
    """When an instance that runs was started, in epoch seconds; None where it does not run, or LXD does not say."""
    return _epoch(instance.last_used_at) if instance.status == "Running" else None


def moment_of(instance: Instance, key: str) -> float | None:
    """The moment that a key of an instance holds, in epoch seconds; None where there is none, or what a person wrote there is none."""
    try:
        found = float(instance.config.get(key) or "nan")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _metrics(lxd: Lxd) -> dict[str, dict[str, float]]:
    prefix = lxd.engine.metric_prefix
    text = lxd.get_text("metrics")
    found: dict[str, dict[str, float]] = {}
    for name, labels, value in samples(text, f"{prefix}memory_MemTotal_bytes", f"{prefix}memory_MemAvailable_bytes"):
        found.setdefault(labels["name"], {})[name.removeprefix(f"{prefix}memory_").removesuffix("_bytes")] = value
    for _name, labels, _value in samples(text, f"{prefix}cpu_seconds_total"):
        known = found.setdefault(labels["name"], {})
        known["cpus"] = max(known.get("cpus", 0), float(labels["cpu"]) + 1)
    return found


def _epoch(moment: str) -> float | None:
    """LXD's time in RFC 3339 with nanoseconds → epoch seconds; None for the zero time."""
    if not moment or moment.startswith(("0001-", "1970-01-01")):
        return None
    seconds, _dot, fraction = moment.rstrip("Z").partition(".")
    parsed = datetime.datetime.fromisoformat(seconds).replace(tzinfo=datetime.UTC)
    return parsed.timestamp() + (float("0." + fraction[:6]) if fraction else 0.0)


def now() -> float:
    """The time in epoch seconds."""
    return time.time()

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances as they are wanted, as they are, and the way from one to the other.

:func:`plan` is pure; :class:`Runner` executes a plan, several instances at once and each one's steps in order.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    ApiError,
    Conflict,
    InvalidInput,
    Refused,
    ScalingError,
    WaitTimeout,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import (
    MEMORY_KEY,
    less_memory,
    refused_limit,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import replace
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import (
    Action,
    Plan,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for

COMPONENT_KEY = "user.gb.component"
REFUSED_LIMITS_KEY = "user.gb.limits-refused"
STATES = ("present", "started", "stopped", "frozen", "restarted", "absent")
RULES_PATH = "/etc/gb-exposure.nft"
#: seconds from a file written into a stopped instance to its start. LXD writes it by a helper, which then syncs the file system. A start
#: that finds the helper at that waits a whole second for it.
SETTLE = 0.2
#: what LXD calls the states that we know how to leave; any other one is reported, never guessed at
KNOWN_STATUSES = ("Running", "Stopped", "Frozen")
_AFTER: t.Mapping[str, str] = {"start": "Running", "stop": "Stopped", "freeze": "Frozen", "unfreeze": "Running"}

Section = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class File:
    """A file to be in an instance; its content is never shown.

    :param for_start: it is for the next start alone: in an instance that runs, somebody else sees to it
    """

    path: str
    content: bytes
    mode: str = "0600"
    uid: int = 0
    gid: int = 0
    for_start: bool = False


def rules_file(rules: str) -> File:
    """What an instance loads into nftables when it starts; where it runs, the role firewall writes and loads it."""
    return File(RULES_PATH, rules.encode(), mode="0644", for_start=True)


@dataclasses.dataclass(frozen=True)
class InstanceSpec:
    """An instance as it is wanted. A config key or device that is None shall not be there; others are left alone."""

    name: str
    component: str
    image: str | None = None
    profiles: tuple[str, ...] | None = None
    config: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    devices: t.Mapping[str, t.Mapping[str, str] | None] = dataclasses.field(default_factory=dict)
    files: tuple[File, ...] = ()

    @property
    def marked_config(self) -> dict[str, str | None]:
        """The wanted config with our mark in it."""
        return {COMPONENT_KEY: self.component, **self.config}


@dataclasses.dataclass(frozen=True)
class Instance:
    """An instance as LXD shows it with ``recursion=2``; ``files`` holds the content of files that were asked for.

    ``location`` is the member of the engine's cluster that it is on, "none" where there is no cluster.
    """

    name: str
    status: str
    config: t.Mapping[str, str]
    devices: t.Mapping[str, t.Mapping[str, str]]
    profiles: tuple[str, ...]
    state: t.Mapping[str, t.Any]
    files: t.Mapping[str, bytes | None] = dataclasses.field(default_factory=dict)
    last_used_at: str = ""
    expanded_config: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    location: str = "none"

    @property
    def component(self) -> str | None:
        """The component it belongs to, or None if it is none of ours."""
        return self.config.get(COMPONENT_KEY)


def observe(lxd: Lxd) -> dict[str, Instance]:
    """All instances of the project with their state, by name; one request whatever their number."""
    found, _etag = lxd.get("instances", recursion="2")
    return {raw["name"]: _instance(raw) for raw in found or []}


def observe_project(lxd: Lxd) -> dict[str, Instance]:
    """As :func:`observe`, of a project that must be there: of one that is not LXD says only that it has no instances.

    :raises ApiError: with status 404, there is no such project
    """
    found = observe(lxd)
    if not found:
        lxd.get(f"projects/{lxd.project}")
    return found


def running(observed: t.Mapping[str, Instance], component: str) -> list[str]:
    """The names of a component's instances that run, in order."""
    return sorted(name for name, one in observed.items() if one.component == component and one.status == "Running")


def observe_with_files(lxd: Lxd, specs: t.Sequence[InstanceSpec]) -> dict[str, Instance]:
    """As :func:`observe`, and the wanted instances also with the content of the files that are wanted in them."""
    observed = observe(lxd)
    for spec in specs:
        files = files_for(spec, observed.get(spec.name))
        if files and spec.name in observed:
            content = {file.path: lxd.read_file(spec.name, file.path) for file in files}
            observed[spec.name] = dataclasses.replace(observed[spec.name], files=content)
    return observed


def files_for(spec: InstanceSpec, instance: Instance | None) -> list[File]:
    """The files that are ours to write, as things are: those for the next start only where the instance is stopped."""
    runs = instance is not None and instance.status != "Stopped"
    return [file for file in spec.files if not (file.for_start and runs)]


def _instance(raw: Section) -> Instance:
    return Instance(
        name=raw["name"],
        status=raw["status"],
        config=raw.get("config") or {},
        devices=raw.get("devices") or {},
        profiles=tuple(raw.get("profiles") or ()),
        state=raw.get("state") or {},
        last_used_at=raw.get("last_used_at") or "",
        expanded_config=raw.get("expanded_config") or {},
        location=raw.get("location") or "none",
    )


def plan(
    specs: t.Sequence[InstanceSpec],
    observed: t.Mapping[str, Instance],
    state: str,
    targets: t.Mapping[str, str] | None = None,
    *,
    take_memory: bool = True,
    best_effort: bool = False,
) -> Plan:
    """What has to be done so that every instance of ``specs`` is in ``state``.

    :param targets: name of an instance → member of the engine's cluster that it is made on; without one the engine chooses
    :param take_memory: whether an instance that runs gets a memory limit that is smaller than its own
    :param best_effort: whether a limit that its host has refused before is left at that, see RunOptions
    :raises Refused: a name is taken by an instance that is not ours
    :raises InvalidInput: an instance must be created and no image is named
    """
    if not take_memory:
        specs = without_less_memory(specs, observed)
    wanted = Plan()
    for spec in specs:
        instance = observed.get(spec.name)
        _guard_foreign(spec, instance)
        if state == "absent":
            _plan_absent(wanted, spec, instance)
        elif instance is None:
            _plan_create(wanted, spec, state, (targets or {}).get(spec.name))
        else:
            _plan_change(wanted, spec, instance, state, _accepted(instance) if best_effort else {})
    return wanted


def without_less_memory(specs: t.Sequence[InstanceSpec], observed: t.Mapping[str, Instance]) -> list[InstanceSpec]:
    """The specs without the memory limits that would take memory from an instance that runs; one without a limit has all of it."""
    return [
        dataclasses.replace(spec, config={key: value for key, value in spec.config.items() if key != MEMORY_KEY})
        if spec.name in observed and _takes_memory(spec, observed[spec.name])
        else spec
        for spec in specs
    ]


def _takes_memory(spec: InstanceSpec, instance: Instance) -> bool:
    now, wanted = (config.get(MEMORY_KEY) or "" for config in (instance.config, spec.config))
    return instance.status != "Stopped" and wanted != "" and (now == "" or less_memory(wanted, now))


def _guard_foreign(spec: InstanceSpec, instance: Instance | None) -> None:
    if instance is not None and instance.component != spec.component:
        owner = f"belongs to component {instance.component!r}" if instance.component else "carries no mark of this collection"
        raise Refused(
            f"An instance named {spec.name} exists and {owner} ({COMPONENT_KEY} is not {spec.component!r}). It was left alone. "
            "Rename or remove it, or use another project."
        )


def _plan_absent(wanted: Plan, spec: InstanceSpec, instance: Instance | None) -> None:
    if instance is None:
        return
    wanted.differ(spec.name, instance.status, "absent")
    if instance.status == "Frozen":
        wanted.act("unfreeze", spec.name)
    if instance.status != "Stopped":
        wanted.act("stop", spec.name)
    wanted.act("delete", spec.name)


def _plan_create(wanted: Plan, spec: InstanceSpec, state: str, target: str | None) -> None:
    if not spec.image:
        raise InvalidInput(f"{spec.name} does not exist and no image is named to create it from. Give image.")
    body = {
        "name": spec.name,
        "type": "container",
        "source": {"type": "image", "alias": spec.image},
        "config": {key: value for key, value in spec.marked_config.items() if value is not None},
        "devices": {name: dict(device) for name, device in spec.devices.items() if device is not None},
    }
    if spec.profiles is not None:
        body["profiles"] = list(spec.profiles)
    where = {"location": target} if target else {}
    made = {"image": spec.image, "config": body["config"], "devices": body["devices"], "state": state, **where}
    wanted.differ(spec.name, "absent", made)
    wanted.act("create", spec.name, f"from {spec.image}" + (f" on {target}" if target else ""), body=body, place=target)
    for file in spec.files:
        wanted.act("write", spec.name, file.path, file=file)
    if state in ("started", "restarted", "frozen"):
        wanted.act("start", spec.name)
    if state == "frozen":
        wanted.act("freeze", spec.name)


def _accepted(instance: Instance) -> dict[str, str]:
    """The limits that an instance is without because its host refused them, with the values that were refused."""
    return dict(item.partition("=")[::2] for item in instance.config.get(REFUSED_LIMITS_KEY, "").split(";") if item)


def _plan_change(wanted: Plan, spec: InstanceSpec, instance: Instance, state: str, accepted: t.Mapping[str, str]) -> None:
    _plan_config(wanted, spec, instance, accepted)
    for file in files_for(spec, instance):
        if wanted.differ(f"{spec.name} {file.path}", instance.files.get(file.path), file.content, secret=True):
            wanted.act("write", spec.name, file.path, file=file)
    _plan_power(wanted, instance, state)


def _plan_config(wanted: Plan, spec: InstanceSpec, instance: Instance, accepted: t.Mapping[str, str]) -> None:
    config = {
        key: value
        for key, value in spec.marked_config.items()
        if instance.config.get(key) != value and not (value is not None and accepted.get(key) == value)
    }
    devices = {name: device for name, device in spec.devices.items() if _device_differs(instance.devices.get(name), device, accepted)}
    profiles = spec.profiles if spec.profiles is not None and spec.profiles != instance.profiles else None
    if not config and not devices and profiles is None:
        return
    for key, value in config.items():
        wanted.differ(f"{spec.name} {key}", instance.config.get(key), value)
    for name, device in devices.items():
        wanted.differ(f"{spec.name} device {name}", instance.devices.get(name), device)
    if profiles is not None:
        wanted.differ(f"{spec.name} profiles", list(instance.profiles), list(profiles))
    names = ", ".join([*config, *devices, *(["profiles"] if profiles is not None else [])])
    wanted.act("update", spec.name, names, config=config, devices=devices, profiles=profiles)


def _device_differs(now: t.Mapping[str, str] | None, want: t.Mapping[str, str] | None, accepted: t.Mapping[str, str]) -> bool:
    if now is None or want is None:
        return now != want
    return dict(now) != {key: value for key, value in want.items() if accepted.get(key) != value or key in now}


def _plan_power(wanted: Plan, instance: Instance, state: str) -> None:
    if state == "present":
        return
    if instance.status not in KNOWN_STATUSES:
        raise Refused(
            f"{instance.name} is in state {instance.status}, from which there is no safe way to {state}. "
            f"Look at lxc info --show-log {instance.name}, repair or remove it, and run again."
        )
    target = {"started": "Running", "restarted": "Running", "stopped": "Stopped", "frozen": "Frozen"}[state]
    steps = {
        ("Stopped", "Running"): ["start"],
        ("Frozen", "Running"): ["unfreeze"],
        ("Running", "Stopped"): ["stop"],
        ("Frozen", "Stopped"): ["unfreeze", "stop"],
        ("Running", "Frozen"): ["freeze"],
        ("Stopped", "Frozen"): ["start", "freeze"],
    }.get((instance.status, target), [])
    if state == "restarted" and instance.status != "Stopped":
        steps = [*(["unfreeze"] if instance.status == "Frozen" else []), "stop", "start"]
    if steps:
        wanted.differ(f"{instance.name} status", instance.status, target if state != "restarted" else "Running, restarted")
    for verb in steps:
        wanted.act(verb, instance.name)


@dataclasses.dataclass(frozen=True)
class Readiness:
    """What a started instance is waited for.

    :param address: it has an IPv4 address on ``nic``
    :param boot: systemd says running or degraded
    :param timeout: seconds for all of it
    """

    address: bool = False
    boot: bool = False
    nic: str = "eth0"
    timeout: float = 60.0


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a plan is executed. Times in seconds.

    :param stop_timeout: how long a graceful stop may take
    :param force_stop: kill an instance that did not stop in that time, else fail
    :param limits_best_effort: start without a limit that the host cannot apply, and warn, else fail
    :param parallel: how many instances are worked on at once
    :param clock: of the pause between a file and a start, see SETTLE
    """

    operation_timeout: float = 120.0
    stop_timeout: float = 60.0
    force_stop: bool = False
    limits_best_effort: bool = False
    parallel: int = 8
    ready: Readiness = Readiness()
    clock: Clock = dataclasses.field(default_factory=Clock)


class Runner:
    """Executes a plan against LXD; ``warnings`` collects what the user has to know about."""

    def __init__(self, lxd: Lxd, options: RunOptions, extra: t.Mapping[str, t.Callable[[Action], None]] | None = None) -> None:
        self._lxd = lxd
        self._options = options
        self._verbs: dict[str, t.Callable[[Action], None]] = {
            "create": self._create,
            "write": self._write,
            "update": self._update,
            "start": self._start,
            "stop": self._stop,
            "freeze": lambda action: self._power(action.target, "freeze"),
            "unfreeze": lambda action: self._power(action.target, "unfreeze"),
            "delete": self._delete,
            **(extra or {}),
        }
        self._written: dict[str, float] = {}
        self.warnings: list[str] = []

    def run(self, wanted: Plan) -> None:
        """Execute the plan; instances go side by side, and one that fails does not stop the others.

        :raises ScalingError: one or more failed; ``details["failed_instances"]`` maps each name to its error
        """
        steps: dict[str, list[Action]] = {}
        for action in wanted.actions:
            steps.setdefault(action.target, []).append(action)
        if not steps:
            return
        failed: dict[str, ScalingError] = {}
        with concurrent.futures.ThreadPoolExecutor(max_workers=min(self._options.parallel, len(steps))) as pool:
            walks = {pool.submit(self._walk, actions): name for name, actions in steps.items()}
            for future in concurrent.futures.as_completed(walks):
                try:
                    future.result()
                except ScalingError as error:
                    failed[walks[future]] = error
        if failed:
            raise _together(failed, len(steps))

    def _walk(self, actions: t.Sequence[Action]) -> None:
        for action in actions:
            self._verbs[action.verb](action)

    def _create(self, action: Action) -> None:
        try:
            where = {"target": action.detail["place"]} if action.detail.get("place") else {}
            self._lxd.post("instances", action.detail["body"], timeout=self._options.operation_timeout, **where)
        except ApiError as error:
            raise self._explained(action.target, error) from error

    def _write(self, action: Action) -> None:
        file: File = action.detail["file"]
        try:
            self._lxd.write_file(action.target, file.path, file.content, mode=file.mode, uid=file.uid, gid=file.gid)
            self._written[action.target] = self._options.clock.now()
        except ApiError as error:
            if error.status != 404:
                raise
            raise ScalingError(
                f"{file.path} could not be written into {action.target}: its folder does not exist there. "
                "Is the instance made from the component's golden image?"
            ) from error

    def _update(self, action: Action) -> None:
        detail = action.detail
        while True:
            try:
                replace(self._lxd, f"instances/{action.target}", functools.partial(_merged, detail=detail))
                return
            except Conflict:
                raise
            except ApiError as error:
                less = self._without_refused(action.target, detail, error)
                if less is None:
                    raise self._explained(action.target, error) from error
                detail = less

    def _without_refused(self, name: str, detail: Section, error: ApiError) -> Section | None:
        """The change without the limit that LXD refused, which is remembered; None where that is not wanted, or it was no limit of it."""
        limit = refused_limit(str(error.details.get("reason") or error))
        parts = [detail["config"], *(device for device in detail["devices"].values() if device)]
        values = [str(part[limit]) for part in parts if part.get(limit) is not None]
        if limit is None or not values or not self._options.limits_best_effort:
            return None
        self._warn_refused(name, limit, values[-1], str(error))
        before = self._lxd.get(f"instances/{name}")[0]["config"].get(REFUSED_LIMITS_KEY, "")
        known = detail["config"].get(REFUSED_LIMITS_KEY) or before
        config = {key: value for key, value in detail["config"].items() if key != limit}
        devices = {
            key: {option: value for option, value in device.items() if option != limit} if device else device
            for key, device in detail["devices"].items()
        }
        return {**detail, "config": {**config, REFUSED_LIMITS_KEY: _remembered(known, limit, values[-1])}, "devices": devices}

    def _warn_refused(self, name: str, limit: str, value: str, reason: str) -> None:
        self.warnings.append(f"{name} runs without {limit}={value}, which this host cannot apply: {reason}")

    def _settle(self, name: str) -> None:
        """Let the files of an instance be synced before it is started, see SETTLE; nothing of LXD's shows when they are."""
        left = self._written.pop(name, -math.inf) + SETTLE - self._options.clock.now()
        if left > 0:
            self._options.clock.sleep(left)

    def _start(self, action: Action) -> None:
        self._settle(action.target)
        while True:
            try:
                self._power(action.target, "start")
                break
            except ApiError as error:
                refused = refused_limit(str(error.details.get("reason") or error))
                if refused is None or not self._options.limits_best_effort or not self._drop_limit(action.target, refused, str(error)):
                    raise self._explained(action.target, error) from error
        self._wait_ready(action.target)

    def _drop_limit(self, name: str, limit: str, reason: str) -> bool:
        """Take the refused limit out of the instance and remember it there; False if it was not set at all."""
        found: list[str] = []

        def without(current: Section) -> Section:
            config = dict(current["config"])
            devices = {key: dict(device) for key, device in current["devices"].items()}
            found[:] = [str(value) for part in (config, *devices.values()) if (value := part.pop(limit, None)) is not None]
            if not found:
                return current
            config[REFUSED_LIMITS_KEY] = _remembered(config.get(REFUSED_LIMITS_KEY, ""), limit, found[-1])
            return {**current, "config": config, "devices": devices}

        replace(self._lxd, f"instances/{name}", without)
        if not found:
            return False
        self._warn_refused(name, limit, found[-1], reason)
        return True

    def _stop(self, action: Action) -> None:
        seconds = self._options.stop_timeout
        try:
            self._power(action.target, "stop", timeout=int(seconds), force=False)
        except (ApiError, WaitTimeout) as error:
            if not self._options.force_stop:
                raise ScalingError(
                    f"{action.target} did not stop within {seconds:.0f} s: {error} Give it longer with stop_timeout, "
                    "or allow it to be killed with force_stop."
                ) from error
            self._power(action.target, "stop", force=True)
            self.warnings.append(f"{action.target} did not stop within {seconds:.0f} s and was killed.")

    def _delete(self, action: Action) -> None:
        self._lxd.delete(f"instances/{action.target}", timeout=self._options.operation_timeout)

    def _power(self, name: str, verb: str, *, timeout: int = -1, force: bool = False) -> None:
        limit = self._options.operation_timeout + max(timeout, 0)
        body = {"action": verb, "timeout": timeout, "force": force}
        try:
            operation = self._lxd.start("put", f"instances/{name}/state", body)
            self._lxd.wait(operation, limit, what=f"{verb} {name}")
        except ApiError:
            # A run that was killed may have asked for the same just before, and LXD has meanwhile done it.
            if self._lxd.get(f"instances/{name}/state")[0]["status"] != _AFTER[verb]:
                raise

    def _wait_ready(self, name: str) -> None:
        ready = self._options.ready
        if ready.address or ready.boot:
            wait_for(
                f"{name} to be up ({_readiness_words(ready)})",
                lambda: self._look(name),
                lambda seen: _is_ready(seen, ready),
                timeout=ready.timeout,
                interval=0.1,
                hint=f"See {self._lxd.engine.client} info --show-log {name} --project {self._lxd.project}.",
            )

    def _look(self, name: str) -> dict[str, t.Any]:
        state, _etag = self._lxd.get(f"instances/{name}/state")
        ready = self._options.ready
        seen: dict[str, t.Any] = {"status": state["status"], "address": ipv4_of(state, ready.nic)}
        if seen["status"] == "Stopped":
            raise ScalingError(
                f"{name} was started and is stopped again: its image does not boot. "
                f"See {self._lxd.engine.client} info --show-log {name} --project {self._lxd.project}."
            )
        if ready.boot:
            _code, out, err = self._lxd.execute(name, ["systemctl", "is-system-running", "--wait"], timeout=ready.timeout)
            seen["systemd"] = out.strip() or err.strip() or "no answer"
        return seen

    def _explained(self, name: str, error: ApiError) -> ScalingError:
        reason = str(error.details.get("reason") or error)
        refused = refused_limit(reason)
        if refused is not None:
            return ScalingError(
                f"The host cannot apply {refused} to {name}: {reason} Remove that limit, "
                "or set gb_limits_best_effort to run without it and be warned.",
                limit=refused,
            )
        if "no space left" in reason.lower() or "enospc" in reason.lower():
            return ScalingError(
                f"There is no space left in the storage pool for {name}: {reason} Enlarge the pool (gb_pool_size) or remove instances."
            )
        return error


def _remembered(known: str, limit: str, value: str) -> str:
    """What REFUSED_LIMITS_KEY holds with one more refusal: of each limit the last."""
    others = [item for item in known.split(";") if item and item.partition("=")[0] != limit]
    return ";".join([*others, f"{limit}={value}"])


def _readiness_words(ready: Readiness) -> str:
    words = ((f"an IPv4 address on {ready.nic}", ready.address), ("systemd booted", ready.boot))
    return " and ".join(word for word, wanted in words if wanted)


def _is_ready(seen: Section, ready: Readiness) -> bool:
    booted = not ready.boot or seen["systemd"] in ("running", "degraded")
    return seen["status"] == "Running" and booted and (not ready.address or seen["address"] is not None)


def ipv4_of(state: Section, nic: str = "eth0") -> str | None:
    """The first global IPv4 address of a network card in an instance's state, or None."""
    card = (state.get("network") or {}).get(nic) or {}
    addresses = (item["address"] for item in card.get("addresses", ()) if item["family"] == "inet" and item["scope"] == "global")
    return next(addresses, None)


def address_of(instance: Instance, nic: str = "eth0") -> str | None:
    """The address that an instance has for ever, or else the first that it has now: a proxy may hold a shared one as well."""
    return instance.devices.get(nic, {}).get("ipv4.address") or ipv4_of(instance.state, nic)


def _merged(current: Section, detail: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The full object for a PUT: what is there, with the changed keys set and the unwanted ones gone."""
    config = {**current["config"], **detail["config"]}
    devices = {**current["devices"], **detail["devices"]}
    return {
        **current,
        "config": {key: value for key, value in config.items() if value is not None},
        "devices": {name: device for name, device in devices.items() if device is not None},
        "profiles": list(detail["profiles"]) if detail.get("profiles") is not None else current["profiles"],
    }


def _together(failed: t.Mapping[str, ScalingError], total: int) -> ScalingError:
    if len(failed) == 1:
        [(name, error)] = failed.items()
        return type(error)(str(error), **{**error.details, "failed_instances": {name: str(error)}})
    lines = "; ".join(f"{name}: {error}" for name, error in sorted(failed.items()))
    reasons = {name: str(error) for name, error in failed.items()}
    return ScalingError(f"{len(failed)} of {total} instances failed. {lines}", failed_instances=reasons)


def brief(instance: Instance, nic: str) -> dict[str, t.Any]:
    """What the modules return of an instance."""
    return {
        "name": instance.name,
        "status": instance.status,
        "component": instance.component,
        "address": address_of(instance, nic),
    }

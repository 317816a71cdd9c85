# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes the fleet for the planner and executes what it planned: gates, health, who starts first, and what becomes of a failure."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import socket
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    ScalingError,
    WaitTimeout,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.http import HttpClient
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import (
    COMPONENT,
    FAILURE_KEY,
    GATE_UNITS,
    STATE_KEY,
    FleetSpec,
    Look,
    choose_slots,
    instance_spec,
    now,
    open_gates,
    slot_of,
    slot_state,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.images import image_key
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import (
    Runner,
    RunOptions,
    address_of,
    observe,
    observe_with_files,
    running,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import (
    Action,
    Plan,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

#: seconds in which an instance that is up takes a connection
DIAL_SECONDS = 0.5


def with_image(lxd: Lxd, spec: FleetSpec) -> FleetSpec:
    """The spec with the image that the project makes botservers from, unless one is named."""
    if spec.image is not None:
        return spec
    raw, _etag = lxd.get(f"projects/{lxd.project}")
    alias = raw["config"].get(image_key(COMPONENT))
    return dataclasses.replace(spec, image=alias, image_version=alias.rpartition("/")[2]) if alias else spec


def look_at(lxd: Lxd, spec: FleetSpec, numbers: t.Sequence[int] | None, count: int | None, state: str) -> tuple[list[int], Look]:
    """The slots that a call is about, and the fleet as the planner needs to see it."""
    observed = observe(lxd)
    chosen = choose_slots(observed, spec, numbers, count)
    specs = [instance_spec(spec, slot) for slot in chosen]
    if state in ("present", "started"):
        observed = observe_with_files(lxd, specs)
    up = [one.name for one in specs if one.name in observed and observed[one.name].status == "Running"]
    gates = open_gates(lxd, up) if state == "draining" else frozenset()
    return chosen, Look(observed, gates, now())


def plan_health(wanted: Plan) -> None:
    """Let each instance that a plan starts be waited for until it is healthy, when all else has been done; once, however often asked."""
    planned = {action.target for action in wanted.actions if action.verb == "health"}
    for name in _starts(wanted):
        if name not in planned:
            wanted.act("health", name, "wait until it answers its health check")


def _starts(wanted: Plan) -> list[str]:
    return list(dict.fromkeys(action.target for action in wanted.actions if action.verb == "start"))


def execute(lxd: Lxd, wanted: Plan, options: RunOptions, health: t.Mapping[str, t.Any] | None, warn: t.Callable[[str], None]) -> None:
    """Carry out the plan; an instance that starts and does not become healthy is marked failed, stopped and kept.

    Where none is healthy yet, the first one starts alone, and the others not before it is healthy: botserver migrates its database when
    it starts, and has no lock for that. Those that run already are given as long to become healthy as one that starts: a run that was
    killed leaves the first of them at its migration.

    :param health: port, path and timeout (seconds) of the check, or None for no check
    :raises ScalingError: with every instance that failed in ``details["failed_instances"]``
    """

    def healthy(action: Action) -> None:
        try:
            _wait_healthy(lxd, action.target, health or {})
        except WaitTimeout as error:
            _set_aside(runner, action.target, str(error))
            raise

    if health is not None:
        plan_health(wanted)
        # Whoever answers has its address; to ask LXD for that costs the host a process in the instance's network each time.
        options = dataclasses.replace(options, ready=dataclasses.replace(options.ready, address=False))
    runner = Runner(lxd, options, {**gate_verbs(lxd), "health": healthy})
    starts = _starts(wanted)
    beside_one = not starts or health is None or _one_is_healthy(lxd, health, warn)
    try:
        for part in [wanted] if beside_one else _first_alone(wanted, starts[0]):
            runner.run(part)
    finally:
        for warning in runner.warnings:
            warn(warning)


def _first_alone(wanted: Plan, first: str) -> list[Plan]:
    """The plan in two parts: all that is done before a start, with the whole of the first instance; and then the other starts."""
    before, after = Plan(), Plan()
    begun: set[str] = set()
    for action in wanted.actions:
        if action.verb == "start" and action.target != first:
            begun.add(action.target)
        (after if action.target in begun else before).actions.append(action)
    return [before, after]


def gate_verbs(lxd: Lxd) -> dict[str, t.Callable[[Action], None]]:
    """The actions on an instance's gate, for a Runner."""
    return {
        "close-gate": lambda action: _systemctl(lxd, action.target, "stop"),
        "open-gate": lambda action: _systemctl(lxd, action.target, "start"),
    }


def _systemctl(lxd: Lxd, name: str, verb: str) -> None:
    units = GATE_UNITS if verb == "stop" else GATE_UNITS[:1]
    code, out, err = lxd.execute(name, ["systemctl", verb, *units])
    if code != 0:
        raise ScalingError(f"systemctl {verb} {' '.join(units)} in {name} ended with {code}: {(err or out).strip()}")


def _set_aside(runner: Runner, name: str, reason: str) -> None:
    aside = Plan()
    aside.act("update", name, config={STATE_KEY: "failed", FAILURE_KEY: reason[:500]}, devices={}, profiles=None)
    aside.act("stop", name)
    runner.run(aside)


def _one_is_healthy(lxd: Lxd, health: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> bool:
    """Whether one of those that run is healthy, after a wait if need be. One that drains is not asked: its gate is closed."""
    observed = observe(lxd)
    up = [observed[name] for name in running(observed, COMPONENT) if slot_of(observed[name]) and slot_state(observed[name]) == "active"]
    asks = [_asking(where, health) for one in up if (where := address_of(one))]
    if not asks:
        return False
    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(asks)) as pool:
            wait_for(
                f"one of {', '.join(one.name for one in up)} to answer {health['path']} with 2xx, before others start",
                lambda: list(pool.map(lambda ask: ask(), asks)),
                lambda seen: any(_is_well(answer) for answer in seen),
                timeout=float(health["timeout"]),
                describe="; ".join,
                interval=0.1,
                hint="The next one is started alone, for it may have to migrate the database. Look at the journals of those that run.",
            )
    except WaitTimeout as error:
        warn(str(error))
        return False
    return True


def _wait_healthy(lxd: Lxd, name: str, health: t.Mapping[str, t.Any]) -> None:
    raw, _etag = lxd.get(f"instances/{name}")
    where = raw["devices"]["eth0"]["ipv4.address"]
    wait_for(
        f"{name} to answer http://{where}:{health['port']}{health['path']} with 2xx",
        _asking(where, health),
        _is_well,
        timeout=float(health["timeout"]),
        interval=0.1,
        hint=f"It is marked failed, stopped, and kept for inspection: {lxd.engine.client} start {name} and look at its journal.",
    )


def _asking(host: str, health: t.Mapping[str, t.Any]) -> t.Callable[[], str]:
    """What asks an instance for its health once; it gives the status, or words where there is none."""
    port = int(health["port"])
    url = f"http://{host}:{port}"
    client = HttpClient(url, timeout=6, retries=0, direct=True)

    def ask() -> str:
        try:
            # A system that boots has no address at first; a connection begun then hangs for longer than a second one takes.
            socket.create_connection((host, port), timeout=DIAL_SECONDS).close()
        except OSError as error:
            return f"{url} takes no connection: {error}"
        try:
            return str(client.request("GET", health["path"], expect=range(100, 600)).status)
        except ScalingError as error:
            return str(error)

    return ask


def _is_well(answer: str) -> bool:
    return answer.startswith("2") and answer.isdigit()

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job of one run of the autoscaler, and the options of the module C(autoscale_run) that describe it."""

from __future__ import annotations

import dataclasses
import functools
import time
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import inputs
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import How
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.options import policy_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.sources import check
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import SOCKET
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import FleetSpec
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.params import FLEET_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run shall do.

    :param how: how steps are taken; its spec has no image where the project names one
    :param settings: reads the settings, given the last good ones as they were recorded (None: none yet)
    :param options: ``gb_autoscale``, what config.csv has no keys for
    :param sources: where further metrics come from, see :mod:`sources`
    :param count: bring the fleet to this size instead of deciding
    :param restart: renew these slots instead of deciding
    :param refresh: roll the fleet onto the current image instead of deciding
    :param checkpoint: seconds for which the first instance of that image is watched before another one goes for it
    :param min_healthy: per cent of the fleet that must be healthy before one goes
    :param force: decide as if the autoscaler were enabled and no cooldown ran
    :param wait: do not end before the drains have; otherwise later runs go on with them
    :param lock_wait: seconds to wait for somebody else who is at work
    :param skip_locked: somebody else (still) at work is no failure
    """

    project: str
    how: How
    settings: t.Callable[[str | None], inputs.LoadedSettings]
    options: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    sources: t.Sequence[t.Mapping[str, t.Any]] = ()
    warm: int = 0
    count: int | None = None
    restart: t.Sequence[int] = ()
    refresh: bool = False
    checkpoint: float = 60.0
    min_healthy: float = 90.0
    force: bool = False
    wait: bool = False
    lock_wait: float = 0.0
    skip_locked: bool = False
    holder: str = ""
    ttl: float = 300.0
    socket: str = SOCKET
    server: str = "site"
    decision_log: str = ""
    decision_log_bytes: int = 10_000_000
    textfile: str = ""

    @property
    def by_hand(self) -> bool:
        """Whether a person says what is to be done, and nothing is decided."""
        return self.count is not None or bool(self.restart) or self.refresh

    @property
    def purpose(self) -> str:
        """What the lock is held for, in words."""
        if self.count is not None:
            return f"scale to {self.count}"
        if self.refresh:
            return "refresh"
        return f"restart slot {', '.join(map(str, self.restart))}" if self.restart else "autoscale"


@dataclasses.dataclass(frozen=True)
class Ports:
    """The world outside of LXD; tests give their own."""

    now: t.Callable[[], float] = time.time
    clock: Clock = dataclasses.field(default_factory=Clock)
    warn: t.Callable[[str], None] = lambda text: None


_SOURCE: t.Mapping[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "timeout": {"type": "float", "default": 2.0},
    "max_age": {"type": "float", "default": 120.0},
    "redis_list": {
        "type": "dict",
        "options": {
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 6379},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "db": {"type": "int", "default": 0},
            "list": {"type": "str", "required": True},
            "tls": {"type": "bool", "default": False},
            "ca_cert": {"type": "path"},
        },
    },
    "command": {
        "type": "dict",
        "options": {
            "argv": {"type": "list", "elements": "str", "required": True},
            "instance": {"type": "str"},
            "environment": {"type": "dict", "no_log": True},
        },
    },
    "prometheus": {
        "type": "dict",
        "options": {
            "url": {"type": "str", "required": True},
            "query": {"type": "str", "required": True},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "token": {"type": "str", "no_log": True},
            "ca_cert": {"type": "path"},
        },
    },
}

RUN_SPEC = FLEET_SPEC.merge(
    ArgumentSpec(
        options={
            "config_csv": {"type": "path", "required": True},
            "overrides": {"type": "dict", "default": {}},
            "unconsumed": {"type": "str", "default": "refuse", "choices": ["refuse", "warn"]},
            "options": {"type": "dict", "default": {}},
            "sources": {"type": "list", "elements": "dict", "default": [], "options": _SOURCE},
            "count": {"type": "int"},
            "restart": {"type": "list", "elements": "int", "default": []},
            "refresh": {"type": "bool", "default": False},
            "checkpoint": {"type": "int", "default": 60},
            "min_healthy": {"type": "float", "default": 90.0},
            "force": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": False},
            "lock_wait": {"type": "int", "default": 0},
            "skip_locked": {"type": "bool", "default": False},
            "warm": {"type": "int", "default": 0},
            "gate_port": {"type": "int", "default": 8079},
            "health_timeout": {"type": "int", "default": 120},
            "drain_policy": {"type": "str", "default": "force", "choices": ["force", "keep", "abort"]},
            "keeps": {"type": "str", "default": "warm", "choices": ["warm", "delete"]},
            "stop_timeout": {"type": "int", "default": 40},
            "limits_best_effort": {"type": "bool", "default": False},
            "parallel": {"type": "int", "default": 8},
            "holder": {"type": "str"},
            "ttl": {"type": "int", "default": 300},
            "admin_socket": {"type": "path", "default": SOCKET},
            "server": {"type": "str", "default": "site"},
            "decision_log": {"type": "path"},
            "decision_log_bytes": {"type": "int", "default": 10_000_000},
            "textfile": {"type": "path"},
        }
    )
)

_POSITIVE = ("parallel", "ttl", "health_timeout", "stop_timeout", "drain_timeout", "decision_log_bytes")


def job_of(params: t.Mapping[str, t.Any]) -> Job:
    """The job that the module's options describe.

    :raises InvalidInput: an option out of its bounds, or a source that cannot be asked
    """
    least = {**dict.fromkeys(_POSITIVE, 1), "warm": 0, "lock_wait": 0, "checkpoint": 0}
    asked = [name for name in ("count", "restart", "refresh") if params[name] not in (None, [], False)]
    both = [f"{' and '.join(asked)} are given, which are two things to do"] if len(asked) > 1 else []
    both += [f"min_healthy is {params['min_healthy']:g}, it must be from 0 to 100"] if not 0 <= params["min_healthy"] <= 100 else []
    wrong = both + [f"{name} is {params[name]}, it must be at least {low}" for name, low in least.items() if params[name] < low]
    if wrong:
        raise InvalidInput(f"{'; '.join(wrong)}.")
    check(params["sources"])
    same = {field.name for field in dataclasses.fields(Job)} & {*params} - {"options"}
    return Job(
        how=_how(params),
        settings=settings_of(params),
        options=_given(params["options"]),
        socket=params["admin_socket"],
        **{name: params[name] for name in same if params[name] is not None},
    )


def _how(params: t.Mapping[str, t.Any]) -> How:
    """How steps are taken; the number of slots and the way of health checks come with the settings."""
    names = {field.name for field in dataclasses.fields(FleetSpec)}
    spec = FleetSpec(**{name: value for name, value in params.items() if name in names and value is not None})
    plain = ("drain_policy", "keeps", "limits_best_effort", "parallel", "health_timeout", "stop_timeout")
    return How(spec=spec, health=Health(uri="/", port=params["gate_port"]), **{name: params[name] for name in plain})


def settings_of(params: t.Mapping[str, t.Any]) -> t.Callable[[str | None], inputs.LoadedSettings]:
    """What reads the settings, given the last good ones: those of which a tick can make a policy together with options and sources."""
    options, sources = _given(params["options"]), [str(one["name"]) for one in params["sources"]]
    load = functools.partial(
        inputs.loaded,
        params["config_csv"],
        params["overrides"],
        refuse_unconsumed=params["unconsumed"] == "refuse",
        judge=lambda values: policy_of(values, options, sources),
    )
    return lambda last_good: load(last_good=last_good)


def _given(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in options.items() if value is not None}

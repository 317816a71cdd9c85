# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the instance modules → the values that planner and runner take."""

from __future__ import annotations

import collections
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    InvalidInput,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import (
    InstanceSpec,
    Readiness,
    RunOptions,
    rules_file,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import (
    LIMIT_OPTIONS,
    limits_wanted,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
)

#: what LXD takes as the name of an instance
_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
#: options of every module that starts and stops instances; documented in the fragment ``lxd.run``
RUN_SPEC = ArgumentSpec(
    options={
        "wait_for": {"type": "list", "elements": "str", "choices": ["address", "boot"], "default": ["address"]},
        "wait_timeout": {"type": "int", "default": 60},
        "nic": {"type": "str", "default": "eth0"},
        "stop_timeout": {"type": "int", "default": 60},
        "force_stop": {"type": "bool", "default": False},
        "limits_best_effort": {"type": "bool", "default": False},
        "operation_timeout": {"type": "int", "default": 120},
        "parallel": {"type": "int", "default": 8},
    }
)

#: options of every module that makes instances of the fleet; documented in the fragment ``lxd.fleet``
FLEET_SPEC = ArgumentSpec(
    options={
        "subnet": {"type": "str", "required": True},
        "network": {"type": "str", "required": True},
        "image": {"type": "str"},
        "image_version": {"type": "str", "default": ""},
        "limits": {"type": "dict", "options": LIMIT_OPTIONS},
        "environment": {"type": "dict", "no_log": True},
        "environment_path": {"type": "path", "default": "/opt/gbo/bin/.env"},
        "firewall_rules": {"type": "str"},
        "port": {"type": "int", "default": 8080},
        "proxy_port_base": {"type": "int"},
        "proxy_listen": {"type": "str", "default": "127.0.0.1"},
        "drain_timeout": {"type": "int", "default": 300},
    }
)


def text(value: t.Any) -> str | None:
    """A config value as LXD takes it: a string, booleans in lower case; None stays None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _device(name: str, device: t.Any, instance: str) -> dict[str, str] | None:
    if device is not None and not isinstance(device, t.Mapping):
        raise InvalidInput(
            f"The device {name} of {instance} is {device!r}; a device is a mapping such as {{type: nic, network: gbbr0}}, "
            "or null if it shall not be there. Nothing was changed."
        )
    return None if device is None else {key: str(text(value)) for key, value in device.items() if value is not None}


def spec_of(item: t.Mapping[str, t.Any], component: str) -> InstanceSpec:
    """One element of the option ``instances`` as an InstanceSpec; raises InvalidInput for a limit or a device that is none."""
    config, card = limits_wanted(item.get("limits"))
    given = {key: text(value) for key, value in item["config"].items()}
    devices: dict[str, t.Mapping[str, str] | None] = {name: _device(name, one, item["name"]) for name, one in item["devices"].items()}
    if card:
        nic = devices.get("eth0")
        if nic is None:
            raise InvalidInput(f"{item['name']} has a limit on its network, which needs the device eth0 with its network under devices.")
        devices["eth0"] = {**nic, **card}
    return InstanceSpec(
        name=item["name"],
        component=component,
        image=item.get("image"),
        profiles=None if item.get("profiles") is None else tuple(item["profiles"]),
        config={**given, **{key: value for key, value in config.items() if value is not None or key not in given}},
        devices=devices,
        files=() if item.get("firewall_rules") is None else (rules_file(item["firewall_rules"]),),
    )


def specs_of(items: t.Sequence[t.Mapping[str, t.Any]], component: str) -> list[InstanceSpec]:
    """The option ``instances`` as InstanceSpecs.

    :raises InvalidInput: a name, a limit or a device that is none, or a name that is given twice
    """
    wrong = [f"instances[{place}].name is {item['name']!r}" for place, item in enumerate(items) if not _NAME.fullmatch(item["name"])]
    if wrong:
        raise InvalidInput(
            f"{'; '.join(wrong)}. A name is made of letters, digits and -, at most 63 of them, begins with a letter and does not end "
            "with -. Nothing was changed."
        )
    twice = sorted(name for name, times in collections.Counter(item["name"] for item in items).items() if times > 1)
    if twice:
        raise InvalidInput(f"instances has {', '.join(twice)} more than once; name each instance once. Nothing was changed.")
    return [spec_of(item, component) for item in items]


def run_options(params: t.Mapping[str, t.Any]) -> RunOptions:
    """The options of RUN_SPEC as RunOptions."""
    if params["parallel"] < 1:
        raise InvalidInput(f"parallel is {params['parallel']}; at least 1 instance must be worked on at a time.")
    return RunOptions(
        operation_timeout=float(params["operation_timeout"]),
        stop_timeout=float(params["stop_timeout"]),
        force_stop=params["force_stop"],
        limits_best_effort=params["limits_best_effort"],
        parallel=params["parallel"],
        ready=Readiness(
            address="address" in params["wait_for"],
            boot="boot" in params["wait_for"],
            nic=params["nic"],
            timeout=float(params["wait_timeout"]),
        ),
    )

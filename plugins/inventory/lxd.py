# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: lxd
short_description: Instances of an LXD or Incus project, in groups by component
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Reads the instances of one project that belong to this collection, in one request, and puts each one that runs into the group
    of its component.
  - Instances that do not run go into C(<component>_stopped), so that a play on a component never meets one that cannot answer.
  - The file's name must end in V(lxd.yml) or V(lxd.yaml).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    required: true
    choices: [generalbots.scaling.lxd]
  engine:
    description: The container engine.
    type: str
    choices: [lxd, incus]
    default: lxd
    env:
      - name: GB_ENGINE
  url:
    description:
      - Where the engine listens, V(unix:/path/to/unix.socket) or V(https://host:8443). Without it the well-known unix sockets are tried.
    type: str
    env:
      - name: GB_LXD_URL
  project:
    description: The project.
    type: str
    default: generalbots
    env:
      - name: GB_LXD_PROJECT
  remote:
    description: The client's name for the engine, which the connection plugin uses.
    type: str
    default: local
  client_cert:
    description: Path of the client certificate, for an C(https) address.
    type: path
  client_key:
    description: Path of the client certificate's key.
    type: path
  server_cert:
    description: Path of the server's certificate, the only one that is trusted.
    type: path
  timeout:
    description: Seconds that the request may take.
    type: int
    default: 30
  set_connection:
    description:
      - Set C(ansible_connection) to the engine's own connection plugin, with its project and remote. What O(compose) sets wins over it.
    type: bool
    default: true
  missing_ok:
    description: An engine that does not run, or a project that does not exist, gives an empty inventory. Otherwise that is an error.
    type: bool
    default: false
"""

EXAMPLES = r"""
# gb.lxd.yml
plugin: generalbots.scaling.lxd
missing_ok: true
---
# Reach the instances by SSH, and group them by their state as well
plugin: generalbots.scaling.lxd
set_connection: false
compose:
  ansible_host: gb_address
keyed_groups:
  - key: gb_state
    prefix: state
"""

import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import Engine, engine_named
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, address_of, observe_project

Variables = dict[str, t.Any]
CONNECTION_OPTIONS = ("engine", "url", "project", "client_cert", "client_key", "server_cert", "timeout")


def host_variables(instance: Instance) -> Variables:
    """What a host knows of itself: component, slot, state, power state, address, image version."""
    config = instance.config
    slot = config.get("user.gb.slot", "")
    return {
        "gb_component": instance.component,
        "gb_slot": int(slot) if slot.isdigit() else None,
        "gb_state": config.get("user.gb.state", ""),
        "gb_status": instance.status,
        "gb_address": address_of(instance),
        "gb_image": config.get("user.gb.image", ""),
        "ansible_python_interpreter": "/usr/bin/python3",
    }


def connection_variables(engine: Engine, project: str, remote: str) -> Variables:
    """How Ansible reaches an instance through the engine."""
    prefix = engine.connection_prefix
    return {"ansible_connection": engine.connection, f"{prefix}_project": project, f"{prefix}_remote": remote}


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The inventory plugin."""

    NAME = "generalbots.scaling.lxd"

    def verify_file(self, path: str) -> bool:
        """Whether the file is meant for this plugin."""
        return bool(super().verify_file(path)) and path.endswith(("lxd.yml", "lxd.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Fill the inventory, from the cache where that is allowed and there is something in it."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.load_cache_plugin()
        key = self.get_cache_key(path)
        use_cache = cache and self.get_option("cache")
        hosts = self._cache.get(key) if use_cache else None
        if hosts is None:
            hosts = self._read()
            if self.get_option("cache"):
                self._cache[key] = hosts
        for name, variables in sorted(hosts.items()):
            self._add(name, variables)

    def _read(self) -> dict[str, Variables]:
        try:
            observed = observe_project(connect({name: self.get_option(name) for name in CONNECTION_OPTIONS}))
        except ScalingError as error:
            absent = isinstance(error, Unreachable) or (isinstance(error, ApiError) and error.status == 404)
            if absent and self.get_option("missing_ok"):
                self.display.vvv(f"{self.NAME}: no instances yet: {error}")
                return {}
            raise AnsibleParserError(str(error)) from error
        return {name: host_variables(instance) for name, instance in observed.items() if instance.component}

    def _add(self, name: str, variables: Variables) -> None:
        suffix = "" if variables["gb_status"] == "Running" else "_stopped"
        group = self.inventory.add_group(f"{variables['gb_component']}{suffix}")
        self.inventory.add_host(name, group=group)
        if self.get_option("set_connection"):
            engine = engine_named(self.get_option("engine"))
            variables = {**variables, **connection_variables(engine, self.get_option("project"), self.get_option("remote"))}
        for variable, value in variables.items():
            self.inventory.set_variable(name, variable, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin: groups, variables, the connection, an absent engine, the cache."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.doc_fragments import constructed, inventory_cache
from ansible.template import Templar
from lxd_fake import FakeLxd

from ansible_collections.generalbots.scaling.plugins.inventory import lxd as plugin
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import ENGINES
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe

HEAD = "plugin: generalbots.scaling.lxd\n"


def documented_options() -> dict[str, t.Any]:
    texts = [constructed.ModuleDocFragment.DOCUMENTATION, inventory_cache.ModuleDocFragment.DOCUMENTATION, plugin.DOCUMENTATION]
    return {name: option for text in texts for name, option in yaml.safe_load(text)["options"].items()}


class Reader:
    """Reads an inventory file; the daemon that it connects to is ``daemon``, an error if nothing answers."""

    def __init__(self, folder: pathlib.Path, daemon: FakeLxd) -> None:
        self.folder = folder
        self.daemon: FakeLxd | ScalingError = daemon
        self.asked: list[dict[str, t.Any]] = []

    def connect(self, options: dict[str, t.Any]) -> FakeLxd:
        self.asked.append(options)
        if isinstance(self.daemon, ScalingError):
            raise self.daemon
        return self.daemon

    def read(self, text: str = "") -> InventoryData:
        path = self.folder / "gb.lxd.yml"
        path.write_text(HEAD + text, encoding="utf-8")
        inventory = InventoryData()
        # What Ansible's loader does when it finds the plugin.
        constants.config.initialize_plugin_configuration_definitions("inventory", plugin.InventoryModule.NAME, documented_options())
        reader = plugin.InventoryModule()
        reader._load_name = plugin.InventoryModule.NAME
        reader._redirected_names = [plugin.InventoryModule.NAME]
        reader.parse(inventory, DataLoader(), str(path))
        reader.update_cache_if_changed()
        return inventory


@pytest.fixture
def daemon() -> FakeLxd:
    daemon = FakeLxd()
    daemon.add_project()
    ours = {"user.gb.component": "botserver", "user.gb.state": "active", "user.gb.image": "4f2a"}
    daemon.add_instance("botserver-1", config={**ours, "user.gb.slot": "1"}, devices=nic("10.87.0.101"))
    warm = {**ours, "user.gb.slot": "2", "user.gb.state": "warm"}
    daemon.add_instance("botserver-2", status="Stopped", config=warm, devices=nic("10.87.0.102"))
    daemon.add_instance("proxy-1", config={"user.gb.component": "proxy", "user.gb.slot": "1"}, devices=nic("10.87.0.11"))
    daemon.add_instance("somebody-elses")
    return daemon


def nic(address: str) -> dict[str, t.Any]:
    return {"eth0": {"type": "nic", "network": "gbbr0", "ipv4.address": address}}


@pytest.fixture
def reader(tmp_path: pathlib.Path, daemon: FakeLxd, monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader(tmp_path, daemon)
    monkeypatch.setattr(plugin, "connect", reader.connect)
    return reader


def variables(inventory: InventoryData, host: str) -> dict[str, t.Any]:
    return dict(inventory.get_host(host).vars)


def members(inventory: InventoryData) -> dict[str, list[str]]:
    groups = {name: hosts for name, hosts in inventory.get_groups_dict().items() if hosts}
    return {name: hosts for name, hosts in groups.items() if name not in ("all", "ungrouped")}


def test_instances_are_grouped_by_component_and_those_that_do_not_run_apart(reader: Reader, daemon: FakeLxd) -> None:
    assert members(reader.read()) == {"botserver": ["botserver-1"], "botserver_stopped": ["botserver-2"], "proxy": ["proxy-1"]}
    assert [request.path for request in daemon.requests] == ["instances"], "one request"


def test_a_host_knows_its_slot_state_and_address(reader: Reader) -> None:
    found = variables(reader.read(), "botserver-2")
    assert found["gb_slot"] == 2
    assert found["gb_component"] == "botserver"
    assert (found["gb_state"], found["gb_status"], found["gb_image"]) == ("warm", "Stopped", "4f2a")
    assert found["gb_address"] == "10.87.0.102"
    assert found["ansible_python_interpreter"] == "/usr/bin/python3"


def test_a_slot_that_is_no_number_is_none(daemon: FakeLxd) -> None:
    daemon.at("instances/proxy-1")["config"]["user.gb.slot"] = "one"
    assert plugin.host_variables(observe(daemon)["proxy-1"])["gb_slot"] is None  # type: ignore[arg-type]


def test_the_engines_connection_and_project_are_set_by_default(reader: Reader) -> None:
    found = variables(reader.read("project: other\n"), "proxy-1")
    assert found["ansible_connection"] == "generalbots.scaling.lxd_exec"
    assert found["ansible_lxd_project"] == "other"
    assert found["ansible_lxd_remote"] == "local"
    assert plugin.connection_variables(ENGINES["incus"], "p", "far") == {
        "ansible_connection": "community.general.incus",
        "ansible_incus_project": "p",
        "ansible_incus_remote": "far",
    }


def test_the_connection_can_be_left_to_the_user_or_composed_over(reader: Reader) -> None:
    assert "ansible_connection" not in variables(reader.read("set_connection: false\n"), "proxy-1")
    found = variables(reader.read("compose:\n  ansible_connection: \"'ssh'\"\n  ansible_host: gb_address\n"), "proxy-1")
    assert (found["ansible_connection"], found["ansible_host"]) == ("ssh", "10.87.0.11")


def test_groups_and_keyed_groups_see_our_variables(reader: Reader) -> None:
    groups = members(reader.read("groups:\n  low: gb_slot == 1\nkeyed_groups:\n  - {key: gb_state, prefix: state}\n"))
    assert groups["low"] == ["botserver-1", "proxy-1"]
    assert groups["state_warm"] == ["botserver-2"]


def test_values_of_instances_are_never_templates(reader: Reader, daemon: FakeLxd) -> None:
    daemon.at("instances/proxy-1")["config"]["user.gb.state"] = "{{ 6 * 7 }}"
    found = variables(reader.read(), "proxy-1")
    assert Templar(loader=DataLoader(), variables=found).template(found["gb_state"]) == "{{ 6 * 7 }}"


@pytest.mark.parametrize(
    "absent",
    [Unreachable("LXD is not running here: no unix socket at /var/lib/lxd/unix.socket."), None],
    ids=["no engine", "no project"],
)
def test_what_is_not_there_yet_is_an_error_unless_missing_ok(reader: Reader, daemon: FakeLxd, absent: ScalingError | None) -> None:
    if absent is None:
        del daemon.objects["default:projects/generalbots"]
    else:
        reader.daemon = absent
    with pytest.raises(AnsibleParserError, match=r"not running here|Project not found"):
        reader.read()
    assert members(reader.read("missing_ok: true\n")) == {}


def test_missing_ok_does_not_hide_other_errors(reader: Reader) -> None:
    reader.daemon = ScalingError("The Python library pylxd is missing.")
    with pytest.raises(AnsibleParserError, match="pylxd is missing"):
        reader.read("missing_ok: true\n")


def test_project_and_address_come_from_the_environment(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GB_LXD_PROJECT", "molecule")
    monkeypatch.setenv("GB_LXD_URL", "unix:/run/other.socket")
    assert variables(reader.read(), "proxy-1")["ansible_lxd_project"] == "molecule"
    assert (reader.asked[-1]["project"], reader.asked[-1]["url"]) == ("molecule", "unix:/run/other.socket")


def test_a_second_reading_comes_from_the_cache(reader: Reader, daemon: FakeLxd, tmp_path: pathlib.Path) -> None:
    text = f"cache: true\ncache_plugin: jsonfile\ncache_connection: {tmp_path}/cache\ncache_timeout: 60\n"
    first = members(reader.read(text))
    daemon.objects.clear()
    assert members(reader.read(text)) == first
    assert len(reader.asked) == 1


@pytest.mark.parametrize(("name", "meant"), [("gb.lxd.yml", True), ("lxd.yaml", True), ("hosts.yml", False)])
def test_only_files_of_our_name_are_read(tmp_path: pathlib.Path, name: str, meant: bool) -> None:
    path = tmp_path / name
    path.write_text(HEAD, encoding="utf-8")
    assert plugin.InventoryModule().verify_file(str(path)) is meant

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxc_instance's result; what it plans and does has tests of its own."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from lxd_fake import FakeLxd

from ansible_collections.generalbots.scaling.plugins.modules import lxc_instance


def called(capsys: pytest.CaptureFixture[str], options: dict[str, t.Any]) -> dict[str, t.Any]:
    """The module's result."""
    with patch_module_args({"component": "bake", **options}), pytest.raises(SystemExit):
        lxc_instance.main()
    return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(("engine", "connection"), [("lxd", "generalbots.scaling.lxd_exec"), ("incus", "community.general.incus")])
@pytest.mark.parametrize("check", [False, True])
def test_it_says_how_its_instances_are_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine: str, connection: str, check: bool
) -> None:
    daemon = FakeLxd(engine=engine)
    daemon.add_project()
    daemon.add_image("gb/base")
    monkeypatch.setattr(lxc_instance, "connect", lambda _options: daemon)
    said = called(capsys, {"instances": [{"name": "bake-1", "image": "gb/base"}], "state": "stopped", "_ansible_check_mode": check})
    assert (said["actions"], said["connection"]) == (["create bake-1: from gb/base"], connection)


@pytest.mark.parametrize(("take", "actions"), [(True, ["update bake-1: limits.memory"]), (False, [])])
def test_memory_of_a_running_instance_is_taken_unless_it_is_to_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], take: bool, actions: list[str]
) -> None:
    daemon = FakeLxd()
    daemon.add_project()
    daemon.add_instance("bake-1", config={"user.gb.component": "bake", "limits.memory": "1GiB"})
    monkeypatch.setattr(lxc_instance, "connect", lambda _options: daemon)
    said = called(capsys, {"instances": [{"name": "bake-1", "limits": {"memory": "512MiB"}}], "take_memory": take, "state": "present"})
    assert said["actions"] == actions


def test_a_name_that_is_given_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, {"instances": [{"name": "bake-1"}, {"name": "bake-2"}, {"name": "bake-1"}]})
    assert said["msg"] == "instances has bake-1 more than once; name each instance once. Nothing was changed."


@pytest.mark.parametrize("name", ["", "1-bake", "bake-", "bake/1", "b" * 64])
def test_a_name_that_is_none_is_refused_with_its_place(capsys: pytest.CaptureFixture[str], name: str) -> None:
    said = called(capsys, {"instances": [{"name": "bake-1"}, {"name": name}]})
    assert said["msg"].startswith(f"instances[1].name is {name!r}. A name is made of letters, digits and -")


def test_a_device_that_is_no_mapping_is_refused_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, {"instances": [{"name": "bake-1", "devices": {"eth0": "gbbr0"}}]})
    assert said["msg"].startswith("The device eth0 of bake-1 is 'gbbr0'; a device is a mapping such as {type: nic, network: gbbr0}")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxc_instance_info: what is there, and what is not there yet told from what must not be seen."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from lxd_fake import FakeLxd

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.modules import lxc_instance_info

Ask = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run the module against a daemon, or against the error that connecting gives."""

    def run(daemon: FakeLxd | ScalingError, **options: t.Any) -> dict[str, t.Any]:
        def connecting(_options: t.Any) -> FakeLxd:
            if isinstance(daemon, ScalingError):
                raise daemon
            return daemon

        monkeypatch.setattr(lxc_instance_info, "connect", connecting)
        with patch_module_args(options), pytest.raises(SystemExit):
            lxc_instance_info.main()
        said: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        return said

    return run


def test_the_instances_of_a_component_are_told(ask: Ask) -> None:
    daemon = FakeLxd()
    daemon.add_project()
    daemon.add_instance("proxy-1", config={"user.gb.component": "proxy"})
    daemon.add_instance("botserver-1", config={"user.gb.component": "botserver"})
    daemon.add_instance("somebody-elses")
    assert [one["name"] for one in ask(daemon, project="generalbots")["instances"]] == ["botserver-1", "proxy-1"]
    said = ask(daemon, project="generalbots", component="proxy")
    assert [one["name"] for one in said["instances"]] == ["proxy-1"]
    assert said["engine_answers"] and said["project_exists"]


@pytest.mark.parametrize(("absent", "answers"), [(Unreachable("LXD is not running here."), False), (None, True)])
def test_what_is_not_there_yet_fails_unless_missing_ok(ask: Ask, absent: Unreachable | None, answers: bool) -> None:
    there = absent or FakeLxd()
    assert ask(there, project="generalbots")["failed"]
    said = ask(there, project="generalbots", missing_ok=True)
    assert (said["instances"], said["engine_answers"], said["project_exists"]) == ([], answers, False)


def test_a_socket_that_may_not_be_opened_is_no_engine_that_is_missing(
    ask: Ask, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unix.socket").touch()
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(ScalingError, match="may not be opened by this user") as refused:
        connect({"engine": "lxd", "project": "gb", "url": f"unix:{tmp_path}/unix.socket"})
    said = ask(refused.value, project="gb", missing_ok=True)
    assert said["failed"] and "may not be opened by this user" in said["msg"]

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxc_instance's result; what it plans and does has tests of its own."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from lxd_fake import FakeLxd

from ansible_collections.generalbots.scaling.plugins.modules import lxc_instance


@pytest.mark.parametrize(("engine", "connection"), [("lxd", "generalbots.scaling.lxd_exec"), ("incus", "community.general.incus")])
@pytest.mark.parametrize("check", [False, True])
def test_it_says_how_its_instances_are_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine: str, connection: str, check: bool
) -> None:
    daemon = FakeLxd(engine=engine)
    daemon.add_project()
    daemon.add_image("gb/base")
    monkeypatch.setattr(lxc_instance, "connect", lambda _options: daemon)
    options = {"component": "bake", "instances": [{"name": "bake-1", "image": "gb/base"}], "state": "stopped", "_ansible_check_mode": check}
    with patch_module_args(options), pytest.raises(SystemExit):
        lxc_instance.main()
    said = json.loads(capsys.readouterr().out)
    assert (said["actions"], said["connection"]) == (["create bake-1: from gb/base"], connection)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""destroy.yml: in which order things go, and what its check mode foretells."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
INSTANCES = "generalbots.scaling.lxc_instance"
LOOK = "generalbots.scaling.lxc_instance_info"


@pytest.fixture
def tasks() -> list[dict[str, t.Any]]:
    [play] = yaml.safe_load((ROOT / "playbooks/destroy.yml").read_text(encoding="utf-8"))
    return t.cast("list[dict[str, t.Any]]", play["tasks"])


def test_what_starts_instances_goes_first_and_then_is_looked_what_is_there(tasks: list[dict[str, t.Any]]) -> None:
    """A tick between the end of botserver and that of control-1 would fill the fleet again."""
    steps = [task for task in tasks if INSTANCES in task or LOOK in task]
    assert [next(name for name in (INSTANCES, LOOK) if name in task) for task in steps] == [LOOK, INSTANCES, LOOK, INSTANCES]
    first, control, then, rest = steps
    assert control[INSTANCES]["component"] == "control" and first["register"] in control[INSTANCES]["instances"]
    assert "difference(['control'])" in rest["loop"] and then["register"] in rest["loop"]


def test_check_mode_knows_which_instances_are_gone_at_the_end(tasks: list[dict[str, t.Any]]) -> None:
    last = tasks[-1]["generalbots.scaling.lxc_host"]
    looked = [task["register"] for task in tasks if LOOK in task]
    assert last["leaving"] == f"{{{{ {looked[-1]}.instances | map(attribute='name') }}}}"

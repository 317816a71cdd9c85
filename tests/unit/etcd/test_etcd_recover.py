# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the role etcd cuts a cluster down to one member and when it refuses to, as each of its hosts sees it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest
from etcd_fakes import FakeEtcd, fake_etcd

NAMES = ("etcd-1", "etcd-2", "etcd-3")
GOES_ON = "TASK [generalbots.scaling.etcd : Stop every member]"
NOWHERE = ["http://127.0.0.1:9"]


def recover(
    folder: pathlib.Path, etcd: FakeEtcd, cut_off: t.Collection[str], *, stopped: t.Collection[str] = (), limit: str = "all"
) -> str:
    """What a run of the entry point says, in check mode, so that no service is touched; hosts that are cut off reach no member."""
    (folder / "data" / "member" / "wal").mkdir(parents=True)
    given = {
        "__etcd_data": str(folder / "data"),
        "__etcd_connection": {"endpoints": "{{ endpoints }}"},
        "etcd_survivor": "etcd-2",
        "etcd_recover": True,
    }
    role = {"name": "generalbots.scaling.etcd", "tasks_from": "recover"}
    tasks = [{"ansible.builtin.include_role": role, "vars": given}]
    (folder / "play.json").write_text(json.dumps([{"hosts": "etcd", "gather_facts": False, "any_errors_fatal": True, "tasks": tasks}]))
    running = [name for name in NAMES if name not in stopped]
    hosts = {name: {"gb_slot": int(name[-1]), "endpoints": NOWHERE if name in cut_off else etcd.endpoints()[:3]} for name in running}
    shared = {
        "gb_subnet": "10.87.0.0/24",
        "gb_lxd_project": "tests",
        "gb_etcd_members": 3,
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    groups = {"etcd": {"hosts": hosts}, "etcd_stopped": {"hosts": {name: {} for name in stopped}}}
    (folder / "hosts.json").write_text(json.dumps({"all": {"vars": shared, "children": groups}}))
    argv = ["ansible-playbook", "--check", "-i", str(folder / "hosts.json"), "--limit", limit, str(folder / "play.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("cut_off", [(), ("etcd-1",), ("etcd-1", "etcd-3")])
def test_a_majority_that_one_host_sees_is_not_cut(tmp_path: pathlib.Path, cut_off: tuple[str, ...]) -> None:
    with fake_etcd(*NAMES) as etcd:
        etcd.named("etcd-1").mute = bool(cut_off)
        said = recover(tmp_path, etcd, cut_off)
    assert "etcd has a majority, as etcd-2 sees it" in said
    assert GOES_ON not in said


def test_what_has_no_majority_is_cut(tmp_path: pathlib.Path) -> None:
    with fake_etcd(*NAMES) as etcd:
        for name in ("etcd-1", "etcd-3"):
            etcd.named(name).mute = True
        said = recover(tmp_path, etcd, ("etcd-3",))
    assert GOES_ON in said


@pytest.mark.parametrize(("stopped", "limit"), [(("etcd-3",), "all"), ((), "!etcd-3")], ids=["stopped", "left out"])
def test_a_member_whose_data_would_be_left_is_named(tmp_path: pathlib.Path, stopped: tuple[str, ...], limit: str) -> None:
    with fake_etcd(*NAMES) as etcd:
        for name in ("etcd-1", "etcd-3"):
            etcd.named(name).mute = True
        said = recover(tmp_path, etcd, (), stopped=stopped, limit=limit)
    assert "etcd-3 of etcd is stopped, or left out of this run. What a member has must be deleted" in said
    assert GOES_ON not in said

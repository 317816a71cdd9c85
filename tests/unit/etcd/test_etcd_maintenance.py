# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance of etcd's members: when each of them has its turn, and which snapshots are left."""

from __future__ import annotations

import pathlib
import re
import subprocess
import typing as t

import jinja2
import pytest

TEMPLATES = pathlib.Path(__file__).parents[3] / "roles" / "etcd" / "templates"
#: seconds that the maintenance of a member may take, as its service says
LONGEST = 300


def render(template: str, **variables: t.Any) -> str:
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string((TEMPLATES / template).read_text()).render(variables)


def minute(slot: int, slots: list[int]) -> int:
    timer = render("gb-etcd-maintenance.timer.j2", gb_slot=str(slot), __etcd_slots=slots, etcd_maintenance_hours="00/6")
    found = re.search(r"^OnCalendar=\*-\*-\* 00/6:([0-5]\d):00$", timer, re.MULTILINE)
    assert found, timer
    assert "AccuracySec=1s" in timer, "of itself systemd may be late by a minute"
    return int(found[1])


@pytest.mark.parametrize("slots", [[1], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7], [1, 7, 13], [2, 3, 4, 5, 6, 7, 8, 14]])
def test_no_two_members_have_their_maintenance_at_once(slots: list[int]) -> None:
    minutes = sorted(minute(slot, slots) for slot in slots)
    between = [later - earlier for earlier, later in zip(minutes, [*minutes[1:], minutes[0] + 60], strict=True)]
    assert min(between) * 60 > LONGEST
    assert f"TimeoutStartSec={LONGEST}" in (TEMPLATES / "gb-etcd-maintenance.service.j2").read_text()


#: stands for a disk that has room for so many snapshots, halves included
ETCDCTL = """#!/bin/sh
[ "$1" = snapshot ] || exit 0
[ "$(ls {folder} | wc -l)" -lt {room} ] || {{ touch "$3"; exit 1; }}
touch "$3"
"""


@pytest.mark.parametrize(
    ("there", "kept", "room", "good", "left"),
    [
        (["1a.db", "1b.db", "1c.db"], 3, 9, True, ["1b.db", "1c.db", "new"]),
        (["1a.db", "1b.db", "1c.db"], 3, 3, True, ["1b.db", "1c.db", "new"]),  # there is room for no more than are kept
        (["1a.db", "1b.db", "1c.db"], 2, 2, True, ["1c.db", "new"]),  # fewer are kept than were
        (["1a.db", "1b.db", "1c.db"], 1, 1, False, ["1c.db"]),  # never without one
        (["1a.db", "1b.db.part", "1c.db.part"], 3, 2, True, ["1a.db", "new"]),  # halves of former runs
        (["1a.db", "1b.db"], 3, 2, False, ["1a.db", "1b.db"]),
        ([], 3, 9, True, ["new"]),
    ],
)  # fmt: skip
def test_a_disk_that_is_full_of_snapshots_gets_free(
    tmp_path: pathlib.Path, there: list[str], kept: int, room: int, good: bool, left: list[str]
) -> None:
    folder, programs, script = tmp_path / "snapshots", tmp_path / "programs", tmp_path / "maintenance"
    folder.mkdir()
    programs.mkdir()
    for name in there:
        (folder / name).touch()
    (programs / "etcdctl").write_text(ETCDCTL.format(folder=folder, room=room))
    (programs / "etcdctl").chmod(0o755)
    files = {"__etcd_ca": "ca", "__etcd_certificate": "certificate", "__etcd_key": "key", "etcd_client_port": 2379}
    script.write_text(render("gb-etcd-maintenance.j2", **files, etcd_snapshots=folder, etcd_snapshots_kept=kept))
    done = subprocess.run(["sh", script], env={"PATH": f"{programs}:/usr/bin:/bin"}, check=False, capture_output=True, text=True)
    assert (done.returncode == 0) == good, done.stderr
    assert [name if name in there else "new" for name in sorted(entry.name for entry in folder.iterdir())] == left

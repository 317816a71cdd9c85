# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gb-build-base, with programs that build nothing: what it leaves behind."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import time

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "roles" / "image" / "files" / "gb-build-base"
PROGRAMS = {
    "apt-config": "",
    "mmdebstrap": """for last; do case $last in */rootfs.tar) echo tar >"$last" ;; esac; done
if test -n "$SLOW"; then echo begun; sleep 60; fi""",
    "mksquashfs": 'cat >"$2"',
}


def build(root: pathlib.Path, *, slow: bool = False) -> subprocess.Popen[str]:
    """A build into the folder ``base`` in a process group of its own; a slow one says when it has begun, and does not end."""
    programs = root / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    argv = ["sh", str(SCRIPT), str(root / "cache" / "base"), "bookworm", "ifupdown", "main.sources"]
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "SLOW": "1" if slow else ""}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def left(root: pathlib.Path) -> list[str]:
    return sorted(path.name for path in (root / "cache").iterdir())


# Not SIGINT: where the tests themselves run in the background, it is ignored, and a shell leaves it so.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_build_that_is_broken_off_leaves_nothing(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    run = build(tmp_path, slow=True)
    assert run.stdout is not None and run.stdout.readline() == "begun\n"
    assert len(left(tmp_path)) == 1
    os.killpg(run.pid, number)
    assert run.wait(timeout=30) != 0
    assert left(tmp_path) == []


def test_what_a_build_that_was_killed_left_goes_with_the_next_one(tmp_path: pathlib.Path) -> None:
    for name, hours in (("base.killed", 3), ("base.living", 1), ("base.longer-name", 3), ("base2.killed", 3)):
        (tmp_path / "cache" / name / "rootfs").mkdir(parents=True)
        os.utime(tmp_path / "cache" / name, (time.time() - hours * 3600,) * 2)
    run = build(tmp_path)
    assert run.wait(timeout=30) == 0
    assert left(tmp_path) == ["base", "base.living", "base.longer-name", "base2.killed"]
    assert {path.name for path in (tmp_path / "cache/base").iterdir()} >= {"rootfs.squashfs", "metadata.tar"}

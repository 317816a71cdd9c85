# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gb-engine-start, with programs that only note how they were called in the place of the real ones."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "roles" / "lxd_host" / "files" / "gb-engine-start"

PROGRAMS = {
    # Answers once the daemon has been started.
    "client": 'test -e "$HERE/alive"',
    "lxcfs": 'echo "lxcfs $*" >>"$HERE/calls"; mkdir -p "$1/proc"',
    # Succeeds as often as there are mounts.
    "umount": 'echo "umount $*" >>"$HERE/calls"; rm "$HERE/stale" 2>/dev/null',
    "daemon": 'echo "daemon $*" >>"$HERE/calls"; case $1 in waitready) test -e "$HERE/alive" ;; *) touch "$HERE/alive" ;; esac',
}


class Machine:
    """A folder with programs, an lxcfs mount, and what was called."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        for name, text in PROGRAMS.items():
            self.program(name, text)

    def program(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def mount_lxcfs(self) -> None:
        (self.root / "lxcfs.mount" / "proc").mkdir(parents=True)

    def run(self) -> subprocess.CompletedProcess[str]:
        daemon, client = self.root / "daemon", self.root / "client"
        argv = ["sh", str(SCRIPT), "3", str(client), str(self.root / "logs"), str(self.root / "lxcfs.mount"), str(daemon), "--group", "lxd"]
        environment = {"PATH": f"{self.root}:{os.environ['PATH']}", "HERE": str(self.root)}
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=30)

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path)


def test_both_are_started_and_the_second_run_touches_neither(machine: Machine) -> None:
    # Like the real one, waitready waits: the stub starts beside the script.
    waiting = PROGRAMS["daemon"].replace("test -e", "until test -e").replace('alive" ;;', 'alive"; do :; done ;;', 1)
    machine.program("daemon", waiting)
    first = machine.run()
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == ["started lxcfs", f"started {machine.root / 'daemon'}"]
    calls = machine.calls
    assert "daemon --group lxd" in calls
    assert "daemon waitready --timeout=3" in calls
    second = machine.run()
    assert (second.returncode, second.stdout) == (0, "")
    assert machine.calls == calls


def test_a_daemon_that_lives_is_left_alone(machine: Machine) -> None:
    (machine.root / "alive").touch()
    machine.mount_lxcfs()
    done = machine.run()
    assert (done.returncode, done.stdout, machine.calls) == (0, "", [])


def test_a_stale_mount_is_undone_before_lxcfs_starts(machine: Machine) -> None:
    (machine.root / "alive").touch()
    (machine.root / "stale").touch()
    mount = machine.root / "lxcfs.mount"
    done = machine.run()
    assert done.stdout == "started lxcfs\n"
    assert machine.calls == [f"umount -l {mount}", f"umount -l {mount}", f"lxcfs {mount}"]


def test_an_lxcfs_that_does_not_mount_is_a_failure_with_its_words(machine: Machine) -> None:
    machine.program("lxcfs", "echo fuse: device not found")
    done = machine.run()
    assert done.returncode == 1
    assert "did not mount" in done.stderr
    assert "fuse: device not found" in done.stderr


def test_a_daemon_that_is_not_ready_is_a_failure_with_its_words(machine: Machine) -> None:
    machine.mount_lxcfs()
    never = 'case $1 in waitready) until test -s "$HERE/logs/start.log"; do :; done; exit 1 ;; *) echo no cgroups ;; esac'
    machine.program("daemon", never)
    done = machine.run()
    assert done.returncode == 1
    assert "is not ready after 3 s" in done.stderr
    assert "no cgroups" in done.stderr

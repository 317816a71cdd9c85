# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of every scenario do: run Ansible as a user does, and commands in instances."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_ansible(command: t.Sequence[str], inventory: pathlib.Path, *, fails: bool = False) -> str:
    """Run a command of Ansible and return all it printed, with white space folded.

    :param fails: says that it must fail; otherwise it must not
    """
    argv = [command[0], "-i", str(inventory), *command[1:]]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_FORCE_COLOR": "0"}
    done = subprocess.run(argv, text=True, capture_output=True, check=False, env=environment, cwd=ROOT)
    text = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"{' '.join(argv)} ended with {done.returncode}:\n{text[-6000:]}"
    return " ".join(text.split())


def play(name: str, inventory: pathlib.Path, *arguments: str, fails: bool = False) -> str:
    """Run a playbook of the collection by its full name; otherwise as :func:`run_ansible`."""
    return run_ansible(["ansible-playbook", f"generalbots.scaling.{name}", *arguments], inventory, fails=fails)


def run_in(lxd: Lxd, name: str, *argv: str) -> str:
    """Run a command in an instance, which must succeed; returns its output."""
    code, out, err = lxd.execute(name, argv)
    assert code == 0, f"{argv} in {name} ended with {code}: {err or out}"
    return out

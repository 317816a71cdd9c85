# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection of community.general into LXD instances, whose short commands keep their output."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lxd_exec
short_description: Run tasks in LXD instances, and lose the output of none
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - P(community.general.lxd#connection), which runs C(lxc exec), with two differences.
  - A command that is over within some milliseconds may end before LXD listens to it (seen with 5.0.2, one in a hundred where several run
    at once); its output is lost then, or the client waits for it for ever. Commands that no module is piped to live a twentieth of a
    second longer here.
  - A file that cannot be put or fetched is an error with the client's words, instead of one of whatever needs the file next. Where LXD's
    helper for files is not up yet, it is tried again.
options:
  remote_addr:
    description: The instance's name; of a name with dots the part before the first.
    type: string
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_lxd_host
  executable:
    description: The shell in the instance.
    type: string
    default: /bin/sh
    vars:
      - name: ansible_executable
      - name: ansible_lxd_executable
  lxd_become_method:
    description: The command that switches to a user other than root.
    type: str
    default: /bin/su
    vars:
      - name: lxd_become_method
  remote:
    description: The client's name for the LXD server.
    type: string
    default: local
    vars:
      - name: ansible_lxd_remote
  remote_user:
    description: The user in the instance.
    type: string
    default: root
    vars:
      - name: ansible_user
    env:
      - name: ANSIBLE_REMOTE_USER
    ini:
      - section: defaults
        key: remote_user
    keyword:
      - name: remote_user
  project:
    description: The LXD project of the instance.
    type: string
    vars:
      - name: ansible_lxd_project
"""

import os
import subprocess
import typing as t

from ansible.errors import AnsibleError, AnsibleFileNotFound

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import HELPER_SOCKET, HELPER_START
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

try:
    from ansible_collections.community.general.plugins.connection.lxd import Connection as LxdConnection
except ImportError:
    # Of galaxy.yml's dependencies, so it is there wherever tasks run; ansible-test imports a plugin without them.
    from ansible.plugins.connection import ConnectionBase as LxdConnection

#: where the client of LXD's snap is, which cron and timers do not have in their PATH
SNAP = "/snap/bin"
#: seconds for which a command lives on: none of 300, three at once, lost its output then, and five without
LINGER = 0.05


def lingering(command: str) -> str:
    """The command in the shell's words, over no earlier than after that time; its status stays."""
    return f"{command}\nstatus=$?; sleep {LINGER}; exit $status"


class Connection(LxdConnection):
    """The same, but for commands that are soon over and for files."""

    transport = "generalbots.scaling.lxd_exec"

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Find the client; raises AnsibleError where there is none."""
        folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
        if SNAP not in folders:
            os.environ["PATH"] = os.pathsep.join([*folders, SNAP])
        super().__init__(*args, **kwargs)

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, str, str]:
        """Run a command; returns its status, output and errors. A module that is piped to Python takes its time anyway."""
        told = super().exec_command(cmd if in_data is not None else lingering(cmd), in_data=in_data, sudoable=sudoable)
        return t.cast("tuple[int, str, str]", told)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file from here into the instance.

        :raises AnsibleError: the client did not, with its words
        """
        if not os.path.isfile(in_path):
            raise AnsibleFileNotFound(f"input path is not a file: {in_path}")
        owner: list[str] = []
        if self.get_option("remote_user") != "root":
            uid, gid = self._get_remote_uid_gid()
            owner = ["--uid", str(uid), "--gid", str(gid)]
        self._transfer("push", *owner, in_path, self._there(out_path))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file from the instance to here.

        :raises AnsibleError: the client did not, with its words
        """
        self._transfer("pull", self._there(in_path), out_path)

    def _there(self, path: str) -> str:
        return f"{self.get_option('remote')}:{self._host()}/{path}"

    def _transfer(self, *words: str) -> None:
        project = self.get_option("project")
        argv = [self._lxc_cmd, *(["--project", project] if project else []), "file", *words]

        def attempt() -> str:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
            return (done.stderr.strip() or f"it ended with {done.returncode}") if done.returncode else ""

        try:
            said = wait_for(f"{self._host()}'s files", attempt, lambda said: HELPER_SOCKET not in said, timeout=HELPER_START, interval=0.1)
        except WaitTimeout as error:
            said = str(error)
        if said:
            raise AnsibleError(f"lxc file {' '.join(words)} failed: {said}")

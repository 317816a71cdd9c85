# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of ours as a process of its own, which serves on a port of loopback, and what it answers."""

from __future__ import annotations

import json
import socket
import subprocess
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for


class Answer(t.NamedTuple):
    """What came back; ``body`` is its JSON."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads(self.text))


def listens(process: subprocess.Popen[bytes], port: int, what: str, patience: float) -> None:
    """Wait until it does; fails where the process ends before, or does not within so many seconds."""
    with socket.socket() as probe:
        wait_for(
            f"{what} to listen",
            lambda: process.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0,
            bool,
            timeout=patience,
            interval=0.02,
        )
    assert process.poll() is None, f"{what} ended"

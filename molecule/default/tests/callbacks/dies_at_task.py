# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback plugin that kills the run with -9 when its n-th task begins; GB_DIES_AT says which."""

from __future__ import annotations

import os
import signal
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: dies_at_task
type: aggregate
short_description: Kills the run when its n-th task begins
description: [For a test of what a run leaves that is broken off.]
"""


class CallbackModule(CallbackBase):
    """Counts tasks, those that are skipped among them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "dies_at_task"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._left = int(os.environ["GB_DIES_AT"])

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        """Another task begins."""
        self._left -= 1
        if self._left == 0:
            print(f"killed when it begins: {task.get_name()}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of the autoscaler that ends badly just after its n-th write to LXD.

As a program it kills itself with -9 there; the options come on standard input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import job_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.run import run
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect

WRITES = ("put", "patch", "post", "delete", "start", "write_file")


class Dying:
    """The client, with an end: ``end`` is called after so many writes, with what the last one was."""

    def __init__(self, lxd: Lxd, left: int, end: t.Callable[[str], None]) -> None:
        self._lxd, self._left, self._end, self._lock = lxd, left, end, threading.Lock()

    def __getattr__(self, name: str) -> t.Any:
        found = getattr(self._lxd, name)
        return self._counted(name, found) if name in WRITES else found

    def execute(self, instance: str, argv: t.Sequence[str], **more: t.Any) -> t.Any:
        """A command that changes something counts, one that only asks does not."""
        run_it = self._lxd.execute
        return self._counted("execute", run_it)(instance, argv, **more) if argv[0] == "systemctl" else run_it(instance, argv, **more)

    def _counted(self, name: str, call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def counted(*arguments: t.Any, **more: t.Any) -> t.Any:
            answer = call(*arguments, **more)
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    self._end(" ".join(map(str, (name, *arguments[: 2 if name in ("start", "execute") else 1]))))
            return answer

        return counted


def kill_myself(written: str) -> None:
    """Say what was written last, and go."""
    print(written, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def dying(lxd: Lxd, left: int, end: t.Callable[[str], None]) -> Lxd:
    """The client, with an end."""
    return t.cast("Lxd", Dying(lxd, left, end))


if __name__ == "__main__":
    given = json.load(sys.stdin)
    lxd = connect({"engine": "lxd", "project": given["parameters"]["project"]})
    run(dying(lxd, given["writes"], kill_myself), job_of(given["parameters"]))

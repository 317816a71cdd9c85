# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load on a site while something is done to it: tools/load.py in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import typing as t

from scenario import ROOT


@dataclasses.dataclass(frozen=True)
class RunningLoad:
    """A load that runs, and where its report will be."""

    process: subprocess.Popen[bytes]
    report: pathlib.Path

    def stop(self) -> None:
        """End it in good order, answers to requests in flight included; one that has ended is left alone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def end(self) -> dict[str, t.Any]:
        """Stop it; returns its report."""
        self.stop()
        assert self.report.exists(), f"The load ended with {self.process.poll()} and wrote no report."
        return t.cast("dict[str, t.Any]", json.loads(self.report.read_text(encoding="utf-8")))


@contextlib.contextmanager
def running_load(url: str, authority: pathlib.Path, **options: object) -> t.Iterator[RunningLoad]:
    """Load on a site, which ends with the block at the latest.

    :param authority: the certificate that is trusted; the report is written beside it
    :param options: of tools/load.py; ``seconds`` bound a load whose block never ends
    """
    report = authority.with_name("load.json")
    report.unlink(missing_ok=True)
    given = {"url": url, "ca": authority, "report": report, **options}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    with subprocess.Popen([sys.executable, str(ROOT / "tools/load.py"), *words], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        running = RunningLoad(process, report)
        try:
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def reported_load(url: str, authority: pathlib.Path, **options: object) -> t.Iterator[dict[str, t.Any]]:
    """As :func:`running_load`, for who only wants the report: the mapping holds it after the block."""
    found: dict[str, t.Any] = {}
    with running_load(url, authority, **options) as load:
        yield found
        found.update(load.end())

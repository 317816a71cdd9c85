# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a report is made of and writes its page: the decision log with its rotations, the state and the fleet in LXD."""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import math
import os
import pathlib
import re
import stat
import tempfile
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import controller, lock, place, report_html, report_text
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import report as model
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.journal import KEPT
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import store
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import fleet_facts
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe

#: bytes that are read of all logs together, the newest first; a day of 30 instances is a tenth of that
MOST = 256 * 1024 * 1024
_NUMBER = re.compile(r"\.[0-9]+", re.ASCII)


class Reader(t.Protocol):
    """What is needed of the LXD client for a log in an instance."""

    def read_file(self, instance: str, path: str) -> bytes | None:
        """The content of a file, None if there is none."""


def run(options: t.Mapping[str, t.Any], now: float, *, check: bool = False) -> dict[str, t.Any]:
    """Make the report and write its page, unless ``check``; returns the result of the module autoscale_report.

    What LXD cannot say is a grave concern of the report and no end of it: the log is worth the most when LXD is down.

    :raises InvalidInput: a length of time that is none, or a page that cannot be written, with its path
    """
    if not options["hours"] > 0:
        raise InvalidInput(f"hours is {options['hours']}; it must be above 0: give the hours back from now that the report covers.")
    since = now - options["hours"] * model.HOUR
    lxd, present = _present(options, now)
    if options["settings"]:
        present["settings"] = options["settings"]
    lines = itertools.chain(log_lines(options["logs"], since), _of_instances(lxd, options["instance_logs"], since, present))
    title = options["title"] or options["project"]
    made = model.build(lines, now, options["hours"], title=title, **present)
    page = report_html.render(made)
    written = options["dest"] if options["dest"] and not check else ""
    if written:
        write(written, page)
    return {"changed": bool(options["dest"]), "dest": written, **_result(made)}


def _result(made: model.Report) -> dict[str, t.Any]:
    steps = {direction: sum(tick.action == direction for tick in made.steps) for direction in ("out", "in")}
    return {
        "verdict": report_html.verdict(made)[0],
        # A half of a surrogate pair in a log is no character that could be handed on.
        "concerns": [{"text": one.text.encode(errors="replace").decode(), "grave": one.grave} for one in made.concerns],
        "ticks": len(made.ticks),
        "unreadable": made.unreadable,
        "steps": {**steps, "reversals": made.reversals(made.since)},
        "mean_instances": None if made.mean_instances is None else round(made.mean_instances, 2),
        "text": report_text.render(made),
    }


def _present(options: t.Mapping[str, t.Any], now: float) -> tuple[Lxd | None, dict[str, t.Any]]:
    """What LXD says now, or no LXD and why it says nothing."""
    try:
        lxd = connect(options)
        kept = controller.info(lxd, now)
        settings = _settings(store.read(lxd, place.where(lxd, write=False)).get(lock.SETTINGS_KEY))
        fleet = fleet_facts(lxd, observe(lxd), options["subnet"])
    except ScalingError as error:
        return None, {"trouble": str(error)}
    return lxd, {"state": kept["autoscale"], "lock": kept["lock"] or {}, "fleet": fleet, "settings": settings, "trouble": kept["note"]}


def _of_instances(lxd: Lxd | None, logs: t.Sequence[t.Mapping[str, str]], since: float, present: dict[str, t.Any]) -> list[str]:
    """The lines of each log that an instance has, as far as LXD serves it; what it does not is said with the rest of the trouble."""
    lines: list[str] = []
    for one in logs:
        what = f"{one['path']} in {one['instance']}"
        if lxd is None:
            present["trouble"] += f" Nor could {what} be read, which has what that one decided."
            continue
        try:
            for line in instance_lines(lxd, one["instance"], one["path"], since):
                lines.append(line)  # noqa: PERF402 - what came before it broke off is told
        except ScalingError as error:
            present["trouble"] += f" {what} has what that one decided: {error}"
    return lines


def instance_lines(lxd: Reader, instance: str, path: str, since: float) -> t.Iterator[str]:
    """The lines of a log in an instance, running or not, and of its rotations, from the newest to one that begins before ``since``.

    A log, or an instance, that is not there has no lines.
    """
    left = MOST
    for name in (path, *(f"{path}.{number}" for number in range(1, KEPT + 1))):
        content = lxd.read_file(instance, name)
        # Between a rotation and the next line the newest one is not there.
        lines = (content or b"").decode(errors="replace").splitlines()
        yield from lines
        left -= len(content or b"")
        if left <= 0 or (lines and _time(lines[0]) < since) or (content is None and name != path):
            return


def _time(line: str) -> float:
    """When a line of the log was written; a line that is none may be of any time."""
    tick = model.parse(line)
    return math.inf if tick is None else tick.time


def _settings(recorded: str | None) -> dict[str, t.Any]:
    """The settings that the last run acted by; empty where none are recorded, or nothing that could be settings is."""
    try:
        found = json.loads(recorded or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def log_lines(paths: t.Sequence[str], since: float) -> t.Iterator[str]:
    """The lines of every log and of its rotations (``<log>.1``…) that may hold something after ``since``; in no order.

    A log that is not there has no lines. What else has a name that begins so, as logrotate's ``<log>.2.gz``, is no rotation.

    :raises InvalidInput: one that is there and cannot be read
    """
    left = MOST
    for path in paths:
        log = pathlib.Path(path)
        for file in [log, *_rotations(log)]:
            try:
                with contextlib.suppress(FileNotFoundError):
                    about = file.stat()
                    if about.st_mtime >= since and left > 0 and (file == log or stat.S_ISREG(about.st_mode)):
                        left -= about.st_size
                        yield from file.read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError as error:
                raise InvalidInput(f"The decision log {file} cannot be read: {error.strerror}. Run as a user who may.") from error


def _rotations(log: pathlib.Path) -> list[pathlib.Path]:
    """What a log's rotations are called that are there, from the newest; all of them, whoever rotates."""
    found = (file for file in log.parent.glob(f"{glob.escape(log.name)}.*") if _NUMBER.fullmatch(file.suffix))
    return sorted((file for file in found if file.stem == log.name), key=lambda file: int(file.suffix[1:]))


def write(dest: str, page: str) -> None:
    """Write the page, whole or not at all, with ? for what is no character; it tells of the deployment, so only its owner may read it.

    :raises InvalidInput: it cannot be written there
    """
    file = pathlib.Path(dest)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        new = pathlib.Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
                stream.write(page)
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(f"The report cannot be written to {dest}: {error.strerror}. Give another dest.") from error

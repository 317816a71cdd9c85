# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves behind to be read: a line in the decision log, and its metrics as a file for node exporter."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import textfile
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.tick import Tick

#: logs that are kept beside the current one
KEPT = 4
#: the line of the metrics that says when a tick was last at work, up to its value
_TICKED = re.compile(r"^(generalbots_autoscaler_last_tick_timestamp_seconds(?:\{.*\})? )\S+$", re.MULTILINE)


def append(path: str, line: t.Mapping[str, t.Any], most: int) -> None:
    """Add a line to the decision log; from ``most`` bytes on it is put away first. No path, no log.

    What a run that died left unfinished stays a line of its own.

    :raises OSError: it cannot be written
    """
    if not path:
        return
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_size >= most:
            _rotate(file)
    text = json.dumps(line, separators=(",", ":")) + "\n"
    with file.open("a+b") as stream:
        if stream.tell() and not _ends_a_line(stream):
            text = "\n" + text
        stream.write(text.encode())


def _ends_a_line(stream: t.BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read() == b"\n"


def _rotate(file: pathlib.Path) -> None:
    names = [file, *(file.with_name(f"{file.name}.{number}") for number in range(1, KEPT + 1))]
    for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)


def publish(
    path: str,
    line: t.Mapping[str, t.Any],
    state: t.Mapping[str, t.Any],
    settings: t.Mapping[str, t.Any] | None,
    labels: t.Mapping[str, str],
) -> None:
    """Write the metrics anew, atomically, counters going on from the file that is replaced, as far as it can be read. No path, no file.

    :param line: what the decision log got of this run
    :raises OSError: it cannot be written
    """
    if not path:
        return
    file = pathlib.Path(path)
    try:
        previous = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        previous = ""
    text = textfile.render(
        line, line["instances"], state, line["took_seconds"], line["errors"], settings=settings, previous=previous, labels=labels
    )
    if not text:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, text)


def alive(path: str, now: float) -> None:
    """Say in the metrics that somebody is at work at this time, in seconds since the epoch, and leave all else as it is. No file, no word.

    Nor where the run that is at work has just written it anew, by another file in its place: that says more.

    :raises OSError: it cannot be written
    """
    if not path or not (file := pathlib.Path(path)).exists():
        return
    before = file.stat()
    text = _TICKED.sub(rf"\g<1>{now:.3f}", file.read_text(encoding="utf-8", errors="replace"))
    if os.path.samestat(before, file.stat()):
        _write(file, text)


def _write(file: pathlib.Path, text: str) -> None:
    # node exporter reads every *.prom, so what is not finished has another name.
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o644)
    new.replace(file)


def instances(done: Tick | None, fleet: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Name, slot, state and load of every instance, as far as the run came to know them."""
    facts = done.facts if done is not None else None
    if facts is None:
        return [{name: one.get(name) for name in ("name", "slot", "state")} for one in fleet]
    names = ("name", "slot", "state", "cpu", "memory", "in_flight", "ready")
    return [{name: _short(value) for name, value in dataclasses.asdict(one).items() if name in names} for one in facts.instances]


def _short(value: t.Any) -> t.Any:
    return round(value, 1) if isinstance(value, float) else value

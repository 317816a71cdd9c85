# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the Prometheus text format as LXD and Caddy write it, without a library in every container."""

from __future__ import annotations

import re
import typing as t

Sample = tuple[str, dict[str, str], float]

_LINE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')


def samples(text: str, *names: str) -> t.Iterator[Sample]:
    """Every sample of the text as (name, labels, value), only those with one of ``names`` if any are given.

    Lines that are no samples are passed over. A line ends with a line feed and nothing else; a label's value may hold any other break.
    """
    for line in text.split("\n"):
        match = _LINE.match(line.strip())
        if match is None or (names and match[1] not in names):
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        yield match[1], dict(_LABEL.findall(match[2] or "")), value

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as Caddy writes them, and as seconds."""

from __future__ import annotations

import re
import typing as t

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(seconds: float) -> str | None:
    """Seconds in Go's way of writing, down to nanoseconds and never with an exponent; None for 0."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s" if seconds else None


def in_seconds(written: t.Any, default: float) -> float:
    """A duration of Caddy's, nanoseconds or text such as 1m30s, in seconds; the default for none."""
    if isinstance(written, str):
        parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d)", written)
        return sum(float(number) * _UNITS[unit] for number, unit in parts) or default
    return float(written) * 1e-9 if written else default

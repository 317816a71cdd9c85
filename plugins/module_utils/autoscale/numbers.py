# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in what comes from elsewhere, such as JSON, where a number may be anything."""

from __future__ import annotations

import sys
import typing as t


def finite(value: t.Any) -> float | None:
    """A finite number, or None for anything else: a truth, or an integer with more digits than a float has room for."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)


def amount(value: t.Any) -> float | None:
    """A finite number that is not negative, or None for anything else."""
    found = finite(value)
    return found if found is not None and found >= 0 else None

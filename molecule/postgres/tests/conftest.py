# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of data_tier.py, for every test here."""

from __future__ import annotations

from data_tier import site, tier

__all__ = ["site", "tier"]

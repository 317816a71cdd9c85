# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of caddy_fleet.py, for every test here."""

from __future__ import annotations

from caddy_fleet import fleet, pytest_terminal_summary

__all__ = ["fleet", "pytest_terminal_summary"]

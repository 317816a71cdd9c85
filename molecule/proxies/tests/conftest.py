# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of proxy_pair.py, for every test here."""

from __future__ import annotations

from proxy_pair import pair, pytest_terminal_summary

__all__ = ["pair", "pytest_terminal_summary"]

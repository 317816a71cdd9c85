# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures, for every test here."""

from __future__ import annotations

from autoscale_prometheus import prometheus
from autoscale_site import site

__all__ = ["prometheus", "site"]

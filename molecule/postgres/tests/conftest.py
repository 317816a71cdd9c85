# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data tier and the fleet above it, for every test here, and the figures at the end of the run."""

from __future__ import annotations

import pytest
from data_tier import Place, Site, Tier, pytest_terminal_summary

__all__ = ["pytest_terminal_summary", "site", "tier"]


@pytest.fixture(scope="session")
def tier() -> Tier:
    """The data tier."""
    return Tier(Place.of("postgres"))


@pytest.fixture(scope="session")
def site() -> Site:
    """The fleet, with trust in the authority of its Caddy."""
    return Site(Place.of("postgres"))

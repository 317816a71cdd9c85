# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site that is operated, for every test here, and the figures at the end of the run."""

from __future__ import annotations

import pytest
from data_tier import pytest_terminal_summary
from operated import Operated

__all__ = ["pytest_terminal_summary", "site"]


@pytest.fixture(scope="session")
def site() -> Operated:
    """The site."""
    return Operated()

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What unit tests of several folders share."""

from __future__ import annotations

import pytest
from lxd_fake import FakeLxd


@pytest.fixture
def fake_lxd() -> FakeLxd:
    """An empty daemon, connected to the project generalbots."""
    return FakeLxd()

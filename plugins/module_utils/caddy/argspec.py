# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every module for Caddy has; documented in the fragment ``caddy``."""

from __future__ import annotations

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import BINARY, SOCKET
from ansible_collections.generalbots.scaling.plugins.module_utils.module import ArgumentSpec

CADDY_SPEC = ArgumentSpec(
    options={
        "socket": {"type": "path", "default": SOCKET},
        "binary": {"type": "path", "default": BINARY},
        "timeout": {"type": "int", "default": 30},
    }
)

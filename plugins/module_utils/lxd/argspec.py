# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every module that speaks to LXD; documented in the fragment ``lxd``."""

from __future__ import annotations

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import (
    ENGINES,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.module import (
    ArgumentSpec,
)

LXD_SPEC = ArgumentSpec(
    options={
        "engine": {"type": "str", "default": "lxd", "choices": list(ENGINES)},
        "url": {"type": "str"},
        "project": {"type": "str", "default": "generalbots"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "server_cert": {"type": "path"},
        "timeout": {"type": "int", "default": 30},
    },
    required_together=[("client_cert", "client_key", "server_cert")],
)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the option C(pools); what the values may be is checked in ``upstreams.py``."""

from __future__ import annotations

import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import PLAIN_POLICIES, POLICIES

_COOKIE: dict[str, t.Any] = {
    "secret": {"type": "str", "required": True, "no_log": True},
    "name": {"type": "str", "default": "lb"},
    "fallback": {"type": "str", "choices": list(PLAIN_POLICIES), "default": "random"},
    "max_age": {"type": "int", "default": 0},
}

_HEALTH: dict[str, t.Any] = {
    "uri": {"type": "str", "required": True},
    "port": {"type": "int"},
    "interval": {"type": "float", "default": 10},
    "timeout": {"type": "float", "default": 5},
    "fails": {"type": "int", "default": 1},
    "passes": {"type": "int", "default": 1, "no_log": False},
}

_POOL: dict[str, t.Any] = {
    "id": {"type": "str", "required": True},
    "upstreams": {"type": "list", "elements": "str", "required": True},
    "policy": {"type": "str", "choices": list(POLICIES), "default": "random"},
    "cookie": {"type": "dict", "options": _COOKIE},
    "health": {"type": "dict", "options": _HEALTH},
    "try_duration": {"type": "float", "default": 0},
    "try_interval": {"type": "float", "default": 0.25},
    "dial_timeout": {"type": "float", "default": 0},
    "fail_duration": {"type": "float", "default": 0},
    "max_fails": {"type": "int", "default": 1},
    "stream_timeout": {"type": "float", "default": 0},
    "stream_close_delay": {"type": "float", "default": 0},
}

POOLS_OPTION: dict[str, t.Any] = {"type": "list", "elements": "dict", "required": True, "options": _POOL}

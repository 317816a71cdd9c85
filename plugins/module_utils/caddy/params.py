# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a pool, from which those of ``caddy_upstreams`` (alone and as a list), of ``caddy_upstreams_info`` and of a site's
routes are made; what the values may be is checked in ``upstreams.py``."""

from __future__ import annotations

import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.policies import PLAIN_POLICIES, POLICIES
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import STATES

COOKIE: dict[str, t.Any] = {
    "secret": {"type": "str", "required": True, "no_log": True},
    "name": {"type": "str", "default": "lb"},
    "fallback": {"type": "str", "choices": list(PLAIN_POLICIES), "default": "random"},
    "max_age": {"type": "int", "default": 0},
}

HEALTH: dict[str, t.Any] = {
    "uri": {"type": "str", "required": True},
    "port": {"type": "int"},
    "interval": {"type": "float", "default": 10},
    "timeout": {"type": "float", "default": 5},
    "fails": {"type": "int", "default": 1},
    "passes": {"type": "int", "default": 1, "no_log": False},
    "status": {"type": "int"},
    "body": {"type": "str"},
}

POOL: dict[str, t.Any] = {
    "id": {"type": "str"},
    "upstreams": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": list(STATES), "default": "exact"},
    "policy": {"type": "str", "choices": list(POLICIES), "default": "random"},
    "weights": {"type": "list", "elements": "int"},
    "choose": {"type": "int"},
    "field": {"type": "str"},
    "fallback": {"type": "str", "choices": list(PLAIN_POLICIES)},
    "cookie": {"type": "dict", "options": COOKIE},
    "health": {"type": "dict", "options": HEALTH},
    "retries": {"type": "int", "default": 0},
    "retry_match": {"type": "list", "elements": "dict"},
    "try_duration": {"type": "float", "default": 0},
    "try_interval": {"type": "float", "default": 0.25},
    "dial_timeout": {"type": "float", "default": 0},
    "response_header_timeout": {"type": "float", "default": 0},
    "read_timeout": {"type": "float", "default": 0},
    "write_timeout": {"type": "float", "default": 0},
    "fail_duration": {"type": "float", "default": 0},
    "max_fails": {"type": "int", "default": 1},
    "unhealthy_status": {"type": "list", "elements": "int"},
    "unhealthy_latency": {"type": "float", "default": 0},
    "unhealthy_request_count": {"type": "int", "default": 0},
    "stream_timeout": {"type": "float", "default": 0},
    "stream_close_delay": {"type": "float", "default": 0},
    "flush_interval": {"type": "float", "default": 0},
}

POOL_OPTIONS: dict[str, t.Any] = {**POOL, "pools": {"type": "list", "elements": "dict", "options": POOL}}

#: How an upstream is asked once: what an active check is, but for when it is repeated and what its failures lead to.
PROBE: dict[str, t.Any] = {name: option for name, option in HEALTH.items() if name not in ("interval", "fails")}


def optional(options: t.Mapping[str, dict[str, t.Any]], *names: str, **defaults: t.Any) -> dict[str, t.Any]:
    """Some of these options, none of which is required, with the defaults that are given and no others."""
    found = {}
    for name in (*names, *defaults):
        kept = {key: value for key, value in options[name].items() if key not in ("required", "default")}
        found[name] = {**kept, "default": defaults[name]} if name in defaults else kept
    return found

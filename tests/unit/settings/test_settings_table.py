# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of keys: complete, and fit for its own readers."""

from __future__ import annotations

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.settings import kinds
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import FAMILIES, KEYS, NOT_YET, PREFIXES, Key

# Written out on purpose: a key that is lost from the table, or slips into it, must show here.
_NAMES = """
scale-enabled scale-min-instances scale-max-instances scale-cpu-threshold scale-memory-threshold scale-request-threshold
scale-cooldown-seconds scale-check-interval scale-rule-response-time scale-rule-response-action scale-rule-cpu-low
scale-rule-cpu-low-action scale-rule-queue-depth scale-rule-queue-action
rate-limit-enabled rate-limit-requests rate-limit-window rate-limit-burst rate-limit-by
rate-limit-api-chat rate-limit-api-files rate-limit-api-auth
shard-strategy shard-tenant-db-prefix shard-auto-create shard-count shard-key shard-algorithm shard-ranges
shard-geo-us shard-geo-eu shard-geo-asia shard-default
qdrant-shard-count qdrant-replication-factor qdrant-write-consistency
cache-mode cache-nodes cache-replicas cache-sentinel-master cache-sentinel-nodes
health-enabled health-endpoint health-interval health-timeout health-retries
circuit-breaker-enabled circuit-breaker-threshold circuit-breaker-timeout circuit-breaker-half-open-requests
fallback-llm-enabled fallback-llm-provider fallback-llm-model
fallback-cache-enabled fallback-cache-mode fallback-vectordb-enabled fallback-vectordb-mode
metrics-scaling-enabled metrics-container-count metrics-scaling-events metrics-load-distribution
"""
MISSION = _NAMES.split()

CONSUMED = {
    "scale-enabled": False, "scale-min-instances": 1, "scale-max-instances": 10, "scale-cpu-threshold": 70,
    "scale-memory-threshold": 80, "scale-request-threshold": 1000, "scale-cooldown-seconds": 300, "scale-check-interval": 30,
    "scale-rule-cpu-low": 30, "scale-rule-cpu-low-action": "down", "scale-rule-response-time": None, "scale-rule-response-action": None,
    "scale-rule-queue-depth": None, "scale-rule-queue-action": None, "health-enabled": True, "health-endpoint": "/api/health",
    "rate-limit-enabled": False, "rate-limit-requests": 100, "rate-limit-window": 60, "rate-limit-burst": 20, "rate-limit-by": "ip",
    "rate-limit-api-chat": 30, "rate-limit-api-files": 50, "rate-limit-api-auth": 10,
    "circuit-breaker-enabled": False, "circuit-breaker-threshold": 5, "circuit-breaker-timeout": 30,
    "circuit-breaker-half-open-requests": 3,
    "health-interval": 10, "health-timeout": 5, "health-retries": 3, "metrics-scaling-enabled": True,
    "metrics-container-count": True, "metrics-scaling-events": True, "metrics-load-distribution": True,
}  # fmt: skip


def test_the_table_declares_exactly_the_61_keys() -> None:
    assert len(MISSION) == 61
    assert list(KEYS) == MISSION


def test_what_is_consumed_has_its_documented_default() -> None:
    assert {name: key.default for name, key in KEYS.items() if key.consumer} == CONSUMED


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_a_key_says_in_its_help_whether_nothing_acts_on_it(key: Key) -> None:
    assert (NOT_YET in key.description) == (key.consumer is None)
    assert key.description.startswith(key.help)


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_a_switch_that_nothing_consumes_is_off(key: Key) -> None:
    if key.kind == "boolean" and key.consumer is None:
        assert key.default is False
        assert "Off by default." in key.help or key.switch


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_default_and_example_are_values_of_the_key(key: Key) -> None:
    assert kinds.read(key, kinds.render(key.default)) == key.default
    assert kinds.read(key, kinds.example(key)) is not None
    assert kinds.allowed(key)
    assert key.switch is None or KEYS[key.switch].kind == "boolean"


def test_every_key_has_the_prefix_of_its_family() -> None:
    assert all(key.name.startswith(family.prefix) for family in FAMILIES for key in family.keys)
    assert " ".join(PREFIXES) == "scale- rate-limit- shard- qdrant- cache- health- circuit-breaker- fallback- metrics-"

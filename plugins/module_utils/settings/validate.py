# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes settings wrong: problems, how they are told, and the combinations that cannot work."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import Value

Values = t.Mapping[str, Value]
_SHOWN = 120


@dataclasses.dataclass(frozen=True)
class Problem:
    """One reason why settings are refused. ``line`` is None where the place has no lines."""

    file: str
    line: int | None
    key: str
    value: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        value = self.value if len(self.value) <= _SHOWN else self.value[:_SHOWN] + "..."
        return f"{place}: {self.key} = {value!r}: {self.rule}. {self.remedy}"


@dataclasses.dataclass(frozen=True)
class Rule:
    """A combination that is refused.

    ``keys`` take part, ``text`` says what is refused and why, ``check`` says what is wrong with given values, or None.
    """

    keys: tuple[str, ...]
    text: str
    remedy: str
    check: t.Callable[[Values], str | None]


def refusal(source: str, problems: t.Iterable[Problem]) -> InvalidInput:
    """One error that tells every problem, the file's first and by line; ``details["errors"]`` has them as dicts."""
    ordered = sorted(problems, key=lambda p: (p.file != source, p.line or 0, p.key))
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    lines = "\n".join(f"  {problem}" for problem in ordered)
    return InvalidInput(
        f"The settings of {source} cannot be used: {count}. Correct all of them and run again.\n{lines}",
        errors=[dataclasses.asdict(problem) for problem in ordered],
    )


def broken_rules(values: Values, bad: set[str]) -> list[tuple[Rule, str]]:
    """Rules that the values break, each with what is wrong; rules about a key in ``bad`` are left out."""
    checked = ((rule, rule.check(values)) for rule in RULES if not bad.intersection(rule.keys))
    return [(rule, wrong) for rule, wrong in checked if wrong]


def _int(values: Values, name: str) -> int:
    return t.cast(int, values[name])


def _list(values: Values, name: str) -> list[t.Any]:
    value = values[name]
    return value if isinstance(value, list) else []


def _not_above(smaller: str, larger: str, strict: bool = False) -> t.Callable[[Values], str | None]:
    """A check that ``smaller`` is at most (``strict``: below) ``larger``."""

    def check(values: Values) -> str | None:
        low, high = _int(values, smaller), _int(values, larger)
        if low < high or (low == high and not strict):
            return None
        return f"{smaller} is {low}, {larger} is {high}"

    return check


def _cluster_size(values: Values) -> str | None:
    if values["cache-mode"] != "cluster":
        return None
    nodes, replicas = len(_list(values, "cache-nodes")), _int(values, "cache-replicas")
    needed = 3 * (replicas + 1)
    if nodes >= needed:
        return None
    return f"cache-nodes names {nodes}, and three masters with cache-replicas {replicas} each need {needed}"


def _sentinels(values: Values) -> str | None:
    if values["cache-mode"] != "sentinel":
        return None
    missing = [name for name in ("cache-nodes", "cache-sentinel-nodes") if not values[name]]
    return f"{' and '.join(missing)} not set" if missing else None


def _majority_of_two(values: Values) -> str | None:
    if values["qdrant-write-consistency"] != "majority" or values["qdrant-replication-factor"] != 2:
        return None
    return "the majority of 2 replicas is both, so that writes stall as soon as one of them is lost"


def _consistency_within_replicas(values: Values) -> str | None:
    copies, wanted = _int(values, "qdrant-replication-factor"), values["qdrant-write-consistency"]
    if isinstance(wanted, int) and wanted > copies:
        return f"every write would wait for {wanted} replicas, and there are {copies}"
    return None


def _ranges_join(values: Values) -> str | None:
    ranges = sorted(_list(values, "shard-ranges"), key=lambda item: (item["first"], item["shard"]))
    expected: int | None = 0
    for item in ranges:
        if expected is None or item["first"] < expected:
            return f"the range that begins with {item['first']} overlaps the one before it"
        if item["first"] > expected:
            return f"keys {expected} to {item['first'] - 1} belong to no range"
        expected = None if item["last"] is None else item["last"] + 1
    return f"keys from {expected} on belong to no range" if ranges and expected is not None else None


def _strategy_complete(values: Values) -> str | None:
    if values["shard-strategy"] == "range" and not values["shard-ranges"]:
        return "shard-strategy is range, shard-ranges is not set"
    if values["shard-strategy"] == "geo" and not values["shard-default"]:
        return "shard-strategy is geo, shard-default is not set"
    return None


RULES: tuple[Rule, ...] = (
    Rule(
        ("scale-min-instances", "scale-max-instances"),
        "the lower bound of the fleet must not be above the upper one",
        "Lower scale-min-instances or raise scale-max-instances.",
        _not_above("scale-min-instances", "scale-max-instances"),
    ),
    Rule(
        ("scale-rule-cpu-low", "scale-cpu-threshold"),
        "the CPU use that takes an instance away must be below the one that adds one, or the fleet swings",
        "Leave 20 points or more between them, as in 30 and 70.",
        _not_above("scale-rule-cpu-low", "scale-cpu-threshold", strict=True),
    ),
    Rule(
        ("health-timeout", "health-interval"),
        "a health check must be over when the next one begins",
        "Lower health-timeout or raise health-interval.",
        _not_above("health-timeout", "health-interval"),
    ),
    Rule(
        ("cache-replicas", "cache-nodes", "cache-mode"),
        "a Redis Cluster needs three masters and all their replicas, each on its own node",
        "List more nodes in cache-nodes or lower cache-replicas.",
        _cluster_size,
    ),
    Rule(
        ("cache-mode", "cache-nodes", "cache-sentinel-nodes"),
        "sentinel mode needs the servers and the sentinels",
        "List them in cache-nodes and cache-sentinel-nodes.",
        _sentinels,
    ),
    Rule(
        ("qdrant-write-consistency", "qdrant-replication-factor"),
        "majority cannot be had of two replicas without stalls",
        "Set qdrant-replication-factor to 3, or qdrant-write-consistency to 1; 2 says that the stall is accepted.",
        _majority_of_two,
    ),
    Rule(
        ("qdrant-write-consistency", "qdrant-replication-factor"),
        "a write cannot wait for more replicas than there are",
        "Lower qdrant-write-consistency or raise qdrant-replication-factor.",
        _consistency_within_replicas,
    ),
    Rule(
        ("shard-ranges",),
        "ranges must begin with 0, follow each other without gap or overlap, and end open",
        "Let each range begin one above the end of the one before it, as in 0-999:a,1000-:b.",
        _ranges_join,
    ),
    Rule(
        ("shard-strategy", "shard-ranges", "shard-default"),
        "a strategy needs the keys that it goes by",
        "Set shard-ranges for range, shard-default for geo, or another shard-strategy.",
        _strategy_complete,
    ),
)

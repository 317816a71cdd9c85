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
    checked = ((rule, rule.check(values)) for rule in (*RULES, *step_rules(values)) if not bad.intersection(rule.keys))
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


def _interval_within_cooldown(values: Values) -> str | None:
    return _not_above("scale-check-interval", "scale-cooldown-seconds")(values) if values["scale-cooldown-seconds"] else None


def step_rules(values: Values) -> t.Iterator[Rule]:
    """Combinations of the keys ``scale-rule-*`` that were given, whose names the user may have made up."""
    given = [name for name, value in values.items() if name.startswith(STEP) and value is not None]
    levels = [name for name in given if not name.endswith("-action")]
    for level in levels:
        action = _action_of(level, values)
        yield Rule((level, action), "a rule needs its action", f"Add {action} with up or down.", _both(level, action))
    for action in (name for name in given if name.endswith("-action")):
        level = STEP + {"response": "response-time", "queue": "queue-depth"}.get(_stem(action), _stem(action))
        yield Rule((action, level), "an action needs its rule", f"Add {level}, or take {action} out.", _both(action, level))
    for low in (name for name in levels if _metric(name) in THRESHOLDS and name != "scale-rule-cpu-low"):
        threshold = THRESHOLDS[_metric(low)]
        text = "what takes an instance away must be below what the size of the fleet aims at, or the fleet swings"
        keys = (low, _action_of(low, values), threshold)
        yield Rule(keys, text, f"Lower {low} or raise {threshold}.", _below_target(*keys))
    for low in levels:
        for high in (name for name in levels if _metric(name) == _metric(low) and name != low):
            pair = (low, high, _action_of(low, values), _action_of(high, values))
            text = "what takes an instance away must be below what adds one, or the fleet swings"
            yield Rule(pair, text, f"Lower {low} or raise {high}.", _crossed(*pair))


#: begins the keys of the step rules
STEP = "scale-rule-"


#: what the size of the fleet aims at, by metric
THRESHOLDS = {"cpu": "scale-cpu-threshold", "memory": "scale-memory-threshold", "requests": "scale-request-threshold"}


def _below_target(low: str, action: str, threshold: str) -> t.Callable[[Values], str | None]:
    def check(values: Values) -> str | None:
        return _not_above(low, threshold, strict=True)(values) if values.get(action) == "down" else None

    return check


def _stem(name: str) -> str:
    return name.removeprefix(STEP).removesuffix("-action")


def _metric(name: str) -> str:
    return _stem(name).removesuffix("-low").removesuffix("-high")


def _action_of(level: str, values: Values) -> str:
    long, short = f"{level}-action", {"response-time": f"{STEP}response-action", "queue-depth": f"{STEP}queue-action"}.get(_stem(level))
    return long if short is None or values.get(long) is not None else short


def _both(one: str, other: str) -> t.Callable[[Values], str | None]:
    """A check that ``other`` is set where ``one`` is."""
    return lambda values: None if values.get(one) is None or values.get(other) is not None else f"{one} is set, {other} is not"


def _crossed(low: str, high: str, low_action: str, high_action: str) -> t.Callable[[Values], str | None]:
    """A check that of two rules on one metric the one that scales in is below the one that scales out."""

    def check(values: Values) -> str | None:
        if values.get(low_action) != "down" or values.get(high_action) != "up" or _int(values, low) < _int(values, high):
            return None
        return f"{low} is {values[low]}, {high} is {values[high]}"

    return check


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
        ("scale-check-interval", "scale-cooldown-seconds"),
        "a cooldown must not be over before it is looked at (0 is none at all)",
        "Lower scale-check-interval or raise scale-cooldown-seconds.",
        _interval_within_cooldown,
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

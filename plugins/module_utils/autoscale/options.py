# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From typed settings and ``gb_autoscale`` to a policy, or to one error that names everything wrong."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.latency import MEAN
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.metrics import METRICS
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import CPU_LOW, Direction, Limit, Policy, StepRule
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.schedules import MOST, numbered, schedule_of
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

RULE = "scale-rule-"
#: the rules whose metric or action key does not follow from their name, as the names in config.csv have it
ACTION_OF = {"response-time": "response", "queue-depth": "queue"}
_DIRECTIONS: t.Mapping[str, Direction] = {"up": "out", "down": "in"}
_SETTINGS: t.Mapping[str, str] = {
    "scale-enabled": "enabled",
    "scale-min-instances": "min",
    "scale-max-instances": "max",
    "scale-cpu-threshold": "cpu",
    "scale-memory-threshold": "memory",
    "scale-request-threshold": "requests",
    "scale-cooldown-seconds": "cooldown",
    "scale-check-interval": "interval",
}


def policy_of(
    settings: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any] | None = None, sources: t.Collection[str] | None = None
) -> Policy:
    """The policy that typed settings, keyed by their config.csv names, ask for; a key that is absent has its default.

    :param options: the mapping ``gb_autoscale``: what config.csv has no keys for
    :param sources: the names of the metrics that ``gb_autoscale_sources`` give; None if that is not known here
    :raises InvalidInput: two settings contradict each other, or one asks for what cannot be
    """
    given = {field: settings[key] for key, field in _SETTINGS.items() if settings.get(key) is not None}
    fields = {**given, "steps": _steps(settings)}
    most = fields.get("max", Policy.max)
    policy = Policy(**fields, **_options(options or {}, most))
    wrong = [message for broken, message in _contradictions(policy) if broken] + list(_unknown_metrics(policy, sources))
    if wrong:
        raise InvalidInput(" ".join(wrong))
    return policy


# --- rules of config.csv -------------------------------------------------------------------------------------------


def _steps(settings: t.Mapping[str, t.Any]) -> tuple[StepRule, ...]:
    """The step rules, those that are set only; raises InvalidInput for a rule without action or the reverse."""
    keys = {key.removeprefix(RULE): value for key, value in settings.items() if key.startswith(RULE) and value is not None}
    actions = {name.removesuffix("-action"): str(value) for name, value in keys.items() if name.endswith("-action")}
    levels = {name: value for name, value in keys.items() if not name.endswith("-action")}
    levels.setdefault(CPU_LOW.name, CPU_LOW.level) if RULE + CPU_LOW.name not in settings else None
    used: set[str] = set()
    rules = [_step(name, float(level), _action(name, actions, levels, used)) for name, level in levels.items()]
    idle = sorted(set(actions) - used - {CPU_LOW.name})
    if idle:
        raise InvalidInput(f"{RULE}{idle[0]}-action is set, and {_rule_of(idle[0])} is not: set both or none.")
    return tuple(rules)


def _rule_of(action: str) -> str:
    return RULE + next((name for name, short in ACTION_OF.items() if short == action), action)


def _action(name: str, actions: t.Mapping[str, str], levels: t.Container[str], used: set[str]) -> str:
    """A rule's action, by its metric's full name or by the short one; raises InvalidInput where it is set as both or not at all.

    A short name that is a rule of its own has its own action.
    """
    short = ACTION_OF.get(name, name)
    names = [name] if short == name or short in levels else [name, short]
    stems = [stem for stem in names if stem in actions]
    if len(stems) > 1:
        given = " and as ".join(f"{RULE}{stem}-action ({actions[stem]})" for stem in stems)
        raise InvalidInput(f"The action of {RULE}{name} is set twice, as {given}: keep one of them.")
    if stems:
        used.add(stems[0])
        return actions[stems[0]]
    if name == CPU_LOW.name:
        return "down"
    raise InvalidInput(f"{RULE}{name} is set without {RULE}{names[-1]}-action: set that to up or down.")


def _step(name: str, level: float, action: str) -> StepRule:
    """``-low`` and ``-high`` at a name's end only say which side of the level is meant."""
    low, high = name.endswith("-low"), name.endswith("-high")
    if (low and action == "up") or (high and action == "down"):
        side, only, does = ("low", "down", "in") if low else ("high", "up", "out")
        raise InvalidInput(
            f"{RULE}{name}-action is {action!r}; a rule on a {side} {name.rpartition('-')[0]} can only scale {does}: set it to {only}."
        )
    metric = name.rpartition("-")[0] if low or high else name
    return StepRule(name, metric, level, _DIRECTIONS[action])


def _unknown_metrics(policy: Policy, sources: t.Collection[str] | None) -> t.Iterator[str]:
    if sources is None:
        return
    # Nothing but a source can tell the length of a queue.
    known = [*(name for name in METRICS if name != "queue-depth"), *sorted(set(sources) - (set(METRICS) - {"queue-depth"}))]
    for rule in policy.steps:
        if rule.metric not in known:
            yield (
                f"{rule.key} asks for the metric {rule.metric!r}, which nothing measures. Known are {', '.join(known)}; "
                "name another, or give it a source in gb_autoscale_sources."
            )


# --- gb_autoscale --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Option:
    """One key of ``gb_autoscale``: the policy's field, what it must be in words, and how it is read (ValueError: it is not)."""

    field: str
    must: str
    read: t.Callable[[t.Any], t.Any]


def _one_of(*choices: str) -> t.Callable[[t.Any], t.Any]:
    def read(value: t.Any) -> t.Any:
        if value not in choices:
            raise ValueError
        return value

    return read


def _or_none(read: t.Callable[[t.Any], t.Any]) -> t.Callable[[t.Any], t.Any]:
    return lambda value: None if value in (None, "") else read(value)


def _statistic(value: t.Any) -> str:
    if value != MEAN and not re.fullmatch(r"p[1-9][0-9]?", str(value), re.ASCII):
        raise ValueError
    return str(value)


def _flag(value: t.Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _limit(value: t.Any) -> Limit:
    if not isinstance(value, t.Mapping) or not set(value) <= {"count", "percent"} or not value:
        raise ValueError
    limit = Limit(int(numbered(0, whole=True)(value.get("count", 0))), float(numbered(0)(value.get("percent", 0))))
    # A step is of one instance at the least: nothing at all is no limit, but a pause.
    if not limit.count and not limit.percent:
        raise ValueError
    return limit


_SECONDS = f"a number of seconds from 0 to {MOST:.0f}"
_TOLERANCE = "a share from 0 to 0.9"
_LIMIT_WORDS = f"a mapping with count (instances) or percent (of the fleet) or both, up to {MOST:.0f}, of which the larger counts"
_LIMIT_WORDS += ", above 0 (for no step at all in a direction there is the option pause, such as pause: in)"

OPTIONS: t.Mapping[str, Option] = {
    "sizing": Option("sizing", "proportional or steps", _one_of("proportional", "steps")),
    "tolerance_out": Option("tolerance_out", _TOLERANCE, numbered(0, 0.9)),
    "tolerance_in": Option("tolerance_in", _TOLERANCE, numbered(0, 0.9)),
    "stabilisation": Option("stabilisation", _SECONDS, _or_none(numbered(0))),
    "cooldown_out": Option("cooldown_out", _SECONDS, numbered(0)),
    "cooldown_in": Option("cooldown_in", _SECONDS, numbered(0)),
    "limit_out": Option("limit_out", _LIMIT_WORDS, _limit),
    "limit_in": Option("limit_in", _LIMIT_WORDS, _limit),
    "start_time": Option("start_time", _SECONDS, numbered(0)),
    "margin": Option("margin", "a number of standard deviations from 0 to 10", numbered(0, 10)),
    "response_time": Option("response_time", "mean, or p1 to p99", _statistic),
    "start_patience": Option("start_patience", _SECONDS, numbered(0)),
    "warmup": Option("warmup", _SECONDS, numbered(0)),
    "panic_share": Option("panic_share", "a share from 0 to 1", numbered(0, 1)),
    "heal": Option("heal", "true or false", _flag),
    "heal_patience": Option("heal_patience", _SECONDS, numbered(0)),
    "max_unavailable": Option("max_unavailable", f"a number of instances from 1 to {MOST:.0f}", numbered(1, whole=True)),
    "give_up_after": Option("give_up_after", f"a number from 1 to {MOST:.0f}", numbered(1, whole=True)),
    "give_up_for": Option("give_up_for", _SECONDS, numbered(0)),
    "pause": Option("pause", "in, out or both, or null", _or_none(_one_of("in", "out", "both"))),
    "pin": Option("pin", f"a number of instances from 1 to {MOST:.0f}, or null", _or_none(numbered(1, whole=True))),
}


def _options(given: t.Mapping[str, t.Any], most: int) -> dict[str, t.Any]:
    unknown = sorted(str(name) for name in given if name not in OPTIONS and name != "schedules")
    if unknown:
        raise InvalidInput(f"gb_autoscale has no option {unknown[0]!r}; it has {', '.join([*OPTIONS, 'schedules'])}.")
    found: dict[str, t.Any] = {}
    for name, value in given.items():
        if name == "schedules":
            found[name] = _schedules(value, most)
            continue
        option = OPTIONS[name]
        try:
            found[option.field] = option.read(value)
        except (TypeError, ValueError):
            raise InvalidInput(f"gb_autoscale.{name} is {value!r}; it must be {option.must}.") from None
    return found


def _schedules(given: t.Any, most: int) -> tuple[t.Any, ...]:
    if not isinstance(given, list):
        raise InvalidInput(f"gb_autoscale.schedules is {given!r}; it must be a list.")
    try:
        return tuple(schedule_of(one, number, most) for number, one in enumerate(given, start=1))
    except InvalidInput as error:
        raise InvalidInput(f"gb_autoscale.{error}") from error


# --- what contradicts ----------------------------------------------------------------------------------------------


def _contradictions(policy: Policy) -> t.Iterator[tuple[bool, str]]:
    yield policy.min < 1, f"scale-min-instances is {policy.min}; it must be at least 1."
    bounds = f"scale-min-instances ({policy.min}) is greater than scale-max-instances ({policy.max})"
    yield policy.min > policy.max, f"{bounds}; lower one or raise the other."
    yield policy.cooldown < 0, f"scale-cooldown-seconds is {policy.cooldown}; it cannot be negative."
    yield policy.interval <= 0, f"scale-check-interval is {policy.interval}; it must be above 0."
    rest = f"scale-check-interval ({policy.interval}) is longer than scale-cooldown-seconds ({policy.cooldown})"
    yield (
        0 < policy.cooldown < policy.interval,
        f"{rest}: the cooldown would be over before it is looked at. Raise it, or check more often.",
    )
    outside = policy.pin is not None and not policy.min <= policy.pin <= policy.max
    yield outside, f"gb_autoscale.pin is {policy.pin}; it must be from {policy.min} to {policy.max}, the bounds of the fleet."
    yield from _clashes(policy)


def _clashes(policy: Policy) -> t.Iterator[tuple[bool, str]]:
    """Levels of one metric that would let the fleet grow and shrink at once."""
    ups = [(rule.metric, rule.key, rule.level) for rule in policy.steps if rule.direction == "out"]
    for metric, key in (("cpu", "scale-cpu-threshold"), ("memory", "scale-memory-threshold"), ("requests", "scale-request-threshold")):
        target = policy.target(metric)
        ups += [] if target is None else [(metric, key, target)]
    for low in (rule for rule in policy.steps if rule.direction == "in"):
        for metric, key, level in ups:
            words = f"{low.key} ({low.level:g}) is not below {key} ({level:g})"
            yield (
                metric == low.metric and low.level >= level,
                f"{words}: the fleet would grow and shrink at once. Leave room between them.",
            )

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table of our keys in config.csv; reader, validation, documentation page and tests are made from it."""

from __future__ import annotations

import dataclasses
import re
import typing as t

Value = t.Union[bool, int, float, str, "list[str]", "list[dict[str, t.Any]]", None]

# One address per slot is reserved in the subnet (botserver .100 + slot), which ends the numbering here.
MAX_SLOTS = 150

AUTOSCALER = "autoscaler"
FLEET = "botserver fleet, autoscaler"
SLOTS = "botserver fleet, Caddy slots, autoscaler"
CADDY_HEALTH = "Caddy active health checks"
CADDY_LIMITS = "Caddy rate limits"
CADDY_BREAKER = "Caddy passive health checks"
TEXTFILE = "autoscaler textfile"

NOT_YET = "Checked, but nothing acts on it yet."


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of ours.

    ``kind`` names the reader in ``kinds.py``; ``default`` is already typed, None means unset. ``minimum`` and ``maximum``
    bound integers, ``choices`` bound words. ``consumer`` is the component that acts on the key now, None when nothing
    does. ``switch`` is the key that must be true for this one to have an effect.
    """

    name: str
    kind: str
    help: str
    default: Value = None
    unit: str = ""
    minimum: int = 0
    maximum: int = 0
    choices: tuple[str, ...] = ()
    example: str = ""
    consumer: str | None = None
    switch: str | None = None

    @property
    def description(self) -> str:
        """The line of help, which says so when nothing consumes the key."""
        return self.help if self.consumer else f"{self.help} {NOT_YET}"


@dataclasses.dataclass(frozen=True)
class Family:
    """Keys that share a prefix. The prefix is ours: an unknown key that begins with it is an error."""

    prefix: str
    title: str
    keys: tuple[Key, ...]


def _integer(name: str, default: int | None, minimum: int, maximum: int, unit: str, text: str, **more: t.Any) -> Key:
    return Key(name, "integer", text, default, unit, minimum, maximum, **more)


def _switch(name: str, text: str, default: bool = False, **more: t.Any) -> Key:
    return Key(name, "boolean", text, default, **more)


def _choice(name: str, default: str | None, choices: tuple[str, ...], text: str, **more: t.Any) -> Key:
    return Key(name, "choice", text, default, choices=choices, **more)


_SCALE = Family(
    "scale-",
    "Autoscaling",
    (
        _switch("scale-enabled", "Lets the autoscaler change the number of botserver instances.", consumer=AUTOSCALER),
        _integer("scale-min-instances", 1, 1, MAX_SLOTS, "instances", "Never fewer instances than this.", consumer=FLEET),
        _integer(
            "scale-max-instances",
            10,
            1,
            MAX_SLOTS,
            "instances",
            "Never more instances than this; also the number of slots that Caddy knows.",
            consumer=SLOTS,
        ),
        _integer(
            "scale-cpu-threshold",
            70,
            1,
            100,
            "%",
            "Mean CPU use of the active instances, of their own CPU limit, that the size of the fleet aims at.",
            consumer=AUTOSCALER,
        ),
        _integer(
            "scale-memory-threshold",
            80,
            1,
            100,
            "%",
            "Mean memory use without page cache, of the instances' own limit, above which one is added.",
            consumer=AUTOSCALER,
        ),
        _integer(
            "scale-request-threshold",
            1000,
            1,
            10_000_000,
            "requests per minute per instance",
            "Requests that Caddy passes to each active instance per minute, that the size of the fleet aims at.",
            consumer=AUTOSCALER,
        ),
        _integer(
            "scale-cooldown-seconds",
            300,
            0,
            86_400,
            "seconds",
            "Rest of a step rule after a change of the fleet before it takes a step; for so long a smaller fleet must have been enough "
            "before one is taken away.",
            consumer=AUTOSCALER,
        ),
        _integer("scale-check-interval", 30, 1, 3_600, "seconds", "Time from one decision to the next.", consumer=AUTOSCALER),
        _integer(
            "scale-rule-response-time",
            None,
            1,
            600_000,
            "milliseconds",
            "Response time above which an instance is added, or with the action down below which one is taken away; unset: no such rule.",
            example="2000",
            consumer=AUTOSCALER,
            switch="scale-enabled",
        ),
        _choice(
            "scale-rule-response-action",
            None,
            ("up", "down"),
            "What the response time rule does.",
            consumer=AUTOSCALER,
            switch="scale-enabled",
        ),
        _integer(
            "scale-rule-cpu-low", 30, 1, 99, "%", "Mean CPU use of the active instances below which one is taken away.", consumer=AUTOSCALER
        ),
        _choice("scale-rule-cpu-low-action", "down", ("down",), "What the low CPU rule does.", consumer=AUTOSCALER),
        _integer(
            "scale-rule-queue-depth",
            None,
            1,
            1_000_000,
            "entries",
            "Queue length above which an instance is added, or with the action down below which one is taken away; unset: no such rule. "
            "botserver publishes no queue length: gb_autoscale_sources says where the metric queue-depth is read.",
            example="100",
            consumer=AUTOSCALER,
            switch="scale-enabled",
        ),
        _choice(
            "scale-rule-queue-action", None, ("up", "down"), "What the queue depth rule does.", consumer=AUTOSCALER, switch="scale-enabled"
        ),
    ),
)

_LIMIT = "rate-limit-enabled"
# Limits of single endpoints: these three, and any other name with a path in gb_rate_limit_paths.
ENDPOINT = "rate-limit-api-"


def _endpoint(name: str, default: int | None, text: str, **more: t.Any) -> Key:
    return _integer(ENDPOINT + name, default, 1, 1_000_000, "requests per window", text, consumer=CADDY_LIMITS, switch=_LIMIT, **more)


_RATE_LIMIT = Family(
    "rate-limit-",
    "Rate limits",
    (
        _switch(_LIMIT, "Limits the requests of each client at Caddy; one too many is answered with 429.", consumer=CADDY_LIMITS),
        _integer(
            "rate-limit-requests",
            100,
            1,
            1_000_000,
            "requests per window",
            "Requests that a client has in one window. The window slides: it is the time before each request.",
            consumer=CADDY_LIMITS,
            switch=_LIMIT,
        ),
        _integer(
            "rate-limit-window", 60, 1, 86_400, "seconds", "Length of the window, for all limits.", consumer=CADDY_LIMITS, switch=_LIMIT
        ),
        _integer(
            "rate-limit-burst",
            20,
            0,
            1_000_000,
            "requests",
            "Requests that a client has in one window beyond the limit. They are borrowed from the window after it: two windows together "
            "never hold more than twice rate-limit-requests, and a larger burst counts as one of that size. Not for single endpoints.",
            consumer=CADDY_LIMITS,
            switch=_LIMIT,
        ),
        _choice(
            "rate-limit-by",
            "ip",
            ("ip", "user", "tenant", "session", "token"),
            "What tells clients apart; gb_rate_limit_keys says where each is taken from. A request without it counts for its address.",
            consumer=CADDY_LIMITS,
            switch=_LIMIT,
        ),
        _endpoint("chat", 30, "Limit of the chat API and of opening websockets."),
        _endpoint("files", 50, "Limit of the files API."),
        _endpoint("auth", 10, "Limit of the sign-in API."),
    ),
)

_SHARD = Family(
    "shard-",
    "Database shards",
    (
        _choice("shard-strategy", None, ("tenant", "hash", "range", "geo"), "How data is spread over shards; unset: not at all."),
        Key("shard-tenant-db-prefix", "identifier", "Begins the name of each tenant's database.", "gb_tenant_"),
        _switch("shard-auto-create", "Creates the database of a new tenant. Off by default."),
        _integer("shard-count", 1, 1, 1_024, "shards", "Shards of the hash strategy.", example="4"),
        Key("shard-key", "identifier", "Column whose value names the shard.", "user_id"),
        _choice("shard-algorithm", "modulo", ("modulo", "consistent-hash"), "How the hash strategy goes from key to shard."),
        Key(
            "shard-ranges",
            "ranges",
            "Shard of each range of keys; the last range is open and nothing is left out between them.",
            example="0-999999:shard1,1000000-1999999:shard2,2000000-:shard3",
        ),
        Key("shard-geo-us", "host", "Shard of the United States.", example="us.shard.example.org"),
        Key("shard-geo-eu", "host", "Shard of Europe.", example="eu.shard.example.org"),
        Key("shard-geo-asia", "host", "Shard of Asia.", example="asia.shard.example.org"),
        Key("shard-default", "host", "Shard of everybody whose region is not listed.", example="us.shard.example.org"),
    ),
)

_QDRANT = Family(
    "qdrant-",
    "Vector database",
    (
        _integer("qdrant-shard-count", 1, 1, 1_024, "shards", "Shards of a collection."),
        _integer("qdrant-replication-factor", 1, 1, 100, "replicas", "Copies of each shard."),
        Key(
            "qdrant-write-consistency",
            "consistency",
            "Copies that must have a write before it counts.",
            1,
            "replicas",
            minimum=1,
            maximum=100,
            choices=("majority",),
        ),
    ),
)

_CACHE = Family(
    "cache-",
    "Cache",
    (
        _choice("cache-mode", "single", ("single", "sentinel", "cluster"), "One server, a watched pair or more, or a Redis Cluster."),
        Key("cache-nodes", "nodes", "Servers of the cache.", example="10.0.0.41:6379,10.0.0.42:6379,10.0.0.43:6379"),
        _integer("cache-replicas", 0, 0, 5, "replicas", "Replicas of each master."),
        Key("cache-sentinel-master", "identifier", "Name under which the sentinels watch the master.", "mymaster"),
        Key("cache-sentinel-nodes", "nodes", "The sentinels.", example="10.0.0.51:26379,10.0.0.52:26379,10.0.0.53:26379"),
    ),
)

_HEALTH = Family(
    "health-",
    "Health checks",
    (
        _switch(
            "health-enabled",
            "Caddy asks every slot whether it is healthy and sends nothing to one that is not.",
            True,
            consumer=CADDY_HEALTH,
        ),
        Key(
            "health-endpoint",
            "path",
            "Path that is asked. botserver itself ignores a value that begins with a slash; Caddy does not.",
            "/api/health",
            consumer=CADDY_HEALTH,
        ),
        _integer("health-interval", 10, 1, 3_600, "seconds", "Time from one check to the next.", consumer=CADDY_HEALTH),
        _integer("health-timeout", 5, 1, 600, "seconds", "An answer that takes longer counts as a failure.", consumer=CADDY_HEALTH),
        _integer("health-retries", 3, 1, 100, "checks", "Failures since a slot came in that take it out.", consumer=CADDY_HEALTH),
    ),
)

_BREAKER = "circuit-breaker-enabled"
_CIRCUIT_BREAKER = Family(
    "circuit-breaker-",
    "Circuit breaker",
    (
        _switch(
            _BREAKER,
            "Leaves out an instance whose requests keep failing, between two health checks too. A failure is no connection, no answer in "
            "time, or a status of 500 to 599; Caddy also counts an upload that its visitor breaks off.",
            consumer=CADDY_BREAKER,
        ),
        _integer(
            "circuit-breaker-threshold",
            5,
            1,
            1_000,
            "failures",
            "Failures within circuit-breaker-timeout that open the breaker of an instance.",
            consumer=CADDY_BREAKER,
            switch=_BREAKER,
        ),
        _integer(
            "circuit-breaker-timeout",
            30,
            1,
            3_600,
            "seconds",
            "Time after which a failure is forgotten. The breaker closes when the first of the failures that opened it is.",
            consumer=CADDY_BREAKER,
            switch=_BREAKER,
        ),
        _integer(
            "circuit-breaker-half-open-requests",
            3,
            1,
            1_000,
            "requests",
            "Taken, but Caddy cannot count trial requests: when the breaker closes, one more failure opens it again at once, and until "
            "then requests come in full. An instance that must get none is taken out at its health gate.",
            consumer=CADDY_BREAKER,
            switch=_BREAKER,
        ),
    ),
)

_FALLBACK = Family(
    "fallback-",
    "Fallbacks",
    (
        _switch("fallback-llm-enabled", "Asks a second language model when the first fails. Off by default."),
        Key("fallback-llm-provider", "text", "Provider of the second model.", "local", switch="fallback-llm-enabled"),
        Key(
            "fallback-llm-model",
            "text",
            "Name of the second model.",
            example="DeepSeek-R1-Distill-Qwen-1.5B",
            switch="fallback-llm-enabled",
        ),
        _switch("fallback-cache-enabled", "Goes on without the cache when it fails. Off by default."),
        _choice("fallback-cache-mode", "memory", ("memory",), "What stands in for the cache.", switch="fallback-cache-enabled"),
        _switch("fallback-vectordb-enabled", "Goes on without the vector database when it fails. Off by default."),
        _choice(
            "fallback-vectordb-mode",
            "keyword-search",
            ("keyword-search",),
            "What stands in for the vector database.",
            switch="fallback-vectordb-enabled",
        ),
    ),
)

_METRICS_ON = "metrics-scaling-enabled"
_METRICS = Family(
    "metrics-",
    "Metrics",
    (
        _switch(_METRICS_ON, "Each tick of the autoscaler writes its metrics for Prometheus' node exporter.", True, consumer=TEXTFILE),
        _switch("metrics-container-count", "Publishes the size of the fleet and its bounds.", True, consumer=TEXTFILE, switch=_METRICS_ON),
        _switch("metrics-scaling-events", "Publishes the changes of the fleet.", True, consumer=TEXTFILE, switch=_METRICS_ON),
        _switch("metrics-load-distribution", "Publishes the load of each instance.", True, consumer=TEXTFILE, switch=_METRICS_ON),
    ),
)

FAMILIES: tuple[Family, ...] = (_SCALE, _RATE_LIMIT, _SHARD, _QDRANT, _CACHE, _HEALTH, _CIRCUIT_BREAKER, _FALLBACK, _METRICS)
KEYS: dict[str, Key] = {key.name: key for family in FAMILIES for key in family.keys}
PREFIXES: tuple[str, ...] = tuple(family.prefix for family in FAMILIES)

_RULE = "scale-rule-"


@dataclasses.dataclass(frozen=True)
class Named:
    """Keys of which there may be any number: between ``prefix`` and ``suffix`` stands a name that the user gives."""

    prefix: str
    key: Key
    suffix: str = ""

    def fits(self, name: str) -> bool:
        """Whether a key is one of these."""
        if not (name.startswith(self.prefix) and name.endswith(self.suffix)):
            return False
        return _NAME.fullmatch(name[len(self.prefix) : len(name) - len(self.suffix)]) is not None


_NAME = re.compile(r"(?=.{1,40}\Z)[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
#: asked in order
NAMED: tuple[Named, ...] = (
    Named(ENDPOINT, _endpoint("<name>", None, "Limit of another endpoint, whose paths gb_rate_limit_paths lists.", example="20")),
    Named(
        _RULE,
        _choice(
            "scale-rule-<name>-action",
            None,
            ("up", "down"),
            "What the rule of that name does.",
            consumer=AUTOSCALER,
            switch="scale-enabled",
        ),
        "-action",
    ),
    Named(
        _RULE,
        Key(
            "scale-rule-<name>",
            "number",
            "Another rule. Its name is a metric: cpu, memory, requests, in-flight, response-time or one that gb_autoscale_sources "
            "names, and may end in -low or -high. Above it with the action up an instance is added, below it with the action down "
            "one is taken away.",
            maximum=1_000_000_000,
            example="0.5",
            consumer=AUTOSCALER,
            switch="scale-enabled",
        ),
    ),
)


def find(name: str) -> Key | None:
    """The key of that name, also one that the user named; None if there is none."""
    return KEYS.get(name) or next((dataclasses.replace(one.key, name=name) for one in NAMED if one.fits(name)), None)


def get(name: str) -> Key:
    """The key of that name, which somebody found before.

    :raises KeyError: there is none
    """
    key = find(name)
    if key is None:
        raise KeyError(name)
    return key

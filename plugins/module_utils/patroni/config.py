# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's dynamic configuration: comparing it as Patroni reads it, the smallest change, and what must not stand in it. Pure."""

from __future__ import annotations

import copy
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Json

Mapping = t.Mapping[str, t.Any]

TIMERS: t.Mapping[str, int] = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}
#: least values from Patroni 3.2 on, which takes these where less is written, and only says so in its log
LEAST: t.Mapping[str, int] = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
ENFORCED_FROM = (3, 2)
_SIZES = {"kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
_RENAMED = {"master_start_timeout": "primary_start_timeout", "master_stop_timeout": "primary_stop_timeout"}

#: parameters that Patroni sets itself; it drops them from the configuration without a word
RESERVED = frozenset([
    "cluster_name", "config_file", "data_directory", "external_pid_file", "hot_standby", "listen_addresses", "port",
    "primary_conninfo", "primary_slot_name", "promote_trigger_file", "recovery_target", "recovery_target_action",
    "recovery_target_inclusive", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_timeline",
    "recovery_target_xid", "standby_mode", "wal_log_hints",
])  # fmt: skip
#: parameters with a least value, below which Patroni takes its own default without a word
SMALLEST: t.Mapping[str, int] = {
    "max_connections": 25, "max_wal_senders": 3, "max_prepared_transactions": 0, "max_locks_per_transaction": 32,
    "max_replication_slots": 4, "max_worker_processes": 2,
}  # fmt: skip
#: parameters that a standby must not have smaller than the primary had
PRIMARY_FIRST_DOWN = frozenset(
    ["max_connections", "max_prepared_transactions", "max_locks_per_transaction", "max_wal_senders", "max_worker_processes"]
)
#: parameters that only count after a restart of PostgreSQL (context postmaster in pg_settings)
NEED_RESTART = PRIMARY_FIRST_DOWN | frozenset([
    "archive_mode", "autovacuum_freeze_max_age", "autovacuum_max_workers", "autovacuum_multixact_freeze_max_age", "bonjour",
    "bonjour_name", "dynamic_shared_memory_type", "event_source", "hba_file", "huge_page_size", "huge_pages", "ident_file",
    "ignore_invalid_pages", "jit_provider", "logging_collector", "max_files_per_process", "max_logical_replication_workers",
    "max_pred_locks_per_transaction", "max_replication_slots", "min_dynamic_shared_memory", "old_snapshot_threshold",
    "shared_buffers", "shared_memory_type", "shared_preload_libraries", "superuser_reserved_connections", "track_activity_query_size",
    "track_commit_timestamp", "unix_socket_directories", "unix_socket_group", "unix_socket_permissions", "wal_buffers",
    "wal_decode_buffer_size", "wal_level",
])  # fmt: skip
#: what Patroni starts PostgreSQL with where the configuration says nothing (CMDLINE_OPTIONS in patroni/postgresql/config.py), and what
#: PostgreSQL itself takes for the others, where that depends on neither version nor machine
DEFAULTS: Mapping = {
    "max_connections": 100, "max_wal_senders": 10, "max_prepared_transactions": 0, "max_locks_per_transaction": 64,
    "max_replication_slots": 10, "max_worker_processes": 8, "track_commit_timestamp": "off", "wal_level": "replica",
    "archive_mode": "off", "autovacuum_max_workers": 3, "bonjour": "off", "huge_pages": "try", "ignore_invalid_pages": "off",
    "logging_collector": "off", "max_files_per_process": 1000, "max_logical_replication_workers": 4,
    "max_pred_locks_per_transaction": 64, "shared_preload_libraries": "",
    "superuser_reserved_connections": 3, "track_activity_query_size": 1024,
}  # fmt: skip
PARAMETERS = ("postgresql", "parameters")


def modern(config: Mapping) -> Json:
    """The configuration under the names of Patroni 3 and later."""
    return {_RENAMED.get(name, name): value for name, value in config.items()}


def minimal_patch(wanted: Mapping, running: Mapping, *, replace: bool = False) -> Json:
    """The smallest JSON for C(PATCH /config) that makes ``running`` hold ``wanted``; {} if it does.

    Null removes a key. With ``replace`` whatever is not wanted is removed as well, the pause excepted.
    """
    patch: Json = {}
    for name, value in wanted.items():
        there = running.get(name)
        if isinstance(value, dict) and isinstance(there, dict):
            inner = minimal_patch(value, there, replace=replace)
            if inner:
                patch[name] = inner
        elif canonical(value) != canonical(there):
            patch[name] = without_nulls(value)
    if replace:
        patch.update({name: None for name in running if name not in wanted and name != "pause"})
    return patch


def merged(running: Mapping, patch: Mapping) -> Json:
    """The configuration after a PATCH, as Patroni merges it."""
    after = copy.deepcopy(dict(running))
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            there = after.get(name)
            after[name] = merged(there if isinstance(there, dict) else {}, value)
        else:
            after[name] = value
    return after


def canonical(value: t.Any) -> t.Any:
    """A value as PostgreSQL and Patroni read it: C("100") is 100, C("on") is true, C(1GB) is C(1024MB), null and {} are absent."""
    if isinstance(value, dict):
        inner = {name: canonical(part) for name, part in value.items()}
        return {name: part for name, part in inner.items() if part is not None} or None
    if isinstance(value, (list, tuple)):
        return [canonical(part) for part in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return ("number", float(value))
    return _canonical_text(str(value))


def _canonical_text(text: str) -> t.Any:
    stripped = text.strip()
    if stripped.lower() in _WORDS:
        return _WORDS[stripped.lower()]
    found = re.fullmatch(r"([-+]?\d+(?:\.\d+)?)\s*([A-Za-z]*)", stripped)
    if not found:
        return text
    number, unit = float(found.group(1)), found.group(2)
    if not unit:
        return ("number", number)
    if unit.lower() in _SIZES:
        return ("bytes", number * _SIZES[unit.lower()])
    return ("seconds", round(number * _TIMES[unit], 9)) if unit in _TIMES else text


def without_nulls(value: t.Any) -> t.Any:
    """A copy in which mappings have no null: where there is nothing yet, there is nothing to remove."""
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return value


def paths(patch: Mapping, prefix: str = "") -> list[str]:
    """The keys that a patch changes, dotted."""
    found: list[str] = []
    for name, value in patch.items():
        found += paths(value, f"{prefix}{name}.") if isinstance(value, dict) and value else [f"{prefix}{name}"]
    return sorted(found)


def changed_parameters(patch: Mapping, running: Mapping) -> dict[str, tuple[t.Any, t.Any]]:
    """Parameters of PostgreSQL that a patch changes, with the value before and after; the default as far as known where there is none."""
    change = (patch.get("postgresql") or {}).get("parameters") or {}
    before = (running.get("postgresql") or {}).get("parameters") or {}
    pairs = {name: (_or_default(name, before.get(name)), _or_default(name, value)) for name, value in change.items()}
    return {name: (old, new) for name, (old, new) in pairs.items() if canonical(old) != canonical(new)}


def _or_default(name: str, value: t.Any) -> t.Any:
    return DEFAULTS.get(name) if value is None else value


def leftover(wanted: Mapping, running: Mapping) -> list[str]:
    """Parameters of PostgreSQL that are set and that ``wanted`` does not name, by name; none where it names no parameters at all."""
    named = (wanted.get("postgresql") or {}).get("parameters") or {}
    there = (running.get("postgresql") or {}).get("parameters") or {}
    known = {name.lower() for name in named}
    return sorted(name for name, value in there.items() if named and value is not None and name.lower() not in known)


def lowers(changes: t.Mapping[str, tuple[t.Any, t.Any]]) -> bool:
    """Whether a parameter that standbys must not have smaller than the primary becomes smaller."""
    pairs = ((canonical(old), canonical(new)) for name, (old, new) in changes.items() if name in PRIMARY_FIRST_DOWN)
    return any(isinstance(old, tuple) and isinstance(new, tuple) and new[1] < old[1] for old, new in pairs)


def check(wanted: Mapping, after: Mapping, newest: tuple[int, ...], members: int) -> None:
    """Refuse a configuration that cannot do what it says.

    :param wanted: what was asked for
    :param after: the whole configuration as it would be
    :param newest: the newest Patroni among the members, () if unknown
    :param members: how many members there are
    :raises InvalidInput: with the key, its value, the rule and the remedy
    """
    check_timers(after, newest)
    _check_parameters((wanted.get("postgresql") or {}).get("parameters") or {}, after)
    _check_synchronous(after, newest, members)


def check_timers(config: Mapping, newest: tuple[int, ...] = ()) -> None:
    """Refuse timers that break Patroni's rule, or that the newest member would not take.

    :raises InvalidInput: with the three of them
    """
    given = {name: _whole(name, config.get(name, default)) for name, default in TIMERS.items()}
    said = ", ".join(f"{name} {value}" for name, value in given.items())
    if newest >= ENFORCED_FROM:
        for name, least in LEAST.items():
            if given[name] < least:
                raise InvalidInput(
                    f"Patroni {'.'.join(map(str, newest))} takes no {name} below {least} (here: {said}); it would go on with {least} and "
                    f"say so in its log only. Set {name} to {least} or more; nothing was changed."
                )
    if given["loop_wait"] + 2 * given["retry_timeout"] > given["ttl"]:
        needed = given["loop_wait"] + 2 * given["retry_timeout"]
        raise InvalidInput(
            f"The timers break Patroni's rule loop_wait + 2 * retry_timeout <= ttl ({said}, so {needed} > {given['ttl']}): a primary could "
            f"lose its lease while it still tries to renew it. Set ttl to {needed} or more, or lower the others; nothing was changed."
        )


def _whole(name: str, value: t.Any) -> int:
    read = canonical(value)
    if not isinstance(read, tuple) or read[0] != "number" or read[1] != int(read[1]) or read[1] < 1:
        raise InvalidInput(f"{name} is {value!r}; it must be a whole number of seconds, at least 1. Nothing was changed.")
    return int(read[1])


def _check_parameters(parameters: Mapping, after: Mapping) -> None:
    reserved = set(RESERVED)
    if canonical(after.get("synchronous_mode")):
        reserved.add("synchronous_standby_names")
    taken = sorted(name for name, value in parameters.items() if name.lower() in reserved and value is not None)
    if taken:
        raise InvalidInput(
            f"postgresql.parameters sets {', '.join(taken)}, which Patroni sets itself; it would drop what is written there without a "
            "word. Take it out; nothing was changed."
        )
    for name, least in SMALLEST.items():
        value = canonical(parameters.get(name))
        if value is not None and (not isinstance(value, tuple) or value[1] < least):
            raise InvalidInput(
                f"postgresql.parameters.{name} is {parameters[name]!r}; Patroni takes whole numbers from {least} on, and its own default "
                "instead of anything else, without a word. Correct it; nothing was changed."
            )


def _check_synchronous(after: Mapping, newest: tuple[int, ...], members: int) -> None:
    mode = canonical(after.get("synchronous_mode"))
    if mode == "quorum" and newest and newest < (4,):
        raise InvalidInput(
            f"synchronous_mode is quorum, which Patroni has from 4.0 on; a member runs {'.'.join(map(str, newest))}. Set it to true."
        )
    if mode and canonical(after.get("synchronous_mode_strict")) and members < 2:
        raise InvalidInput(
            "synchronous_mode_strict with a single member is a database that nobody can write to: every commit would wait for a standby. "
            "Add a member first, or leave it off; nothing was changed."
        )

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of an instance: how they are written for LXD, what is valid, and which one a refusal is about."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    InvalidInput,
)

MEMORY_KEY = "limits.memory"
LIMIT_OPTIONS: t.Mapping[str, t.Any] = {
    "cpu": {"type": "str"},
    "cpu_allowance": {"type": "str"},
    "memory": {"type": "str"},
    "disk_priority": {"type": "int"},
    "ingress": {"type": "str"},
    "egress": {"type": "str"},
}

#: option → (key, whether the key belongs to the network card, pattern, what is allowed in words)
_RULES: t.Mapping[str, tuple[str, bool, re.Pattern[str], str]] = {
    "cpu": (
        "limits.cpu",
        False,
        re.compile(r"[1-9]\d*|(?=.*[-,])\d+(-\d+)?(,\d+(-\d+)?)*", re.ASCII),
        "a number of cores such as 2, or a set such as 0-3 or 0-1,4",
    ),
    "cpu_allowance": (
        "limits.cpu.allowance",
        False,
        re.compile(r"([1-9]\d?|100)%|[1-9]\d*ms/[1-9]\d*ms", re.ASCII),
        "a share such as 50% or a slice of time such as 25ms/100ms",
    ),
    "memory": (MEMORY_KEY, False, re.compile(r"[1-9]\d*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB|%)", re.ASCII), "a size such as 512MiB or 2GiB"),
    "disk_priority": ("limits.disk.priority", False, re.compile(r"[0-9]|10", re.ASCII), "a number from 0 to 10"),
    "ingress": ("limits.ingress", True, re.compile(r"[1-9]\d*(bit|kbit|Mbit|Gbit|Tbit)", re.ASCII), "a rate such as 100Mbit"),
    "egress": ("limits.egress", True, re.compile(r"[1-9]\d*(bit|kbit|Mbit|Gbit|Tbit)", re.ASCII), "a rate such as 100Mbit"),
}

#: what a host that cannot apply a limit says; LXD names the tc filter by the direction that the host sees
_REFUSALS: t.Sequence[tuple[str, re.Pattern[str]]] = (
    ("limits.disk.priority", re.compile(r"limits\.disk\.priority|blkio\.weight")),
    ("limits.egress", re.compile(r"ingress (tc|qdisc)|tc filter.*police|police rate", re.IGNORECASE)),
    ("limits.ingress", re.compile(r"root tc|htb|limits\.ingress", re.IGNORECASE)),
)

_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def limits_config(limits: t.Mapping[str, t.Any] | None) -> tuple[dict[str, str], dict[str, str]]:
    """Limits as the user gives them → (instance config, additions to the network card).

    :raises InvalidInput: all values that are wrong, each with its rule
    """
    config: dict[str, str] = {}
    card: dict[str, str] = {}
    wrong: list[str] = []
    for option, (key, on_card, pattern, allowed) in _RULES.items():
        value = (limits or {}).get(option)
        if value is None or value == "":
            continue
        if not pattern.fullmatch(str(value)) or (option == "cpu" and not _core_count(str(value))):
            wrong.append(f"limits.{option} is {value!r}; it must be {allowed}")
        (card if on_card else config)[key] = str(value)
    if wrong:
        raise InvalidInput("; ".join(wrong) + ".")
    return config, card


def limits_wanted(limits: t.Mapping[str, t.Any] | None) -> tuple[dict[str, str | None], dict[str, str]]:
    """As :func:`limits_config`, with the keys of the instance that shall have no limit as None; of no limits at all nothing is said.

    A network card is always wanted as a whole, and needs no such words.
    """
    config, card = limits_config(limits)
    unlimited = () if limits is None else (key for key, on_card, _pattern, _allowed in _RULES.values() if not on_card)
    return {**dict.fromkeys(unlimited), **config}, card


def refused_limit(reason: str) -> str | None:
    """The limit that a refusal of LXD is about, or None if it is about something else."""
    return next((limit for limit, pattern in _REFUSALS if pattern.search(reason)), None)


def cores(config: t.Mapping[str, str], host_cores: int | None) -> float | None:
    """How many cores an instance may use: the smaller of its cores and its slice of time; the host's if neither is set.

    A percentage as allowance is a weight among neighbours and no limit.
    """
    count = _core_count(config.get("limits.cpu", "")) or host_cores
    slice_ = re.fullmatch(r"(\d+)ms/(\d+)ms", config.get("limits.cpu.allowance", ""))
    allowance = int(slice_[1]) / int(slice_[2]) if slice_ else None
    known = [value for value in (count, allowance) if value is not None]
    return min(float(value) for value in known) if known else None


def _core_count(value: str) -> int | None:
    if not value:
        return None
    if value.isdigit():
        return int(value)
    spans = (part.partition("-") for part in value.split(","))
    counts = [int(last or first) - int(first) + 1 for first, _dash, last in spans]
    return sum(counts) if min(counts) > 0 else None


def size_bytes(value: str) -> int | None:
    """A size such as ``512MiB`` in bytes; None for a percentage or anything else."""
    match = re.fullmatch(r"(\d+)([A-Za-z]+)", value)
    return int(match[1]) * _SIZES[match[2]] if match and match[2] in _SIZES else None


def less_memory(one: str, other: str) -> bool:
    """Whether a limit of memory is smaller than another one; False for a size beside a share of the host's, which cannot be compared."""
    if one.endswith("%") and other.endswith("%"):
        return int(one[:-1]) < int(other[:-1])
    sizes = size_bytes(one), size_bytes(other)
    return sizes[0] is not None and sizes[1] is not None and sizes[0] < sizes[1]

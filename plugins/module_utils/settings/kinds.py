# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of values: text of config.csv to typed value and back, and how a kind is put into words."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import Key, Value

# Eighteen digits stay below 2^63, the largest key that PostgreSQL's BIGINT holds.
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,18})\s*-\s*([0-9]{0,18})\s*:\s*([A-Za-z0-9][A-Za-z0-9._-]{0,62})", re.ASCII)
_NAME = r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_NODE = re.compile(r"(?:\[[0-9A-Fa-f:]{2,39}\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::([0-9]{1,5}))?", re.ASCII)

# Pattern and words of the kinds that are one word. None allows a quote or a "#": both are common slips in this file.
_WORDS: dict[str, tuple[str, str]] = {
    "identifier": (r"[a-z_][a-z0-9_]{0,47}", "a name of at most 48 small letters, digits and underscores, no digit first"),
    "host": (_NAME, "a host name or an address, without port"),
    "path": (r"/(?!/)[A-Za-z0-9._~!$&()*+,;=:@%/?-]{0,255}", "a URL path that begins with one slash, at most 256 characters"),
    "text": (r"[A-Za-z0-9](?:[A-Za-z0-9._:/@+ -]{0,198}[A-Za-z0-9])?", "plain text of at most 200 letters, digits, blanks and ._:/@+-"),
}
# How people write what should stand bare: with a comment behind it, a unit, commas between thousands, or another word for a truth.
_COMMENT = re.compile(r"\s+#.*")
_QUANTITY = re.compile(r"([0-9]+)\s*([a-z%]+)", re.ASCII)
_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+", re.ASCII)
_UNITS = {
    "seconds": {
        **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
        **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
        **dict.fromkeys(("h", "hour", "hours"), 3600),
    },
    "%": {"%": 1, "percent": 1},
}
_TRUTHS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
# What botserver's own reader takes for "not set".
_UNSET = frozenset({"", "none", "null", "n/a"})


class BadValue(Exception):
    """The text is no value of this key; the message is the rule that it breaks."""


def is_unset(text: str) -> bool:
    """Whether a value counts as not set at all: empty, ``none``, ``null`` or ``n/a``."""
    return text.lower() in _UNSET


def allowed(key: Key) -> str:
    """What the key accepts, in words that follow "must be"."""
    if key.kind in _WORDS:
        return _WORDS[key.kind][1]
    choices = " or ".join(key.choices)
    number = f"a whole number from {key.minimum} to {key.maximum}"
    return {
        "boolean": "true or false",
        "integer": number,
        "number": f"a number from {key.minimum} to {key.maximum}, with a point before decimals",
        "choice": choices if len(key.choices) < 3 else "one of " + ", ".join(key.choices),
        "consistency": f"{choices} or {number}",
        "nodes": "a list of host or host:port with commas between, none twice",
        "ranges": "a list of first-last:shard with commas between, where the last range may end open (first-:shard)",
    }[key.kind]


def example(key: Key) -> str:
    """A text that the key accepts."""
    return key.example or render(key.default) or key.choices[0]


def read(key: Key, text: str) -> Value:
    """Turn the trimmed text of a value into its type; None where it says "not set".

    Raises BadValue with the rule that the text breaks.
    """
    if is_unset(text):
        return None
    if key.kind in _WORDS:
        return _word(key, text)
    return _READERS[key.kind](key, text)


def meant(key: Key, text: str) -> str | None:
    """What a text that the key does not accept was likely meant to be, as it should be written; None where nobody can tell."""
    bare = _COMMENT.sub("", text).strip("\"' ")
    return next((guess for guess in _guesses(key, bare) if _is_value(key, guess)), None)


def _guesses(key: Key, bare: str) -> t.Iterator[str]:
    small = bare.lower()
    if key.kind == "boolean":
        yield _TRUTHS.get(small, small)
    yield bare
    yield small
    if _THOUSANDS.fullmatch(bare):
        yield bare.replace(",", "")
    quantity = _QUANTITY.fullmatch(small)
    factor = _UNITS.get(key.unit, {}).get(quantity[2]) if quantity else None
    if quantity and factor:
        yield str(int(quantity[1]) * factor)


def _is_value(key: Key, text: str) -> bool:
    try:
        return read(key, text) is not None
    except BadValue:
        return False


def render(value: Value) -> str:
    """The text of a typed value, such that reading it gives the value back; "" for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_range_text(item) if isinstance(item, dict) else item for item in value)
    # Never 1e-06: the file holds plain digits.
    return f"{value:.6f}".rstrip("0").removesuffix(".") + (".0" if value == int(value) else "") if isinstance(value, float) else str(value)


def _broken(key: Key) -> BadValue:
    return BadValue(f"must be {allowed(key)}")


def _word(key: Key, text: str) -> str:
    if not re.fullmatch(_WORDS[key.kind][0], text, re.ASCII):
        raise _broken(key)
    return text


def _boolean(key: Key, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _broken(key)
    return text.lower() == "true"


def _integer(key: Key, text: str) -> int:
    if not _NUMBER.fullmatch(text) or not key.minimum <= int(text) <= key.maximum:
        raise _broken(key)
    return int(text)


def _number(key: Key, text: str) -> int | float:
    match = _DECIMAL.fullmatch(text)
    value: int | float = -1 if match is None else float(text) if match[1] else int(text)
    if not key.minimum <= value <= key.maximum:
        raise _broken(key)
    return value


def _choice(key: Key, text: str) -> str:
    if text not in key.choices:
        raise _broken(key)
    return text


def _consistency(key: Key, text: str) -> int | str:
    return text if text in key.choices else _integer(key, text)


def _nodes(key: Key, text: str) -> list[str]:
    nodes = [node.strip() for node in text.split(",")]
    for node in nodes:
        match = _NODE.fullmatch(node)
        if not match or (match[1] and not 1 <= int(match[1]) <= 65535):
            raise BadValue(f"{_broken(key)}; {node!r} is not a node")
    if len(set(nodes)) < len(nodes):
        raise BadValue(f"{_broken(key)}; a node stands in it twice")
    return nodes


def _ranges(key: Key, text: str) -> list[dict[str, t.Any]]:
    ranges: list[dict[str, t.Any]] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if not match:
            raise BadValue(f"{_broken(key)}; {part.strip()!r} is not a range")
        first, last = int(match[1]), int(match[2]) if match[2] else None
        if last is not None and last < first:
            raise BadValue(f"{_broken(key)}; {part.strip()!r} ends before it begins")
        ranges.append({"first": first, "last": last, "shard": match[3]})
    return ranges


def _range_text(item: dict[str, t.Any]) -> str:
    return f"{item['first']}-{'' if item['last'] is None else item['last']}:{item['shard']}"


_READERS: dict[str, t.Callable[[Key, str], Value]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "choice": _choice,
    "consistency": _consistency,
    "nodes": _nodes,
    "ranges": _ranges,
}

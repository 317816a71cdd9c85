# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of config.csv, read the way botserver reads them (sync_bot_config in its drive monitor)."""

from __future__ import annotations

import dataclasses

BOM = "\ufeff"
# Unicode's White_Space, which botserver trims by. Python's own strip() also takes the separators U+001C to U+001F.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One key with its value as written, both trimmed. ``line`` counts from 1."""

    line: int
    key: str
    value: str


@dataclasses.dataclass(frozen=True)
class Parsed:
    """``entries`` in the order of the file; ``loose`` are lines without a comma, which botserver passes over."""

    entries: list[Entry]
    loose: list[Entry]
    has_bom: bool


def parse(text: str) -> Parsed:
    """Split a config.csv into its entries. Never fails: what is no entry is passed over or reported as loose."""
    entries: list[Entry] = []
    loose: list[Entry] = []
    # Only LF ends a line (CR before it is trimmed); str.splitlines() would split at a dozen other characters.
    for number, raw in enumerate(text.removeprefix(BOM).split("\n"), start=1):
        line = raw.strip(WHITE_SPACE)
        if not line or line.startswith("#") or line.lower().startswith("key,"):
            continue
        key, comma, value = (part.strip(WHITE_SPACE) for part in line.partition(","))
        if not comma:
            loose.append(Entry(number, key, ""))
        elif key and (key.lower(), value.lower()) != ("name", "value"):
            entries.append(Entry(number, key, value))
    return Parsed(entries, loose, text.startswith(BOM))


def is_writable(key: str, value: str) -> bool:
    """Whether a line of the file can hold this pair: that line, read again, gives the very same pair."""
    return [(entry.key, entry.value) for entry in parse(f"key,value\n{key},{value}\n").entries] == [(key, value)]

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

VAULT = "$ANSIBLE_VAULT"
DECRYPT = "Decrypt it with ansible-vault decrypt, and keep what is secret in it as vaulted values of gb_settings_overrides"


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


@dataclasses.dataclass(frozen=True)
class Damage:
    """Why a text is no config.csv: the line, what stands there, what is wrong with it, and what to do."""

    line: int
    value: str
    rule: str
    remedy: str


def damage(text: str) -> Damage | None:
    """What makes the lines of a text say nothing, or something else than its author sees; None of a config.csv.

    Without it such a file would be taken for one that sets nothing.
    """
    if text.removeprefix(BOM).startswith(VAULT):
        return Damage(1, VAULT, "is encrypted with ansible-vault, and nobody reads it so", DECRYPT)
    for number, line in enumerate(text.split("\n"), start=1):
        if "\0" in line:
            return Damage(number, "\0", "holds a NUL character, as a file in UTF-16 does", "Save the file as UTF-8 without byte order mark")
        if "\r" in line.rstrip("\r"):
            return Damage(
                number, "\r", "holds a carriage return, at which no line ends", "Save the file with the line ends of Unix or Windows"
            )
    return None


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
    text = f"key,value\n{key},{value}\n"
    return damage(text) is None and [(entry.key, entry.value) for entry in parse(text).entries] == [(key, value)]

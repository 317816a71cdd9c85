# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings back to the text of a config.csv that botserver and every other known reader understand alike."""

from __future__ import annotations

import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings import kinds
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import Settings
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.parser import is_writable
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS

# The only header that botserver passes over; it would store "name,value" as a key of its own.
HEADER = "key,value"


def write(settings: Settings) -> str:
    """The text of a config.csv that holds what was given: our keys in the order of the table, then the foreign ones.

    LF, no quotes, no blanks around the comma, each key once. Reading it back gives the same values and foreign keys.
    Raises InvalidInput for a key or value that no line can hold.
    """
    pairs = [(name, kinds.render(settings.values[name])) for name in _in_order(settings.given)]
    return "\n".join([HEADER, *(_line(key, value) for key, value in [*pairs, *settings.foreign.items()])]) + "\n"


def _in_order(given: t.Iterable[str]) -> list[str]:
    """Keys in the order of the table; those that the user named come last."""
    places = {name: place for place, name in enumerate(KEYS)}
    return sorted(given, key=lambda name: (places.get(name, len(places)), name))


def _line(key: str, value: str) -> str:
    if not is_writable(key, value):
        raise InvalidInput(
            f"The key {key!r} with the value {value!r} cannot be written to a config.csv: the line would be read as something else. "
            "Rename the key, and keep the value on one line without blanks around it.",
            key=key,
            value=value,
        )
    return f"{key},{value}"

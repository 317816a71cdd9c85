# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the text of config.csv and the overrides to typed settings, or to one error that tells everything wrong."""

from __future__ import annotations

import dataclasses
import difflib
import os
import pathlib
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings import kinds
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.parser import WHITE_SPACE, Entry, damage, is_writable, parse
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS, PREFIXES, Value, find, get
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.validate import Problem, broken_rules, refusal

OVERRIDES = "gb_settings_overrides"
# Hyphens and dashes of typography, which come with a key that is copied from a page; and what people write for a hyphen.
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_HYPHENS = re.compile(_DASHES.pattern + "|[_ ]")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of one deployment.

    ``values``: every key of ours, typed, defaults filled in, None where unset without default.
    ``given``: the keys of ours that are set, with their line in the file or the word "override".
    ``foreign``: keys that are not ours, as written.
    """

    values: dict[str, Value]
    given: dict[str, int | str]
    foreign: dict[str, str]

    @property
    def unconsumed(self) -> list[str]:
        """Keys that were given, ask for something, and that nothing acts on yet; sorted."""
        return sorted(name for name in self.given if get(name).consumer is None and self._asks(name))

    def _asks(self, name: str) -> bool:
        """Whether a given key wants an effect: it is not off, not under a switch that was turned off, not just the default."""
        key, value = get(name), self.values[name]
        if value is False:
            return False
        if key.switch:
            return not (key.switch in self.given and self.values[key.switch] is False)
        return value != key.default


def load(text: str, source: str, overrides: t.Mapping[str, t.Any] | None = None) -> Settings:
    """Read settings from the text of a config.csv and a mapping that wins over it.

    ``source`` is how errors name the file. ``overrides`` may be typed (bool, int, list) or text; None, like an empty text,
    takes a key of the file back to its default. Raises InvalidInput with every problem of both at once.
    """
    reading = _Reading(source)
    reading.file(text)
    reading.override(overrides or {})
    values = {name: key.default for name, key in KEYS.items()} | reading.values
    reading.combinations(values)
    if reading.problems:
        raise refusal(source, reading.problems)
    return Settings(values, reading.given, reading.foreign)


def load_file(path: str, overrides: t.Mapping[str, t.Any] | None = None) -> Settings:
    """Like ``load`` for a file on this machine. Raises InvalidInput too when it cannot be read or is not UTF-8."""
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as exc:
        raise InvalidInput(
            f"Settings cannot be read from {path}: {exc.strerror or exc}. "
            f"Let gb_config_csv name a config.csv that user id {os.geteuid()} may read.",
            path=path,
        ) from exc
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise InvalidInput(
            f"Settings cannot be read from {path}: line {line} is not UTF-8 (byte {exc.start}: {exc.reason}). "
            "Save the file as UTF-8 without byte order mark.",
            path=path,
            line=line,
        ) from exc
    return load(text, path, overrides)


class _Reading:
    """Collects values and problems while file and overrides are read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.values: dict[str, Value] = {}
        self.given: dict[str, int | str] = {}
        self.foreign: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.bad: set[str] = set()

    def file(self, text: str) -> None:
        if damaged := damage(text):
            self._problem(damaged.line, "(file)", damaged.value, damaged.rule, damaged.remedy)
            return
        parsed = parse(text)
        if parsed.has_bom:
            self._problem(
                1,
                "(file)",
                "\ufeff",
                "begins with a byte order mark, which botserver takes for a part of the first key",
                "Save the file as UTF-8 without byte order mark",
            )
        for entry in parsed.loose:
            if _is_claimed(entry.key):
                self._problem(entry.line, entry.key, "", "has no comma between key and value", f"Write {_with_comma(entry.key)}")
        seen: dict[str, tuple[int, Value]] = {}
        for entry in parsed.entries:
            if find(entry.key):
                self._known(entry, seen)
            elif _is_claimed(entry.key):
                self._unknown(entry.line, entry.key, entry.value)
            else:
                self.foreign[entry.key] = entry.value

    def override(self, overrides: t.Mapping[str, t.Any]) -> None:
        for key, value in overrides.items():
            text = _text(value)
            if text is None or not isinstance(key, str):
                self._problem(
                    None,
                    str(key),
                    repr(value) if isinstance(key, str) and find(key) else _kind(value),
                    "must be text, a number, true, false or a list of them under a text",
                    "Write the value as it would stand in config.csv",
                )
            elif known := find(key):
                self._overridden(known.name, text)
            elif _is_claimed(key):
                self._unknown(None, key, _kind(value))
            elif is_writable(key, text):
                self.foreign[str(key)] = text
            else:
                self._problem(
                    None,
                    key,
                    _kind(value),
                    "cannot stand in a line of config.csv",
                    "Use one line, without blanks around key and value, and no comma or leading # in the key",
                )

    def combinations(self, values: dict[str, Value]) -> None:
        for rule, wrong in broken_rules(values, self.bad):
            # Defaults break no rule, so one of its keys was given. The error stands where the last of them was: an override,
            # which came to a file that was sound without it, or else the lowest line.
            lines = {name: place if isinstance(place, int) else None for name, place in self.given.items() if name in rule.keys}
            name = max(lines, key=lambda name: (lines[name] is None, lines[name] or 0))
            self._problem(lines[name], name, kinds.render(values[name]), f"{rule.text}; {wrong}", rule.remedy)

    def _known(self, entry: Entry, seen: dict[str, tuple[int, Value]]) -> None:
        value = self._read(entry.line, entry.key, entry.value)
        if entry.key in self.bad:
            return
        line, earlier = seen.setdefault(entry.key, (entry.line, value))
        if earlier != value:
            self._problem(entry.line, entry.key, entry.value, f"stands in line {line} already, with another value", "Keep one of the lines")
        self._set(entry.key, value, entry.line)

    def _overridden(self, key: str, text: str) -> None:
        value = self._read(None, key, text)
        if key not in self.bad:
            self._set(key, value, "override")

    def _set(self, key: str, value: Value, place: int | str) -> None:
        self.values.pop(key, None)
        self.given.pop(key, None)
        if value is not None:
            self.values[key] = value
            self.given[key] = place

    def _read(self, line: int | None, name: str, text: str) -> Value:
        key = get(name)
        try:
            return kinds.read(key, text)
        except kinds.BadValue as exc:
            meant = kinds.meant(key, text)
            remedy = f"Write {name},{meant}" if meant else f"Give such a value, as in {name},{kinds.example(key)}"
            self._problem(line, name, text, str(exc), remedy)
            return None

    def _unknown(self, line: int | None, key: str, value: str) -> None:
        nearest = _nearest(key)
        rule = f"is not a known key; the nearest one is {nearest}" if nearest else "is not a known key"
        remedy = f"Write {nearest}, or take the key out" if nearest else "Take it out; docs/settings.md has those that there are"
        self._problem(line, key, value, rule, remedy)

    def _problem(self, line: int | None, key: str, value: str, rule: str, remedy: str) -> None:
        place = OVERRIDES if line is None else self.source
        self.problems.append(Problem(place, line, key, value, rule, remedy.removesuffix(".") + "."))
        self.bad.add(key)


def _spelled(key: str) -> str:
    """A key as it would be written here: small letters, plain hyphens, no quotes."""
    return _HYPHENS.sub("-", key.strip("\"'").lower())


def _is_claimed(key: str) -> bool:
    """Whether a key that we do not know was meant for us: our prefix, or a known key in another spelling."""
    return _DASHES.sub("-", key.lower()).startswith(PREFIXES) or _spelled(key) in KEYS


def _nearest(key: str) -> str | None:
    """The key of ours that is so much like this one that it may have been meant."""
    return next(iter(difflib.get_close_matches(_spelled(key), KEYS, n=1, cutoff=0.75)), None)


def _with_comma(line: str) -> str:
    """A line as it was meant, where something else than a comma stands between key and value."""
    key, _sign, value = next((parts for sign in ";\t= " if (parts := line.partition(sign))[1]), (line, "", ""))
    return f"{_nearest(key) or _spelled(key)},{value.strip() or 'value'}"


def _kind(value: t.Any) -> str:
    """What stands for a value under a key that is not ours: it may be a secret."""
    words: tuple[tuple[str, tuple[type, ...]], ...] = (
        ("true or false", (bool,)),
        ("text", (str,)),
        ("a number", (int, float)),
        ("a list", (list, tuple)),
        ("a mapping", (dict,)),
    )
    return f"({next((kind for kind, types in words if isinstance(value, types)), 'another type')})"


def _text(value: t.Any) -> str | None:
    """An override as it would stand in the file; None when it is of a type that cannot."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip(WHITE_SPACE)
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        parts = [_text(item) for item in value]
        return None if None in parts else ",".join(part for part in parts if part is not None)
    return None

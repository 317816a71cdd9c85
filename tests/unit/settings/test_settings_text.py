# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of config.csv, and settings written back."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings import kinds
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import Settings, load
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.parser import is_writable, parse
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS, PREFIXES, Key
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.writer import HEADER, write

MODEST = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a,b", [("a", "b")]),
        ("a,b,c", [("a", "b,c")]),
        ("  a\t,  b c \r\n", [("a", "b c")]),
        ("a,", [("a", "")]),
        ('a,"b,c"', [("a", '"b,c"')]),
        ("a,b # c", [("a", "b # c")]),
        ("a,#E91E63", [("a", "#E91E63")]),
        ("# a,b\n  # c,d", []),
        (",\n,value\n\n   \n", []),
        ("key,value\na,b\nKEY,Value", [("a", "b")]),
        ("Key,anything", []),
        ("key ,kept as botserver keeps it", [("key", "kept as botserver keeps it")]),
        ("name,value\na,b\nName , Value", [("a", "b")]),
        ("name,Bob", [("name", "Bob")]),
        ("a,1\na,2", [("a", "1"), ("a", "2")]),
        ("a,b\x0bc\x85d\u2028e", [("a", "b\x0bc\x85d\u2028e")]),
        ("\x1fa,b\x1f", [("\x1fa", "b\x1f")]),
        ("\u3000a\xa0,b", [("a", "b")]),
        ("no comma here", []),
    ],
)
def test_a_line_is_read_as_botserver_reads_it(text: str, pairs: list[tuple[str, str]]) -> None:
    assert [(entry.key, entry.value) for entry in parse(text).entries] == pairs


def test_entries_and_loose_lines_know_their_line() -> None:
    parsed = parse("# head\n\nloose\na,b\r\n")
    assert [(entry.line, entry.key) for entry in parsed.entries] == [(4, "a")]
    assert [(entry.line, entry.key) for entry in parsed.loose] == [(3, "loose")]
    assert not parsed.has_bom


def test_a_byte_order_mark_is_seen_and_kept_out_of_the_key() -> None:
    parsed = parse("\ufeffa,b")
    assert parsed.has_bom
    assert parsed.entries[0].key == "a"


@pytest.mark.parametrize(
    ("key", "value", "writable"),
    [
        ("a", "b,c", True), ("a", "", True), ("name", "Bob", True), ("a", "# x", True),
        ("a,b", "c", False), ("#a", "b", False), ("key", "b", False), ("name", "value", False), ("", "b", False),
        ("a", "b\nc", False), ("a", "b\rc", False), ("a", "b\0c", False), ("a", " b", False), (" a", "b", False),
    ],
)  # fmt: skip
def test_a_pair_is_writable_when_its_line_reads_the_same(key: str, value: str, writable: bool) -> None:
    assert is_writable(key, value) is writable


def test_written_text_is_plain() -> None:
    source = "name,value\n# c\nllm-url , http://x\nscale-enabled,TRUE\ncache-nodes,a:1, b:2\nshard-ranges,0-9:a, 10-:b\n"
    text = write(load(source, "config.csv"))
    assert text == "key,value\nscale-enabled,true\nshard-ranges,0-9:a,10-:b\ncache-nodes,a:1,b:2\nllm-url,http://x\n"
    assert text.startswith(HEADER)


def test_what_is_unset_is_not_written() -> None:
    assert write(load("scale-enabled,none\nscale-max-instances,", "config.csv")) == "key,value\n"


def test_a_key_that_reads_as_a_header_is_refused_by_the_writer() -> None:
    with pytest.raises(InvalidInput, match="'key' with the value 'x' cannot be written") as caught:
        write(load("key ,x", "config.csv"))
    assert caught.value.details == {"key": "key", "value": "x"}


_nodes = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}:[1-9][0-9]{0,3}", fullmatch=True), min_size=3, max_size=6, unique=True)


@st.composite
def _ranges(draw: st.DrawFn) -> list[dict[str, object]]:
    ends = sorted(draw(st.sets(st.integers(0, 10**15), max_size=4)))
    firsts = [0, *(end + 1 for end in ends)]
    lasts: list[int | None] = [*ends, None]
    return [{"first": first, "last": last, "shard": f"shard{n}"} for n, (first, last) in enumerate(zip(firsts, lasts, strict=True))]


def _valid(key: Key) -> st.SearchStrategy[t.Any]:
    """Values of one key."""
    if key.kind == "boolean":
        return st.booleans()
    if key.kind in ("integer", "consistency"):
        return st.one_of(st.integers(key.minimum, key.maximum), *(st.just(choice) for choice in key.choices))
    if key.kind == "choice":
        return st.sampled_from(key.choices)
    patterns = {
        "identifier": r"[a-z_][a-z0-9_]{0,9}",
        "host": r"[a-z0-9](\.[a-z0-9]){0,3}",
        "path": r"/([a-z%][a-z/?=%-]{0,9})?",
        "text": r"[a-z]{1,9}",
    }
    if key.kind in patterns:
        return st.from_regex(patterns[key.kind], fullmatch=True)
    return {"nodes": _nodes, "ranges": _ranges()}[key.kind]


@MODEST
@given(st.data())
def test_a_value_written_and_read_is_itself(data: st.DataObject) -> None:
    key = KEYS[data.draw(st.sampled_from(sorted(KEYS)))]
    value = data.draw(_valid(key))
    assume(not kinds.is_unset(kinds.render(value)))
    assert kinds.read(key, kinds.render(value)) == value


_foreign = st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4).map(
    lambda pairs: {key: value for key, value in pairs.items() if is_writable(key, value)}
)


@MODEST
@given(st.data(), _foreign)
def test_settings_written_and_read_are_themselves(data: st.DataObject, foreign: dict[str, str]) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(KEYS)), max_size=6))
    ours = {name: data.draw(_valid(KEYS[name]), label=name) for name in sorted(names)}
    try:
        before = load("", "config.csv", {**foreign, **{name: kinds.render(value) for name, value in ours.items()}})
    except InvalidInput:
        assume(False)
        raise
    _assert_same(before, load(write(before), "config.csv"))


_line = st.one_of(
    st.text(max_size=20),
    st.builds("{},{}".format, st.sampled_from([*KEYS, *PREFIXES, "name", "key", "llm-x", "#", "Scale_Enabled"]), st.text(max_size=12)),
    st.builds(
        "{},{}".format,
        st.sampled_from(sorted(KEYS)),
        st.sampled_from(["true", "FALSE", "1", "5", "none", "", "up", "majority", "a:1,b", "0-:x"]),
    ),
)


@MODEST
@given(st.lists(_line, max_size=12).map("\n".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        before = load(text, "config.csv")
    except InvalidInput as refused:
        assert refused.details["errors"]
        assert all(set(error) == {"file", "line", "key", "value", "rule", "remedy"} for error in refused.details["errors"])
        return
    if "key" not in {key.lower() for key in before.foreign}:
        _assert_same(before, load(write(before), "config.csv"))


_scalar = st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8))


@MODEST
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(sorted(KEYS)), st.text(max_size=8)),
        st.one_of(_scalar, st.lists(_scalar, max_size=3), st.dictionaries(st.text(max_size=2), _scalar, max_size=1)),
        max_size=5,
    )
)
def test_any_overrides_are_read_or_refused(overrides: dict[str, object]) -> None:
    try:
        before = load("", "config.csv", overrides)
    except InvalidInput as refused:
        assert all(error["file"] == "gb_settings_overrides" and error["line"] is None for error in refused.details["errors"])
        return
    _assert_same(before, load(write(before), "config.csv"))


def _assert_same(before: Settings, after: Settings) -> None:
    assert after.values == before.values
    assert after.foreign == before.foreign
    assert after.given.keys() == before.given.keys()
    assert after.unconsumed == before.unconsumed

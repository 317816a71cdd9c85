# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin endpoint: one conditional write, read back; bounded retries; failures that are failures."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from caddy_fakes import fake_binary, fake_caddy

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import client
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict, InvalidInput, ScalingError, Unreachable


def put(value: int) -> t.Callable[[client.Config], client.Config]:
    return lambda running: {**running, "value": value}


def test_a_difference_is_written_once() -> None:
    with fake_caddy({"value": 1, "other": True}) as fake:
        change = client.reconcile(Caddy(fake.socket), put(2))
        assert change.changed and fake.writes == [{"value": 2, "other": True}]


def test_no_difference_no_write() -> None:
    with fake_caddy({"value": 2}) as fake:
        assert not client.reconcile(Caddy(fake.socket), put(2)).changed
        assert fake.writes == []


def test_check_mode_tells_the_same_and_writes_nothing() -> None:
    with fake_caddy({"value": 1}) as fake:
        change = client.reconcile(Caddy(fake.socket), put(2), check=True)
        assert (change.changed, change.after, fake.writes) == (True, {"value": 2}, [])


def test_a_caddy_without_a_configuration_gets_one() -> None:
    with fake_caddy(None) as fake:
        assert client.reconcile(Caddy(fake.socket), put(2)).after == {"value": 2} == fake.config


def test_a_change_by_others_is_read_and_edited_again() -> None:
    with fake_caddy({"value": 1}) as fake:
        fake.intrusions = 3
        client.reconcile(Caddy(fake.socket), put(2), retries=3)
        assert fake.config == {"value": 2, "intruder": 0}


def test_after_the_last_retry_the_error_says_what_happened() -> None:
    with fake_caddy({"value": 1}) as fake:
        fake.intrusions = 99
        with pytest.raises(Conflict, match=r"unix:.*412: it was changed meanwhile, ETag .*retried 2 times") as refusal:
            client.reconcile(Caddy(fake.socket), put(2), retries=2)
        assert fake.intrusions == 96 and fake.writes == []
        assert '"/config/ 3"' in str(refusal.value)


def test_a_refusal_is_a_failure_with_caddys_words() -> None:
    with fake_caddy({"value": 1}) as fake:
        fake.refusal = "unknown module: nope"
        with pytest.raises(ApiError, match=r"POST /config/ at unix:.*\(400\): unknown module: nope\. Nothing was changed") as refusal:
            client.reconcile(Caddy(fake.socket), put(2))
        assert refusal.value.status == 400 and fake.config == {"value": 1}


def test_what_caddy_runs_instead_is_a_failure_that_names_the_place_and_no_value() -> None:
    with fake_caddy({}) as fake:
        fake.meddle = lambda wanted: {"a": [{"b": "s3cret"}]}
        with pytest.raises(ScalingError, match="first differ at /a/0/b") as refusal:
            client.reconcile(Caddy(fake.socket), lambda _running: {"a": [{"b": 1}]})
        assert "s3cret" not in str(refusal.value)


def test_an_error_on_reading_is_an_error() -> None:
    with fake_caddy({}) as fake:
        caddy = Caddy(fake.socket)
        with pytest.raises(ApiError, match=r"GET /nope at unix:.*\(404\): not found"):
            caddy._ask("GET", "/nope")
        fake.unexpected.clear()


def test_without_an_etag_nothing_is_written() -> None:
    with fake_caddy({}) as fake:
        fake.with_etag = False
        with pytest.raises(ScalingError, match="without an ETag"):
            client.reconcile(Caddy(fake.socket), put(1))
        assert fake.writes == []


def test_a_socket_where_nobody_listens() -> None:
    with pytest.raises(Unreachable, match="unix:/nonexistent"):
        Caddy("/nonexistent").read()


def test_an_answer_that_is_no_json_is_told() -> None:
    with fake_caddy({}) as fake:
        fake.upstreams = t.cast(t.Any, None)
        assert Caddy(fake.socket).upstreams() == []
        answer = Caddy(fake.socket)._ask("GET", "/metrics")
        with pytest.raises(ScalingError, match="no JSON"):
            fake.metrics = "<html>"
            Caddy(fake.socket)._decode(Caddy(fake.socket)._ask("GET", "/metrics"))
        assert answer.body == ""


@pytest.mark.parametrize(
    "one, other, place",
    [
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": 1}, {}, "/a"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "/a/1/b"),
        ({"a": [1]}, {"a": [1, 2]}, "/a"),
        ([], {}, "/"),
    ],
)
def test_the_first_difference(one: t.Any, other: t.Any, place: str | None) -> None:
    assert client.first_difference(one, other) == place


def test_the_way_through_json_makes_keys_text_and_tuples_lists() -> None:
    assert client.as_json({"a": (1, 2), 3: None}) == {"a": [1, 2], "3": None}  # type: ignore[dict-item]


def test_the_version_is_the_binarys(tmp_path: pathlib.Path) -> None:
    assert client.require_version(fake_binary(tmp_path, "v2.11.2 h1:x")) == "2.11.2"
    assert client.version_of(fake_binary(tmp_path, "unknown")) is None
    assert client.version_of(str(tmp_path / "absent")) is None


@pytest.mark.parametrize("said, why", [("v2.11.1 h1:x", "2.11.1; at least 2.11.2"), ("(devel)", "does not tell")])
def test_an_older_or_unknown_caddy_is_refused(tmp_path: pathlib.Path, said: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        client.require_version(fake_binary(tmp_path, said))

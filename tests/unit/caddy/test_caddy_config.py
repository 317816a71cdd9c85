# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two owners in one configuration: the structure, and the handlers that belong to the pools."""

from __future__ import annotations

import copy

import pytest
from caddy_fakes import proxy, site

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import config
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

KEEP = ("gb-ws", "gb-api")


def test_a_handler_is_found_wherever_it_stands() -> None:
    found = config.handlers(site(proxy("gb-ws"), proxy("gb-api", "a:1")))
    assert found["gb-api"]["upstreams"] == [{"dial": "a:1"}]
    assert set(found) == {"gb-ws", "gb-api"}


def test_proxies_are_found_without_an_id_too() -> None:
    assert len(config.proxies(site(proxy("gb-ws"), {"handler": "reverse_proxy"}, {"handler": "encode"}))) == 2


def test_an_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="@id gb-ws"):
        config.handlers(site(proxy("gb-ws"), proxy("gb-ws")))


def test_owned_handlers_stay_as_they_run_and_the_rest_is_the_structure() -> None:
    running = site(proxy("gb-ws", "a:1", stream_timeout="5s"), proxy("other", "b:1"))
    structure = site(proxy("gb-ws"), proxy("other", "c:1"))
    structure["logging"] = {"logs": {}}
    merged = config.merge(structure, running, KEEP)
    assert config.handlers(merged)["gb-ws"] == proxy("gb-ws", "a:1", stream_timeout="5s")
    assert config.handlers(merged)["other"] == proxy("other", "c:1")
    assert merged["logging"] == {"logs": {}}


def test_an_owned_handler_that_does_not_run_yet_is_loaded_as_it_stands() -> None:
    assert config.merge(site(proxy("gb-ws")), {}, KEEP) == site(proxy("gb-ws"))


def test_an_owned_handler_that_left_the_structure_is_gone() -> None:
    assert "gb-api" not in config.handlers(config.merge(site(proxy("gb-ws")), site(proxy("gb-api", "a:1")), KEEP))


def test_merging_changes_neither_side() -> None:
    structure, running = site(proxy("gb-ws")), site(proxy("gb-ws", "a:1"))
    before = copy.deepcopy((structure, running))
    config.handlers(config.merge(structure, running, KEEP))["gb-ws"]["upstreams"].append("x")
    assert (structure, running) == before


def test_an_edit_changes_its_handler_and_nothing_else() -> None:
    running = site(proxy("gb-ws", "a:1"), proxy("gb-api", "b:1"))
    edited = config.edit_handlers(running, {"gb-ws": lambda one: {**one, "stream_timeout": "1s"}})
    assert edited == site(proxy("gb-ws", "a:1", stream_timeout="1s"), proxy("gb-api", "b:1"))
    assert running == site(proxy("gb-ws", "a:1"), proxy("gb-api", "b:1"))


def test_an_unknown_id_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"@id gb-wss; .*: gb-api, gb-ws\."):
        config.edit_handlers(site(proxy("gb-ws"), proxy("gb-api")), {"gb-wss": lambda one: one})


def test_a_handler_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is a reverse_proxy with @id gb-ws"):
        config.edit_handlers(site({"@id": "gb-ws", "handler": "static_response"}), {"gb-ws": lambda one: one})


def test_people_see_owned_handlers_by_id_and_no_secrets() -> None:
    full = site(proxy("gb-ws", "a:1"), {"handler": "authentication", "password": "p4ss", "hash": "x", "secret_key": "s"})
    shown = config.structure_of(full, KEEP)
    assert config.handlers(shown)["gb-ws"] == {"@id": "gb-ws", "handler": "reverse_proxy"}
    assert "p4ss" not in str(shown) and "'s'" not in str(shown)
    assert config.handlers(full)["gb-ws"]["upstreams"] == [{"dial": "a:1"}]


@pytest.mark.parametrize(
    "value, found",
    [
        ({"set": {"X-Api-Token": ["VERYSECRET"], "X-Other": ["everybodys"]}}, {"VERYSECRET"}),
        ([{"password": "p4ssw0rd-1"}, {"Authorization": [["Bearer 123"], 5]}], {"p4ssw0rd-1", "Bearer 123"}),
        ({"token": "short", "tokens": ["*"]}, set()),
    ],
)
def test_secrets_are_found_in_lists_too(value: object, found: set[str]) -> None:
    assert config.secrets(value) == found


@pytest.mark.parametrize(
    "admin",
    [
        {},
        {"admin": {"listen": "localhost:2019"}},
        {"admin": {"disabled": True, "listen": "unix//run/a.sock"}},
        {"admin": {"listen": "unix//run/b.sock"}},
    ],
)
def test_a_configuration_that_locks_us_out_is_refused(admin: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="could not be managed any more"):
        config.require_admin(admin, "/run/a.sock")


def test_our_own_socket_with_or_without_a_mode_is_accepted() -> None:
    config.require_admin({"admin": {"listen": "unix//run/a.sock|0600"}}, "/run/a.sock")
    config.require_admin({"admin": {"listen": "unix//run/a.sock"}}, "/run/a.sock")

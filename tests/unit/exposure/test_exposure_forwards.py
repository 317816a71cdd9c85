# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network forwards against a daemon that keeps them in a dictionary."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError
from ansible_collections.generalbots.scaling.plugins.modules import lxc_forward

HTTPS = {"listen_port": 443, "target_address": "10.87.0.5", "target_port": 443}
HTTP = {"listen_port": 80, "target_address": "10.87.0.5", "target_port": 80}
SITE = {"listen_address": "192.0.2.10", "ports": [HTTPS, HTTP]}


class FakeNetwork:
    """The forwards of one bridge, as the daemon shows them: port numbers are strings, and a description stands in each."""

    project = "generalbots"

    def __init__(self) -> None:
        self.forwards: dict[str, dict[str, t.Any]] = {}
        self.calls: list[str] = []
        self.missing = False

    def get(self, path: str, **query: str) -> tuple[t.Any, str]:
        if self.missing:
            raise ApiError("no such network", status=404)
        assert (path, query) == ("networks/gbbr0/forwards", {"recursion": "1", "project": "default"})
        return [{"listen_address": address, **body} for address, body in self.forwards.items()], ""

    def post(self, path: str, body: dict[str, t.Any], *, project: str) -> None:
        assert path == "networks/gbbr0/forwards"
        self._write("post", body["listen_address"], body, project)

    def put(self, path: str, body: dict[str, t.Any], *, project: str) -> None:
        assert path.rpartition("/")[2] in self.forwards
        self._write("put", path.rpartition("/")[2], body, project)

    def delete(self, path: str, *, project: str) -> None:
        self.calls.append(f"delete {path}")
        del self.forwards[path.rpartition("/")[2]]

    def _write(self, verb: str, address: str, body: dict[str, t.Any], project: str) -> None:
        assert project == "default"
        self.calls.append(f"{verb} {address}")
        ports = [{"description": "", **{key: str(value) for key, value in port.items()}} for port in body["ports"]]
        self.forwards[address] = {"config": body["config"], "ports": ports, "description": ""}


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    fake = FakeNetwork()
    monkeypatch.setattr(lxc_forward, "connect", lambda options: fake)
    return fake


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> t.Callable[..., dict[str, t.Any]]:
    def run(*forwards: dict[str, t.Any], check: bool = False) -> dict[str, t.Any]:
        options = {"network": "gbbr0", "forwards": list(forwards), "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(options), pytest.raises(SystemExit):
            lxc_forward.main()
        return t.cast(dict[str, t.Any], json.loads(capsys.readouterr().out))

    return run


Call = t.Callable[..., dict[str, t.Any]]


def test_creates_with_the_mark_of_the_project_and_a_second_run_changes_nothing(network: FakeNetwork, call: Call) -> None:
    assert call(SITE)["actions"] == ["create forward 192.0.2.10"]
    assert network.forwards["192.0.2.10"]["config"] == {"user.gb.project": "generalbots"}
    again = call({**SITE, "ports": [HTTP, HTTPS]})
    assert (again["changed"], again["diff"]) == (False, {"before": {}, "after": {}})


def test_check_mode_foresees_what_a_run_does_and_writes_nothing(network: FakeNetwork, call: Call) -> None:
    planned = call(SITE, check=True)
    assert network.calls == []
    done = call(SITE)
    assert (planned["actions"], planned["diff"]) == (done["actions"], done["diff"])
    assert done["diff"]["after"] == {"forward 192.0.2.10": ["tcp 443 to 10.87.0.5 443", "tcp 80 to 10.87.0.5 80"]}


def test_another_target_is_a_change_of_the_same_forward(network: FakeNetwork, call: Call) -> None:
    call(SITE)
    moved = {**SITE, "ports": [{**HTTPS, "target_address": "10.87.0.6"}]}
    assert call(moved)["actions"] == ["update forward 192.0.2.10"]
    assert network.forwards["192.0.2.10"]["ports"][0]["target_address"] == "10.87.0.6"


def test_what_is_not_given_any_more_goes_before_what_is_new(network: FakeNetwork, call: Call) -> None:
    call(SITE)
    call({**SITE, "listen_address": "192.0.2.11"})
    assert network.calls[1:] == ["delete networks/gbbr0/forwards/192.0.2.10", "post 192.0.2.11"]
    call()
    assert network.forwards == {}


def test_forwards_of_others_are_left_and_their_address_is_refused(network: FakeNetwork, call: Call) -> None:
    network.forwards = {
        "192.0.2.1": {"config": {}, "ports": []},
        "192.0.2.2": {"config": {"user.gb.project": "gb-other"}, "ports": []},
    }
    assert call()["changed"] is False
    assert (
        "192.0.2.1 is forwarded on gbbr0 already, by somebody else. It was left alone"
        in call({**SITE, "listen_address": "192.0.2.1"})["msg"]
    )
    assert "for project gb-other" in call({**SITE, "listen_address": "192.0.2.2"})["msg"]
    assert network.calls == []


def test_a_network_that_is_gone_has_no_forwards(network: FakeNetwork, call: Call) -> None:
    network.missing = True
    assert call()["changed"] is False


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1", "does not route loopback addresses"),
        ("0.0.0.0", "a forward has one address"),
        ("bots.example.org", "Give one IPv4 address of the host"),
    ],
)
def test_an_address_whose_forward_leads_nowhere_is_refused(network: FakeNetwork, call: Call, address: str, said: str) -> None:
    assert said in call({**SITE, "listen_address": address})["msg"]
    assert network.calls == []

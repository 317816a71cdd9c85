# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at before a configuration is written: Caddy's own verdict, and who else listens on its ports."""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess
import sys
import typing as t

import pytest
from caddy_fakes import Call, fake_caddy, proxy, site

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import preflight
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import secrets
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.listeners import Listener
from ansible_collections.generalbots.scaling.plugins.modules import caddy_config

pytest_plugins = ["caddy_fixtures"]


def program(folder: pathlib.Path, text: str) -> str:
    path = folder / "stand-in"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def serving(*listen: str) -> dict[str, t.Any]:
    return {"apps": {"http": {"servers": {"site": {"listen": [*listen]}}}}}


def test_the_configuration_goes_through_a_pipe(tmp_path: pathlib.Path) -> None:
    preflight.validate(program(tmp_path, f'echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/given'), {"apps": {}})
    assert (tmp_path / "arguments").read_text() == "validate --config -\n"
    assert json.loads((tmp_path / "given").read_text()) == {"apps": {}}


@pytest.mark.parametrize(
    "logged, words",
    [
        (
            '{"level":"info","msg":"a"}\n{"level":"error","msg":"route 0: unknown module."}\n{"level":"info","msg":"b"}',
            "route 0: unknown module.",
        ),
        ("flag provided but not defined", "flag provided but not defined."),
        ("", "(no words)."),
    ],
)
def test_a_refusal_has_caddys_words(tmp_path: pathlib.Path, logged: str, words: str) -> None:
    refusing = program(tmp_path, f"cat > /dev/null; echo '{logged}' >&2; exit 1")
    with pytest.raises(InvalidInput) as refusal:
        preflight.validate(refusing, {})
    assert f"Caddy would refuse the new configuration: {words}" in str(refusal.value)


def test_it_is_validated_as_the_user_of_the_service() -> None:
    asked: dict[str, t.Any] = {}

    def run(_command: list[str], **how: t.Any) -> subprocess.CompletedProcess[str]:
        asked.update(how)
        return subprocess.CompletedProcess([], 0, "", "")

    preflight.validate("caddy", {}, "nobody", run)
    assert asked["user"] > 0 and asked["group"] > 0 and asked["extra_groups"] == [] and asked["env"]["HOME"] == "/nonexistent"
    with pytest.raises(InvalidInput, match="no user nobody-of-ours here"):
        preflight.validate("caddy", {}, "nobody-of-ours", run)


def test_what_caddy_would_refuse_is_refused_in_check_mode_too_and_not_written(call: Call, tmp_path: pathlib.Path) -> None:
    refusing = program(tmp_path, "[ $1 = version ] && { echo v2.11.9; exit 0; }; cat > /dev/null; echo 'route 3: no' >&2; exit 1")
    with fake_caddy({}) as fake:
        wanted = {**site(proxy("gb-ws")), "admin": {"listen": f"unix/{fake.socket}|0600"}}
        for check in (True, False):
            result = call(caddy_config, fake, check=check, config=wanted, binary=refusing)
            assert result["failed"] and "route 3: no" in result["msg"] and fake.writes == []
        assert call(caddy_config, fake, check=True, config=wanted, binary=refusing, validate=False)["changed"]


@pytest.mark.parametrize(
    "listen, found",
    [
        (":443", ("::", 443)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:8443", ("::1", 8443)),
        ("tcp/:443", ("::", 443)),
        ("udp/:443", None),
        ("unix//run/x.sock", None),
        (":8000-8010", None),
    ],
)
def test_ports_are_read_from_listeners(listen: str, found: tuple[str, int] | None) -> None:
    assert [(one.address, one.port) for one in preflight.ports(serving(listen))] == ([found] if found else [])


@pytest.mark.parametrize(
    "present, refused",
    [
        (Listener("::", 443, "caddy (pid 7)"), False),
        (Listener("::", 443, "caddy (pid 77)"), True),
        (Listener("127.0.0.1", 443, "nginx (pid 9)"), True),
        (Listener("::", 444, "nginx (pid 9)"), False),
    ],
)
def test_only_the_one_caddy_may_have_its_ports(present: Listener, refused: bool) -> None:
    if not refused:
        preflight.require_ports(serving(":443"), 7, [present])
        return
    with pytest.raises(Refused, match=r"Port 443 of server site would not be ours alone: .* \(pid [79]"):
        preflight.require_ports(serving(":443"), 7, [present])


LISTENING = """
import socket, sys
one = socket.create_server(('127.0.0.1', 0), reuse_port=True)
print(one.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_a_second_process_on_a_port_is_found_on_this_host(call: Call) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", LISTENING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
        fake_caddy({}) as fake,
    ):
        assert other.stdin is not None and other.stdout is not None
        port = other.stdout.readline().strip()
        config = {**serving(f"127.0.0.1:{port}"), "admin": {"listen": f"unix/{fake.socket}|0600"}}
        result = call(caddy_config, fake, config=config)
        other.stdin.close()
    assert result["failed"] and f"(pid {other.pid})" in result["msg"] and fake.writes == []


def test_without_anybody_at_the_socket_it_says_so(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(Unreachable, match="Is Caddy running there"):
        preflight.process_of(str(tmp_path / "admin.sock"))


def test_secrets_are_known_by_their_names() -> None:
    config = {"a": [{"secret": "0123456789"}, {"password": "short"}], "mac_key": "abcdefghij", "name": "not-a-secret"}
    assert secrets(config) == {"0123456789", "abcdefghij"}


def test_a_secret_in_the_configuration_is_in_no_part_of_the_result(call: Call) -> None:
    with fake_caddy({}) as fake:
        policy = {"selection_policy": {"policy": "cookie", "secret": "0123456789abcdef"}}
        config = {**site(proxy("gb-ws", "10.0.0.1:80", load_balancing=policy)), "admin": {"listen": f"unix/{fake.socket}|0600"}}
        result = call(caddy_config, fake, config=config)
    assert result["changed"] and "0123456789abcdef" not in json.dumps(result) and "0123456789abcdef" in json.dumps(fake.config)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on the host's ports, from files as the kernel writes them, and once from the kernel itself."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.listeners import Listener, Wanted, in_order, listeners, taken
from ansible_collections.generalbots.scaling.plugins.modules import host_ports_info

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
OURS = ("gb", "proxy-1", "publish-https")


def line(address: str, inode: int, state: str = "0A") -> str:
    """A socket as /proc/net/tcp has it."""
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"


def process(proc: pathlib.Path, pid: int, command: str, *files: str) -> None:
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_text(command.replace(" ", "\0"), encoding="utf-8")
    for number, file in enumerate(files):
        os.symlink(file, folder / str(number))


@pytest.fixture
def proc(tmp_path: pathlib.Path) -> pathlib.Path:
    """Caddy on all addresses, a proxy device of ours on loopback, one of the default project, and a connection."""
    net = tmp_path / "self" / "net"
    net.mkdir(parents=True)
    ours, default = line("0100007F:20FB", 22), line("0100007F:20FC", 23)
    (net / "tcp").write_text(HEAD + line("00000000:0050", 21) + ours + default + line("0100007F:C000", 24, "01"), encoding="ascii")
    mapped = "0000000000000000FFFF00000100007F:1F90"
    (net / "tcp6").write_text(HEAD + line("00000000000000000000000000000000:01BB", 25) + line(mapped, 26), encoding="ascii")
    process(tmp_path, 812, "/usr/bin/caddy run", "socket:[21]", "socket:[25]", "/dev/null")
    process(tmp_path, 900, "/usr/bin/lxd forkproxy -- 3", "socket:[22]", "/var/log/lxd/gb_proxy-1/proxy.publish-https.log")
    process(tmp_path, 901, "/usr/bin/lxd forkproxy -- 3", "socket:[23]", "/var/log/lxd/web/proxy.http.log")
    return tmp_path


def test_sockets_that_listen_are_found_with_their_processes(proc: pathlib.Path) -> None:
    found = {(one.address, one.port): (one.owner, one.device) for one in listeners(proc)}
    assert found == {
        ("0.0.0.0", 80): ("caddy (pid 812)", None),
        ("::", 443): ("caddy (pid 812)", None),
        ("127.0.0.1", 8443): ("lxd (pid 900)", OURS),
        ("127.0.0.1", 8444): ("lxd (pid 901)", ("default", "web", "http")),
        ("127.0.0.1", 8080): ("", None),
    }


def test_a_file_that_is_closed_meanwhile_hides_none_of_the_others(proc: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (proc / "900" / "fd" / "!closed").write_text("no link any more")
    there = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: sorted(there(folder)))
    assert [one.device for one in listeners(proc) if one.port == 8443] == [OURS]


def test_what_is_returned_is_in_order_and_names_the_device(proc: pathlib.Path) -> None:
    shown = in_order(listeners(proc))
    assert [one["port"] for one in shown] == [80, 443, 8080, 8443, 8444]
    assert shown[3]["device"] == {"project": "gb", "instance": "proxy-1", "name": "publish-https"}
    assert shown[0]["device"] is None


@pytest.mark.parametrize(
    ("wanted", "by"),
    [
        (Wanted("127.0.0.1", 80, "gb_publish_http_port"), "caddy (pid 812), which listens on 0.0.0.0"),
        (Wanted("192.0.2.1", 443), "caddy (pid 812), which listens on ::"),
        (Wanted("0.0.0.0", 8080), "a process that only root can name, which listens on 127.0.0.1"),
        (Wanted("127.0.0.1", 8444), "device http of instance web in project default"),
    ],
)
def test_a_port_that_somebody_else_has_is_told_with_who_it_is(proc: pathlib.Path, wanted: Wanted, by: str) -> None:
    assert taken([wanted], listeners(proc), "gb") == [
        {"address": wanted.address, "port": wanted.port, "variable": wanted.variable, "by": by},
    ]


@pytest.mark.parametrize(
    "wanted",
    [Wanted("127.0.0.1", 8443), Wanted("0.0.0.0", 8443), Wanted("192.0.2.1", 8080), Wanted("127.0.0.1", 49152)],
    ids=["our own device", "our own device on one of all", "another address", "a connection only"],
)
def test_a_port_that_is_free_or_ours_is_not_taken(proc: pathlib.Path, wanted: Wanted) -> None:
    assert taken([wanted], listeners(proc), "gb") == []


def test_a_device_of_another_project_is_not_ours(proc: pathlib.Path) -> None:
    assert taken([Wanted("127.0.0.1", 8443)], listeners(proc), "other")[0]["by"] == "device publish-https of instance proxy-1 in project gb"


def test_all_of_ipv4_does_not_stand_for_ipv6() -> None:
    assert taken([Wanted("::1", 80)], [Listener("0.0.0.0", 80, "x")], "gb") == []
    assert taken([Wanted("::1", 80)], [Listener("::", 80, "x")], "gb") != []


def call(capsys: pytest.CaptureFixture[str], **options: t.Any) -> dict[str, t.Any]:
    with patch_module_args(options), pytest.raises(SystemExit):
        host_ports_info.main()
    return t.cast(dict[str, t.Any], json.loads(capsys.readouterr().out))


def test_the_module_sees_a_socket_of_this_very_process(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = call(capsys, ports=[{"address": "0.0.0.0", "port": port, "variable": "gb_publish_http_port"}])
    assert [(one["address"], one["device"]) for one in found["listeners"] if one["port"] == port] == [("127.0.0.1", None)]
    assert f"(pid {os.getpid()}), which listens on 127.0.0.1" in found["taken"][0]["by"]
    assert found["changed"] is False
    assert call(capsys, ports=[{"address": "127.0.0.1", "port": port}])["taken"] == []


def test_the_module_refuses_a_name_with_the_variable_that_holds_it(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, ports=[{"address": "example.org", "port": 80, "variable": "gb_publish_address"}])["msg"]
    assert said.startswith("gb_publish_address: 'example.org' does not appear to be an IPv4 or IPv6 address")

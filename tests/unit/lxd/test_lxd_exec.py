# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection into instances: what it hands to lxc, and what comes back."""

from __future__ import annotations

import pathlib
import time

import pytest
from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.playbook.play_context import PlayContext

from ansible_collections.generalbots.scaling.plugins.connection import lxd_exec
from ansible_collections.generalbots.scaling.plugins.connection.lxd_exec import LINGER, Connection, lingering

#: a client that runs what it is given here, by the shell that it is given
LXC = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'


@pytest.fixture
def connection(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Connection:
    client = tmp_path / "lxc"
    client.write_text(LXC)
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    made = Connection(PlayContext(), None)
    options = {"remote_addr": "etcd-1", "remote": "local", "project": "gb", "executable": "/bin/sh", "remote_user": "root"}
    monkeypatch.setattr(made, "get_option", options.__getitem__)
    return made


def test_a_command_lives_on_for_a_moment_and_keeps_its_status_and_output(connection: Connection) -> None:
    begun = time.monotonic()
    assert connection.exec_command("/bin/sh -c 'echo said; exit 3'") == (3, "said\n", "")
    assert time.monotonic() - begun >= LINGER


def test_a_command_that_ends_with_a_comment_or_fails_to_parse_tells_so(connection: Connection) -> None:
    assert connection.exec_command("echo said # no more") == (0, "said\n", "")
    status, out, err = connection.exec_command("(")
    assert (status != 0, out) == (True, "") and "yntax" in err


def test_a_module_that_is_piped_in_runs_as_it_is(connection: Connection, tmp_path: pathlib.Path) -> None:
    (tmp_path / "lxc").write_text('#!/bin/sh\nfor last; do :; done\ncat >/dev/null\nprintf "%s" "$last"\n')
    assert connection.exec_command("cat", in_data=b"a module") == (0, "cat", "")
    assert connection.exec_command("cat") == (0, lingering("cat"), "")


def test_the_client_of_a_snap_is_found_where_path_does_not_name_its_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lxc").write_text(LXC)
    (tmp_path / "lxc").chmod(0o755)
    monkeypatch.setattr(lxd_exec, "SNAP", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert Connection(PlayContext(), None)._lxc_cmd == str(tmp_path / "lxc")


def test_one_that_path_names_comes_first(connection: Connection, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snap = tmp_path / "snap"
    snap.mkdir()
    (snap / "lxc").write_text(LXC)
    (snap / "lxc").chmod(0o755)
    monkeypatch.setattr(lxd_exec, "SNAP", str(snap))
    assert Connection(PlayContext(), None)._lxc_cmd == connection._lxc_cmd == str(tmp_path / "lxc")


#: a client that moves files between here and a folder, fails as often as a file says, and with its words
FILES = """#!/bin/sh
here="$(dirname "$0")"
[ "$1 $2 $3" = "--project gb file" ] || exit 9
shift 3
if [ -s "$here/failures" ]; then
    head -n 1 "$here/failures" >&2
    sed -i 1d "$here/failures"
    exit 1
fi
case "$1" in
push) shift; while [ $# -gt 2 ]; do shift 2; done; cp "$1" "$here/instance/${2#local:etcd-1/}" ;;
pull) cp "$here/instance/${2#local:etcd-1/}" "$3" ;;
esac
"""
LATE = "Error: dial unix /var/lib/lxd/x/forkfile.sock: connect: no such file or directory"


@pytest.fixture
def files(connection: Connection, tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "lxc").write_text(FILES)
    (tmp_path / "instance").mkdir()
    (tmp_path / "here").write_text("content")
    return tmp_path


@pytest.mark.parametrize("failures", ["", f"{LATE}\n", f"{LATE}\n{LATE}\n"])
def test_a_file_comes_and_goes_as_soon_as_lxd_serves_files(connection: Connection, files: pathlib.Path, failures: str) -> None:
    (files / "failures").write_text(failures)
    connection.put_file(str(files / "here"), "there")
    (files / "failures").write_text(failures)
    connection.fetch_file("there", str(files / "back"))
    assert (files / "back").read_text() == "content"


def test_a_file_that_does_not_come_is_an_error_with_the_clients_words(connection: Connection, files: pathlib.Path) -> None:
    for move in (connection.put_file, connection.fetch_file):
        (files / "failures").write_text("Error: no space left on device\n")
        with pytest.raises(AnsibleError, match=r"lxc file pu.* failed: Error: no space left on device"):
            move(str(files / "here"), "there")
    with pytest.raises(AnsibleFileNotFound, match="input path is not a file"):
        connection.put_file(str(files / "none"), "there")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection into instances: what it hands to lxc, and what comes back."""

from __future__ import annotations

import pathlib
import time

import pytest
from ansible.playbook.play_context import PlayContext

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


def test_a_module_that_is_piped_in_runs_as_it_is(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection.exec_command("cat", in_data=b"a module") == (0, "a module", "")
    assert lingering("true") != "true"

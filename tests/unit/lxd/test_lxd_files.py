# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of instances while LXD's helper for them is not there yet."""

from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import client
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import ENGINES

HELPER_MISSING = "dial unix /proc/self/fd/119/forkfile.sock: connect: no such file or directory"


class Scripted(client.Lxd):
    """Answers each call by the next of the given statuses and reasons."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        super().__init__(None, ENGINES["lxd"], "unix:/fake.socket", "generalbots", 1.0)
        self.answers = list(answers)

    def _call(self, method: str, path: str, **more: t.Any) -> t.Any:
        status, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status >= 400:
            raise ApiError(text, status=status, reason=text)
        return types.SimpleNamespace(content=text.encode())


def test_a_helper_that_is_not_there_yet_is_waited_for() -> None:
    lxd = Scripted((500, HELPER_MISSING), (500, HELPER_MISSING), (200, "content"))
    assert lxd.read_file("botserver-1", "/etc/x") == b"content"
    again = Scripted((500, HELPER_MISSING), (200, ""))
    again.write_file("botserver-1", "/etc/x", b"content")
    assert again.answers == [(200, "")]


def test_a_helper_that_never_comes_is_an_error_with_what_lxd_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "HELPER_START", 0.0)
    with pytest.raises(ApiError, match=r"to serve the files of botserver-1; last seen: dial unix .*forkfile\.sock"):
        Scripted((500, HELPER_MISSING)).write_file("botserver-1", "/etc/x", b"content")


def test_any_other_refusal_is_told_at_once() -> None:
    lxd = Scripted((500, "disk full"), (200, "never asked"))
    with pytest.raises(ApiError, match="disk full"):
        lxd.read_file("botserver-1", "/etc/x")
    assert lxd.answers == [(200, "never asked")]

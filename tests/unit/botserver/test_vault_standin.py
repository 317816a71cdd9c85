# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for Vault that trials of the real botserver use: it answers as botserver needs it."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import subprocess
import sys
import typing as t

import pytest
from botserver_process import listens
from ports import free_port

PROGRAM = pathlib.Path(__file__).parents[2] / "real" / "vault_standin.py"
TABLES = "/v1/secret/data/gbo/tables"
PATIENCE = 10.0

Ask = t.Callable[..., tuple[int, dict[str, t.Any]]]


@pytest.fixture
def ask() -> t.Iterator[Ask]:
    """Status and body of a request to a stand-in that has just started, whose token is "sesame"."""
    port = free_port()

    def request(method: str, path: str, body: t.Any = None, token: str = "sesame") -> tuple[int, dict[str, t.Any]]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"X-Vault-Token": token})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    process = subprocess.Popen([sys.executable, str(PROGRAM), str(port)], env={"VAULT_TOKEN": "sesame"}, stderr=subprocess.DEVNULL)
    listens(process, port, "the stand-in", PATIENCE)
    yield request
    process.kill()
    process.wait()


@pytest.mark.parametrize("query", ["", "?"], ids=["plain", "as botserver asks"])
def test_gives_back_the_latest_version_with_its_whole_metadata(ask: Ask, query: str) -> None:
    for port in ("5432", "5433"):
        assert ask("POST", TABLES, {"data": {"port": port}})[0] == 200
    status, body = ask("GET", TABLES + query)
    assert (status, body["data"]["data"]) == (200, {"port": "5433"})
    metadata = body["data"]["metadata"]
    assert metadata.keys() == {"created_time", "custom_metadata", "deletion_time", "destroyed", "version"}
    assert metadata["version"] == 2


def test_gives_nothing_without_its_token_and_nothing_that_was_not_written(ask: Ask) -> None:
    assert ask("POST", TABLES, {"data": {"port": "5432"}}, token="wrong")[0] == 403
    assert ask("GET", TABLES)[0] == 404
    assert ask("POST", TABLES, {"data": {"port": "5432"}})[0] == 200
    assert ask("GET", TABLES, token="wrong")[0] == 403

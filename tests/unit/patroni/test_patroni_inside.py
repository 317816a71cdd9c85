# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The question that is asked within a member's container: the program as it runs there, on a Patroni made of a dictionary."""

from __future__ import annotations

import subprocess
import sys
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni import inside

REPLICA = {"name": "a", "role": "replica"}
LEADER = {"name": "b", "role": "leader", "api_url": "https://b:8008/patroni"}
CONFIG = {"ttl": 5}
STATUS = {"state": "running", "timeline": 7, "postmaster_start_time": "2026-01-01 00:00:00.000000+00:00"}


class Container:
    """Runs the program with this interpreter, which finds the answers in place of a network."""

    def __init__(self, *members: t.Mapping[str, str]) -> None:
        own = "https://10.87.0.32:8008"
        self.answers: dict[str, t.Any] = {f"{own}/cluster": {"members": members}, f"{own}/config": CONFIG, LEADER["api_url"]: STATUS}

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 0) -> tuple[int, str, str]:
        assert (instance, argv[0], argv[2:4]) == ("postgres-2", "timeout", ["/usr/bin/python3", "-c"])
        seconds, questions = float(argv[6]), 1 + len(argv[7:])
        assert questions * seconds < float(argv[1]) < timeout, "it is ended before each answer had its time"
        fake = (
            "import io, json, ssl, urllib.request\nssl.create_default_context = lambda cafile: None\n"
            f"answers = {self.answers!r}\n"
            "urllib.request.OpenerDirector.open = lambda self, url, timeout: io.StringIO(json.dumps(answers[url]))\n"
        )
        done = subprocess.run([sys.executable, "-c", fake + argv[4], *argv[5:]], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


def test_it_tells_the_cluster_and_on_wish_the_leader_and_the_configuration() -> None:
    members = [REPLICA, LEADER]
    assert inside.ask(Container(*members), "postgres-2", "10.87.0.0/24") == {"cluster": {"members": members}}
    assert inside.ask(Container(*members), "postgres-2", "10.87.0.0/24", leader=True)["leader"] == STATUS
    told = inside.ask(Container(*members), "postgres-2", "10.87.0.0/24", config=True)
    assert told == {"cluster": {"members": members}, "config": CONFIG}


def test_a_cluster_that_nobody_leads_has_no_leader_to_ask() -> None:
    assert inside.ask(Container(REPLICA), "postgres-2", "10.87.0.0/24", leader=True)["leader"] is None


def test_no_answer_is_an_error_with_the_last_words() -> None:
    silent = Container()
    silent.answers = {}
    with pytest.raises(ScalingError, match="postgres-2: KeyError"):
        inside.ask(silent, "postgres-2", "10.87.0.0/24")

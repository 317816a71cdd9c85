# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""(h) Transactions a second through botserver's address against a direct connection, and synchronous against asynchronous.

On a site that runs (``GB_BENCH_SITE=project,subnet,file of the password``), from within its first botserver; in turns, median of 3.
pgbench comes from the primary's own container, its tables stand in a schema of their own that is dropped at the end.
"""

from __future__ import annotations

import os
import pathlib
import re
import statistics
import typing as t

import pytest
from bench_results import Record, Result

from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import look
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd, connect

pytest_plugins = ["bench_fixtures"]

CLIENT, PROGRAM = "botserver-1", "/run/gb-pgbench"
#: seconds of one measurement, visitors, and rows (scale times 100,000)
SECONDS, VISITORS, SCALE = 10, 8, 5
#: which address, and what a commit waits for
SIDES = {"direct": "on", "endpoint": "on", "endpoint, asynchronous": "local"}
TURNS = 3


class Site:
    """A site that runs, and pgbench in its first botserver."""

    def __init__(self, lxd: Lxd, subnet: str, password: str) -> None:
        self._lxd, self._password = lxd, password
        leader = look(lxd, subnet).leader
        assert leader, "nobody leads the database"
        self._direct = address(subnet, "postgres", int(leader.rpartition("-")[2]))
        code, out, _err = lxd.execute(leader, ["sh", "-c", "ls /usr/lib/postgresql/*/bin/pgbench"])
        assert code == 0, "the primary has no pgbench"
        program = lxd.read_file(leader, os.path.realpath(out.split()[0]))
        assert program is not None
        lxd.write_file(CLIENT, PROGRAM, program, mode="0755")

    def run(self, where: str, commit: str, *words: str) -> str:
        """Run pgbench; the password is in its environment only for as long as it runs."""
        host = self._direct if where.startswith("direct") else "127.0.0.1"
        options = f"-c search_path=gb_bench -c synchronous_commit={commit}"
        environment = {"PGPASSWORD": self._password, "PGOPTIONS": options, "PGSSLMODE": "require"}
        body = {"command": [PROGRAM, "-h", host, "-U", "gbuser", *words, "botserver"], "environment": environment,
                "record-output": True, "wait-for-websocket": False, "interactive": False}  # fmt: skip
        done = self._lxd.wait(self._lxd.start("post", f"instances/{CLIENT}/exec", body), 120, what=f"run pgbench in {CLIENT}")
        streams = [self._lxd._recorded(done["output"].get(number)) for number in ("1", "2")]
        assert done["return"] == 0, streams[1][-500:]
        return streams[0]

    def sql(self, statement: str) -> None:
        """One statement as botserver's role, by a script of pgbench."""
        self._lxd.write_file(CLIENT, f"{PROGRAM}.sql", statement.encode())
        self.run("endpoint", "on", "-n", "-t", "1", "-c", "1", "-f", f"{PROGRAM}.sql")


@pytest.fixture
def site() -> t.Iterator[Site]:
    """The site that the environment names, with the tables of pgbench."""
    named = os.environ.get("GB_BENCH_SITE", "").split(",")
    if len(named) != 3:
        pytest.skip("set GB_BENCH_SITE=project,subnet,file of the password of a site that runs")
    password = pathlib.Path(named[2]).read_text(encoding="utf-8").split()[0]
    one = Site(connect({"engine": "lxd", "project": named[0]}), named[1], password)
    one.sql("CREATE SCHEMA IF NOT EXISTS gb_bench;")
    try:
        one.run("endpoint", "on", "-i", "-q", "-s", str(SCALE))
        yield one
    finally:
        one.sql("DROP SCHEMA gb_bench CASCADE;")


def row(bench: str, what: str, ours: float, theirs: float) -> Result:
    """A row without a goal; both are transactions a second."""
    return Result(bench, what, f"{ours:.0f}/s", f"{theirs:.0f}/s", ours / theirs, None)


def test_transactions_through_the_endpoint_and_directly(site: Site, record: Record) -> None:
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _turn in range(TURNS):
        for side, commit in SIDES.items():
            said = site.run(side, commit, "-n", "-N", "-c", str(VISITORS), "-j", "2", "-T", str(SECONDS))
            match = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
            assert match is not None, said
            found[side].append(float(match[1]))
    median = {side: statistics.median(values) for side, values in found.items()}
    print(f"  each turn: {found}", flush=True)
    assert all(value > 0 for value in median.values())
    about = f"pgbench -N, {VISITORS} clients"
    record(row("h", f"{about}: botserver's address, against the primary's own", median["endpoint"], median["direct"]))
    record(row("h2", f"{about}: synchronous commits, against asynchronous", median["endpoint"], median["endpoint, asynchronous"]))

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of a drill: writes through botserver's own address of PostgreSQL and logs every attempt, then reads back.

This file is pushed as it is into a botserver instance and runs there with Debian's python3-psycopg2, so it imports nothing else of
the collection. Its one argument is a file of JSON with the fields of :class:`Config`; that file holds the password and is removed
once read. The log is one JSON object a line, judged by ``judge.py`` on the controller:

``start``               the format, the members by address
``invoke``              a write begins: ``process``, ``id``
``ok``                  it was acknowledged, by ``server`` on ``timeline``
``fail``, ``unknown``   it was certainly not done; it may or may not have been done; ``why`` in the driver's words
``read``                a writer read its own last acknowledged id ``expected`` and saw ``seen``; began at ``begun``
``probe``               a write straight to ``member``, past the endpoint; began at ``begun``
``found``               every id that is in the table afterwards, a doubled one twice
``end``                 the recorder came to its end

Times are seconds since the epoch, from a clock that never goes back.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
import typing as t

FORMAT = 1
#: seconds between attempts after one that did not succeed
RETRY = 0.05
#: seconds that a writer has to come back when the end is near; what is out longer stays without an outcome
GRACE = 5.0
INSERT = (
    "INSERT INTO gb_drill.{table} (process, id) VALUES (%s, %s) RETURNING coalesce(host(inet_server_addr()), ''), "
    "('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int"
)
PREPARE = (
    "DROP SCHEMA IF EXISTS gb_drill CASCADE",
    "CREATE SCHEMA gb_drill",
    # No unique key: a write that was done twice has to show.
    "CREATE TABLE gb_drill.history (process text NOT NULL, id bigint NOT NULL)",
    "CREATE INDEX ON gb_drill.history (process, id)",
    "CREATE TABLE gb_drill.probe (process text NOT NULL, id bigint NOT NULL)",
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What to do.

    :param endpoint: libpq's parameters of botserver's address: host, port, dbname, user, password, sslmode…
    :param members: the same of every member, by name, for the probe past the endpoint
    :param seconds: the longest that is written; SIGTERM ends it before
    :param writers: how many write at once
    :param rate: writes a second of each
    :param probe_interval: seconds between two probes of a member
    :param read_every: acknowledged writes between two reads of a writer
    :param read_seconds: how long the reading back may be tried
    """

    log: str
    endpoint: t.Mapping[str, t.Any]
    members: t.Mapping[str, t.Mapping[str, t.Any]]
    seconds: float = 600.0
    writers: int = 4
    rate: float = 25.0
    probe_interval: float = 0.2
    read_every: int = 20
    read_seconds: float = 60.0


class Log:
    """Lines of JSON, each whole and on disk before the next step is taken."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "x", encoding="utf-8")  # noqa: SIM115 - open until the process ends
        self._lock = threading.Lock()
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch; steps of the system's clock do not show."""
        return round(self._offset + time.monotonic(), 6)

    def add(self, event: str, **more: t.Any) -> float:
        """Write a line; returns its time."""
        with self._lock:
            moment = self.now()
            self._file.write(json.dumps({"event": event, "at": moment, **more}) + "\n")
            self._file.flush()
        return moment


class Database:
    """A connection that is made when it is needed and thrown away with the first trouble."""

    def __init__(self, driver: t.Any, parameters: t.Mapping[str, t.Any]) -> None:
        self._driver = driver
        self._parameters = dict(parameters)
        self._connection: t.Any = None

    def connect(self) -> None:
        """Be connected; raises the driver's error."""
        if self._connection is None:
            self._connection = self._driver.connect(**self._parameters)
            self._connection.autocommit = True

    def run(self, statement: str, values: t.Sequence[t.Any] = ()) -> tuple[list[tuple[t.Any, ...]], str]:
        """The rows of one statement, and what the server warned of meanwhile."""
        self.connect()
        del self._connection.notices[:]
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall() if cursor.description else []
        return rows, " ".join(str(one).strip() for one in self._connection.notices)

    def drop(self) -> None:
        """Forget the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except self._driver.Error as error:
                sys.stderr.write(f"closing a broken connection: {words(error)}\n")


def words(error: BaseException) -> str:
    """What the driver said, on one line and short."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def outcome(error: t.Any, sent: bool) -> str:
    """``fail`` where the write was certainly not done, else ``unknown``.

    Before the statement was sent nothing can have been done. Afterwards only the server's own refusal counts, by its SQLSTATE; those
    of classes 08 and 57 (connection, intervention of an operator) can come after the commit as well.
    """
    if not sent:
        return "fail"
    code = getattr(error, "pgcode", None)
    return "fail" if code and code[:2] not in ("08", "57") else "unknown"


def write(database: Database, driver: t.Any, table: str, process: str, number: int) -> dict[str, t.Any]:
    """Try one write; its ``outcome``, with ``server`` and ``timeline`` or ``why``."""
    sent = False
    try:
        database.connect()
        sent = True
        rows, warning = database.run(INSERT.format(table=table), (process, number))
    except driver.Error as error:
        database.drop()
        return {"outcome": outcome(error, sent), "why": words(error)}
    if warning:
        # "The transaction has already committed locally, but might not have been replicated": no promise was given.
        return {"outcome": "unknown", "why": words(Warning(warning))}
    return {"outcome": "ok", "server": rows[0][0], "timeline": rows[0][1]}


class Recorder:
    """Writers and probes, each in a thread; ``stop`` ends them."""

    def __init__(self, config: Config, driver: t.Any, log: Log) -> None:
        self._config = config
        self._driver = driver
        self._log = log
        self.stop = threading.Event()

    def run(self, ready: t.Callable[[], None]) -> int:
        """Prepare, tell that it is ready, write until the end, read back; returns the exit code."""
        database = Database(self._driver, self._config.endpoint)
        if not self._until("prepare the table", lambda: [database.run(one) for one in PREPARE], database):
            return 1
        self._log.add("start", format=FORMAT, members={one["host"]: name for name, one in self._config.members.items()})
        threads = [threading.Thread(target=self._writer, args=(number,), daemon=True) for number in range(self._config.writers)]
        threads += [threading.Thread(target=self._probe, args=(name,), daemon=True) for name in self._config.members]
        for thread in threads:
            thread.start()
        ready()
        self.stop.wait(self._config.seconds)
        self.stop.set()
        end = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0.0))
        self._log.add("stop", waiting=sum(thread.is_alive() for thread in threads))
        return self._read_back()

    def _writer(self, number: int) -> None:
        process, identity, acknowledged = f"writer-{number}", number, 0
        database = Database(self._driver, self._config.endpoint)
        due = time.monotonic()
        while not self.stop.is_set():
            identity += self._config.writers
            self._log.add("invoke", process=process, id=identity)
            done = write(database, self._driver, "history", process, identity)
            self._log.add(done.pop("outcome"), process=process, id=identity, **done)
            acknowledged += "server" in done
            if "server" in done and acknowledged % self._config.read_every == 0:
                self._read_own(database, process, identity)
            due = max(due + 1 / self._config.rate, time.monotonic() + (0.0 if "server" in done else RETRY))
            self.stop.wait(due - time.monotonic())

    def _read_own(self, database: Database, process: str, expected: int) -> None:
        begun = self._log.now()
        try:
            rows, _warning = database.run("SELECT coalesce(max(id), 0) FROM gb_drill.history WHERE process = %s", (process,))
        except self._driver.Error:
            # A read that did not come back promises nothing; the next write tells what is wrong.
            database.drop()
            return
        self._log.add("read", process=process, begun=begun, expected=expected, seen=rows[0][0])

    def _probe(self, member: str) -> None:
        database, number = Database(self._driver, self._config.members[member]), 0
        while not self.stop.wait(self._config.probe_interval):
            number += 1
            begun = self._log.now()
            done = write(database, self._driver, "probe", member, number)
            self._log.add("probe", member=member, begun=begun, **done)

    def _read_back(self) -> int:
        database = Database(self._driver, self._config.endpoint)
        rows = self._until("read back", lambda: database.run("SELECT id FROM gb_drill.history ORDER BY id")[0], database)
        if rows is None:
            return 1
        self._log.add("found", ids=[row[0] for row in rows])
        self._until("remove the tables", lambda: database.run("DROP SCHEMA gb_drill CASCADE"), database)
        self._log.add("end")
        return 0

    def _until(self, what: str, attempt: t.Callable[[], t.Any], database: Database) -> t.Any:
        """Try until it is done; None and a line on stderr when the time is over."""
        end = time.monotonic() + self._config.read_seconds
        while True:
            try:
                return attempt()
            except self._driver.Error as error:
                database.drop()
                if time.monotonic() >= end:
                    sys.stderr.write(f"could not {what} within {self._config.read_seconds:g} s: {words(error)}\n")
                    return None
            time.sleep(RETRY)


def tell_systemd(message: str) -> None:
    """Tell the service manager, where there is one (sd_notify(3))."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(message.encode(), "\0" + where[1:] if where.startswith("@") else where)


def main(arguments: t.Sequence[str]) -> int:
    """Record as the file of the first argument says."""
    with open(arguments[0], encoding="utf-8") as file:
        config = Config(**json.load(file))
    os.unlink(arguments[0])
    driver = importlib.import_module("psycopg2")
    recorder = Recorder(config, driver, Log(config.log))
    signal.signal(signal.SIGTERM, lambda *_: recorder.stop.set())
    return recorder.run(lambda: tell_systemd("READY=1"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

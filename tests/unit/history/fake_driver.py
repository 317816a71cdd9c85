# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for psycopg2 with a database in memory, to which tests give faults."""

from __future__ import annotations

import threading
import typing as t


class Error(Exception):
    """As the driver's: C(pgcode) is the server's SQLSTATE, None where the server said nothing."""

    def __init__(self, text: str, pgcode: str | None = None) -> None:
        super().__init__(text)
        self.pgcode = pgcode


class Server:
    """What all connections share. C(faults) maps the number of an insert (from 1) to what happens to it."""

    def __init__(self, faults: t.Mapping[int, str] | None = None, refuse: int = 0) -> None:
        self.rows: list[tuple[str, int]] = []
        self.faults = dict(faults or {})
        self.refuse = refuse
        self.inserts = 0
        self.statements: list[str] = []
        self.connected: list[dict[str, t.Any]] = []
        self.lock = threading.Lock()
        self.hang = threading.Event()
        # What a module of the driver has.
        self.Error = Error

    def connect(self, **parameters: t.Any) -> Connection:
        with self.lock:
            self.connected.append(parameters)
            if self.refuse:
                self.refuse -= 1
                raise Error("connection refused")
        return Connection(self)


class Connection:
    """One connection."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.autocommit = False
        self.notices: list[str] = []
        self.closed = False

    def cursor(self) -> Cursor:
        return Cursor(self)

    def close(self) -> None:
        self.closed = True


class Cursor:
    """One cursor; usable in a C(with) statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[t.Any, ...]] = []
        self.description: t.Any = None

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        """A cursor holds nothing that would have to be given back."""

    def fetchall(self) -> list[tuple[t.Any, ...]]:
        return self._rows

    def execute(self, statement: str, values: t.Sequence[t.Any]) -> None:
        server = self._connection.server
        with server.lock:
            server.statements.append(statement)
            if statement.startswith("INSERT INTO gb_drill.history"):
                server.inserts += 1
                self._insert(server, server.faults.get(server.inserts, ""), values)
            elif statement.startswith("INSERT INTO gb_drill.probe"):
                self._answer([("10.0.0.31", 7)])
            elif statement.startswith("SELECT coalesce(max(id)"):
                self._answer([(max(number for process, number in server.rows if process == values[0]),)])
            elif statement.startswith("SELECT id"):
                self._answer(sorted((number,) for _process, number in server.rows))
        if server.faults.get(server.inserts) == "hang" and statement.startswith("INSERT INTO gb_drill.history"):
            server.hang.wait()

    def _answer(self, rows: list[tuple[t.Any, ...]]) -> None:
        self._rows, self.description = rows, ("column",)

    def _insert(self, server: Server, fault: str, values: t.Sequence[t.Any]) -> None:
        if fault == "read-only":
            raise Error("cannot execute INSERT in a read-only transaction", "25006")
        if fault == "cut before":
            raise Error("server closed the connection unexpectedly")
        if fault != "lose":
            server.rows.append((str(values[0]), int(values[1])))
        if fault == "double":
            server.rows.append((str(values[0]), int(values[1])))
        if fault == "cut after":
            raise Error("server closed the connection unexpectedly")
        if fault == "shutdown":
            raise Error("terminating connection due to administrator command", "57P01")
        if fault == "not replicated":
            self._connection.notices.append("WARNING:  canceling wait for synchronous replication due to user request\n")
        self._answer([("10.0.0.31", 7)])

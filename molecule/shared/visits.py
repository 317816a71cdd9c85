# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Visits of a site through its Caddy: one, or one after the other for as long as something is done to the site."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from tools.authority import root_certificate


class Front:
    """The port of this machine on which visitors come, with trust in the authority of the Caddy behind it."""

    def __init__(self, lxd: Lxd, port: int) -> None:
        self._port = port
        self._trust = ssl.create_default_context(cadata=root_certificate(lxd).decode())

    def ask(self, path: str) -> tuple[int, str]:
        """One request: the status, and which instance answered, empty if none says so."""
        with contextlib.closing(http.client.HTTPSConnection("localhost", self._port, timeout=20, context=self._trust)) as link:
            link.request("GET", path)
            answer = link.getresponse()
            answer.read()
            return answer.status, answer.getheader("X-Instance", "")

    @contextlib.contextmanager
    def visited(self, path: str, pause: float) -> t.Iterator[list[tuple[int, str]]]:
        """Visit a path while the block runs, with so many seconds between two visits.

        In the list is what came back, as :meth:`ask` has it; of a visit without an answer it is 0 and why.
        """
        visits: list[tuple[int, str]] = []
        ended = threading.Event()

        def visit() -> None:
            while not ended.wait(pause):
                try:
                    visits.append(self.ask(path))
                except (OSError, http.client.HTTPException) as error:
                    visits.append((0, f"{type(error).__name__}: {error}"))

        visitor = threading.Thread(target=visit)
        visitor.start()
        try:
            yield visits
        finally:
            ended.set()
            visitor.join(30)

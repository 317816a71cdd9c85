# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports for the servers that tests and benches start."""

from __future__ import annotations

import random
import socket

# Below the range of outgoing connections (net.ipv4.ip_local_port_range): one of whatever else runs here could take a port from there
# between the moment it was found free and the moment the server has it.
BETWEEN = (20000, 32767)


def free_port() -> int:
    """A TCP port that nobody listens on, at any address of this machine; by chance, as others look for theirs at the same time."""
    while True:
        port = random.SystemRandom().randint(*BETWEEN)
        with socket.socket() as one:
            # A server takes a port whose last connections still wait for their end.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("0.0.0.0", port))
            except OSError:
                continue
        return port

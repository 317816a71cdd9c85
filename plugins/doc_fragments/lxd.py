# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Connection options of the modules that speak to LXD."""

    DOCUMENTATION = r"""
options:
  engine:
    description:
      - The container engine that is spoken to.
    type: str
    choices: [lxd, incus]
    default: lxd
  url:
    description:
      - Where the engine listens, V(unix:/path/to/unix.socket) or V(https://host:8443).
      - Without it, the engine's well-known unix sockets are tried in turn.
    type: str
  project:
    description:
      - The project that everything is read from and written to. Nothing outside of it is ever touched.
    type: str
    default: generalbots
  client_cert:
    description:
      - Path of the client certificate, for an C(https) address.
    type: path
  client_key:
    description:
      - Path of the client certificate's key.
    type: path
  server_cert:
    description:
      - Path of the server's certificate. The connection is refused if the server shows any other.
    type: path
  timeout:
    description:
      - Seconds that a single request may take. Operations such as a start have limits of their own.
    type: int
    default: 30
requirements:
  - pylxd >= 2.4.2
"""

    # Of the modules that start and stop instances.
    RUN = r"""
options:
  wait_for:
    description:
      - What a started instance is waited for. V(address), an IPv4 address on O(nic). V(boot), systemd has booted.
      - Time running out is a failure that says what was last seen.
    type: list
    elements: str
    choices: [address, boot]
    default: [address]
  wait_timeout:
    description: Seconds to wait for O(wait_for).
    type: int
    default: 60
  nic:
    description: The network card whose address is waited for.
    type: str
    default: eth0
  stop_timeout:
    description: Seconds that a graceful stop may take.
    type: int
    default: 60
  force_stop:
    description: Kill an instance that did not stop within O(stop_timeout). Otherwise that is a failure.
    type: bool
    default: false
  limits_best_effort:
    description: Run without a limit that the host's kernel cannot apply, and warn. Otherwise that is a failure.
    type: bool
    default: false
  operation_timeout:
    description: Seconds that a single creation, start or deletion may take.
    type: int
    default: 120
  parallel:
    description: How many instances are worked on at once.
    type: int
    default: 8
"""

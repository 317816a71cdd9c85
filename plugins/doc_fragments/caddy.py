# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Connection options of the modules that speak to Caddy."""

    DOCUMENTATION = r"""
options:
  socket:
    description:
      - The unix socket of Caddy's admin endpoint, where the module runs.
    type: path
    default: /run/caddy/admin.sock
  binary:
    description:
      - The binary of the running Caddy, which is asked for its version. The admin endpoint does not tell it.
    type: path
    default: /usr/local/bin/caddy
  timeout:
    description:
      - Seconds that a single request to the admin endpoint may take.
      - A change lasts until the former configuration has ended, at most for its C(grace_period).
    type: int
    default: 30
requirements:
  - requests
"""

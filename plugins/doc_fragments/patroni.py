# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Connection options of the modules that speak to Patroni, and what they call healthy."""

    DOCUMENTATION = r"""
options:
  urls:
    description:
      - REST APIs of members, such as V(https://10.87.0.31:8008). One that answers is enough.
    type: list
    elements: str
    required: true
  scope:
    description: The name of the cluster. Members of another are refused.
    type: str
    required: true
  username:
    description: User of the REST API (C(restapi.authentication)). Reading needs none.
    type: str
  password:
    description: The user's password.
    type: str
  ca_file:
    description: Path of the authority's certificate, where the module runs.
    type: path
  client_cert:
    description: Path of the certificate to show, where the API asks for one.
    type: path
  client_key:
    description: Path of that certificate's key.
    type: path
  timeout:
    description: Seconds for each request that is answered at once.
    type: float
    default: 5
  members:
    description: How many members there must be at least.
    type: int
    default: 1
  synchronous:
    description: How many standbys must be synchronous at least.
    type: int
    default: 0
  maximum_lag:
    description: Bytes that a healthy standby may be behind.
    type: int
    default: 16777216
requirements:
  - requests
notes:
  - Patroni 3.0 and later is supported, 4.x included. Roles and states are those of 4.x for every version.
"""

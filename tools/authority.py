# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate of the authority that a proxy's Caddy made for itself, for whoever visits a site from outside."""

from __future__ import annotations

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd

PATH = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"


def root_certificate(lxd: Lxd, proxy: str = "proxy-1") -> bytes:
    """The root certificate as PEM.

    :raises ScalingError: Caddy has not made its authority yet
    """
    content = lxd.read_file(proxy, PATH)
    if not content:
        raise ScalingError(f"{proxy} has no {PATH}: Caddy has not issued a certificate yet. See journalctl -u caddy there.")
    return content

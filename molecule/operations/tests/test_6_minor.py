# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL from an older minor version to the newest that apt offers, one member after the other, while somebody writes."""

from __future__ import annotations

import pytest
from data_tier import MEMBERS
from operated import Operated

INSTALL = (
    "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy", "--allow-downgrades", "--no-install-recommends",
)  # fmt: skip


def offered(site: Operated, name: str) -> list[str]:
    """The versions of PostgreSQL 15 that apt offers to an instance, the newest first."""
    site.run(name, "apt-get", "update", "-q")
    listed = site.run(name, "apt-cache", "madison", "postgresql-15")
    return list(dict.fromkeys(line.split("|")[1].strip() for line in listed.splitlines()))


def running(site: Operated) -> set[str]:
    """The PostgreSQL that the members run, by the version of its package."""
    return {site.sql(name, "show server_version").partition("Debian ")[2].rstrip(")") for name in MEMBERS}


def put_back(site: Operated, name: str, version: str) -> None:
    """Give a standby an older PostgreSQL, as if it had been made some months ago."""
    site.run(name, "apt-get", "update", "-q")
    site.run(name, *INSTALL, f"postgresql-15={version}", f"postgresql-client-15={version}")
    site.run(name, "systemctl", "restart", "patroni")
    site.settled()


def test_a_minor_version_is_rolled_out_while_somebody_writes(site: Operated) -> None:
    leader = site.settled()
    newest, *older = offered(site, leader)
    if not older:
        pytest.skip(f"apt offers {newest} alone, so there is nothing to come from")
    for name in (name for name in MEMBERS if name != leader):
        put_back(site, name, older[0])
    site.play("postgres_switchover")
    put_back(site, leader, older[0])
    assert running(site) == {older[0]}
    site.upgraded(f"PostgreSQL {newest} instead of {older[0]}")
    assert running(site) == {newest}
    site.unchanged("postgres_upgrade")

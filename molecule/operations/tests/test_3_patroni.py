# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From Debian's Patroni to 3.3 and from there to 4.1, one member after the other, while somebody writes."""

from __future__ import annotations

import json

import pytest
from data_tier import MEMBERS
from operated import STANDSTILL, Operated

BETWEEN, LATEST = "3.3.8", "4.1.5"


def versions(site: Operated) -> set[str]:
    """The Patroni that each member runs."""
    return {site.asked(name, "/patroni")["patroni"]["version"] for name in MEMBERS}


def test_patroni_4_is_refused_where_debians_runs(site: Operated) -> None:
    assert site.settled()
    assert versions(site) == {"3.0.2"}
    said = site.play("postgres_upgrade", "-e", f"postgres_patroni_version={LATEST}", fails=True)
    assert "Patroni 4 and members before 3.1 do not understand each other" in said
    assert versions(site) == {"3.0.2"}


@pytest.mark.parametrize("version", [BETWEEN, LATEST])
def test_patroni_is_upgraded_while_somebody_writes(site: Operated, version: str) -> None:
    site.set(postgres_patroni_version=version)
    before = site.upgraded(f"Patroni {version} instead of what ran")
    assert versions(site) == {version}
    assert site.run(before, "patronictl", "version").endswith(version)
    listed = site.run(before, "patronictl", "-c", "/etc/patroni/config.yml", "list", "-f", "json")
    assert sorted(member["Member"] for member in json.loads(listed)) == list(MEMBERS)


def test_the_cluster_is_in_the_new_ones_terms(site: Operated) -> None:
    assert versions(site) == {LATEST}
    # The timers that Debian's Patroni had are none that this one takes; a run says so in the configuration.
    with site.recorded("the timers of the new Patroni") as seen:
        site.play("site")
    assert seen.verdict.outage < STANDSTILL
    config = site.config()
    assert (config["ttl"], config["loop_wait"], config["retry_timeout"]) == (20, 1, 3)
    assert "primary_start_timeout" in config and not [key for key in config if key.startswith("master")]
    assert sorted(member["role"] for member in site.cluster()["members"]) == ["leader", "replica", "sync_standby"]
    assert site.settled()
    site.unchanged("postgres_upgrade")
    site.unchanged("site")


def test_the_new_one_hands_over_as_well(site: Operated) -> None:
    before = site.settled()
    with site.recorded(f"a switchover of Patroni {LATEST}") as seen:
        site.play("postgres_switchover")
    assert seen.verdict.outage < STANDSTILL
    assert site.settled() != before

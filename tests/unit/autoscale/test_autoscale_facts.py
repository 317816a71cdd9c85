# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts: what two samples say, and above all what they do not."""

from __future__ import annotations

import typing as t

import pytest
from autoscale_builders import NOW, proxy, row

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.facts import (
    Counter,
    Sample,
    keep,
    observe,
    rate,
    sample_of,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Facts, History, Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import amount
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View

BEFORE = Counter(1000.0, NOW - 10, NOW - 3600)


@pytest.mark.parametrize(
    ("before", "now", "value", "why"),
    [
        (BEFORE, Counter(1500.0, NOW, NOW - 3600), 50.0, ""),
        (BEFORE, Counter(1000.0, NOW, NOW - 3600), 0.0, ""),
        (BEFORE, Counter(1500.0, NOW, NOW - 3599.5), 50.0, ""),
        (BEFORE, Counter(1500.0, NOW, None), 50.0, ""),
        (None, Counter(1500.0, NOW), None, "no earlier sample"),
        (Counter(None, NOW - 10), Counter(1500.0, NOW), None, "no earlier sample"),
        (BEFORE, Counter(None, NOW), None, "cannot be read"),
        (BEFORE, Counter(1500.0, None), None, "cannot be read"),
        (BEFORE, Counter(1500.0, NOW, NOW - 5), None, "restarted"),
        (BEFORE, Counter(999.0, NOW, NOW - 3600), None, "reset"),
        (BEFORE, Counter(1500.0, NOW - 11, NOW - 3600), None, "clock was set back"),
        (BEFORE, Counter(1500.0, NOW - 9.5, NOW - 3600), None, "only 0.50 s old"),
        (BEFORE, Counter(1500.0, NOW - 10, NOW - 3600), None, "only 0.00 s old"),
        (BEFORE, Counter(1500.0, NOW + 500, NOW - 3600), None, "510 s old"),
    ],
)
def test_rate(before: Counter | None, now: Counter, value: float | None, why: str) -> None:
    found = rate(before, now, longest=300)
    assert found.value == value
    assert why in found.why
    assert bool(found.why) == (value is None)


@pytest.mark.parametrize("value", [None, True, "12", float("nan"), float("inf"), -1, [], {}])
def test_what_is_no_number(value: t.Any) -> None:
    assert amount(value) is None


def test_what_is_a_number() -> None:
    assert amount(0) == 0.0
    assert amount(2.5) == 2.5


def two_ticks(
    before: list[dict[str, t.Any]], now: list[dict[str, t.Any]], traffic: tuple[list[dict[str, t.Any]], list[dict[str, t.Any]]] = ([], [])
) -> Facts:
    """The facts of ``now``, ten seconds after ``before``."""
    earlier, later = sample_of(before, traffic[0], NOW - 10), sample_of(now, traffic[1], NOW)
    return observe(now, traffic[1], later, earlier, longest=300)


def test_cpu_is_per_cent_of_the_instances_own_limit() -> None:
    now = [row(1, cpu_usage_ns=15_000_000_000), row(2, cpu_limit=0.5, cpu_usage_ns=4_000_000_000)]
    facts = two_ticks([row(1), row(2, cpu_limit=0.5)], now)
    assert [one.cpu for one in facts.instances] == [75.0, 80.0]


@pytest.mark.parametrize("limit", [None, 0, 0.0])
def test_cpu_without_a_limit_is_unknown(limit: float | None) -> None:
    facts = two_ticks([row(1)], [row(1, cpu_usage_ns=5, cpu_limit=limit)])
    assert facts.instances[0].cpu is None
    assert "CPU of botserver-1: it has no CPU limit to be measured against" in facts.notes


def test_a_new_instance_has_no_cpu_yet_and_the_old_one_has() -> None:
    facts = two_ticks([row(1)], [row(1, cpu_usage_ns=10_000_000_000), row(2, cpu_usage_ns=99)])
    assert [one.cpu for one in facts.instances] == [50.0, None]
    assert "CPU of botserver-2: there is no earlier sample of it yet" in facts.notes


def test_a_restarted_instance_has_no_cpu_for_one_tick() -> None:
    facts = two_ticks([row(1, cpu_usage_ns=10)], [row(1, cpu_usage_ns=20_000_000_000, started_at=NOW - 5)])
    assert facts.instances[0].cpu is None


def test_the_first_sample_of_all_knows_only_memory() -> None:
    facts = observe([row(1)], [proxy(5, NOW)], sample_of([row(1)], [proxy(5, NOW)], NOW), None, longest=300)
    assert (facts.instances[0].cpu, facts.instances[0].memory, facts.requests, facts.requests_missing) == (None, 25.0, None, 1)


@pytest.mark.parametrize("missing", ["memory_used_bytes", "memory_limit_bytes"])
def test_memory_that_is_not_known(missing: str) -> None:
    facts = two_ticks([row(1)], [row(1, **{missing: None})])
    assert facts.instances[0].memory is None
    assert any(note.startswith("memory of botserver-1") for note in facts.notes)


def test_what_does_not_count_is_not_measured_and_not_complained_about() -> None:
    idle = [row(1, state="warm", status="Stopped", cpu_usage_ns=None), row(2, state="draining"), row(3, state="failed", status="Stopped")]
    facts = two_ticks(idle, idle, ([proxy(1, NOW - 10)], [proxy(1, NOW)]))
    assert [one.cpu for one in facts.instances] == [None, None, None]
    assert facts.notes == ()


@pytest.mark.parametrize(
    ("marked", "status", "state", "seen", "counts", "startable"),
    [
        ("active", "Stopped", "warm", "active", False, True),
        ("active", "Running", "active", "active", True, False),
        ("active", "Frozen", "active", "active", False, False),
        (None, "Frozen", "warm", "warm", False, False),
        ("warm", "Stopped", "warm", "warm", False, True),
        ("failed", "Stopped", "failed", "failed", False, False),
        ("draining", "Stopped", "draining", "draining", False, False),
        (None, "Stopped", "warm", "warm", False, True),
        (None, "Running", "active", "active", True, False),
    ],
)
def test_one_that_is_meant_to_run_and_stands_still_is_not_warm(
    marked: str | None, status: str, state: str, seen: str, counts: bool, startable: bool
) -> None:
    now = [row(2, marked=marked, status=status, state=state, cpu_usage_ns=None)]
    [one] = two_ticks(now, now, ([proxy(1, NOW - 10)], [proxy(1, NOW)])).instances
    assert (one.state, one.counts, one.startable) == (seen, counts, startable)


def test_requests_per_minute_over_all_proxies() -> None:
    traffic = ([proxy(100, NOW - 10), proxy(50, NOW - 20)], [proxy(200, NOW), proxy(90, NOW)])
    facts = two_ticks([], [], traffic)
    assert (facts.requests, facts.requests_missing) == (600.0 + 120.0, 0)


def test_a_proxy_that_restarted_is_missing_and_the_rest_is_a_lower_bound() -> None:
    traffic = ([proxy(100, NOW - 10), proxy(50, NOW - 10)], [proxy(200, NOW), proxy(3, NOW, started_at=NOW - 4)])
    facts = two_ticks([], [], traffic)
    assert (facts.requests, facts.requests_missing) == (600.0, 1)
    assert "requests at proxy 2: it was restarted since the last sample" in facts.notes


def test_a_proxy_that_could_not_be_asked() -> None:
    facts = two_ticks([], [], ([proxy(100, NOW - 10)], [{}]))
    assert (facts.requests, facts.requests_missing) == (None, 1)


def test_no_proxy_at_all_is_unknown_and_not_zero() -> None:
    facts = two_ticks([row(1)], [row(1)])
    assert (facts.requests, facts.requests_missing) == (None, 1)
    assert "requests: no proxy was asked" in facts.notes


def upstream(slot: int, in_flight: int | None, healthy: bool | None) -> dict[str, t.Any]:
    """One entry of a proxy's upstreams."""
    return {"address": f"10.87.0.{100 + slot}:8080", "in_flight": in_flight, "fails": 0, "healthy": healthy}


@pytest.mark.parametrize(
    ("one", "other", "ready", "in_flight"),
    [
        (upstream(1, 2, True), upstream(1, 3, True), True, 5),
        (upstream(1, 2, False), upstream(1, 0, True), True, 2),
        (upstream(1, 2, False), upstream(1, None, None), False, None),
        (upstream(1, None, None), upstream(1, None, None), None, None),
        (upstream(2, 1, True), upstream(2, 1, True), None, None),
    ],
)
def test_health_and_in_flight_over_proxies(
    one: dict[str, t.Any], other: dict[str, t.Any], ready: bool | None, in_flight: int | None
) -> None:
    traffic = [proxy(1, NOW, upstreams=[one]), proxy(1, NOW, upstreams=[other])]
    facts = two_ticks([row(1)], [row(1)], (traffic, traffic))
    assert (facts.instances[0].ready, facts.instances[0].in_flight) == (ready, in_flight)


@pytest.mark.parametrize(("ahead", "known"), [(-3600, True), (2, True), (60, False), (7200, False)])
def test_a_start_that_is_yet_to_come_is_one_of_which_nothing_is_known(ahead: float, known: bool) -> None:
    facts = two_ticks([], [row(1, started_at=NOW + ahead)])
    assert facts.instances[0].started_at == (NOW + ahead if known else None)


def test_a_clock_that_was_set_back_makes_no_instance_a_new_one() -> None:
    facts = two_ticks([], [row(1, started_at=NOW + 7200, cpu_usage_ns=None)], ([], [proxy(1, NOW, upstreams=[upstream(1, 1, False)])]))
    view = View(facts, Policy(), History())
    assert (view.starting, view.warming) == ((), frozenset())


def test_protection_must_be_said_plainly() -> None:
    facts = two_ticks([], [row(1, protected=True), row(2, protected=None)])
    assert [one.protected for one in facts.instances] == [True, False]


def test_a_sample_that_came_too_soon_does_not_replace_the_earlier_one() -> None:
    first = Sample(NOW)
    assert keep(first, Sample(NOW + 0.5)) is first
    assert keep(first, Sample(NOW + 5)).time == NOW + 5
    assert keep(first, Sample(NOW - 100)).time == NOW - 100
    assert keep(None, first) is first

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking upstreams for their health, and waiting for them, without time that passes."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from caddy_fakes import FakeTime, fake_caddy, upstream

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import health
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.health import Answer
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import WaitTimeout

YES, NO = Answer(True, "HTTP 200"), Answer(False, "HTTP 503")


def scripted(monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> None:
    """Each round of checks gives the next answer, and the last one for ever."""
    script = itertools.chain(answers, itertools.repeat(answers[-1]))
    monkeypatch.setattr(health, "probe_all", lambda checks: dict.fromkeys(checks, next(script)))


def test_any_2xx_of_the_gate_is_healthy() -> None:
    with upstream("gate") as gate:
        check = Health("/", port=int(gate.address.split(":")[1]))
        assert health.probe("127.0.0.1:1", check) == Answer(True, "HTTP 200")
        gate.status = 503
        assert health.probe("127.0.0.1:1", check) == Answer(False, "HTTP 503")


def test_a_redirect_is_not_followed_as_caddy_does_not() -> None:
    with upstream("gate") as gate:
        assert health.probe(gate.address, Health("/moved")) == Answer(False, "HTTP 302")


def test_no_answer_and_no_connection_are_unhealthy_in_words() -> None:
    with upstream("slow") as slow:
        slow.hold.clear()
        assert "imed out" in health.probe(slow.address, Health("/held", timeout=0.1)).words
    assert "refused" in health.probe("127.0.0.1:1", Health("/")).words


def test_all_are_asked_at_once() -> None:
    with upstream("one") as one, upstream("two") as two:
        one.hold.clear()
        two.hold.clear()
        answers = health.probe_all({one.address: Health("/held", timeout=0.2), two.address: Health("/", timeout=0.2)})
        assert list(answers) == [one.address, two.address]
        assert [answer.healthy for answer in answers.values()] == [False, True]
    assert health.probe_all({}) == {}


def test_healthy_is_passes_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, YES, NO, YES, YES, YES)
    time = FakeTime()
    health.wait_healthy({"a:1": Health("/", passes=3)}, 60, time.clock())
    assert time.seconds == pytest.approx(4 * 0.2)


def test_not_healthy_in_time_is_a_failure_with_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, NO)
    with pytest.raises(WaitTimeout, match="a:1 to be healthy; last seen: a:1 HTTP 503"):
        health.wait_healthy({"a:1": Health("/")}, 2, FakeTime().clock())


def test_unhealthy_is_for_as_long_as_caddy_needs_to_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, YES, NO, YES, NO)
    time = FakeTime()
    health.wait_unhealthy({"a:1": Health("/")}, 35, 60, time.clock())
    assert time.seconds == pytest.approx(3 * 0.2 + 35, abs=0.21)


@pytest.mark.parametrize("reloads, seconds", [([0], 35), ([0] * 50 + [1], 10 + 35), ([0] * 50 + [1] * 25 + [2], 15 + 35)])
def test_after_a_reload_caddy_has_to_notice_anew(monkeypatch: pytest.MonkeyPatch, reloads: list[float], seconds: float) -> None:
    scripted(monkeypatch, NO)
    time, loaded = FakeTime(), itertools.chain(reloads, itertools.repeat(reloads[-1]))
    health.wait_unhealthy({"a:1": Health("/")}, 35, 0, time.clock(), lambda: next(loaded))
    assert time.seconds == pytest.approx(seconds, abs=0.7)


def test_a_caddy_that_is_reloaded_all_the_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, NO)
    with pytest.raises(WaitTimeout, match="loaded anew 6 times"):
        health.wait_unhealthy({"a:1": Health("/")}, 35, 0, FakeTime().clock(), itertools.count().__next__)


def test_a_gate_that_stays_open_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, YES)
    with pytest.raises(WaitTimeout, match="out of Caddy's choice; last seen: a:1 HTTP 200"):
        health.wait_unhealthy({"a:1": Health("/")}, 5, 2, FakeTime().clock())


def test_a_gate_that_flaps_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    flapping = itertools.cycle([*[NO] * 10, YES])
    monkeypatch.setattr(health, "probe_all", lambda checks: dict.fromkeys(checks, next(flapping)))
    with pytest.raises(WaitTimeout, match="out of Caddy's choice"):
        health.wait_unhealthy({"a:1": Health("/")}, 5, 3, FakeTime().clock())


def counting(fake: t.Any, counts: list[int]) -> Caddy:
    """A client whose reading of the upstreams takes the next of ``counts``."""
    caddy = Caddy(fake.socket)
    script = itertools.chain(counts, itertools.repeat(counts[-1]))
    caddy.upstreams = lambda: [{"address": "a:1", "num_requests": next(script), "fails": 0}]  # type: ignore[method-assign]
    return caddy


def test_idle_is_nothing_in_flight() -> None:
    with fake_caddy({}) as fake:
        time = FakeTime()
        assert health.wait_idle(counting(fake, [2, 1, 0]), ["a:1", "gone:1"], 60, time.clock()) == {"a:1": 0, "gone:1": 0}
        assert time.seconds == pytest.approx(0.4)


def test_not_idle_in_time_is_no_failure_but_a_count() -> None:
    with fake_caddy({}) as fake:
        assert health.wait_idle(counting(fake, [2]), ["a:1"], 1, FakeTime().clock()) == {"a:1": 2}

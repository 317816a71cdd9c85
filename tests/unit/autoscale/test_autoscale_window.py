# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stabilisation window over many ticks: what is remembered of it, and when it counts as known."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from autoscale_builders import NOW, POLICY, even

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.history import learn
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Facts, History
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.policy import decide


def idle(time: float, *, known: bool = True) -> Facts:
    """Three instances of which one would do, as long as anything is known of their load."""
    facts = even(3, cpu=12.0) if known else even(3, cpu=None, memory=None, requests=None)
    return dataclasses.replace(facts, time=time)


class Story:
    """Ticks of a fleet from which nothing is ever taken, though decisions would."""

    def __init__(self, **policy: t.Any) -> None:
        self.policy = dataclasses.replace(POLICY, **policy)
        self.history = History()
        self.time = NOW

    def tick(self, after: float, *, known: bool = True) -> Decision:
        """One more, so many seconds after the last."""
        self.time += after
        decision = decide(idle(self.time, known=known), self.policy, self.history)
        self.history = learn(self.history, decision)
        return decision

    def ticks(self, seconds: float, every: float, *, known: bool = True) -> list[Decision]:
        """As many as fit."""
        return [self.tick(every, known=known) for _tick in range(round(seconds / every))]


@pytest.mark.parametrize("gap", [150.0, 270.0, 300.0, 330.0, 600.0])
@pytest.mark.parametrize("blind", [True, False], ids=["nothing was known", "no ticks"])
def test_what_was_not_seen_in_between_is_not_known(gap: float, blind: bool) -> None:
    story = Story()
    assert story.ticks(900, 30)[-1].action == "in"
    if blind:
        assert {decision.action for decision in story.ticks(gap - 30, 30, known=False)} == {"hold"}
        first = story.tick(30)
    else:
        first = story.tick(gap)
    later = story.ticks(240, 30)
    assert {decision.action for decision in (first, *later)} == {"hold"}
    assert [held.guard for held in first.guards] == ["stabilisation"]
    assert "only 0 s of the last 300 s are known" in first.reason
    assert "only 240 s of the last 300 s are known" in later[-1].reason
    assert story.ticks(60, 30)[-1].action == "in"


@pytest.mark.parametrize("missed", [1, 2])
def test_a_tick_or_two_that_were_missed_are_no_gap(missed: int) -> None:
    story = Story()
    story.ticks(900, 30)
    assert story.tick(30.0 * (missed + 1)).action == "in"


@pytest.mark.parametrize(("interval", "cooldown"), [(30.0, 300.0), (1.0, 300.0), (5.0, 3600.0), (30.0, 86400.0)])
def test_once_it_has_passed_it_is_known_at_each_tick(interval: float, cooldown: float) -> None:
    story = Story(interval=interval, cooldown=cooldown)
    story.ticks(cooldown + 2 * interval, interval)
    assert {decision.action for decision in story.ticks(100 * interval, interval)} == {"in"}


def test_ticks_that_come_less_often_than_the_interval_know_it_as_well() -> None:
    """As from cron, every five minutes."""
    assert Story().ticks(1500, 300)[-1].action == "in"


def test_a_forced_tick_forgets_nothing_of_it() -> None:
    story = Story()
    story.ticks(600, 30)
    facts = idle(story.time + 30)
    forced = learn(story.history, decide(facts, story.policy.forced(), story.history))
    assert len(forced.needs) == len(learn(story.history, decide(facts, story.policy, story.history)).needs) > 10

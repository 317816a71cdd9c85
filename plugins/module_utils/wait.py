# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded waiting: a predicate, a monotonic clock, and what was last seen when time runs out."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    WaitTimeout,
)

T = t.TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time as waiting sees it; tests give a clock of their own. All count in seconds.

    ``wall`` is the time of day since 1970, for what others wrote down; it may be set, so nothing is waited for by it.
    """

    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep
    wall: t.Callable[[], float] = time.time


def wait_for(
    what: str,
    observe: t.Callable[[], T],
    satisfied: t.Callable[[T], bool],
    *,
    timeout: float,
    interval: float = 0.2,
    describe: t.Callable[[T], str] = str,
    hint: str = "",
    clock: Clock = Clock(),
) -> T:
    """Observe until ``satisfied(observation)`` and return that observation.

    :param what: what is waited for, as it completes the sentence "waited 5 s for …"
    :param timeout: seconds; at least one observation is made even if it is 0
    :param interval: seconds between two observations
    :param describe: turns the last observation into words for the error
    :param hint: what the reader of the error should do next
    :raises WaitTimeout: with the last observation in words (also as ``last_seen``)
    """
    start = clock.now()
    while True:
        seen = observe()
        if satisfied(seen):
            return seen
        elapsed = clock.now() - start
        if elapsed >= timeout:
            last = describe(seen)
            message = f"Waited {elapsed:.1f} s for {what}; last seen: {last}."
            raise WaitTimeout(f"{message} {hint}".rstrip(), last_seen=last, waited_seconds=round(elapsed, 3))
        clock.sleep(min(interval, max(timeout - elapsed, 0.0)))

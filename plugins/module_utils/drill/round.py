# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One round of a drill: record, inject a fault at a random moment, let it last, heal, wait until all is well, read back, judge."""

from __future__ import annotations

import dataclasses
import random
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.drill import cluster as seen
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.faults import Planned, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.recording import Recording
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.steps import Steps
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Refused, ScalingError, WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.history import judge as judging
from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import parse
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for

#: seconds within which the moment of a fault is drawn: more than Patroni's shortest loop
PHASE = 2.0


@dataclasses.dataclass(frozen=True)
class Drill:
    """What a round needs to know.

    :param client: the botserver instance whose address of the database is used
    :param database: ``host``, ``port``, ``dbname``, ``user`` and ``password`` as botserver has them
    :param recover: seconds within which writes have to be acknowledged again, and everything has to be well after healing
    """

    subnet: str
    client: str
    database: t.Mapping[str, t.Any]
    scope: str = "generalbots"
    writers: int = 4
    rate: float = 25.0
    recover: float = 90.0
    heal: float = 180.0


@dataclasses.dataclass(frozen=True)
class Result:
    """What a round gave. ``log`` is the whole history as text, ``problems`` what went wrong beside the history itself."""

    fault: str
    target: str
    injected: float
    healed_seconds: float
    leader_before: str
    leader_after: str
    verdict: judging.Verdict
    problems: tuple[str, ...]
    log: str
    within_bar: bool | None

    def as_dict(self) -> dict[str, t.Any]:
        """For JSON, without the log."""
        said = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in ("log", "verdict")}
        return {**said, "problems": list(self.problems), "verdict": self.verdict.as_dict()}


class Round:
    """One round; ``run`` does all of it and heals whatever happens."""

    def __init__(self, lxd: Lxd, drill: Drill, clock: Clock = Clock(), draw: t.Callable[[], float] = random.random) -> None:
        self._lxd, self._drill, self._clock, self._draw = lxd, drill, clock, draw
        self._steps = Steps(lxd, drill.subnet, drill.scope, clock)
        self._recording = Recording(
            lxd, drill.subnet, drill.client, drill.database, writers=drill.writers, rate=drill.rate, clock=clock,
        )  # fmt: skip

    def look(self) -> seen.Cluster:
        """The cluster now."""
        return seen.look(self._lxd, self._drill.subnet)

    def plan(self, name: str, target: str | None, *, force: bool = False) -> tuple[Planned, seen.Cluster]:
        """What would be done, and the cluster it was planned for.

        :raises Refused: the cluster is not healthy and nobody said that this does not matter
        """
        now = self.look()
        if now.problems() and not force:
            raise Refused(
                f"The cluster is not healthy ({'; '.join(now.problems())}), and a drill would come on top. "
                "Repair it first, or say force: true. Nothing was done."
            )
        return plan(name, now, target), now

    def run(self, planned: Planned, before: seen.Cluster) -> Result:
        """Do it.

        :raises ScalingError: the fault could not be injected; everything was healed
        """
        self._recording.start(before.names(seen.POSTGRES))
        problems: list[str] = []
        healed = begun = injected = 0.0
        try:
            self._writes_flow("before the fault")
            self._clock.sleep(self._draw() * PHASE)
            injected = self._clock.wall()
            for step in planned.inject:
                self._steps.take(step)
            self._clock.sleep(planned.hold)
            if planned.recovers:
                problems += self._noted(lambda: self._writes_flow("during the fault"))
        finally:
            begun = self._clock.now()
            problems += self._heal(planned)
            problems += self._noted(self._wait_healthy)
            healed = self._clock.now() - begun
            problems += self._noted(lambda: self._writes_flow("after healing"))
            log = self._recording.stop()
        verdict = judging.judge(parse(log))
        after = self.look()
        if planned.stays and (after.leader, after.timeline) != (before.leader, before.timeline):
            problems.append(f"The lead was moved for no good reason, from {before.leader} to {after.leader or 'nobody'}.")
        within = None if planned.limit is None else verdict.outage <= planned.limit
        return Result(
            planned.name, planned.target, injected, round(healed, 1), before.leader, after.leader, verdict, tuple(problems), log, within,
        )  # fmt: skip

    def _heal(self, planned: Planned) -> list[str]:
        """Undo every step, whatever becomes of the others; returns what could not be undone."""
        failed: list[str] = []
        for step in planned.heal:
            try:
                self._steps.take(step)
            except ScalingError as error:
                failed.append(f"{step} failed: {error}")
        return failed

    def _noted(self, wait: t.Callable[[], object]) -> list[str]:
        """Wait; what does not come true in time is a problem of the round, which goes on to heal and to judge."""
        try:
            wait()
        except WaitTimeout as error:
            return [str(error)]
        return []

    def _writes_flow(self, when: str) -> None:
        self._recording.wait_flow(when, self._drill.recover)

    def _wait_healthy(self) -> None:
        wait_for(
            "the cluster to be healthy again", self.look, lambda now: not now.problems(), timeout=self._drill.heal, interval=1.0,
            describe=lambda now: "; ".join(now.problems()), clock=self._clock,
        )  # fmt: skip

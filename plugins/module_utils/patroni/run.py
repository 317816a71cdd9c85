# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking the steps of a plan on a running Patroni cluster: one after the other, each read back before the next."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    ApiError,
    Conflict,
    Refused,
    ScalingError,
    Unreachable,
    WaitTimeout,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.http import Response
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Json, Patroni
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.config import TIMERS, paths
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.health import Need, broken, problems
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.model import Member, View, observe
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.plan import Wanted, patch_for, restart_order, restart_step
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Action, Plan
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for

#: how often a change of the configuration is tried when others change it in the same moment
_TRIES = 4
#: a restart that a setting needs is seen to in so many rounds: standbys, primary, and standbys that could not before it
_ROUNDS = 3
#: a member has read a change when its loop was seen to begin this often afterwards
_LOOPS = 2
#: seconds beside C(loop_wait) until a member that was told to reload its configuration has done so
_RELOADING = 5
_HINT = "Look at the journal of patroni on those members."
T = t.TypeVar("T")
P = t.ParamSpec("P")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A running cluster: how it is reached, its name, and how long its steps may take in seconds."""

    patroni: Patroni
    scope: str
    timeout: float = 180
    clock: Clock = dataclasses.field(default_factory=Clock)

    def look(self) -> View:
        """The cluster now."""
        return observe(self.patroni, self.scope)

    def find(self) -> View:
        """The cluster, as soon as one of its members answers.

        :raises WaitTimeout: nobody does
        """
        _said, view = wait_for(
            "a member of the Patroni cluster to answer",
            self._try,
            lambda seen: seen[1] is not None,
            timeout=self.timeout,
            interval=0.5,
            describe=lambda seen: seen[0],
            hint=_HINT,
            clock=self.clock,
        )
        return t.cast("View", view)

    def healthy(self, need: Need) -> View:
        """The cluster, as soon as it is healthy.

        :raises WaitTimeout: with what is missing
        """
        return self.until("the Patroni cluster to be healthy", lambda view: problems(view, need))

    def until(self, what: str, missing: t.Callable[[View], t.Sequence[str]]) -> View:
        """The cluster, as soon as ``missing`` finds nothing.

        :raises WaitTimeout: with what it found last
        """

        def seen() -> tuple[View | None, t.Sequence[str]]:
            said, view = self._try()
            return view, [said] if view is None else missing(view)

        view, _missing = wait_for(
            what,
            seen,
            lambda found: not found[1],
            timeout=self.timeout,
            interval=0.5,
            describe=lambda found: "; ".join(found[1]),
            hint=_HINT,
            clock=self.clock,
        )
        return t.cast("View", view)

    def write(self, call: t.Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """What ``call`` returns, which changes something; repeated where a member does not accept the password.

        Patroni reloads its own configuration only when its loop begins, so a new password may be refused for C(loop_wait) seconds.

        :raises ApiError: the password is still refused then, or after ``timeout``; or what else the call raises
        """
        start = self.clock.now()
        patience: float | None = None
        while True:
            try:
                return call(*args, **options)
            except ApiError as error:
                if error.status != 401:
                    raise
                if patience is None:
                    patience = min(int(self.patroni.config().get("loop_wait", TIMERS["loop_wait"])) + _RELOADING, self.timeout)
                if self.clock.now() - start >= patience:
                    raise
            self.clock.sleep(0.5)

    def _try(self) -> tuple[str, View | None]:
        try:
            return "", self.look()
        except Refused:
            raise
        except ScalingError as error:
            return str(error), None


def lasting(cluster: Cluster, view: View, patience: float) -> list[str]:
    """Standbys that do not follow, and did not for ``patience`` seconds."""
    names = set(broken(view))
    end = cluster.clock.now() + patience
    while names and cluster.clock.now() < end:
        cluster.clock.sleep(min(1.0, max(end - cluster.clock.now(), 0.0)))
        names &= set(broken(cluster.look()))
    return sorted(names)


def run(cluster: Cluster, wanted: Wanted, steps: Plan) -> list[Action]:
    """Take the steps in their order.

    Whether a parameter needs a restart is known to the members alone, when they have read it: an extension may have made it.

    :returns: the steps that were taken; among the restarts there may be others than planned
    :raises ScalingError: a step failed; what came before it is done
    """
    for step in steps.actions:
        if step.verb == "configure":
            _configure(cluster, wanted, step)
        elif step.verb in ("pause", "resume"):
            _pause(cluster, bool(step.detail["pause"]))
        elif step.verb == "reinitialize":
            _reinitialize(cluster, step.target)
        elif step.verb in ("switch over", "fail over"):
            _lead(cluster, step)
    taken = [step for step in steps.actions if step.verb != "restart"]
    if not wanted.restart or not any(step.verb in ("configure", "restart") for step in steps.actions):
        return taken
    primary_first = any(step.detail["primary_first"] for step in steps.actions if step.verb == "configure")
    return taken + [restart_step(name) for name in _restart(cluster, primary_first)]


def _configure(cluster: Cluster, wanted: Wanted, step: Action) -> None:
    patch: Json = step.detail["patch"]
    for attempt in range(1, _TRIES + 1):
        try:
            cluster.write(cluster.patroni.patch_config, patch)
            break
        except Conflict:
            if attempt == _TRIES:
                raise
            cluster.clock.sleep(0.2 * attempt)
            patch = patch_for(wanted, cluster.patroni.config())
            if not patch:
                break
    _read_by_all(cluster, wanted)


def _read_by_all(cluster: Cluster, wanted: Wanted) -> None:
    """Wait until every member has begun its loop twice since, so that it has read the change and says whether it needs a restart.

    What C(GET /config) tells is what the member read last, so only then it is the new configuration, if nobody else wrote it.
    """
    beginnings: dict[str, set[int]] = {}

    def unread(view: View) -> list[str]:
        for member in view.members:
            if member.seen is not None:
                beginnings.setdefault(member.name, set()).add(member.seen)
        late = [member for member in view.members if not member.silent and len(beginnings.get(member.name, ())) <= _LOOPS]
        if late:
            return [f"{member.name} has not read it" for member in late]
        left = patch_for(wanted, view.config)
        return [f"it reads back with another {', '.join(paths(left))}; somebody else may write it too"] if left else []

    cluster.until("the members to read the new configuration", unread)


def _pause(cluster: Cluster, paused: bool) -> None:
    cluster.write(cluster.patroni.patch_config, {"pause": True if paused else None})
    word = "paused" if paused else "resumed"
    cluster.until(
        f"every member to have {word}",
        lambda view: [
            f"{member.name} {'does not answer' if member.silent else 'has not'}" for member in view.members if member.paused != paused
        ],
    )


def _reinitialize(cluster: Cluster, name: str) -> None:
    member = _member(cluster.look(), name)
    cluster.write(cluster.patroni.reinitialize, member.url)
    # It says for a moment yet that it streams.
    begun = [member.state == "creating replica"]

    def missing(view: View) -> list[str]:
        now = _member(view, name)
        begun[0] = begun[0] or not now.well
        return [] if begun[0] and now.well else [f"{name} is {now.state or now.silent}, {'' if begun[0] else 'not yet '}begun"]

    cluster.until(f"{name} to have copied the leader's data and to follow", missing)


def _lead(cluster: Cluster, step: Action) -> None:
    """Hand over the lead, and believe only what the cluster looks like afterwards."""
    before, candidate = cluster.look(), str(step.detail["candidate"])
    url = before.leader.url if before.leader else _member(before, candidate).url
    try:
        said = cluster.write(_hand_over, cluster, step, url).body.strip()
    except Unreachable as error:
        said = str(error)
    was = before.leader.name if before.leader else None
    try:
        cluster.until(f"{candidate} to lead", lambda view: _other_leader(view, candidate, was))
    except WaitTimeout as error:
        raise WaitTimeout(f"{error} Patroni had said: {said}", **error.details) from error


def _hand_over(cluster: Cluster, step: Action, url: str) -> Response:
    candidate = str(step.detail["candidate"])
    if step.verb == "switch over":
        return cluster.patroni.switchover(url, str(step.detail["leader"]), candidate, cluster.timeout)
    return cluster.patroni.failover(url, candidate, cluster.timeout)


def _other_leader(view: View, candidate: str, was: str | None) -> list[str]:
    leader = view.leader
    if leader is None:
        return ["nobody leads"]
    if leader.name not in (candidate, was):
        raise Refused(
            f"The lead went to {leader.name} instead of {candidate}: Patroni chose another when it came to it. The cluster goes on with "
            f"{leader.name}; run again for {candidate}.",
            leader=leader.name,
        )
    return [] if leader.name == candidate and leader.well else [f"{leader.name} leads, {leader.state}"]


def _restart(cluster: Cluster, primary_first: bool) -> list[str]:
    """Restart who waits for it, one at a time; the next only when the one before follows again. Returns whom, in order."""
    done: list[str] = []
    view = cluster.look()
    count = len(view.members)
    for _round in range(_ROUNDS):
        due = restart_order((member for member in view.members if member.pending_restart), primary_first)
        if not due:
            return done
        for member in due:
            if cluster.write(cluster.patroni.restart, member.url, cluster.timeout):
                done.append(member.name)
                _back(cluster, member, count)
        view = cluster.look()
    left = [member.name for member in view.members if member.pending_restart]
    if left:
        raise ScalingError(f"{', '.join(left)} still need a restart after {_ROUNDS} of them. {_HINT}")
    return done


def _back(cluster: Cluster, before: Member, count: int) -> None:
    """Wait until the cluster is healthy with as many members as before the restarts: one that does not come back has no key any more."""

    def missing(view: View) -> list[str]:
        return problems(view, Need(members=count, restarted=False))

    cluster.until(f"the cluster to be healthy after the restart of {before.name}", missing)


def _member(view: View, name: str) -> Member:
    member = view.named(name)
    if member is None:
        raise ScalingError(f"{name} has left the Patroni cluster in the meantime. Run again.")
    return member

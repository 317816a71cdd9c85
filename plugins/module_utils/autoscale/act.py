# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking the steps that were decided: slots started together, drained, renewed, kept warm.

Every step is written into LXD before it is taken and can be taken again, so it does not matter where a run dies: what a
slot was on its way to stands in its keys, and the next run goes on from there. :func:`next_of` judges a drain and is pure.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import traffic
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Refused, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address, instance_name
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet_run import gate_verbs
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, Runner, RunOptions, observe
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import edit
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Action, Plan
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock

Observed = t.Mapping[str, Instance]
#: seconds between two looks at an instance that is watched
WATCH = 2.0
#: failures of slots that make a run fail; a drain past its deadline is only told, unless a person waits for what then does not happen
FATAL = frozenset({"start", "unready", "stop"})
#: those of them by which a slot did not come up
UP = frozenset({"start", "unready"})
Step = t.Literal["finish", "close", "wait", "reopen", "keep"]


@dataclasses.dataclass(frozen=True)
class How:
    """How steps are taken. Times in seconds.

    :param health: how load balancers check an instance; decides when it counts as started, and when its drain is noticed
    :param drain_policy: what happens at a drain's deadline: force, keep or abort
    :param keeps: what becomes of an instance that was taken in: warm or delete
    """

    spec: fleet.FleetSpec
    health: Health
    health_timeout: float = 120.0
    drain_policy: str = "force"
    keeps: str = "warm"
    stop_timeout: float = 40.0
    limits_best_effort: bool = False
    parallel: int = 8


@dataclasses.dataclass(frozen=True)
class Failure:
    """A slot that did not do what it should: ``kind`` is start, unready, stop or drain_timeout.

    :param again: an earlier run has told it and counted it; it is the same one
    """

    slot: int
    kind: str
    reason: str
    again: bool = False


@dataclasses.dataclass(frozen=True)
class Draining:
    """A slot on its way out. ``in_flight`` and ``healthy`` are None where no load balancer says.

    :param gate_closed_at: when its gate was last closed, as its stamp says; it may be open again
    :param wedged: its gate was just tried to be closed, and could not be
    :param loaded_at: when a load balancer was last reloaded; before that none can have noticed the gate
    """

    status: str
    gate_closed_at: float | None
    deadline: float | None
    in_flight: int | None
    healthy: bool | None
    wedged: bool = False
    loaded_at: float | None = None


def next_of(one: Draining, how: How, now: float) -> Step:
    """What comes next for a draining slot: to be put away, its gate closed (again), nothing yet, or what the policy says.

    Before the load balancers have certainly noticed the closed gate nothing is stopped, not even at the deadline. Of a gate that cannot
    be closed the policy decides as well, when as much time is over: the drain of an instance that is stuck must have an end. Of one that
    answers as healthy however often it is closed, when twice as much is, and it was closed once after the deadline: a gate that was closed
    before then may have been opened since, by a host that was restarted. One that is frozen is unfrozen to close it, and then drains as
    any other does.
    """
    policies: dict[str, Step] = {"force": "finish", "keep": "keep", "abort": "reopen"}
    if one.status == "Frozen":
        return "close"
    if one.status != "Running":
        return "finish"
    stamp = one.gate_closed_at
    if stamp is None or stamp > now or one.healthy:
        patience = how.health.notice if one.wedged else 2 * how.health.notice
        tried = one.wedged or (one.healthy and stamp is not None and (one.deadline or 0.0) <= stamp <= now)
        return policies[how.drain_policy] if tried and now >= (one.deadline or 0.0) + patience else "close"
    # With a reload a load balancer forgets what it had noticed, and has to notice it again.
    closed = max(stamp, one.loaded_at or stamp)
    if now < closed + how.health.notice:
        return "wait"
    if one.in_flight == 0:
        return "finish"
    # A clock that was set back must not stretch a drain beyond its own length, which is that of one whose deadline nobody knows.
    length = how.spec.drain_timeout
    if now < (stamp + length if one.deadline is None else min(one.deadline, closed + length)):
        return "wait"
    return policies[how.drain_policy]


def frozen(observed: Observed) -> list[int]:
    """The active slots that a person has paused (``lxc pause``). They serve nobody and are left alone until somebody goes on with them."""
    still = (one for one in observed.values() if one.status == "Frozen" and fleet.slot_state(one) == "active")
    return sorted(slot for one in still if (slot := fleet.slot_of(one)) is not None)


def serving(observed: Observed, spec: fleet.FleetSpec) -> list[int]:
    """The active slots that are not frozen: those make up the size of the fleet, for a person as for a tick."""
    return sorted({*fleet.slots(observed, spec.max_slots)["active"]} - {*frozen(observed)})


class Actor:
    """Takes steps on the fleet.

    ``did`` says what was done, ``failures`` what failed, for the log and the next decision; ``renewed`` are the slots that were drained
    and started anew, whether they came up or were set aside, and those that were rolled onto another image; ``kept`` are those that are
    left draining beyond their deadline.

    ``aside`` are those that did not come up and were marked as failed and stopped, for a person to look at.

    :param beat: called in each round of a long wait, for what must not rest meanwhile
    """

    def __init__(
        self,
        lxd: Lxd,
        how: How,
        proxies: t.Sequence[str],
        *,
        now: t.Callable[[], float] = time.time,
        clock: Clock = Clock(),
        warn: t.Callable[[str], None] = lambda text: None,
        beat: t.Callable[[], None] = lambda: None,
    ) -> None:
        self._lxd = lxd
        self._how = how
        self._proxies = list(proxies)
        self._now = now
        self._clock = clock
        self._warn = warn
        self._beat = beat
        self._warned: set[str] = set()
        self.did: list[str] = []
        self.failures: list[Failure] = []
        self.renewed: set[int] = set()
        self.kept: set[int] = set()
        self.aside: set[int] = set()

    @property
    def stuck(self) -> set[int]:
        """The slots that could neither be started nor be set aside."""
        return {one.slot for one in self.failures if one.kind in UP} - self.aside

    def use(self, spec: fleet.FleetSpec) -> None:
        """Take further steps on the fleet as it is described by another spec."""
        self._how = dataclasses.replace(self._how, spec=spec)

    # --- out -------------------------------------------------------------------------------------------------------

    def start(self, slots: t.Sequence[int], observed: Observed, *, replaces: str = "") -> list[int]:
        """Start the slots together and wait until the load balancers find them healthy; returns those that are.

        Where none is healthy yet, the first one starts alone, for botserver migrates its database when it starts, and has no lock for that.
        Warm slots are started as they are, those of an outdated image are made anew. What fails is set aside: marked,
        stopped, kept for inspection.

        :param replaces: the slot whose place they take, for whoever goes on with that
        """
        several, young = len(slots) > 1, self._young(observed)
        # One that starts alone beside those that are long past their start has nothing to wait for, and may be to replace them.
        first_alone = (several or young > 0) and not self._one_is_healthy(observed, young)
        if several and first_alone:
            return [*self._start(slots[:1], observed, replaces), *self._start(slots[1:], observe(self._lxd), replaces)]
        return self._start(slots, observed, replaces)

    def _young(self, observed: Observed) -> float:
        """For how many seconds one that runs has still to be given time to become healthy; 0 where all are long past their start.

        A run that was killed leaves one so, perhaps in the middle of migrating the database.
        """
        starts = (fleet.started_at(observed[instance_name(fleet.COMPONENT, slot)]) for slot in self._up(observed))
        ages = [max(self._now() - start, 0.0) for start in starts if start is not None]
        return max((self._how.health_timeout - age for age in ages), default=0.0)

    def _up(self, observed: Observed) -> list[int]:
        active = fleet.slots(observed, self._how.spec.max_slots)["active"]
        return [slot for slot in active if self._is(observed, slot, "Running")]

    def _one_is_healthy(self, observed: Observed, seconds: float) -> bool:
        """Whether one of those that run is healthy, or becomes so within that time."""
        up, begun = dict.fromkeys(self._up(observed), ""), self._clock.now()
        while up:
            self._beat()
            if len(self._ask(up, 1.0)) < len(up):
                return True
            if self._clock.now() - begun >= seconds:
                break
            self._clock.sleep(min(WATCH, seconds))
        return False

    def _start(self, slots: t.Sequence[int], observed: Observed, replaces: str) -> list[int]:
        wanted, told = Plan(), len(self.failures)
        for slot in slots:
            self._plan_start(wanted, slot, observed, replaces)
        failed = self._run(wanted, "start")
        # What a slot did earlier in this run, such as a drain beyond its deadline, says nothing about its start.
        begun = [slot for slot in slots if slot not in {one.slot for one in self.failures[told:]}]
        unready = self._unready(begun)
        self.failures += [Failure(slot, "unready", words) for slot, words in unready.items()]
        for slot in sorted({*failed, *unready}):
            self._set_aside(slot)
        return [slot for slot in begun if slot not in unready]

    def _plan_start(self, wanted: Plan, slot: int, observed: Observed, replaces: str) -> None:
        spec, there = dataclasses.replace(self._how.spec, replaces=replaces), observed.get(instance_name(fleet.COMPONENT, slot))
        outdated = there is not None and there.status == "Stopped" and fleet.slot_of(there) == slot and fleet.outdated(there, spec)
        self._plan_into(wanted, spec, slot, observed, "started", anew=outdated)

    def _plan_into(self, wanted: Plan, spec: fleet.FleetSpec, slot: int, observed: Observed, state: str, *, anew: bool) -> None:
        """Plan to bring a slot into a state, deleted and made ``anew``; where that is refused nothing is planned, and it has failed."""
        name, one = instance_name(fleet.COMPONENT, slot), Plan()
        try:
            if anew:
                one.extend(fleet.plan_fleet(spec, [slot], fleet.Look(observed, now=self._now()), "absent"))
            seen = {key: instance for key, instance in observed.items() if not (anew and key == name)}
            one.extend(fleet.plan_fleet(spec, [slot], fleet.Look(seen, now=self._now()), state))
            wanted.extend(one)
        except ScalingError as error:
            self.failures.append(Failure(slot, "start", str(error)))

    def _unready(self, slots: t.Sequence[int]) -> dict[int, str]:
        """Wait for the slots' health; those that do not become healthy, with the last answer in words."""
        waiting, given_up = dict.fromkeys(slots, "not asked"), {}
        begun = self._clock.now()
        while waiting:
            self._beat()
            asked = self._clock.now()
            left = self._how.health_timeout - (self._clock.now() - begun)
            waiting = self._ask(waiting, max(min(traffic.ROUND, left), 0.0))
            given_up.update(self._stopped(waiting) if waiting else {})
            if self._clock.now() - begun >= self._how.health_timeout:
                given_up.update({slot: self._too_late(slot, words) for slot, words in waiting.items() if slot not in given_up})
            waiting = {slot: words for slot, words in waiting.items() if slot not in given_up}
            if waiting:
                self._rest(asked)
        return given_up

    def _rest(self, since: float) -> None:
        """Pause where what takes a while came back at once, as a command does that cannot run: it would be asked without end."""
        left = WATCH - (self._clock.now() - since)
        if left > 0:
            self._clock.sleep(left)

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text)

    def _too_late(self, slot: int, words: str) -> str:
        where = f"http://{self._how.health.address(self._address(slot))}{self._how.health.uri}"
        return f"it was not healthy within {self._how.health_timeout:.0f} s; {where} gave: {words}"

    def _ask(self, waiting: t.Mapping[int, str], seconds: float) -> dict[int, str]:
        by_address = {self._address(slot): slot for slot in waiting}
        # Without a load balancer each instance is asked by itself.
        askers = {name: list(by_address) for name in self._proxies} or {
            instance_name(fleet.COMPONENT, slot): [where] for where, slot in by_address.items()
        }
        found: dict[int, str] = {}
        silent: dict[int, str] = {}
        heard: set[int] = set()
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(askers)) as pool:
            jobs = [
                (asked, pool.submit(traffic.wait_healthy, self._lxd, name, asked, self._how.health, seconds))
                for name, asked in askers.items()
            ]
            for asked, job in jobs:
                slots = {by_address[where] for where in asked}
                try:
                    found.update({by_address[where]: words for where, words in job.result().items()})
                    heard |= slots
                except ScalingError as error:
                    self._warn_once(str(error))
                    silent.update(dict.fromkeys(slots, str(error)))
        # Of whom nobody has said anything, nobody knows that it is healthy.
        return {**{slot: why for slot, why in silent.items() if slot not in heard}, **found}

    def _stopped(self, waiting: t.Mapping[int, str]) -> dict[int, str]:
        observed = observe(self._lxd)
        names = {slot: instance_name(fleet.COMPONENT, slot) for slot in waiting}
        return {
            slot: "it was started and is stopped again: its image does not boot"
            for slot, name in names.items()
            if name not in observed or observed[name].status == "Stopped"
        }

    def watch(self, slot: int, seconds: float) -> bool:
        """Whether a slot that serves stays healthy for so long. One that does not is set aside."""
        begun, told = self._clock.now(), ""
        while not told and self._clock.now() - begun < seconds:
            self._clock.sleep(min(WATCH, seconds))
            self._beat()
            told = self._ask({slot: ""}, 1.0).get(slot, "")
        if told:
            self.failures.append(Failure(slot, "unready", f"it did not stay healthy for {seconds:.0f} s: {told}"))
            self._set_aside(slot)
        return not told

    def _set_aside(self, slot: int) -> None:
        reason = next(one.reason for one in reversed(self.failures) if one.slot == slot)
        spec = dataclasses.replace(self._how.spec, failure=reason[:500])
        try:
            wanted = fleet.plan_fleet(spec, [slot], fleet.Look(observe(self._lxd), now=self._now()), "failed")
        except Refused:
            return  # a foreign instance of that name, which is left alone
        # Of one that could not even be created there is nothing to mark.
        if wanted.actions and not self._run(wanted, "stop", force=True):
            self.aside.add(slot)

    # --- in --------------------------------------------------------------------------------------------------------

    def drain(self, slots: t.Sequence[int], observed: Observed, then: str) -> None:
        """Begin to drain: mark the slots with a deadline and with what shall become of them, and close their gates."""
        spec = dataclasses.replace(self._how.spec, drain_then=then)
        wanted = fleet.plan_fleet(spec, slots, fleet.Look(observed, now=self._now()), "draining")
        running = [slot for slot in slots if self._is(observed, slot, "Running")]
        self._plan_close(wanted, running)
        self._run(wanted, "stop")

    def advance(self, observed: Observed, said: t.Sequence[traffic.Entry]) -> list[int]:
        """Take every draining slot as far as it can go now; returns those that still drain."""
        wanted, restarted, left = Plan(), [], []
        for slot, instance, step, unclosed in self._steps(observed, said):
            if step == "finish":
                if not self._plan_finish(wanted, slot, instance, observed):
                    left.append(slot)
                    continue
                restarted += [slot] if instance.config.get(fleet.THEN_KEY) == "start" else []
                self._note_overdue(slot, instance, said, unclosed)
                self.kept.discard(slot)
            elif step == "reopen":
                self._plan_reopen(wanted, slot, unclosed)
            else:
                left.append(slot)
            if step == "keep":
                self._note_kept(wanted, slot, instance, unclosed)
        failed = self._run(wanted, "stop")
        self._finish_restarts([slot for slot in restarted if slot not in failed])
        return left

    def would_advance(self, observed: Observed, said: t.Sequence[traffic.Entry], *, waits: bool) -> bool:
        """Whether :meth:`advance` would do anything with what drains, now or, where its end is waited for, later. It does nothing."""
        now = self._now()
        idle: tuple[Step, ...] = ("keep",) if waits else ("keep", "wait")
        steps = [(slot, one, next_of(self._seen(slot, one, said), self._how, now)) for slot, one in self._draining(observed)]
        return any(step not in idle and (step != "finish" or self._can_end(slot, one, observed)) for slot, one, step in steps)

    def _steps(self, observed: Observed, said: t.Sequence[traffic.Entry]) -> list[tuple[int, Instance, Step, str]]:
        """What comes next for each draining slot, and why its gate could not be closed where that decided about it.

        Gates are closed before, for only who has tried knows that one cannot be.
        """
        draining, now = self._draining(observed), self._now()
        seen = {slot: self._seen(slot, instance, said) for slot, instance in draining}
        steps = {slot: next_of(one, self._how, now) for slot, one in seen.items()}
        closing, told = Plan(), len(self.failures)
        for slot, instance in draining:
            if steps[slot] == "close" and instance.status == "Frozen":
                closing.act("unfreeze", instance.name)
        self._plan_close(closing, [slot for slot, step in steps.items() if step == "close"])
        self._run(closing, "stop")
        unclosed = {one.slot: one.reason for one in self.failures[told:]}
        steps.update({slot: next_of(dataclasses.replace(seen[slot], wedged=True), self._how, now) for slot in unclosed})
        decided = ("finish", "keep", "reopen")
        unclosed.update({slot: IGNORED for slot, one in seen.items() if slot not in unclosed and one.healthy and steps[slot] in decided})
        # Where the policy decides, it is told once, by what came of it.
        self.failures[told:] = [one for one in self.failures[told:] if steps[one.slot] == "close"]
        return [(slot, instance, steps[slot], unclosed.get(slot, "")) for slot, instance in draining]

    def _draining(self, observed: Observed) -> list[tuple[int, Instance]]:
        found = [
            (slot, one) for one in observed.values() if (slot := fleet.slot_of(one)) is not None and fleet.slot_state(one) == "draining"
        ]
        return sorted(found, key=lambda item: item[0])

    def _seen(self, slot: int, instance: Instance, said: t.Sequence[traffic.Entry]) -> Draining:
        where = self._address(slot)
        loaded = [at for entry in said if isinstance(at := entry.get("started_at"), (int, float)) and at <= self._now()]
        health = [one.get("healthy") for entry in said for one in entry.get("upstreams", ()) if one["address"] == where]
        return Draining(
            instance.status,
            fleet.moment_of(instance, fleet.GATE_KEY),
            fleet.moment_of(instance, fleet.DEADLINE_KEY),
            traffic.in_flight(said, where) if self._proxies else 0,
            True in health,
            loaded_at=max(loaded, default=None),
        )

    def _note_overdue(self, slot: int, instance: Instance, said: t.Sequence[traffic.Entry], unclosed: str) -> None:
        busy = traffic.in_flight(said, self._address(slot)) if self._proxies else 0
        if instance.status == "Running" and (unclosed or busy != 0):
            requests = "an unknown number of requests" if busy is None else f"{busy} requests"
            why = _overdue(unclosed, requests)
            self.failures.append(Failure(slot, "drain_timeout", f"{why}; it was stopped all the same (drain policy force)"))

    def _note_kept(self, wanted: Plan, slot: int, instance: Instance, unclosed: str) -> None:
        """Said once, however often a run looks at the slot, and counted once, however many runs do.

        It is the deadline that is noted: a later drain of the slot has another one, and is told of its own.
        """
        deadline = instance.config.get(fleet.DEADLINE_KEY) or "unknown"
        again = instance.config.get(fleet.KEPT_KEY) == deadline
        if slot not in self.kept:
            reason = f"{_overdue(unclosed)}; it is left draining (drain policy keep)"
            self.failures.append(Failure(slot, "drain_timeout", reason, again))
            if not again:
                wanted.act("note", instance.name, fleet.KEPT_KEY, value=deadline)
        self.kept.add(slot)

    def _plan_close(self, wanted: Plan, slots: t.Sequence[int]) -> None:
        for slot in slots:
            name = instance_name(fleet.COMPONENT, slot)
            wanted.act("close-gate", name, "the load balancer sends nothing new from now on")
            wanted.act("stamp", name, fleet.GATE_KEY)

    def _plan_reopen(self, wanted: Plan, slot: int, unclosed: str) -> None:
        """Its mark goes before the gate opens: a run that dies in between must not take an open gate for a closed one.

        A gate that could not be closed is left alone: opening it would fail like that, and the slot would drain for ever.
        """
        name = instance_name(fleet.COMPONENT, slot)
        _plan_keys(wanted, name, {fleet.GATE_KEY: None})
        if unclosed in ("", IGNORED):
            wanted.act("open-gate", name, "requests outlived the deadline: it takes requests again")
        _plan_keys(wanted, name, {fleet.STATE_KEY: "active", fleet.DEADLINE_KEY: None, fleet.THEN_KEY: None, fleet.KEPT_KEY: None})
        self.failures.append(Failure(slot, "drain_timeout", f"{_overdue(unclosed)}; it was put back (drain policy abort)"))

    def _plan_finish(self, wanted: Plan, slot: int, instance: Instance, observed: Observed) -> bool:
        """Plan the end of a drain; returns whether there is one. Where that is refused nothing is planned, and this slot has failed.

        In a cluster of LXD's, an instance whose member is gone is in a state from which there is no way to stop it.
        """
        try:
            wanted.extend(self._end_of(slot, instance, observed))
        except ScalingError as error:
            self.failures.append(Failure(slot, "stop", str(error)))
            return False
        return True

    def _can_end(self, slot: int, instance: Instance, observed: Observed) -> bool:
        try:
            self._end_of(slot, instance, observed)
        except ScalingError:
            return False
        return True

    def _end_of(self, slot: int, instance: Instance, observed: Observed) -> Plan:
        """What brings a drained slot where it is to go.

        :raises ScalingError: there is no way
        """
        then = instance.config.get(fleet.THEN_KEY) or self._how.keeps
        look = fleet.Look(observed, now=self._now())
        if then != "start":
            spec = dataclasses.replace(self._how.spec, failure=REPLACED)
            return fleet.plan_fleet(spec, [slot], look, _ENDS.get(then, "stopped"))
        wanted = Plan()
        if instance.status == "Running":
            wanted.act("stop", instance.name)
        # It stays marked as draining until it is healthy again: whoever finds it half-way renews it once more.
        _plan_keys(wanted, instance.name, {fleet.GATE_KEY: None})
        stopped = {**observed, instance.name: dataclasses.replace(instance, status="Stopped")}
        begun = fleet.plan_fleet(self._how.spec, [slot], fleet.Look(stopped, now=self._now()), "started")
        begun.actions[:] = [_without_marks(action) for action in begun.actions]
        wanted.extend(begun)
        return wanted

    def _finish_restarts(self, slots: t.Sequence[int]) -> None:
        self.renewed |= {*slots}
        unready = self._unready(slots)
        self.failures += [Failure(slot, "unready", words) for slot, words in unready.items()]
        wanted = Plan()
        for slot in slots:
            if slot in unready:
                self._set_aside(slot)
            else:
                over = dict.fromkeys((fleet.DEADLINE_KEY, fleet.THEN_KEY, fleet.KEPT_KEY, fleet.FAILURE_KEY))
                marks = {fleet.STATE_KEY: "active", **over}
                _plan_keys(wanted, instance_name(fleet.COMPONENT, slot), marks)
        self._run(wanted, "start")

    # --- around both -----------------------------------------------------------------------------------------------

    def repair(self, observed: Observed) -> None:
        """Finish what an earlier run left half done and no drain covers: a slot that was marked failed and still runs is stopped."""
        for slot in self.half_done(observed):
            instance = observed[instance_name(fleet.COMPONENT, slot)]
            spec = dataclasses.replace(self._how.spec, failure=instance.config.get(fleet.FAILURE_KEY, ""))
            self._run(fleet.plan_fleet(spec, [slot], fleet.Look(observed, now=self._now()), "failed"), "stop", force=True)

    def half_done(self, observed: Observed) -> list[int]:
        """The slots that :meth:`repair` stops."""
        slots = [slot for one in observed.values() if (slot := fleet.slot_of(one)) is not None and fleet.slot_state(one) == "failed"]
        return sorted(slot for slot in slots if self._is(observed, slot, "Running"))

    def keep_warm(self, observed: Observed, wanted: int, at_most: int) -> None:
        """Make or renew warm slots until ``wanted`` of the current image are ready, ``at_most`` of them in this call."""
        work = fleet.warm_work(observed, self._how.spec, wanted)
        plan = Plan()
        for slot in [*work.create, *work.renew][:at_most]:
            self._plan_into(plan, self._how.spec, slot, observed, "warm", anew=slot in work.renew)
        self._run(plan, "start")

    def _run(self, wanted: Plan, kind: str, *, force: bool = False) -> list[int]:
        """Execute a plan; what fails is added to the failures, and its slots are returned."""
        options = RunOptions(
            stop_timeout=self._how.stop_timeout,
            force_stop=force or self._how.drain_policy == "force",
            limits_best_effort=self._how.limits_best_effort,
            parallel=self._how.parallel,
            clock=self._clock,
        )
        runner = Runner(self._lxd, options, {**gate_verbs(self._lxd), "stamp": self._stamp, "note": self._note})
        try:
            runner.run(wanted)
            failed: dict[str, str] = {}
        except ScalingError as error:
            failed = dict(error.details["failed_instances"])
        self.did += [str(action) for action in wanted.actions if action.target not in failed and action.verb not in _SILENT]
        for warning in runner.warnings:
            self._warn(warning)
        slots = [int(name.rpartition("-")[2]) for name in sorted(failed)]
        self.failures += [Failure(int(name.rpartition("-")[2]), kind, failed[name]) for name in sorted(failed)]
        return slots

    def _stamp(self, action: Action) -> None:
        """Note when the gate was closed: from then on the load balancers need some time to notice."""
        edit(self._lxd, f"instances/{action.target}", lambda _keys: {fleet.GATE_KEY: f"{self._now():.3f}"})

    def _note(self, action: Action) -> None:
        """Note on the instance what a later run has to know."""
        edit(self._lxd, f"instances/{action.target}", lambda _keys: {action.note: action.detail["value"]})

    def _address(self, slot: int) -> str:
        return f"{address(self._how.spec.subnet, fleet.COMPONENT, slot)}:{self._how.spec.port}"

    def _is(self, observed: Observed, slot: int, status: str) -> bool:
        one = observed.get(instance_name(fleet.COMPONENT, slot))
        return one is not None and one.status == status


#: why a gate counts as one that cannot be closed although closing it fails in nothing
IGNORED = "it answers as healthy all the same"
#: why a slot is kept for inspection that another one took the place of
REPLACED = "its health checks failed for longer than its patience, and another instance took its place"
#: what becomes of a drained slot → the state that it is brought into
_ENDS: t.Mapping[str, str] = {"warm": "stopped", "delete": "absent", "failed": "failed"}
#: actions that change nothing a person would ask about
_SILENT = ("stamp", "note")
_MARKS = (fleet.STATE_KEY, fleet.DEADLINE_KEY, fleet.THEN_KEY, fleet.FAILURE_KEY)


def _overdue(unclosed: str, requests: str = "requests") -> str:
    """Why a drain was not over at its deadline."""
    return f"its gate could not be closed until its deadline ({unclosed})" if unclosed else f"{requests} outlived its deadline"


def _plan_keys(wanted: Plan, name: str, keys: t.Mapping[str, str | None]) -> None:
    wanted.act("update", name, ", ".join(keys), config=dict(keys), devices={}, profiles=None)


def _without_marks(action: Action) -> Action:
    """The action without what says how far a slot has come."""
    if action.verb != "update":
        return action
    config = {key: value for key, value in action.detail["config"].items() if key not in _MARKS}
    return dataclasses.replace(action, detail={**action.detail, "config": config}, note="settings of the slot")

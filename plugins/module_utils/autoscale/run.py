# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the autoscaler in one process: lock, read, decide, record, act, record, unlock.

The same run takes a fleet to a size that was asked for by hand and renews slots one after the other; only what is decided
differs. In check mode it reads and decides, and stops there.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import (
    by_hand,
    controller,
    failover,
    journal,
    lock,
    place,
    refresh,
    sources,
    traffic,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import history as past
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.act import FATAL, UP, Actor, Failure, How, frozen
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.inputs import LoadedSettings
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import Job, Ports
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Held
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.renewal import Lent, Renewal
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.rules import RENEW
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State, from_json, remember
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.tick import Tick, look, tick
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.view import View
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.words import slots_words
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Refused, ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet, store
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.images import image_key
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import Instance, observe, running

#: seconds between two looks at drains that are waited for
POLL = 0.5
#: intervals of the ticks for which the fleet goes without a decision at the most while one tick renews slot after slot
UNDECIDED = 3
#: seconds beyond its deadline and what load balancers need to notice, after which nobody waits for a drain any more
DRAIN_SLACK = 60.0


@dataclasses.dataclass
class Seen:
    """What a run has read: instances, fleet facts, traffic, and what other sources say."""

    observed: t.Mapping[str, Instance]
    fleet: list[dict[str, t.Any]]
    traffic: list[traffic.Entry]
    readings: list[dict[str, t.Any]]
    time: float
    primary: str = ""

    @property
    def proxies(self) -> list[str]:
        """The load balancers that run."""
        return running(self.observed, traffic.COMPONENT)


def run(lxd: Lxd, job: Job, *, check: bool = False, ports: Ports = Ports()) -> dict[str, t.Any]:
    """Do the job; returns the module's result.

    :raises Refused: somebody else is at work, with who it is
    :raises ScalingError: a step failed; what was decided and done is in the details
    """
    return Run(lambda: lxd, job, check, ports).result()


class Run:
    """One run; the methods are its phases, in order.

    :param connect: gives LXD; that it does not answer is told in log and metrics, as all that ends a run
    """

    def __init__(self, connect: t.Callable[[], Lxd], job: Job, check: bool, ports: Ports) -> None:
        self._connect = connect
        self._lxd: Lxd
        self._job = dataclasses.replace(job, holder=job.holder or lock.this_run())
        self._check = check
        self._ports = ports
        self._path = place.PATH
        self._begun = ports.clock.now()
        self._renewed = self._begun
        self._shown = self._begun
        self._errors: collections.Counter[str] = collections.Counter()
        self._said: list[str] = []
        # What the phases come to, in their order; the log tells as much of it as there is when one fails.
        self._settings: LoadedSettings | None = None
        self._healing = failover.Healing()
        self._seen: Seen | None = None
        self._actor: Actor | None = None
        self._tick: Tick | None = None
        # In check mode: whether a run would change anything.
        self._foreseen = False

    # --- the frame -------------------------------------------------------------------------------------------------

    def result(self) -> dict[str, t.Any]:
        """Everything, and whatever happens the log, the metrics and the end of the lock."""
        try:
            keys = self._locked()
        except Refused as error:
            if not self._job.skip_locked:
                raise
            self._tell_skipped(error)
            return {"changed": False, "skipped_reason": str(error), "decision": None, "notes": [str(error)], "did": [], "failed": {}}
        except Exception as error:
            self._ended_by(error)
            self._publish()
            raise
        try:
            self._work(keys)
        except Exception as error:
            # Also a mistake of our own is told as what it is, and keeps nobody else away.
            self._ended_by(error)
            self._end_after_failure()
            self._publish()
            raise
        self._publish()
        return self._outcome()

    def _tell_skipped(self, error: Refused) -> None:
        """A tick beside another run is a sign of life: that run holds its lock as long as it works, and no longer.

        Of a lock that reaches further than a run's own it is none: nobody may be at work, and that is to be noticed.
        """
        now = self._ports.now()
        expires = float(error.details["lock"]["expires"]) if isinstance(error, lock.Held) and "lock" in error.details else now
        if self._check or not now < expires <= now + self._job.ttl:
            return
        self._said.append(str(error))
        self._log({**self._line(), "alert": False})
        self._write(journal.alive, self._job.textfile, now)

    def _ended_by(self, error: Exception) -> None:
        text = str(error) if isinstance(error, ScalingError) else f"{type(error).__name__}: {error}"
        self._fail("engine" if isinstance(error, Unreachable) else "other", text)

    def _locked(self) -> store.Keys:
        self._lxd = self._connect()
        self._path = place.where(self._lxd, write=not self._check)
        if self._check:
            return store.read(self._lxd, self._path)
        taken = lock.acquire_within(self._job.lock_wait, self._take_lock, self._ports.clock)
        if taken.taken_over is not None:
            self._said.append(f"The lock of {taken.taken_over.holder} was taken over, which did not end as it should.")
        return taken.keys

    def _take_lock(self) -> lock.Taken:
        taken = lock.acquire(self._lxd, self._path, self._wanted_lock(), self._ports.now())
        self._renewed = self._ports.clock.now()
        return taken

    def _wanted_lock(self) -> lock.Lock:
        return lock.Lock(self._job.holder, self._job.purpose, lock.expiry(self._ports.now(), self._job.ttl))

    def _work(self, keys: store.Keys) -> None:
        self._settings = settings = self._job.settings(keys.get(lock.SETTINGS_KEY))
        self._said += settings.notes
        if settings.broken:
            self._errors["settings"] += 1
        project = store.read(self._lxd, f"projects/{self._job.project}")
        self._job = dataclasses.replace(self._job, how=_with_settings(self._job.how, settings.values, project))
        self._seen = seen = self._read()
        self._actor = actor = self._new_actor(seen)
        before, note = from_json(keys.get(lock.STATE_KEY))
        self._said += [note] if note else []
        self._tick = decided = self._decided(before, seen, settings)
        self._plan_healing(keys, seen)
        if self._check:
            self._foreseen = self._would_act(decided.decision, seen, actor, settings)
            return
        self._act(decided, seen, actor, settings)
        self._record_all(decided, actor, settings)

    def _record_all(self, decided: Tick, actor: Actor, settings: LoadedSettings) -> None:
        """Keep what was learned and give the lock back, in one write."""
        history = past.stuck(decided.state.history, actor.stuck, self._ports.now())
        # Since when a slot is unhealthy says nothing about what was started in it just now, which has its own patience.
        history = dataclasses.replace(history, unhealthy={slot: at for slot, at in history.unhealthy.items() if slot not in actor.renewed})
        self._tick = decided = dataclasses.replace(decided, state=dataclasses.replace(decided.state, history=history))
        self._record(decided.state, settings, **{lock.LOCK_KEY: None})

    def _end_after_failure(self) -> None:
        """Keep what was learned all the same, or no tick would ever know a rate while a step fails in each, and give the lock back.

        A step that was decided is pending in it: what came of it, the next tick asks LXD.
        """
        if self._check:
            return
        try:
            if self._tick is not None and self._actor is not None and self._settings is not None:
                self._record_all(self._tick, self._actor, self._settings)
        except Exception as error:  # Why the run ended is told already; whatever is wrong here must not keep the lock.
            self._said.append(f"What was learned could not be recorded: {error}")
        try:
            lock.release(self._lxd, self._path, self._job.holder, self._ports.now())
        except ScalingError as error:
            self._said.append(f"The lock could not be given back: {error}")

    # --- read and decide -------------------------------------------------------------------------------------------

    def _read(self) -> Seen:
        moment = self._ports.now()
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            others = pool.submit(sources.read_all, self._lxd, self._job.sources, moment)
            observed, facts = fleet.read_fleet(self._lxd, self._job.how.spec.subnet)
            leads = pool.submit(failover.primary, self._lxd, observed, self._job.how.spec.subnet)
            said = self._traffic(observed)
            primary, why_unknown = leads.result()
            seen = Seen(observed, facts, said, others.result(), moment, primary)
        if why_unknown:
            self._fail("source", why_unknown)
        for why in traffic.silent(seen.traffic):
            self._fail("proxy", why)
        for one in seen.readings:
            if one["value"] is None:
                self._fail("source", f"{one['name']}: {one['why']}")
        return seen

    def _traffic(self, observed: t.Mapping[str, Instance]) -> list[traffic.Entry]:
        spec = self._job.how.spec
        live = sorted(slot for one in observed.values() if one.status == "Running" and (slot := fleet.slot_of(one)) is not None)
        addresses = [f"{address(spec.subnet, fleet.COMPONENT, slot)}:{spec.port}" for slot in live]
        health, proxies = self._job.how.health, running(observed, traffic.COMPONENT)
        return traffic.read_all(
            self._lxd, proxies, addresses, health, socket=self._job.socket, server=self._job.server, now=self._ports.now
        )

    def _decided(self, before: State, seen: Seen, settings: LoadedSettings) -> Tick:
        known = settings.values, seen.fleet, seen.traffic, before.as_dict(), seen.time
        options, readings = self._job.options, seen.readings
        if self._job.by_hand:
            policy, facts, _sample, settled, notes = look(*known, options=options, readings=readings)
            self._job, passed_over = by_hand.pass_over(self._job, seen.observed)
            self._said += [passed_over] if passed_over else []
            decision = by_hand.decide(self._job, seen.observed, settings.values, View(facts, policy, settled.history))
            return Tick(decision, controller.remembered(settled, decision), notes, facts, policy)
        done = tick(*known, options=options, readings=readings, force=self._job.force)
        silent = traffic.silent(seen.traffic)
        if silent and done.decision.drain:
            held = _without_drain(done.decision, silent)
            _policy, _facts, sample, settled, _notes = look(*known, options=options, readings=readings)
            done = dataclasses.replace(done, decision=held, state=remember(settled, sample, held))
        if settings.broken:
            return dataclasses.replace(done, decision=dataclasses.replace(done.decision, alert=True))
        return done

    # --- act -------------------------------------------------------------------------------------------------------

    def _new_actor(self, seen: Seen) -> Actor:
        ports = self._ports
        said, beat = self._said.append, self._renew_lock
        return Actor(self._lxd, self._job.how, seen.proxies, now=ports.now, clock=ports.clock, warn=said, beat=beat)

    def _act(self, decided: Tick, seen: Seen, actor: Actor, settings: LoadedSettings) -> None:
        decision = decided.decision
        if self._steps(decision) or self._due(seen):
            self._record(decided.state, settings)
        actor.repair(seen.observed)
        self._require_proxies(decision, seen)
        if decision.start:
            actor.start(decision.start, seen.observed)
        for then, slots in self._leaving(decision).items():
            actor.drain(slots, seen.observed, then)
        draining = self._slots(seen.observed, "draining")
        left = actor.advance(seen.observed, seen.traffic) if draining else []
        if self._job.wait:
            self._until_gone(actor, {*left, *decision.drain})
        if self._job.refresh:
            self._roll(actor, decided.state, settings)
            return
        if self._job.restart and not self._renewal(actor, decided.state, settings, self._job.restart).run(self._job.restart):
            return
        heals = self._may_heal(decision, seen)
        if heals:
            self._heal(actor, seen, decided.state, settings)
        if not heals and self._warm(decision, seen, settings):
            actor.keep_warm(seen.observed, self._job.warm, 1)

    def _would_act(self, decision: Decision, seen: Seen, actor: Actor, settings: LoadedSettings) -> bool:
        """Whether :meth:`_act` would change anything: it goes through the same questions and takes no step.

        :raises Unreachable: as there
        """
        self._require_proxies(decision, seen)
        begun = actor.half_done(seen.observed) or actor.would_advance(seen.observed, seen.traffic, waits=self._job.wait)
        if self._steps(decision) or begun:
            return True
        if self._job.refresh:
            to_roll = refresh.move(seen.observed, self._job.how.spec)
            return to_roll is not None and to_roll.new is not None
        if self._may_heal(decision, seen):
            return True
        warm = fleet.warm_work(seen.observed, self._job.how.spec, self._job.warm)
        return self._warm(decision, seen, settings) and bool(warm.create or warm.renew)

    def _steps(self, decision: Decision) -> bool:
        """Whether slots are to be started, drained or restarted."""
        return bool(decision.start or decision.drain or self._job.restart)

    def _due(self, seen: Seen) -> list[int]:
        """The slots to renew after a failover, in this run; none while nobody leads, and those that are frozen are not."""
        due = self._healing.due(self._ports.now(), self._job.how.spec.drain_timeout) if seen.primary else []
        still = frozen(seen.observed)
        return [slot for slot in due if slot not in still]

    def _slots(self, observed: t.Mapping[str, Instance], state: str) -> list[int]:
        return fleet.slots(observed, self._job.how.spec.max_slots)[state]

    def _may_heal(self, decision: Decision, seen: Seen) -> bool:
        """Whether slots are renewed after a failover in this run: only one at a time is taken out, for whatever reason.

        Nor while a load balancer is silent, as :meth:`_plan_healing` says.
        """
        busy = decision.drain or self._slots(seen.observed, "draining") or traffic.silent(seen.traffic)
        return bool(self._due(seen)) and not busy

    def _require_proxies(self, decision: Decision, seen: Seen) -> None:
        """A drain is seen through by the load balancers; where one does not answer, none is begun. In a tick none is then decided.

        :raises Unreachable: a person asked for one
        """
        silent = traffic.silent(seen.traffic)
        if silent and (decision.drain or self._job.restart or self._job.refresh):
            raise Unreachable(f"Nothing was drained, because a load balancer does not answer: {' '.join(silent)}")

    def _warm(self, decision: Decision, seen: Seen, settings: LoadedSettings) -> bool:
        """Whether one warm slot is made or renewed: in idle time, so that the next tick is not kept waiting. Not while scaling is off."""
        busy = self._steps(decision) or self._slots(seen.observed, "draining")
        return not busy and (self._job.force or bool(settings.values["scale-enabled"]))

    def _plan_healing(self, keys: store.Keys, seen: Seen) -> None:
        """What a failover of the database leaves to be done."""
        before, note = failover.from_text(keys.get(failover.KEY))
        # What is frozen has the same cut connection: it stays listed, and is renewed once somebody goes on with it.
        up = [slot for state in ("active", "draining") for slot in self._slots(seen.observed, state)]
        self._healing, words = failover.plan(before, seen.primary, up)
        still = sorted({*self._healing.slots} & {*frozen(seen.observed)})
        waits = f"Not renewed after the failover while it is frozen (lxc pause): {slots_words(still)}." if still else ""
        silent = traffic.silent(seen.traffic) if self._due(seen) else []
        unseen = f"Not renewed after the failover while a load balancer does not answer: {slots_words(self._due(seen))}." if silent else ""
        self._said += [text for text in (note, words, waits, unseen) if text]

    def _heal(self, actor: Actor, seen: Seen, state: State, settings: LoadedSettings) -> None:
        """Renew the slots that have served since before the database failed over, the first one alone: it migrates the database.

        A slot that was put back, because requests outlived its drain, is tried again after as long as that drain took. No further one is
        begun when no decision was made for UNDECIDED intervals: the next tick makes one, and goes on with the rest.
        """
        tried: list[int] = []
        longest = UNDECIDED * float(settings.values["scale-check-interval"])

        def begins(slot: int, observed: t.Mapping[str, Instance]) -> bool:
            late = self._ports.clock.now() - self._begun >= longest
            if slot in frozen(observed) or (tried and late):
                return False
            tried.append(slot)
            return True

        if not self._renewal(actor, state, settings).run(self._due(seen), begins):
            return
        back = [slot for slot in tried if slot in self._healing.slots]
        if back:
            self._healing = self._healing.put_back(back, self._ports.now() + self._job.how.spec.drain_timeout)
            self._said.append(f"Not renewed after the failover, and tried again later: {slots_words(back)}.")

    def _roll(self, actor: Actor, state: State, settings: LoadedSettings) -> None:
        """Roll the fleet onto the current image."""
        rules = refresh.Rules(self._job.project, self._job.checkpoint, self._job.min_healthy)
        refresh.Rolling(self._lxd, actor, rules, self._lent(actor, state, settings)).run(self._job.how.spec)

    def _renewal(self, actor: Actor, state: State, settings: LoadedSettings, asked: t.Collection[int] = ()) -> Renewal:
        return Renewal(self._lxd, actor, self._job.how, self._lent(actor, state, settings), asked)

    def _lent(self, actor: Actor, state: State, settings: LoadedSettings) -> Lent:
        return Lent(
            drained=lambda slots: self._until_gone(actor, slots),
            record=lambda: self._record(state, settings),
            traffic=self._traffic,
            say=self._said.append,
        )

    def _leaving(self, decision: Decision) -> dict[str, list[int]]:
        """The slots to drain by what becomes of them: those that were replaced because they were ill are kept for inspection, and those
        that go because there is no room for a replacement are started anew."""
        found: dict[str, list[int]] = {}
        ill = "start" if decision.rule == RENEW else "failed"
        for slot in decision.drain:
            found.setdefault(ill if slot in decision.replace else self._job.how.keeps, []).append(slot)
        return found

    def _until_gone(self, actor: Actor, slots: t.Collection[int]) -> set[int]:
        """Go on with the drains until those of the slots are over, or one of them failed or is kept; returns those that still drain."""
        told, begun = len(actor.failures), self._ports.clock.now()
        longest = self._job.how.spec.drain_timeout + self._job.how.health.notice + DRAIN_SLACK
        left = {*slots}
        while left and not left & actor.kept and not any(one.slot in left for one in actor.failures[told:]):
            if self._ports.clock.now() - begun > longest:
                actor.failures += [Failure(slot, "stop", f"it still drains after {longest:.0f} s") for slot in sorted(left)]
                break
            self._ports.clock.sleep(POLL)
            self._renew_lock()
            observed = observe(self._lxd)
            left &= {*actor.advance(observed, self._traffic(observed))}
        return left

    def _renew_lock(self) -> None:
        """Whoever is at work keeps the lock, however long that takes; written only when a third of its time has passed.

        Meanwhile no tick ends, so it shows that it lives as well.
        """
        if self._ports.clock.now() - self._shown >= float(self._settings.values["scale-check-interval"] if self._settings else 0):
            self._shown = self._ports.clock.now()
            with contextlib.suppress(OSError):
                journal.alive(self._job.textfile, self._ports.now())
        if self._ports.clock.now() - self._renewed >= self._job.ttl / 3:
            lock.renew(self._lxd, self._path, self._wanted_lock(), self._ports.now())
            self._renewed = self._ports.clock.now()

    # --- record and tell -------------------------------------------------------------------------------------------

    def _record(self, state: State, settings: LoadedSettings, **more: str | None) -> None:
        self._healing = self._healing.without(self._actor.renewed if self._actor is not None else ())
        keys = {**more, lock.SETTINGS_KEY: settings.recorded, **({failover.KEY: self._healing.text()} if self._healing.primary else {})}
        lock.record(self._lxd, self._path, state.as_dict(), self._job.holder, self._ports.now(), more=keys)

    def _fail(self, kind: str, text: str) -> None:
        self._errors[kind] += 1
        self._said.append(text)

    @property
    def _failures(self) -> list[Failure]:
        return self._actor.failures if self._actor is not None else []

    def _line(self) -> dict[str, t.Any]:
        """The line of the decision log; ``controls`` is what was in force, of run time and the inventory, where it came to be known."""
        errors = self._errors + collections.Counter(one.kind for one in self._failures if not one.again)
        decided = self._tick.decision.as_dict() if self._tick is not None else {"time": self._ports.now(), "action": "hold", "alert": True}
        controls: dict[str, t.Any] = {}
        if self._tick is not None and self._tick.policy is not None:
            controls = {"controls": {"pause": self._tick.policy.pause, "pin": self._tick.policy.pin}}
        return {
            **decided,
            **controls,
            "notes": self._notes(),
            "took_seconds": round(self._ports.clock.now() - self._begun, 3),
            "holder": self._job.holder,
            "dry_run": self._check,
            "errors": dict(errors),
            "instances": journal.instances(self._tick, self._seen.fleet if self._seen is not None else []),
        }

    def _notes(self) -> list[str]:
        decided = list(self._tick.notes) if self._tick is not None else []
        failed = [f"Slot {one.slot}: {one.reason}" for one in self._failures]
        return [*self._said, *decided, *failed]

    def _not_restarted(self, one: Failure) -> bool:
        """Whether a slot that was to be restarted by hand was put back or not begun, and so will not be. One that is kept will."""
        if one.kind != "drain_timeout" or self._job.how.drain_policy == "force" or self._actor is None:
            return False
        return one.slot in self._job.restart and one.slot not in self._actor.renewed | self._actor.kept

    def _publish(self) -> None:
        if self._check:
            return
        line = {**self._line(), "undone": self._undone()}
        values = self._switches()
        state = self._tick.state.as_dict() if self._tick is not None else {}
        self._log(line)
        self._write(journal.publish, self._job.textfile, line, state, values, {"project": self._job.project})

    def _log(self, line: t.Mapping[str, t.Any]) -> None:
        self._write(journal.append, self._job.decision_log, line, self._job.decision_log_bytes)

    def _write(self, write: t.Callable[..., None], *what: t.Any) -> None:
        """A disk that is full keeps nobody from scaling."""
        try:
            write(*what)
        except OSError as error:
            self._ports.warn(f"Nothing was written: {error}")

    def _switches(self) -> t.Mapping[str, t.Any] | None:
        """The settings by which metrics are published: where the run ended before it read them, those of the file; None if it is broken."""
        if self._settings is not None:
            return self._settings.values
        try:
            return self._job.settings(None).values
        except Exception:  # Why the run ended is being told; what is wrong here, the next one tells.
            return None

    def _undone(self) -> list[int]:
        """The slots that were to be started and did not come up; all of the step's, where the run broke off and nobody knows yet."""
        if self._tick is None:
            return []
        step = (*self._tick.decision.start, *self._tick.decision.drain)
        broke_off = self._errors["engine"] or self._errors["other"]
        failed = {one.slot for one in self._failures if one.kind in UP}
        return [slot for slot in step if broke_off or slot in failed]

    def _outcome(self) -> dict[str, t.Any]:
        if self._tick is None:
            raise RuntimeError("the outcome was asked for before anything was decided")
        did = self._actor.did if self._actor is not None else []
        failures = [one for one in self._failures if one.kind in FATAL or self._not_restarted(one)]
        failed = {str(one.slot): one.reason for one in failures}
        for one in self._failures:
            if self._job.by_hand and one not in failures:
                self._ports.warn(f"Slot {one.slot}: {one.reason}")
        result = {
            "changed": self._foreseen if self._check else bool(did),
            "decision": self._tick.decision.as_dict(),
            "notes": self._notes(),
            "did": did,
            "failed": failed,
            "state": self._tick.state.as_dict(),
            "took": round(self._ports.clock.now() - self._begun, 3),
        }
        if failed:
            raise ScalingError(
                _failed_words(failures, self._actor.aside if self._actor is not None else ()), **{**result, "changed": bool(did)}
            )
        return result


def _without_drain(decision: Decision, silent: t.Sequence[str]) -> Decision:
    """The decision of a tick without its drain, which nobody could see through while a load balancer is silent."""
    why = f"a load balancer does not answer, so nothing is drained: {' '.join(silent)}"
    return dataclasses.replace(
        decision,
        action="hold",
        desired=decision.current,
        drain=(),
        reason=f"{decision.reason} Held back: {why}",
        guards=(*decision.guards, Held("silent", why)),
        seen=dataclasses.replace(decision.seen, mended=frozenset(), relapsed=0),
    )


def _with_settings(how: How, values: t.Mapping[str, t.Any], project: store.Keys) -> How:
    """The way to act with what the settings and the project say: slots, health checks, and the image of new instances."""
    spec = dataclasses.replace(how.spec, max_slots=int(values["scale-max-instances"]))
    alias = project.get(image_key(fleet.COMPONENT))
    if spec.image is None and alias:
        spec = dataclasses.replace(spec, image=alias, image_version=alias.rpartition("/")[2])
    health = dataclasses.replace(
        how.health,
        uri=str(values["health-endpoint"]),
        interval=float(values["health-interval"]),
        timeout=float(values["health-timeout"]),
        fails=int(values["health-retries"]),
    )
    return dataclasses.replace(how, spec=spec, health=health)


def _failed_words(failures: t.Sequence[Failure], aside: t.Collection[int]) -> str:
    ends = {True: " and was set aside, stopped", False: " and could not be set aside either"}
    started = [one for one in failures if one.kind in UP]
    words = [f"Slot {one.slot} did not come up{ends[one.slot in aside]}. No cooldown begins. Why: {one.reason}" for one in started] + [
        f"Slot {one.slot} could not be taken in: {one.reason}" for one in failures if one.kind == "stop"
    ]
    words += [f"Slot {one.slot} was not restarted: {one.reason}. Run it again." for one in failures if one.kind == "drain_timeout"]
    return " ".join(words)

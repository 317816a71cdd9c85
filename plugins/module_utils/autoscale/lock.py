# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One active controller: a lock with holder, purpose and expiry in LXD, and what is recorded beside it.

Both are config keys of one object and are written under its ETag, so of two who take the lock at once one is told no,
and a run that lost its lock cannot overwrite what its successor recorded.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import socket
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.numbers import amount
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State, from_dict, from_json
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused, WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import store
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for

LOCK_KEY = "user.gb.lock"
STATE_KEY = "user.gb.autoscale"
#: the last settings that were sound
SETTINGS_KEY = "user.gb.settings"

#: seconds between two looks at a lock that is waited for
POLL = 0.5

#: host/process@boot-start-namespace, as :func:`this_run` writes it
_RUN = re.compile(r"(?P<host>.+)/(?P<pid>\d+)@(?P<boot>\w+)-(?P<start>\d+)-(?P<space>\d+)")


class Held(Refused):
    """Somebody else is at work. That ends by itself, so it can be waited for."""


@dataclasses.dataclass(frozen=True)
class Lock:
    """Who holds it, what for, and until when (seconds since the epoch).

    :param since: when its holder took it, which renewing it does not change; None where an earlier version wrote it
    """

    holder: str
    purpose: str
    expires: float
    since: float | None = dataclasses.field(default=None, compare=False)

    def stale(self, now: float) -> bool:
        """Whether its holder let it expire; it may then be taken over."""
        return now >= self.expires

    def as_dict(self) -> dict[str, t.Any]:
        """For JSON and a module's result."""
        return dataclasses.asdict(self)

    def words(self, now: float) -> str:
        """Holder, purpose, since when and until when, as they complete "is held by"."""
        since = "" if self.since is None else f" since {_clock(self.since)} ({now - self.since:.0f} s ago)"
        return f"{self.holder} for {self.purpose}{since} until {_clock(self.expires)} ({self.expires - now:.0f} s from now)"


@dataclasses.dataclass(frozen=True)
class Taken:
    """The lock as it is now, whether something was written, the lock that was taken over, if any, and all keys beside it."""

    lock: Lock
    changed: bool
    taken_over: Lock | None = None
    keys: store.Keys = dataclasses.field(default_factory=dict)


def found(keys: store.Keys) -> Lock | None:
    """The lock in the config keys, or None.

    :raises Refused: the key is there and is no lock of ours; a person wrote it, and a person has to remove it
    """
    text = keys.get(LOCK_KEY)
    if not text:
        return None
    try:
        data = json.loads(text)
        return Lock(str(data["holder"]), str(data["purpose"]), float(data["expires"]), amount(data.get("since")))
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"{LOCK_KEY} holds {text[:80]!r}, which is not a lock of this collection. If nobody means it to keep the autoscaler away, "
            f"unset the key (lxc profile unset gb-autoscale {LOCK_KEY})."
        ) from error


def this_run(proc: str = "/proc") -> str:
    """A name for this process that no other one has, here or elsewhere, and by which it can be told that it is gone."""
    return f"{socket.gethostname()}/{os.getpid()}@{_boot(proc)}-{_start(os.getpid(), proc)}-{_space(proc)}"


def gone(holder: str, proc: str = "/proc") -> bool:
    """Whether the holder is a process of this machine that does not run any more; False wherever that cannot be told."""
    said = _RUN.fullmatch(holder)
    if said is None or (said["host"], said["boot"], said["space"]) != (socket.gethostname(), _boot(proc), _space(proc)):
        return False
    return _start(int(said["pid"]), proc) != said["start"]


def _boot(proc: str) -> str:
    with open(f"{proc}/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().replace("-", "")[:12]


def _space(proc: str) -> str:
    return "".join(filter(str.isdigit, os.readlink(f"{proc}/self/ns/pid")))


def _start(pid: int, proc: str) -> str:
    """When a process was started, in ticks since the boot; 0 if there is none, or a dead one that nobody has waited for."""
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return "0"
    return "0" if fields[0] in ("Z", "X") else fields[19]


def acquire(
    lxd: store.Connection, path: str, wanted: Lock, now: float, *, write: bool = True, gone: t.Callable[[str], bool] = gone
) -> Taken:
    """Take the lock, renew one's own, or take over one that is stale or whose holder died on this machine.

    :param path: the object that carries the keys, see :mod:`place`
    :raises Held: somebody else holds it; ``lock`` in the details says who, for what, since when and until when
    :raises Refused: what is there is no lock of ours
    """
    return _written(lxd, path, wanted, now, lambda keys: _take(keys, wanted, now, path, gone), write=write)


def renew(lxd: store.Connection, path: str, wanted: Lock, now: float) -> Taken:
    """Extend one's own lock. One that is gone is not taken anew: somebody else may have been at work meanwhile.

    :raises Held: somebody else holds it by now
    :raises Refused: nobody does, or what is there is no lock of ours
    """

    def extended(keys: store.Keys) -> dict[str, str | None]:
        return _text(wanted, _own(keys, wanted.holder, now, path).since)

    return _written(lxd, path, wanted, now, extended)


def _written(lxd: store.Connection, path: str, wanted: Lock, now: float, change: store.Edit, *, write: bool = True) -> Taken:
    edited = store.edit(lxd, path, change, write=write)
    before = found(edited.before)
    keys = store.read(lxd, path) if write else edited.after
    after = found(keys)
    # The daemon compares the ETag and writes in two steps: another writer may have come between them.
    if after is None:
        raise Held(f"The lock of {path} was removed by somebody else just after it was taken. Try again.")
    if after != wanted:
        raise _held(after, now, path)
    return Taken(after, edited.changed, before if before is not None and before.holder != wanted.holder else None, keys)


def acquire_within(seconds: float, attempt: t.Callable[[], Taken], clock: Clock) -> Taken:
    """What ``attempt`` takes, as soon as whoever holds it gives it back.

    :param seconds: how long to wait for that; with 0 there is one attempt
    :param attempt: calls :func:`acquire` with the time as it is then
    :raises Held: somebody else still holds it
    """
    told: list[Held] = []

    def once() -> Taken | None:
        try:
            return attempt()
        except Held as error:
            told.append(error)
            return None

    what = "another run to end"
    try:
        taken = wait_for(what, once, lambda seen: seen is not None, timeout=seconds, interval=POLL, clock=clock)
    except WaitTimeout as error:
        waited = f"Waited {seconds:g} s (lock_wait, in the playbooks gb_lock_wait) for {what}. " if seconds else ""
        raise Held(f"{waited}{told[-1]}", **told[-1].details) from error
    return t.cast(Taken, taken)


def release(lxd: store.Connection, path: str, holder: str, now: float, *, write: bool = True) -> bool:
    """Give one's own lock back; returns whether there was one. Nobody's lock is nothing to do.

    :raises Refused: it is somebody else's by now: the caller's had expired, and two runs may have been at work
    """
    return store.edit(lxd, path, lambda keys: _give_back(keys, holder, now, path), write=write).changed


def record(
    lxd: store.Connection,
    path: str,
    data: t.Mapping[str, t.Any],
    holder: str | None,
    now: float,
    *,
    write: bool = True,
    more: t.Mapping[str, str | None] | None = None,
) -> tuple[State, State, bool]:
    """Keep the autoscaler's state; returns the state before, the state after, and whether they differ.

    What an operator has set at run time meanwhile (pause, pin) stays as it is in LXD.

    :param more: further keys of the object to write with it; None removes one
    :param holder: who records; None where no lock is used
    :raises InvalidInput: ``data`` is no state of this version
    :raises Held: somebody else than ``holder`` holds the lock, or let it expire
    :raises Refused: nobody holds it: ``holder`` has lost it, and whoever had it since may have recorded what is newer
    """
    state, note = from_dict(dict(data))
    if note:
        raise InvalidInput(f"Nothing was recorded at {path}: {note.partition(';')[0]}. Record the state that autoscale_run returned.")
    edited = store.edit(lxd, path, lambda keys: {**_kept(keys, state, holder, now, path), **(more or {})}, write=write)
    return from_json(edited.before.get(STATE_KEY))[0], from_json(edited.after.get(STATE_KEY))[0], edited.changed


def control(lxd: store.Connection, path: str, changes: t.Mapping[str, t.Any], *, write: bool = True) -> tuple[State, State, bool]:
    """Set ``pause`` or ``pin`` of the recorded state, whoever holds the lock; returns as :func:`record` does.

    :raises InvalidInput: a pause that is none, or a pin that is no number of instances
    """

    def changed(keys: store.Keys) -> dict[str, str | None]:
        return {STATE_KEY: text_of(from_json(keys.get(STATE_KEY))[0].with_controls(**changes))}

    edited = store.edit(lxd, path, changed, write=write)
    return from_json(edited.before.get(STATE_KEY))[0], from_json(edited.after.get(STATE_KEY))[0], edited.changed


def text_of(state: State) -> str:
    """The state as its key holds it."""
    return json.dumps(state.as_dict(), sort_keys=True, separators=(",", ":"))


def _take(keys: store.Keys, wanted: Lock, now: float, path: str, gone: t.Callable[[str], bool]) -> dict[str, str | None]:
    there = found(keys)
    if there is not None and there.holder != wanted.holder and not there.stale(now) and not gone(there.holder):
        raise _held(there, now, path)
    since = there.since if there is not None and there.holder == wanted.holder else now
    return _text(wanted, since)


def _text(wanted: Lock, since: float | None) -> dict[str, str | None]:
    return {LOCK_KEY: json.dumps(dataclasses.replace(wanted, since=since).as_dict(), sort_keys=True)}


def _own(keys: store.Keys, holder: str, now: float, path: str) -> Lock:
    """The holder's own lock. One that has expired is still its own, as long as nobody has taken it over."""
    there = found(keys)
    if there is None:
        raise Refused(
            f"{holder} does not hold the lock of {path}, nor does anybody else. It was given back or removed, and another run may have "
            "been at work since, so nothing was written. Run it again, with a longer ttl if a run is held up for so long "
            "(autoscaler_lock_ttl in the playbooks)."
        )
    if there.holder != holder:
        raise _held(there, now, path)
    return there


def _give_back(keys: store.Keys, holder: str, now: float, path: str) -> dict[str, str | None]:
    there = found(keys)
    if there is not None and there.holder != holder:
        raise Refused(
            f"The lock of {path} is not {holder}'s to release: it is held by {there.words(now)}. {holder} must have let its own expire; "
            "choose a longer ttl than the longest run.",
            lock=there.as_dict(),
        )
    return {LOCK_KEY: None}


def _kept(keys: store.Keys, state: State, holder: str | None, now: float, path: str) -> dict[str, str | None]:
    if holder is not None:
        _own(keys, holder, now, path)
    set_by_hand = from_json(keys.get(STATE_KEY))[0].controls
    return {STATE_KEY: text_of(dataclasses.replace(state, controls=set_by_hand))}


def _clock(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _held(lock: Lock, now: float, path: str) -> Held:
    return Held(
        f"The lock of {path} is held by {lock.words(now)}. Wait for that run to end; if it was killed, the lock frees itself at that time.",
        lock=lock.as_dict(),
    )


def expiry(now: float, ttl: t.Any) -> float:
    """When a lock taken now expires.

    :raises InvalidInput: ``ttl`` is not a positive number of seconds
    """
    seconds = amount(ttl)
    if not seconds:
        raise InvalidInput(f"ttl is {ttl!r}; give the seconds after which the lock of a run that died may be taken over.")
    return now + seconds

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of the modules ``autoscale_state`` and ``autoscale_state_info``."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import lock, place
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Decision, Direction
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import LINE, REMEMBERED, Pending, State, from_json
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import store
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan

Options = t.Mapping[str, t.Any]


def change(lxd: place.Connection, options: Options, now: float, *, write: bool) -> dict[str, t.Any]:
    """Do what ``options['state']`` says; ``write=False`` computes the same result and writes nothing."""
    path = place.where(lxd, write=write)
    keys = store.read(lxd, path)
    return STATES[options["state"]](lxd, path, options, now, keys, write)


def info(lxd: place.Connection, now: float) -> dict[str, t.Any]:
    """The lock and the state as they are."""
    keys = store.read(lxd, place.where(lxd, write=False))
    there = lock.found(keys)
    state, note = from_json(keys.get(lock.STATE_KEY))
    return {
        "changed": False,
        "lock": None if there is None else there.as_dict(),
        "locked": there is not None and not there.stale(now),
        "autoscale": state.as_dict(),
        "note": note,
    }


def remembered(state: State, decision: Decision) -> State:
    """The state with a step in it that a person asked for: pending, so that it starts a cooldown as any other does."""
    line = {name: value for name, value in decision.as_dict().items() if name in LINE}
    slots = decision.start or decision.drain
    pending = Pending(t.cast(Direction, decision.action), slots, decision.time) if slots else state.pending
    return dataclasses.replace(state, pending=pending, decisions=(*state.decisions, line)[-REMEMBERED:] if slots else state.decisions)


def _locked(lxd: store.Connection, path: str, options: Options, now: float, keys: store.Keys, write: bool) -> dict[str, t.Any]:
    wanted = lock.Lock(options["holder"], options["purpose"], lock.expiry(now, options["ttl"]))
    try:
        taken = lock.acquire(lxd, path, wanted, now, write=write)
    except Refused:
        if write:
            raise
        return _result(keys, options, lock.found(keys))
    return _result(keys, options, taken.lock, changed=taken.changed, taken_over=taken.taken_over)


def _unlocked(lxd: store.Connection, path: str, options: Options, now: float, keys: store.Keys, write: bool) -> dict[str, t.Any]:
    try:
        changed = lock.release(lxd, path, options["holder"], now, write=write)
    except Refused:
        if write:
            raise
        return _result(keys, options, lock.found(keys))
    return _result(keys, options, None, changed=changed)


def _recorded(lxd: store.Connection, path: str, options: Options, now: float, keys: store.Keys, write: bool) -> dict[str, t.Any]:
    _before, after, changed = lock.record(lxd, path, options["record"], options["holder"], now, write=write)
    return _result(keys, options, lock.found(keys), changed=changed, after=after)


def _controlled(change: t.Callable[[Options], t.Mapping[str, t.Any]]) -> t.Callable[..., dict[str, t.Any]]:
    """The state of the module that sets what ``change`` makes of the options, whoever holds the lock."""

    def doer(lxd: store.Connection, path: str, options: Options, _now: float, keys: store.Keys, write: bool) -> dict[str, t.Any]:
        _before, after, changed = lock.control(lxd, path, change(options), write=write)
        return _result(keys, options, lock.found(keys), changed=changed, after=after)

    return doer


def _result(
    keys: store.Keys,
    options: Options,
    after_lock: lock.Lock | None,
    *,
    changed: bool = False,
    taken_over: lock.Lock | None = None,
    after: State | None = None,
) -> dict[str, t.Any]:
    """The same shape whatever was done, in check mode as well. Samples and old decisions stay out of the diff."""
    before, note = from_json(keys.get(lock.STATE_KEY))
    state = before if after is None else after
    before_lock = lock.found(keys)
    differences = Plan()
    differences.differ("lock", _plain(before_lock), _plain(after_lock))
    differences.differ("history", *(_steps(one) for one in (before, state)))
    for name in ("pending", "failures", "controls"):
        differences.differ(name, before.as_dict()[name], state.as_dict()[name])
    return {
        "changed": changed,
        "diff": differences.diff,
        "lock": _plain(after_lock),
        "mine": after_lock is not None and after_lock.holder == options["holder"],
        "taken_over": _plain(taken_over),
        "autoscale": state.as_dict(),
        "note": note if after is None else "",
    }


def _steps(state: State) -> dict[str, t.Any]:
    """Of what decisions look back on, what a person would want to see change."""
    return {name: getattr(state.history, name) for name in ("last_out", "last_in")}


def _plain(there: lock.Lock | None) -> dict[str, t.Any] | None:
    return None if there is None else there.as_dict()


#: what ``state`` of the module may be, and who does it
STATES: t.Mapping[str, t.Callable[[store.Connection, str, Options, float, store.Keys, bool], dict[str, t.Any]]] = {
    "locked": _locked,
    "unlocked": _unlocked,
    "recorded": _recorded,
    "paused": _controlled(lambda options: {"pause": options["pause"]}),
    "resumed": _controlled(lambda _options: {"pause": None}),
    "pinned": _controlled(lambda options: {"pin": options["pin"]}),
    "unpinned": _controlled(lambda _options: {"pin": None}),
}

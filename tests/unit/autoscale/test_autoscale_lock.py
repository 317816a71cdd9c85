# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock and the recorded state under ETag, and the results of the modules that use them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import types
import typing as t

import pytest
from autoscale_builders import NOW, PLACE, FakeLxd

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import controller, lock
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.lock import LOCK_KEY, STATE_KEY, Lock
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import History
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.state import State
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Conflict, InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import store
from ansible_collections.generalbots.scaling.plugins.modules import autoscale_state, autoscale_state_info

PATH = PLACE
MINE = Lock("control-1/1", "autoscale", NOW + 60, since=NOW)
THEIRS = Lock("ops/2", "scale by hand", NOW + 60)
STALE = Lock("control-1/0", "autoscale", NOW, since=NOW - 60)


def held(by: Lock | None) -> FakeLxd:
    """An LXD whose project is locked by ``by``."""
    return FakeLxd({"features.images": "false"} if by is None else {LOCK_KEY: json.dumps(by.as_dict()), "features.images": "false"})


def holder_of(lxd: FakeLxd) -> Lock | None:
    return lock.found(lxd.config)


@pytest.mark.parametrize("before", [None, STALE, MINE], ids=["free", "stale", "own"])
def test_the_lock_is_taken(before: Lock | None) -> None:
    lxd = held(before)
    wanted = Lock("control-1/1", "autoscale", NOW + 300)
    taken = lock.acquire(lxd, PATH, wanted, NOW)
    assert (holder_of(lxd), taken.lock, taken.changed) == (wanted, wanted, True)
    assert taken.taken_over == (STALE if before is STALE else None)
    assert lxd.config["features.images"] == "false"
    assert lxd.body["description"] == "kept"


def test_a_second_holder_is_told_who_what_and_until_when() -> None:
    lxd = held(THEIRS)
    with pytest.raises(Refused) as caught:
        lock.acquire(lxd, PATH, MINE, NOW)
    assert "is held by ops/2 for scale by hand until 1970-01-12 13:47:40 UTC (60 s from now)" in str(caught.value)
    assert caught.value.details["lock"] == THEIRS.as_dict()
    assert (holder_of(lxd), lxd.writes) == (THEIRS, 0)


def test_since_when_it_is_held_is_kept_while_it_is_renewed_and_told() -> None:
    lxd = held(STALE)
    assert lock.acquire(lxd, PATH, MINE, NOW).lock.since == NOW
    assert lock.acquire(lxd, PATH, dataclasses.replace(MINE, expires=NOW + 300), NOW + 40).lock.since == NOW
    with pytest.raises(lock.Held, match=r"for autoscale since 1970-01-12 13:46:40 UTC \(50 s ago\) until 1970-01-12 13:51:40 UTC"):
        lock.acquire(lxd, PATH, THEIRS, NOW + 50)


def test_of_two_at_once_the_later_one_sees_the_earlier_one() -> None:
    lxd = held(None)
    lxd.meanwhile = [{LOCK_KEY: json.dumps(THEIRS.as_dict())}]
    with pytest.raises(Refused):
        lock.acquire(lxd, PATH, MINE, NOW)
    assert holder_of(lxd) == THEIRS


def test_a_writer_between_the_check_and_the_write_is_noticed() -> None:
    lxd = held(None)
    lxd.afterwards = [{LOCK_KEY: json.dumps(THEIRS.as_dict())}]
    with pytest.raises(Refused) as caught:
        lock.acquire(lxd, PATH, MINE, NOW)
    assert "ops/2" in str(caught.value)
    lxd.afterwards = [{LOCK_KEY: ""}]
    with pytest.raises(Refused) as caught:
        lock.acquire(lxd, PATH, MINE, NOW + 100)
    assert "was removed by somebody else" in str(caught.value)


def test_an_unrelated_change_is_kept_and_the_lock_taken() -> None:
    lxd = held(None)
    lxd.meanwhile = [{"user.note": "one"}, {"user.note": "two"}]
    assert lock.acquire(lxd, PATH, MINE, NOW).changed
    assert (holder_of(lxd), lxd.config["user.note"], lxd.writes) == (MINE, "two", 1)


def test_conflicts_without_end_are_given_up_with_the_way_out() -> None:
    lxd = held(None)
    lxd.meanwhile = [{"user.note": str(number)} for number in range(99)]
    with pytest.raises(Conflict) as caught:
        lock.acquire(lxd, PATH, MINE, NOW)
    assert f"Writing {LOCK_KEY} of {PATH} failed: it was changed by somebody else 5 times" in str(caught.value)
    assert caught.value.status == 412
    assert len(lxd.meanwhile) == 99 - store.ATTEMPTS


@pytest.mark.parametrize("text", ["maintenance", "{}", "[]", "null", '{"holder": "x", "purpose": "y", "expires": "soon"}'])
def test_a_hand_written_lock_is_respected(text: str) -> None:
    lxd = FakeLxd({LOCK_KEY: text})
    with pytest.raises(Refused) as caught:
        lock.acquire(lxd, PATH, MINE, NOW)
    assert "unset the key" in str(caught.value)
    assert lxd.config[LOCK_KEY] == text


def test_own_lock_is_released_and_nobodys_is_nothing_to_do() -> None:
    lxd = held(MINE)
    assert lock.release(lxd, PATH, MINE.holder, NOW)
    assert LOCK_KEY not in lxd.config
    assert not lock.release(lxd, PATH, MINE.holder, NOW)
    assert lxd.writes == 1


@pytest.mark.parametrize("other", [THEIRS, STALE])
def test_only_ones_own_lock_is_released(other: Lock) -> None:
    lxd = held(other)
    with pytest.raises(Refused) as caught:
        lock.release(lxd, PATH, MINE.holder, NOW)
    assert f"is not control-1/1's to release: it is held by {other.holder}" in str(caught.value)
    assert holder_of(lxd) == other


def test_expiry() -> None:
    assert lock.expiry(NOW, 60) == NOW + 60
    assert not Lock("a", "b", NOW + 0.1).stale(NOW)
    assert Lock("a", "b", NOW).stale(NOW)


@pytest.mark.parametrize("ttl", [0, -1, None])
def test_a_ttl_that_is_none(ttl: t.Any) -> None:
    with pytest.raises(InvalidInput):
        lock.expiry(NOW, ttl)


#: one's own, which nobody has taken over yet
EXPIRED = dataclasses.replace(MINE, expires=NOW - 5)
REMEMBERED = State(history=History(last_out=NOW)).as_dict()


@pytest.mark.parametrize(("there", "holder"), [(None, None), (MINE, MINE.holder), (EXPIRED, MINE.holder), (THEIRS, None)])
def test_the_state_is_recorded_once(there: Lock | None, holder: str | None) -> None:
    lxd = held(there)
    before, after, changed = lock.record(lxd, PATH, REMEMBERED, holder, NOW)
    assert (before, after.history.last_out, changed) == (State(), NOW, True)
    assert json.loads(lxd.config[STATE_KEY]) == REMEMBERED
    assert lock.record(lxd, PATH, REMEMBERED, holder, NOW)[2] is False
    assert lxd.writes == 1


LOST = [(THEIRS, "is held by ops/2"), (STALE, "is held by control-1/0"), (None, "control-1/1 does not hold the lock of")]


@pytest.mark.parametrize(("there", "words"), LOST, ids=["held", "expired again", "given back"])
def test_a_run_that_lost_its_lock_records_nothing(there: Lock | None, words: str) -> None:
    """Whoever had it since has perhaps ended already, and what it recorded is the newer."""
    lxd = held(there)
    lxd.config[STATE_KEY] = json.dumps(REMEMBERED)
    for write in (True, False):
        with pytest.raises(Refused, match=words):
            lock.record(lxd, PATH, State().as_dict(), MINE.holder, NOW, write=write, more={"user.gb.settings": "old"})
    assert json.loads(lxd.config[STATE_KEY]) == REMEMBERED and lxd.writes == 0


@pytest.mark.parametrize(("there", "words"), LOST, ids=["held", "expired again", "given back"])
def test_a_lock_that_was_lost_is_not_taken_anew_in_the_middle_of_a_run(there: Lock | None, words: str) -> None:
    lxd = held(there)
    with pytest.raises(Refused, match=words):
        lock.renew(lxd, PATH, MINE, NOW)
    assert (holder_of(lxd), lxd.writes) == (there, 0)


@pytest.mark.parametrize("there", [MINE, EXPIRED], ids=["in time", "expired and not taken over"])
def test_ones_own_lock_is_renewed(there: Lock) -> None:
    lxd, wanted = held(there), dataclasses.replace(MINE, expires=NOW + 300)
    assert lock.renew(lxd, PATH, wanted, NOW + 40).taken_over is None
    after = holder_of(lxd)
    assert (after, after.since if after else None) == (wanted, NOW)


def test_recording_survives_conflicts() -> None:
    lxd = held(MINE)
    lxd.meanwhile = [{"user.note": "one"}]
    assert lock.record(lxd, PATH, REMEMBERED, MINE.holder, NOW)[2]
    assert lxd.config["user.note"] == "one"


def test_nonsense_is_not_recorded() -> None:
    lxd = held(None)
    with pytest.raises(InvalidInput) as caught:
        lock.record(lxd, PATH, {"version": 99}, None, NOW)
    assert "Record the state that autoscale_run returned" in str(caught.value)
    assert lxd.writes == 0


# --- what the modules return ---

OPTIONS = {"project": "gb", "state": "locked", "holder": MINE.holder, "purpose": "autoscale", "ttl": 60, "record": None}


def change(lxd: FakeLxd, *, write: bool = True, **options: t.Any) -> dict[str, t.Any]:
    """The result of autoscale_state."""
    return controller.change(lxd, {**OPTIONS, "pause": "both", "pin": None, **options}, NOW, write=write)


RECORDED = {"state": "recorded", "record": REMEMBERED}


@pytest.mark.parametrize(
    ("before", "options"),
    [(None, {}), (STALE, {}), (MINE, {}), (MINE, RECORDED), (None, {**RECORDED, "holder": None}), (THEIRS, {**RECORDED, "holder": None})],
    ids=["free", "stale", "own", "recorded", "recorded without a lock", "recorded whoever holds it"],
)
def test_check_mode_says_what_the_run_does_and_writes_nothing(before: Lock | None, options: dict[str, t.Any]) -> None:
    checked, real = held(before), held(before)
    assert change(checked, write=False, **options) == change(real, **options)
    assert checked.writes == 0


def test_locked() -> None:
    result = change(held(STALE))
    assert (result["changed"], result["lock"], result["mine"], result["taken_over"]) == (True, MINE.as_dict(), True, STALE.as_dict())
    assert result["diff"] == {"before": {"lock": STALE.as_dict()}, "after": {"lock": MINE.as_dict()}}


@pytest.mark.parametrize("state", ["locked", "unlocked"])
def test_somebody_elses_lock_fails_a_run_and_is_reported_in_check_mode(state: str) -> None:
    lxd = held(THEIRS)
    with pytest.raises(Refused):
        change(lxd, state=state)
    result = change(lxd, state=state, write=False)
    assert (result["changed"], result["lock"], result["mine"]) == (False, THEIRS.as_dict(), False)
    assert lxd.writes == 0


def test_unlocked() -> None:
    lxd = held(MINE)
    assert (change(lxd, state="unlocked", write=False)["changed"], lxd.writes) == (True, 0)
    result = change(lxd, state="unlocked")
    assert (result["changed"], result["lock"], result["mine"]) == (True, None, False)
    assert change(lxd, state="unlocked")["changed"] is False


def test_recorded_replaces_a_damaged_state() -> None:
    lxd = held(MINE)
    lxd.config[STATE_KEY] = "{"
    assert "is not JSON" in change(lxd, state="locked")["note"]
    result = change(lxd, state="recorded", record=REMEMBERED)
    assert (result["changed"], result["note"], result["mine"]) == (True, "", True)
    assert result["autoscale"] == REMEMBERED
    assert result["diff"]["after"] == {"history": {"last_out": NOW, "last_in": None}}


def test_info() -> None:
    lxd = held(MINE)
    lxd.config[STATE_KEY] = json.dumps(REMEMBERED)
    result = controller.info(lxd, NOW)
    assert result == {"changed": False, "lock": MINE.as_dict(), "locked": True, "autoscale": REMEMBERED, "note": ""}
    assert controller.info(lxd, NOW + 60)["locked"] is False
    assert controller.info(held(None), NOW)["lock"] is None


def test_controls_are_set_whoever_holds_the_lock_and_outlive_what_a_run_records() -> None:
    lxd = held(THEIRS)
    lxd.config[STATE_KEY] = json.dumps(REMEMBERED)
    assert change(lxd, state="paused", pause="in", write=False)["diff"]["after"] == {"controls": {"pause": "in", "pin": None}}
    assert lxd.writes == 0
    assert change(lxd, state="paused", pause="in")["autoscale"]["controls"] == {"pause": "in", "pin": None}
    assert change(lxd, state="pinned", pin=3)["autoscale"]["controls"] == {"pause": "in", "pin": 3}
    lock.record(lxd, PATH, REMEMBERED, THEIRS.holder, NOW)
    assert controller.info(lxd, NOW)["autoscale"]["controls"] == {"pause": "in", "pin": 3}
    assert change(lxd, state="resumed")["changed"] and not change(lxd, state="resumed")["changed"]
    assert change(lxd, state="unpinned")["autoscale"] == REMEMBERED
    with pytest.raises(InvalidInput, match="pin is 0"):
        change(lxd, state="pinned", pin=0)


def test_a_lock_of_a_process_that_died_here_is_taken_over_at_once() -> None:
    dead = subprocess.Popen([sys.executable, "-c", "from time import sleep; sleep(60)"])
    holder = re.sub(r"/\d+@", f"/{dead.pid}@", lock.this_run())
    started = pathlib.Path(f"/proc/{dead.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    holder = re.sub(r"-\d+-(\d+)$", rf"-{started}-\1", holder)
    assert not lock.gone(holder) and not lock.gone(lock.this_run())
    dead.kill()
    dead.wait()
    assert lock.gone(holder)
    assert not lock.gone(holder.replace("@", "@other")) and not lock.gone("control-1/1")
    lxd = held(Lock(holder, "autoscale", NOW + 300))
    assert lock.acquire(lxd, PATH, MINE, NOW).taken_over == Lock(holder, "autoscale", NOW + 300)


def module(params: t.Mapping[str, t.Any], *, check_mode: bool = False) -> t.Any:
    """What a module's body sees of AnsibleModule."""
    return types.SimpleNamespace(params=params, check_mode=check_mode)


def test_the_state_modules_write_only_outside_of_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    lxd = held(None)
    for one in (autoscale_state, autoscale_state_info):
        monkeypatch.setattr(one, "connect", lambda _options: lxd)
    assert autoscale_state.body(module(OPTIONS, check_mode=True))["changed"]
    assert autoscale_state_info.body(module(OPTIONS))["locked"] is False
    assert autoscale_state.body(module(OPTIONS))["changed"]
    assert autoscale_state_info.body(module(OPTIONS))["lock"]["holder"] == MINE.holder

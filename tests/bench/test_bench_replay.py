# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replay itself, on shapes whose outcome is known; with ``-s`` it prints the table for the recorded traces."""

from __future__ import annotations

import pathlib

import pytest
import replay


def test_a_step_in_load_is_followed_faster_than_by_the_baseline() -> None:
    step = [5] * 40 + [100] * 400
    fleet = replay.replay(step, replay.ours())
    assert len(fleet.started) == 10
    assert fleet.reversals == 0
    assert fleet.under < replay.replay(step, replay.hpa()).under


def test_the_baseline_follows_a_step_at_once_and_comes_down_after_its_window() -> None:
    fleet = replay.replay([5] * 40 + [100] * 40 + [5] * 100, replay.hpa())
    assert len(fleet.started) == 1


def test_opposite_steps_close_to_each_other_are_a_reversal() -> None:
    fleet = replay.Fleet([0.0])
    for size, now in ((2, 100.0), (1, 200.0), (2, 2000.0), (3, 2100.0)):
        fleet.resize(size, now)
    assert (fleet.reversals, fleet.ready(2100.0)) == (1, 2)


def test_the_recorded_traces(capsys: pytest.CaptureFixture[str]) -> None:
    if not replay.traces([]):
        pytest.skip("no traces; set GB_SHARED to the folder that holds traces/")
    assert replay.main([]) == 0
    table = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{table}")
    assert table.count("ratio") == len(replay.traces([]))


def test_without_traces_it_says_what_to_give_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GB_SHARED", str(tmp_path))
    assert replay.main([]) == 0
    assert "set GB_SHARED" in capsys.readouterr().out

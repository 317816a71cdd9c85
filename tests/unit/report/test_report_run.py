# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module autoscale_report reads, returns and writes."""

from __future__ import annotations

import os
import pathlib
import re
import stat
import types
import typing as t

import jinja2
import pytest
import report_builders as builders
import yaml
from report_builders import NOW, line

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale import controller, lock, place, report_run
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import store

FLEET = [{"name": "botserver-1", "slot": 1, "state": "active", "status": "Running"}]


@pytest.fixture
def lxd(monkeypatch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    """What LXD says; a test may change it."""
    kept: dict[str, t.Any] = {"autoscale": {"controls": {"pause": None, "pin": 3}}, "lock": None, "note": "", "settings": "{}"}
    kept["files"] = {}
    instance = types.SimpleNamespace(read_file=lambda name, path: kept["files"].get((name, path)))
    monkeypatch.setattr(report_run, "connect", lambda options: instance)
    monkeypatch.setattr(report_run, "observe", lambda _lxd: {})
    monkeypatch.setattr(report_run, "fleet_facts", lambda _lxd, observed, subnet: FLEET)
    monkeypatch.setattr(controller, "info", lambda _lxd, now: kept)
    monkeypatch.setattr(place, "where", lambda _lxd, write: "profiles/x")
    monkeypatch.setattr(store, "read", lambda _lxd, path: {lock.SETTINGS_KEY: kept["settings"]})
    return kept


def options(**more: t.Any) -> dict[str, t.Any]:
    plain: dict[str, t.Any] = {"dest": None, "logs": [], "instance_logs": [], "hours": 24.0, "settings": builders.SETTINGS, "title": None}
    plain |= {"project": "gb", "subnet": "10.87.0.0/24"}
    return {**plain, **more}


def log(folder: pathlib.Path, name: str, *lines: t.Mapping[str, t.Any], age: float = 0.0) -> str:
    """A log whose last line was written ``age`` seconds ago."""
    file = folder / name
    file.write_text("\n".join(builders.text(lines)) + "\n", encoding="utf-8")
    os.utime(file, (NOW - age, NOW - age))
    return str(file)


def test_log_and_rotations_are_read_and_those_of_before_are_not(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    current = log(tmp_path, "decisions.jsonl", line(NOW - 30), line(NOW))
    log(tmp_path, "decisions.jsonl.1", line(NOW - 90, "out"), line(NOW - 60, "in"), age=60)
    log(tmp_path, "decisions.jsonl.2", line(NOW - 120), age=2 * 86400)
    log(tmp_path, "decisions.jsonl-other", line(NOW - 150))
    result = report_run.run(options(logs=[current, str(tmp_path / "is-not-there")]), NOW)
    assert (result["ticks"], result["steps"], result["unreadable"]) == (4, {"out": 1, "in": 1, "reversals": 1}, 0)
    assert result["mean_instances"] == 2.0
    assert result["changed"] is False


def test_what_is_beside_a_log_and_no_rotation_is_left_alone(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    current = log(tmp_path, "decisions[1].jsonl", line(NOW))
    log(tmp_path, "decisions[1].jsonl.10", line(NOW - 60))
    for name in ("decisions[1].jsonl.2.gz", "decisions[1].jsonl.swp", "decisions[1].jsonl.x.3"):
        (tmp_path / name).write_bytes(b"\x1f\x8b rubbish\n")
    (tmp_path / "decisions[1].jsonl.2").mkdir()
    result = report_run.run(options(logs=[current]), NOW)
    assert (result["ticks"], result["unreadable"]) == (2, 0)


CONTROL = {"instance": "control-1", "path": "/log"}


def test_the_log_of_an_instance_and_its_rotations_are_read_as_far_back_as_asked(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    def content(*lines: t.Mapping[str, t.Any]) -> bytes:
        return ("\n".join(builders.text(lines)) + "\n").encode()

    lxd["files"] = {("control-1", "/log"): content(line(NOW - 30), line(NOW)), ("control-1", "/log.1"): content(line(NOW - 90, "out"))}
    here = log(tmp_path, "decisions.jsonl", line(NOW - 60, "in"))
    result = report_run.run(options(logs=[here], instance_logs=[CONTROL, {"instance": "gone-1", "path": "/log"}]), NOW)
    assert (result["ticks"], result["steps"]["out"], result["steps"]["in"]) == (4, 1, 1)
    lxd["files"]["control-1", "/log.1"] = content(line(NOW - 2 * 86400), line(NOW - 90))
    lxd["files"]["control-1", "/log.2"] = b"not asked for"
    result = report_run.run(options(instance_logs=[CONTROL]), NOW)
    assert (result["ticks"], result["unreadable"]) == (3, 0)


def test_between_a_rotation_and_the_next_line_the_older_log_is_read(lxd: dict[str, t.Any]) -> None:
    lxd["files"] = {("control-1", "/log.1"): builders.text([line(NOW)])[0].encode()}
    assert report_run.run(options(instance_logs=[CONTROL]), NOW)["ticks"] == 1


def test_a_log_that_is_no_text_stops_nothing(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_bytes(b"\xff\xfe\x00rubbish\n" + builders.text([line(NOW)])[0].encode() + b"\n")
    result = report_run.run(options(logs=[str(file)]), NOW)
    assert (result["ticks"], result["unreadable"]) == (1, 1)


def test_a_log_that_cannot_be_read_is_named(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    (tmp_path / "decisions.jsonl").mkdir()
    with pytest.raises(InvalidInput, match=r"decisions.jsonl cannot be read: Is a directory"):
        report_run.run(options(logs=[str(tmp_path / "decisions.jsonl")]), 0.0)


def test_what_lxd_remembers_is_in_the_report(lxd: dict[str, t.Any]) -> None:
    lxd["autoscale"]["decisions"] = [line(NOW, reason="out of the memory of LXD")]
    result = report_run.run(options(), NOW)
    assert result["concerns"] == [{"text": "Pinned to 3 instances until somebody unpins it.", "grave": False}]
    assert result["verdict"] == "warn"
    assert "out of the memory of LXD" in result["text"]
    assert "botserver-1" in result["text"]


def test_it_goes_by_the_settings_that_the_last_run_acted_by(lxd: dict[str, t.Any]) -> None:
    lxd["autoscale"] = {"decisions": [line(NOW, current=2)]}
    lxd["settings"] = '{"scale-min-instances": 3, "scale-max-instances": 5}'
    assert "scale-min-instances is 3" in report_run.run(options(settings=None), NOW)["text"]
    assert "3 to 5 allowed" in report_run.run(options(settings=None), NOW)["text"]
    assert "1 to 8 allowed" in report_run.run(options(), NOW)["text"]
    for broken in ("", "{", "[]"):
        lxd["settings"] = broken
        assert "allowed" not in report_run.run(options(settings=None), NOW)["text"]


def test_where_lxd_is_down_the_log_is_told_and_that_comes_first(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(_options: t.Any) -> t.Any:
        raise Unreachable("LXD at unix:/x does not answer.")

    monkeypatch.setattr(report_run, "connect", down)
    result = report_run.run(options(logs=[log(tmp_path, "decisions.jsonl", line(NOW))]), NOW)
    assert (result["ticks"], result["verdict"], result["concerns"][0]["grave"]) == (1, "bad", True)
    assert result["concerns"][0]["text"].endswith("LXD at unix:/x does not answer.")
    there = report_run.run(options(instance_logs=[CONTROL]), NOW)["concerns"][0]["text"]
    assert there.endswith("Nor could /log in control-1 be read, which has what that one decided.")


@pytest.mark.parametrize(("served", "ticks"), [((), 1), (("/log",), 2)], ids=["none of it", "no rotation"])
def test_where_lxd_does_not_serve_a_log_the_rest_is_told(
    tmp_path: pathlib.Path, lxd: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch, served: tuple[str, ...], ticks: int
) -> None:
    def read_file(instance: str, path: str) -> bytes:
        if path not in served:
            raise Unreachable(f"LXD does not serve {path}.")
        return builders.text([line(NOW - 60)])[0].encode()

    monkeypatch.setattr(report_run, "connect", lambda _options: types.SimpleNamespace(read_file=read_file))
    result = report_run.run(options(logs=[log(tmp_path, "decisions.jsonl", line(NOW))], instance_logs=[CONTROL]), NOW)
    assert (result["ticks"], result["verdict"]) == (ticks, "bad")
    assert "/log in control-1 has what that one decided: LXD does not serve /log" in result["concerns"][0]["text"]
    assert "botserver-1" in result["text"]


def test_the_page_is_written_whole_and_for_its_owner_only(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    dest = tmp_path / "new" / "report.html"
    result = report_run.run(options(dest=str(dest)), NOW)
    assert (result["changed"], result["dest"]) == (True, str(dest))
    assert dest.read_text(encoding="utf-8").endswith("</html>\n")
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert [file.name for file in dest.parent.iterdir()] == ["report.html"]


def test_check_mode_writes_nothing_and_says_so_and_else_the_same(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    dest = tmp_path / "report.html"
    checked = report_run.run(options(dest=str(dest)), NOW, check=True)
    assert not dest.exists()
    assert checked == {**report_run.run(options(dest=str(dest)), NOW), "dest": ""}


def test_a_place_that_takes_no_page_is_named(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"cannot be written to .*/file/report.html"):
        report_run.run(options(dest=str(tmp_path / "file" / "report.html")), NOW)


def test_no_failure_leaves_a_piece_of_a_page(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InvalidInput, match="cannot be written"):
        report_run.run(options(dest=str(tmp_path / "report.html")), NOW)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_half_a_character_in_a_log_is_written_as_none(tmp_path: pathlib.Path, lxd: dict[str, t.Any]) -> None:
    lxd["autoscale"] = {"decisions": [line(NOW, reason="half \ud800 a character", alert=True)]}
    result = report_run.run(options(dest=str(tmp_path / "report.html")), NOW)
    assert "half ? a character" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert result["concerns"][0]["text"].endswith("half ? a character")


def test_hours_must_be_some(lxd: dict[str, t.Any]) -> None:
    with pytest.raises(InvalidInput, match="must be above 0"):
        report_run.run(options(hours=0.0), NOW)


# --- the playbook ----------------------------------------------------------------------------------------------------


def tasks() -> dict[str, dict[str, t.Any]]:
    """The tasks of the playbook by name."""
    playbook = pathlib.Path(__file__).parents[3] / "playbooks" / "report.yml"
    return {task["name"]: task for task in yaml.safe_load(playbook.read_text(encoding="utf-8"))[0]["tasks"]}


@pytest.mark.parametrize(("shown", "message"), [("yaml", "a\n  b\n"), ("json", ["a", "  b"])])
def test_the_playbook_shows_the_text_as_it_is(shown: str, message: t.Any) -> None:
    (expression,) = re.findall(r"{{ (.*) }}", tasks()["Show the report"]["ansible.builtin.debug"]["msg"])
    assert jinja2.Environment().compile_expression(expression)(__text="a\n  b\n", __format=shown) == message


@pytest.mark.parametrize(("hours", "fine"), [("6", True), (0.5, True), (None, True), ("abc", False), ("0", False), ("-1", False)])
def test_the_playbook_asks_for_hours_that_are_some(hours: t.Any, fine: bool) -> None:
    condition = jinja2.Environment().compile_expression(tasks()["Require a time to report on"]["ansible.builtin.assert"]["that"])
    assert condition(**({} if hours is None else {"hours": hours})) is fine

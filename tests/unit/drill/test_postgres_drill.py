# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills without containers: who is hit, what is undone, when a cluster counts as healthy, and how a campaign goes on."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import typing as t

import pytest
import yaml

from ansible_collections.generalbots.scaling.plugins.module_utils.drill import campaign
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.cluster import Cluster, Member, look
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.faults import FAULTS, UNDO, Planned, Step, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.options import drill, in_words
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.recording import flow
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.report import page
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.round import Drill, Result, Round
from ansible_collections.generalbots.scaling.plugins.module_utils.drill.steps import (
    ALLOWANCE,
    FOLLOW,
    KEPT_DISK,
    LEADERS_LOST,
    STARVED,
    Steps,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused, ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.history.judge import judge
from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import parse
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAMES = [f"{component}-{slot}" for component in ("etcd", "postgres") for slot in (1, 2, 3)]
MEMBERS = (
    Member("postgres-1", "replica", "running", 4, 0), Member("postgres-2", "leader", "running", 4, None),
    Member("postgres-3", "sync_standby", "streaming", 4, 0),
)  # fmt: skip
SOUND = Cluster(dict.fromkeys(NAMES, "Running"), MEMBERS, "etcd-3")
OPTIONS: dict[str, t.Any] = {"faults": ["power-off"], "rounds": 1, "writers": 1, "rate": 1.0, "seconds": 1.0}


def test_a_sound_cluster_is_healthy() -> None:
    assert SOUND.problems() == []
    assert SOUND.leader == "postgres-2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instances": {**SOUND.instances, "etcd-1": "Frozen"}}, "etcd-1 is frozen"),
        ({"members": MEMBERS[:1] + MEMBERS[2:]}, "nobody leads"),
        ({"members": MEMBERS[1:]}, "postgres-1 is no member"),
        ({"members": (*MEMBERS[:2], dataclasses.replace(MEMBERS[2], state="start failed"))}, "postgres-3 (sync_standby) is start failed"),
        ({"members": (*MEMBERS[:2], dataclasses.replace(MEMBERS[2], lag=None))}, "lag unknown"),
        ({"members": (*MEMBERS[:2], dataclasses.replace(MEMBERS[2], timeline=3))}, "on timelines 3, 4"),
        ({"members": (*MEMBERS[:2], dataclasses.replace(MEMBERS[2], role="replica"))}, "no standby is synchronous"),
        ({"etcd_leader": ""}, "etcd has no leader"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, t.Any], words: str) -> None:
    assert words in "; ".join(dataclasses.replace(SOUND, **change).problems())


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_hits_somebody_and_what_lasts_is_undone(name: str) -> None:
    planned = plan(name, SOUND)
    assert planned.target in SOUND.instances
    lasting = {(UNDO[step.verb], step.target) for step in planned.inject if step.verb in UNDO}
    assert {(step.verb, step.target) for step in planned.heal} == lasting
    assert planned.heal or all(step.verb not in ("stop", "freeze", "cut", "starve", "fill") for step in planned.inject)


def test_the_playbook_names_every_fault() -> None:
    play = yaml.safe_load((ROOT / "playbooks" / "drill.yml").read_text(encoding="utf-8"))[0]
    assert play["vars"]["__drill_all"] == list(FAULTS)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("power-off", ["stop postgres-2"]),
        ("kill-etcd-leader", ["kill-etcd etcd-3"]),
        ("etcd-majority", ["stop etcd-3", "stop etcd-1"]),
        ("power-off-both-leaders", ["stop etcd-3", "stop postgres-2"]),
        ("cut-clients", ["cut postgres-2 from botserver (in) (out)"]),
        ("cut-in", ["cut postgres-2 from postgres-1, postgres-3, etcd-1, etcd-2, etcd-3, botserver (in)"]),
        ("cut-etcd", ["cut postgres-2 from etcd-1, etcd-2, etcd-3 (in) (out)"]),
        ("while-reinit", ["reinit postgres-1", "kill-both postgres-2"]),
        ("switchover", ["follow postgres-1 after postgres-3", "switchover postgres-2 to postgres-3"]),
        (
            "busy",
            [
                *(f"burden {one}" for one in ("postgres-1", "postgres-2", "postgres-3", "etcd-1", "etcd-2", "etcd-3")),
                "kill-etcd-leaders postgres-2",
            ],
        ),
    ],
)
def test_what_a_fault_does(name: str, steps: list[str]) -> None:
    assert [str(step) for step in plan(name, SOUND).inject] == steps


def test_a_named_target_is_hit_and_a_stranger_is_not() -> None:
    assert plan("freeze", SOUND, "postgres-1").inject == (Step("freeze", "postgres-1"),)
    with pytest.raises(InvalidInput, match="target is 'proxy-1'"):
        plan("freeze", SOUND, "proxy-1")
    with pytest.raises(InvalidInput, match="fault is 'flood'"):
        plan("flood", SOUND)
    with pytest.raises(Refused, match="nobody to hit: nobody leads"):
        plan("freeze", dataclasses.replace(SOUND, members=()))


DISK = {"type": "disk", "path": "/", "pool": "btrfs"}


class FakeLxd:
    """An LXD that notes what is asked of it; C(answers) are (exit status, output) by a part of the command."""

    def __init__(self, answers: t.Mapping[str, tuple[int, str]] | None = None, instance: t.Mapping[str, t.Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.instance = {"status": "Running", "config": {}, "devices": {}, **(instance or {})}
        self.commands: list[tuple[str, str]] = []
        self.changes: list[tuple[str, t.Any]] = []
        self.events: list[str] = []

    def get(self, path: str, **_query: str) -> tuple[t.Any, str]:
        if path.startswith("storage-pools/"):
            return {"driver": path.removeprefix("storage-pools/")}, ""
        if path == "instances":
            return [{"name": name, "status": "Running", "type": "container", "config": {"user.gb.component": name.rpartition("-")[0]},
                     "expanded_config": {}, "devices": {}, "expanded_devices": {}, "profiles": [], "state": None,
                     "location": "none", "created_at": ""} for name in NAMES], ""  # fmt: skip
        return self.instance, ""

    def put(self, path: str, body: t.Any = None, **_more: t.Any) -> None:
        self.changes.append((path, body))
        self.events.append("put")

    patch = put

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 0) -> tuple[int, str, str]:
        command = " ".join(argv)
        self.commands.append((instance, command))
        self.events.append("execute")
        code, out = next(((code, out) for part, (code, out) in self.answers.items() if part in f"{instance} {command}"), (0, ""))
        return code, out, "" if code == 0 else "it said no"


def steps(lxd: FakeLxd) -> Steps:
    return Steps(lxd, "10.87.0.0/24", "generalbots")  # type: ignore[arg-type]


def test_a_cut_names_addresses_and_ways() -> None:
    lxd = FakeLxd()
    steps(lxd).take(Step("cut", "postgres-2", ("etcd-1", "botserver"), ("in",)))
    (instance, command), = lxd.commands  # fmt: skip
    assert instance == "postgres-2"
    assert "add rule inet gb_drill input ip saddr { 10.87.0.21, 10.87.0.101-10.87.0.250 } drop" in command
    assert "output" not in command


def test_a_step_that_fails_says_so() -> None:
    with pytest.raises(ScalingError, match=r"could not kill-patroni postgres-2 in postgres-2 \(exit status 1\): it said no"):
        steps(FakeLxd({"systemctl kill": (1, "")})).take(Step("kill-patroni", "postgres-2"))


def test_power_is_cut_once_and_given_back_once() -> None:
    lxd = FakeLxd()
    steps(lxd).take(Step("stop", "postgres-2"))
    steps(lxd).take(Step("start", "postgres-2"))
    assert lxd.changes == [("instances/postgres-2/state", {"action": "stop", "force": True, "timeout": 30})]


@pytest.mark.parametrize("own", [{}, {ALLOWANCE: "50%"}], ids=["no limit", "a limit"])
def test_what_starving_changed_is_put_back(own: dict[str, str]) -> None:
    lxd = FakeLxd(instance={"config": own})
    for _twice in range(2):
        steps(lxd).take(Step("starve", "postgres-2"))
        # As LXD does it: a key that is empty is none.
        lxd.instance["config"] = {key: value for key, value in lxd.changes[-1][1]["config"].items() if value}
        assert lxd.instance["config"][ALLOWANCE] == STARVED
    steps(lxd).take(Step("feed", "postgres-2"))
    assert lxd.changes[-1][1]["config"] == own


@pytest.mark.parametrize(
    ("own", "kept"),
    [({}, "profile"), ({"root": DISK}, "none"), ({"root": {**DISK, "size": "4GiB"}}, "4GiB")],
    ids=["of the profile", "its own", "its own with a size"],
)
def test_a_disk_is_filled_within_a_quota_and_given_back(own: dict[str, t.Any], kept: str) -> None:
    lxd = FakeLxd({"du -sxBM /": (0, "100M\t/\n")}, {"devices": own, "expanded_devices": {"root": DISK}})
    steps(lxd).take(Step("fill", "postgres-2"))
    assert lxd.events == ["execute", "put", "execute"], "what fills it has to come after the quota, and makes room again"
    (_path, change), = lxd.changes  # fmt: skip
    assert (change["devices"], change["config"]) == ({"root": {**DISK, "size": "174MiB"}}, {KEPT_DISK: kept})
    lxd.instance.update(config=change["config"], devices=change["devices"])
    lxd.events.clear()
    steps(lxd).take(Step("clear", "postgres-2"))
    assert (lxd.changes[-1][1]["devices"], lxd.changes[-1][1]["config"]) == (own, {})
    assert lxd.events == ["execute", "put"], "no quota of a disk that is full is lifted"


def test_a_disk_that_knows_no_quota_is_not_filled() -> None:
    plain = FakeLxd(instance={"expanded_devices": {"root": {**DISK, "pool": "dir"}}})
    with pytest.raises(Refused, match="knows no quota"):
        steps(plain).take(Step("fill", "postgres-2"))
    assert plain.changes == []


def test_a_switchover_goes_to_the_standby_that_was_planned() -> None:
    lxd = FakeLxd()
    steps(lxd).take(plan("switchover", SOUND).inject[-1])
    assert lxd.commands[-1][1].endswith("switchover generalbots --leader postgres-2 --candidate postgres-3 --force")


def test_the_primary_is_killed_when_its_switchover_has_begun_and_not_before(tmp_path: pathlib.Path) -> None:
    lxd = FakeLxd()
    *_follow, switchover, kill = plan("while-switchover", SOUND).inject
    for step in (switchover, kill):
        steps(lxd).take(step)
    ordered, killed = (command.removeprefix("sh -c ") for _name, command in lxd.commands[-2:])
    assert killed.startswith("kill -9")
    # The third time that it is asked, the journal has it.
    programs = {
        "patronictl": 'echo "$*" >ordered',
        "journalctl": '[ -s ordered ] || exit 1; echo "$*" >>asked; [ "$(wc -l <asked)" -lt 3 ] || echo received switchover request',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", ordered], cwd=tmp_path, env={"PATH": path}, check=True, timeout=30)
    assert (tmp_path / "ordered").read_text().endswith("--leader postgres-2 --candidate postgres-3 --force\n")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 3
    assert re.search(r"--since @\d{10} .*--grep received switchover request", asked[0])


def test_an_asynchronous_cluster_needs_nobody_who_confirms_writes_after_a_switchover() -> None:
    members = (MEMBERS[0], MEMBERS[1], dataclasses.replace(MEMBERS[2], role="replica"))
    planned = plan("switchover", dataclasses.replace(SOUND, members=members, synchronous=False))
    assert [str(step) for step in planned.inject] == ["switchover postgres-2 to postgres-1"]


def test_without_a_standby_that_has_every_write_there_is_no_switchover() -> None:
    with pytest.raises(Refused, match=r"postgres-2 has no standby that could take the lead: .*no standby is synchronous"):
        plan("switchover", dataclasses.replace(SOUND, members=(MEMBERS[0], MEMBERS[1])))


def test_a_standby_follows_another_and_is_waited_for() -> None:
    lxd = FakeLxd({"pg_stat_wal_receiver": (0, "10.87.0.33\n")})
    steps(lxd).take(Step("follow", "postgres-1", ("postgres-3",)))
    (told, asked) = lxd.commands
    assert told[0] == asked[0] == "postgres-1"
    assert told[1].endswith("/etc/patroni/config.yml postgres-3 && systemctl reload patroni.service")


@pytest.mark.parametrize("between", [None, "name: postgres-1\npassword: another\ntags: {}\n"], ids=["nothing", "a run wrote another"])
def test_after_a_broken_off_drill_the_configuration_becomes_what_it_was(tmp_path: pathlib.Path, between: str | None) -> None:
    config, original = tmp_path / "config.yml", "name: postgres-1\npassword: one\ntags: {}\n"
    config.write_text(original, encoding="utf-8")
    reload = tmp_path / "systemctl"
    reload.symlink_to("/bin/true")

    def take(step: Step) -> None:
        lxd = FakeLxd({"pg_stat_wal_receiver": (0, "10.87.0.33\n")})
        steps(lxd).take(step)
        command = lxd.commands[0][1].removeprefix("sh -c ").replace("/etc/patroni", str(tmp_path)).replace("python3", sys.executable)
        subprocess.run(["sh", "-c", command.replace("systemctl", str(reload))], check=True)

    follow = Step("follow", "postgres-1", ("postgres-3",))
    take(follow)
    if between:
        config.write_text(between, encoding="utf-8")
    take(follow)
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["tags"] == {"replicatefrom": "postgres-3"}
    take(Step("unfollow", "postgres-1"))
    assert config.read_text(encoding="utf-8") == (between or original)


def test_whom_a_standby_follows_is_a_tag_of_its_configuration(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text("name: postgres-1\ntags: {nofailover: true}\n", encoding="utf-8")
    subprocess.run([sys.executable, "-c", FOLLOW, str(config), "postgres-3"], check=True)
    assert yaml.safe_load(config.read_text(encoding="utf-8")) == {
        "name": "postgres-1", "tags": {"nofailover": True, "replicatefrom": "postgres-3"},
    }  # fmt: skip


SAID = [
    {"name": "postgres-3", "role": "sync_standby", "state": "running", "timeline": 4, "lag": 0},
    {"name": "postgres-2", "role": "leader", "state": "running", "timeline": 4},
    {"name": "postgres-1", "role": "replica", "state": "running", "timeline": 4, "lag": 0},
]
CLUSTER = json.dumps({"cluster": {"members": SAID}, "config": {"synchronous_mode": True}})
STATUS = json.dumps([{"Status": {"leader": 7, "header": {"member_id": 7}}}])
FOLLOWS = json.dumps([{"Status": {"leader": 7, "header": {"member_id": 8}}}])


def test_the_cluster_is_asked_of_whoever_answers() -> None:
    answers = {"postgres-1": (1, ""), "postgres-2": (0, CLUSTER), "etcd-1": (0, FOLLOWS), "etcd-2": (1, ""), "etcd-3": (0, STATUS)}
    found = look(FakeLxd(answers), "10.87.0.0/24")  # type: ignore[arg-type]
    assert found.problems() == []
    assert (found.leader, found.etcd_leader) == ("postgres-2", "etcd-3")


@pytest.mark.parametrize(("config", "problems"), [({"synchronous_mode": "on"}, ["no standby is synchronous"]), ({}, [])])
def test_a_cluster_that_is_asynchronous_by_choice_is_healthy_without_a_synchronous_standby(
    config: dict[str, t.Any], problems: list[str]
) -> None:
    members = [{**one, "role": one["role"].replace("sync_standby", "replica")} for one in SAID]  # type: ignore[attr-defined]
    said = json.dumps({"cluster": {"members": members}, "config": config})
    found = look(FakeLxd({"python3": (0, said), "etcd-3": (0, STATUS)}), "10.87.0.0/24")  # type: ignore[arg-type]
    assert found.problems() == problems


def test_a_cluster_that_is_not_healthy_is_left_alone_unless_that_is_wanted() -> None:
    lxd = FakeLxd({"python3": (1, ""), "etcd-3": (0, STATUS)})
    one = Round(lxd, Drill("10.87.0.0/24", "botserver-1", {}))  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"not healthy \(nobody leads; postgres-1 is no member"):
        one.plan("freeze", "postgres-1")
    assert one.plan("freeze", "postgres-1", force=True)[0].target == "postgres-1"
    assert lxd.changes == []


@pytest.mark.parametrize(
    ("acknowledged", "words"),
    [
        ([], "none was"),
        ([98.1, 98.5, 99.0, 99.5, 99.9], ""),
        ([98.0, 98.2, 99.9], "a pause of 1.7 s"),
        ([98.0, 98.5, 98.9], "a pause of 1.1 s"),
    ],
)
def test_writes_flow_when_they_follow_each_other(acknowledged: list[float], words: str) -> None:
    assert words in flow(acknowledged, 100.0)
    assert bool(flow(acknowledged, 100.0)) == bool(words)


LOG = "".join(
    json.dumps(line) + "\n"
    for line in (
        {"event": "start", "at": 1.0, "format": 1, "members": {}},
        {"event": "invoke", "at": 1.1, "process": "w", "id": 1},
        {"event": "ok", "at": 1.2, "process": "w", "id": 1, "server": "a", "timeline": 1},
        {"event": "stop", "at": 1.5},
        {"event": "found", "at": 1.6, "ids": [1]},
    )
)


def result(fault: str, log: str = LOG, problems: tuple[str, ...] = (), within: bool | None = True) -> Result:
    return Result(fault, "postgres-2", 5.0, 9.0, "postgres-2", "postgres-3", judge(parse(log)), problems, log, within)


class Writing(FakeLxd):
    """An LXD whose botserver writes as if nothing happened, and leaves :data:`LOG`."""

    def __init__(self, **more: t.Any) -> None:
        etcd = {"etcd-3": (0, STATUS), "etcd-1": (1, ""), "etcd-2": (1, "")}
        super().__init__({"postgres-1 timeout 8 /usr/bin/python3": (0, CLUSTER), **etcd}, **more)
        self.written: dict[str, bytes] = {}
        self.time = 1000.0

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 0) -> tuple[int, str, str]:
        if argv[0] == "tail":
            return 0, "".join(json.dumps({"event": "ok", "at": self.time - ago / 10}) + "\n" for ago in range(30, 0, -1)), ""
        return super().execute(instance, argv, timeout=timeout)

    def write_file(self, instance: str, path: str, content: bytes, *, mode: str = "0600", **_more: t.Any) -> None:
        assert mode == "0600"
        self.written[f"{instance}{path}"] = content

    def read_file(self, _instance: str, _path: str) -> bytes | None:
        return LOG.encode()


def whole_round(lxd: Writing, fault: str, before: Cluster | None = None) -> Result:
    clock = Clock(lambda: lxd.time, lxd.sleep, lambda: lxd.time)
    how = Drill("10.87.0.0/24", "botserver-1", {"host": "127.0.0.1", "password": "OnlyInTheFile"}, recover=5, heal=5)
    one = Round(lxd, how, clock, lambda: 0.5)  # type: ignore[arg-type]
    planned, now = one.plan(fault, None)
    return one.run(planned, before or now)


def test_a_round_records_breaks_heals_and_judges() -> None:
    lxd = Writing()
    found = whole_round(lxd, "power-off")
    assert found.verdict.good and found.problems == ()
    assert [change[1]["action"] for change in lxd.changes] == ["stop"]
    commands = [command for instance, command in lxd.commands if instance == "botserver-1"]
    assert next(command for command in commands if command.startswith("systemd-run")).endswith("recorder.py /run/gb-drill/config.json")
    assert commands[-2:] == ["systemctl stop gb-drill.service", "rm -rf /run/gb-drill"]
    assert not any("OnlyInTheFile" in command for command in commands)
    config = json.loads(lxd.written["botserver-1/run/gb-drill/config.json"])
    assert config["endpoint"]["password"] == "OnlyInTheFile" and config["endpoint"]["host"] == "127.0.0.1"
    assert {name: one["host"] for name, one in config["members"].items()} == {f"postgres-{n}": f"10.87.0.3{n}" for n in (1, 2, 3)}
    assert b"def main(" in lxd.written["botserver-1/run/gb-drill/recorder.py"]


def test_what_was_done_is_undone_when_the_fault_cannot_be_injected() -> None:
    lxd = Writing()
    lxd.answers = {"postgres-2 nft add": (1, ""), **lxd.answers}
    with pytest.raises(ScalingError, match="nft said it said no"):
        whole_round(lxd, "cut")
    commands = [command for _instance, command in lxd.commands]
    assert any("nft delete table inet gb_drill" in command for command in commands)
    assert commands[-2:] == ["systemctl stop gb-drill.service", "rm -rf /run/gb-drill"]


@pytest.mark.parametrize(("earlier", "problems"), [(0, 0), (1, 1)], ids=["it stayed", "it was away"])
def test_a_lead_that_moves_for_no_reason_is_a_problem(earlier: int, problems: int) -> None:
    lxd = Writing()
    now = look(lxd, "10.87.0.0/24")  # type: ignore[arg-type]
    members = tuple(dataclasses.replace(one, timeline=(one.timeline or 0) - earlier) for one in now.members)
    found = whole_round(lxd, "busy", dataclasses.replace(now, members=members))
    assert len([problem for problem in found.problems if "for no good reason" in problem]) == problems
    assert len([command for name, command in lxd.commands if name == "etcd-3" and "systemctl kill" in command]) == LEADERS_LOST


class FakeRound:
    """Rounds that take no time, but for a clock that is told."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def plan(self, name: str, _target: str | None, *, force: bool) -> tuple[Planned, Cluster]:
        return plan(name, SOUND), SOUND

    def run(self, planned: Planned, _before: Cluster) -> Result:
        self.did.append(planned.name)
        return result(planned.name)


def test_a_campaign_goes_on_where_it_was_broken_off(tmp_path: pathlib.Path) -> None:
    results = str(tmp_path / "results.jsonl")
    first, second = FakeRound(), FakeRound()
    campaign.run(first, ["freeze"], rounds=2, results=results)  # type: ignore[arg-type]
    campaign.run(second, ["freeze", "cut"], rounds=3, results=results)  # type: ignore[arg-type]
    assert first.did == ["freeze", "freeze"]
    assert second.did == ["cut", "cut", "freeze", "cut"]
    assert [one["fault"] for one in campaign.read(results)] == ["freeze", "freeze", "cut", "cut", "freeze", "cut"]


def test_no_round_begins_after_the_time_is_over() -> None:
    one = FakeRound()
    campaign.run(one, ["freeze"], rounds=5, seconds=0)  # type: ignore[arg-type]
    assert one.did == []


def test_a_history_with_something_wrong_is_kept(tmp_path: pathlib.Path) -> None:
    broken = result("cut", LOG.replace('"ids": [1]', '"ids": []'))
    campaign._keep(str(tmp_path / "r"), broken)
    campaign._keep(str(tmp_path / "r"), result("freeze"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "r.cut-5.jsonl"]
    row, other = campaign.summary(campaign.read(str(tmp_path / "r")))
    assert (row["violations"], other["violations"]) == ({"lost": 1}, {"lost": 0})
    assert row["outage"]["max"] == 0.3


def test_a_damaged_file_of_results_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "r").write_text('{"fault": "cut"}\nnonsense\n')
    with pytest.raises(InvalidInput, match="line 2 is no round"):
        campaign.read(str(tmp_path / "r"))


def test_the_page_and_the_words_tell_what_was_wrong() -> None:
    broken = result("cut", LOG.replace('"ids": [1]', '"ids": []'), ("it <never> healed",), within=False)
    rounds = [broken.as_dict(), result("freeze").as_dict()]
    text = page(rounds)
    assert "1 of them not as it should be" in text
    assert "it &lt;never&gt; healed" in text
    assert "VIOLATED: 1 acknowledged and not there" in text
    assert "<script" not in text and "http" not in text
    assert "all as they should be" in page(rounds[1:])
    assert in_words(rounds[0]).startswith("cut of postgres-2 (postgres-2 led before, postgres-3 after): VIOLATED")


@pytest.mark.parametrize(
    ("given", "words"),
    [({"faults": ["flood"]}, "faults names flood"), ({"faults": []}, "faults names nothing"), ({"rounds": 0}, "rounds is 0")],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_done(given: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        drill({**OPTIONS, **given}, check=False)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxc_instance's planner and runner, among them every defect that users of lxd_container have reported."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from ansible.module_utils.testing import patch_module_args
from fake_daemon import ADDRESS, FakeDaemon

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused, ScalingError, WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import (
    SETTLE,
    File,
    InstanceSpec,
    Readiness,
    Runner,
    RunOptions,
    brief,
    observe,
    observe_with_files,
    plan,
    without_less_memory,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.params import spec_of
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock
from ansible_collections.generalbots.scaling.plugins.modules import lxc_instance
from ansible_collections.generalbots.scaling.plugins.plugin_utils.in_process import called

PAUSES: list[float] = []
QUICK = RunOptions(stop_timeout=1, ready=Readiness(address=True, timeout=0.05), clock=Clock(now=lambda: 100.0, sleep=PAUSES.append))


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


def bring(daemon: FakeDaemon, state: str, *specs: InstanceSpec, options: RunOptions = QUICK) -> tuple[Plan, Runner]:
    runner = Runner(daemon, options)  # type: ignore[arg-type]
    observed = observe_with_files(daemon, specs)  # type: ignore[arg-type]
    wanted = plan(specs, observed, state, best_effort=options.limits_best_effort)
    runner.run(wanted)
    return wanted, runner


def one(name: str = "proxy-1", **more: object) -> InstanceSpec:
    return InstanceSpec(**{"name": name, "component": "proxy", "image": "gb/proxy", **more})  # type: ignore[arg-type]


def test_creates_writes_and_starts_in_that_order(daemon: FakeDaemon) -> None:
    bring(daemon, "started", one(files=(File("/etc/x", b"1"),)))
    assert daemon.calls == ["create proxy-1", "write proxy-1 /etc/x 0600", "start proxy-1"]
    assert daemon.instances["proxy-1"]["config"]["user.gb.component"] == "proxy"


def test_a_start_leaves_lxd_time_to_sync_what_was_written_and_only_then(daemon: FakeDaemon) -> None:
    PAUSES.clear()
    bring(daemon, "started", one(files=(File("/etc/x", b"1"), File("/etc/y", b"1"))), one("proxy-2"))
    (only,) = PAUSES
    assert only == pytest.approx(SETTLE)


@pytest.mark.parametrize("state", ["present", "started", "stopped", "frozen", "absent"])
def test_second_run_changes_nothing(daemon: FakeDaemon, state: str) -> None:
    spec = one(config={"limits.cpu": "1"}, devices={"eth0": {"type": "nic"}}, files=(File("/etc/x", b"1"),))
    bring(daemon, state, spec)
    wanted, _runner = bring(daemon, state, spec)
    assert not wanted.changed
    assert wanted.diff == {"before": {}, "after": {}}


def test_the_plan_of_check_mode_is_what_a_run_does(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Stopped", "proxy")
    spec = one(config={"limits.cpu": "2"})
    foreseen = plan([spec], observe(daemon), "started").steps()  # type: ignore[arg-type]
    wanted, _runner = bring(daemon, "started", spec)
    assert wanted.steps() == foreseen == ["update proxy-1: limits.cpu", "start proxy-1"]


def test_no_address_in_time_is_a_failure_that_says_what_was_seen(daemon: FakeDaemon) -> None:
    daemon.has_address = False
    with pytest.raises(WaitTimeout, match=r"proxy-1 to be up .*'address': None"):
        bring(daemon, "started", one())


def test_an_image_that_does_not_boot_is_named_as_that(daemon: FakeDaemon) -> None:
    daemon.boots = False
    with pytest.raises(ScalingError, match="proxy-1 was started and is stopped again: its image does not boot"):
        bring(daemon, "started", one())


def test_freezing_a_frozen_instance_is_no_change(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Frozen", "proxy")
    wanted, _runner = bring(daemon, "frozen", one())
    assert not wanted.changed


def test_a_stopped_instance_is_changed_without_being_booted(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Stopped", "proxy")
    bring(daemon, "stopped", one(config={"limits.cpu": "2"}))
    assert daemon.calls == ["update proxy-1"]


def test_an_unknown_status_is_reported_and_nothing_is_tried(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Error", "proxy")
    with pytest.raises(Refused, match="proxy-1 is in state Error"):
        bring(daemon, "started", one())
    assert daemon.calls == []


def test_what_is_null_in_a_device_is_left_out() -> None:
    item = {"name": "proxy-1", "config": {}, "devices": {"d": {"x": None, "y": True}}}
    assert spec_of(item, "proxy").devices == {"d": {"y": "true"}}


def test_numbers_and_booleans_reach_the_daemon_as_strings(daemon: FakeDaemon) -> None:
    item = {"name": "proxy-1", "image": "i", "config": {"limits.cpu": 2, "security.nesting": True}, "devices": {"d": {"x": 1}}}
    bring(daemon, "present", spec_of(item, "proxy"))
    created = daemon.instances["proxy-1"]
    assert (created["config"]["limits.cpu"], created["config"]["security.nesting"]) == ("2", "true")
    assert created["devices"] == {"d": {"x": "1"}}


def test_limits_that_are_given_are_all_that_an_instance_has(daemon: FakeDaemon) -> None:
    item = {"name": "proxy-1", "image": "i", "config": {"limits.cpu": "0-1"}, "devices": {}}
    bring(daemon, "present", spec_of({**item, "limits": {"memory": "1GiB", "cpu_allowance": "50%"}}, "proxy"))
    untouched, _runner = bring(daemon, "present", spec_of({**item, "limits": None}, "proxy"))
    assert not untouched.changed
    bring(daemon, "present", spec_of({**item, "limits": {"memory": "1GiB"}}, "proxy"))
    limits = {key: value for key, value in daemon.instances["proxy-1"]["config"].items() if key.startswith("limits.")}
    assert limits == {"limits.cpu": "0-1", "limits.memory": "1GiB"}
    assert not bring(daemon, "present", spec_of({**item, "limits": {"memory": "1GiB", "cpu": None}}, "proxy"))[0].changed


def test_a_limit_of_memory_that_is_taken_back_takes_none(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Running", "proxy", limits__memory="1GiB")
    spec = spec_of({"name": "proxy-1", "config": {}, "devices": {}, "limits": {}}, "proxy")
    wanted = plan([spec], observe(daemon), "started", take_memory=False)  # type: ignore[arg-type]
    assert wanted.diff["after"] == {"proxy-1 limits.memory": None}


def test_no_task_names_a_part_of_the_limits_only() -> None:
    """It would take away the others."""
    root = pathlib.Path(__file__).parents[3]
    tasks = [*root.glob("playbooks/*.yml"), *root.glob("roles/*/tasks/*.yml")]
    assert [path.name for path in tasks if re.search(r"\blimits: *\{", path.read_text())] == []


def test_null_removes_a_key_and_a_device_and_others_stay(daemon: FakeDaemon) -> None:
    raw = daemon.add("proxy-1", "Running", "proxy", limits__cpu="2", user__mine="kept")
    raw["devices"] = {"gone": {"type": "disk"}, "stays": {"type": "disk"}}
    bring(daemon, "started", one(config={"limits.cpu": None}, devices={"gone": None}))
    assert daemon.instances["proxy-1"]["config"] == {"user.gb.component": "proxy", "user.mine": "kept"}
    assert list(daemon.instances["proxy-1"]["devices"]) == ["stays"]


def test_a_change_by_somebody_else_is_not_lost(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Running", "proxy")

    def meddle(name: str) -> None:
        daemon.instances[name]["config"]["user.other"] = "theirs"
        daemon.touch(name)
        daemon.meddle = lambda _name: None

    daemon.meddle = meddle
    bring(daemon, "started", one(config={"limits.cpu": "2"}))
    assert daemon.instances["proxy-1"]["config"] == {"user.gb.component": "proxy", "user.other": "theirs", "limits.cpu": "2"}


@pytest.mark.parametrize("owner", [None, "redis"])
@pytest.mark.parametrize("state", ["started", "absent"])
def test_a_foreign_instance_of_our_name_is_left_alone(daemon: FakeDaemon, owner: str | None, state: str) -> None:
    daemon.add("proxy-1", "Running", owner)
    with pytest.raises(Refused, match="was left alone"):
        bring(daemon, state, one())
    assert daemon.calls == []


def test_a_stop_is_graceful_and_only_forced_when_allowed(daemon: FakeDaemon) -> None:
    daemon.stops = False
    daemon.add("proxy-1", "Running", "proxy")
    with pytest.raises(ScalingError, match="did not stop within 1 s"):
        bring(daemon, "stopped", one())
    _wanted, runner = bring(daemon, "stopped", one(), options=RunOptions(stop_timeout=1, force_stop=True))
    assert daemon.calls == ["stop proxy-1", "stop proxy-1", "stop by force proxy-1"]
    assert runner.warnings == ["proxy-1 did not stop within 1 s and was killed."]


def test_one_failure_does_not_stop_the_others_and_all_are_reported(daemon: FakeDaemon) -> None:
    daemon.refuse["create"] = lambda body: "No space left on device" if body["name"] in ("proxy-2", "proxy-4") else None
    with pytest.raises(ScalingError, match="2 of 5 instances failed") as caught:
        bring(daemon, "started", *[one(f"proxy-{n}") for n in range(1, 6)])
    assert sorted(caught.value.details["failed_instances"]) == ["proxy-2", "proxy-4"]
    assert "no space left in the storage pool" in caught.value.details["failed_instances"]["proxy-2"]
    assert sorted(name for name, raw in daemon.instances.items() if raw["status"] == "Running") == ["proxy-1", "proxy-3", "proxy-5"]


def test_instances_are_worked_on_together_and_within_the_bound(daemon: FakeDaemon) -> None:
    bring(daemon, "started", *[one(f"proxy-{n}") for n in range(1, 10)], options=RunOptions(parallel=3))
    assert 2 <= daemon.most_at_once <= 3


def test_a_frozen_instance_is_restarted_and_not_only_gone_on_with(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Frozen", "proxy")
    bring(daemon, "restarted", one())
    assert daemon.calls == ["unfreeze proxy-1", "stop proxy-1", "start proxy-1"]


PRIORITY = "Cannot apply limits.disk.priority as blkio.weight cgroup controller is missing"
EGRESS = 'Failed to start device "eth0": Failed to create ingress tc filter: … police rate 10000000bit'


@pytest.mark.parametrize(
    ("key", "config", "devices", "reason"),
    [
        ("limits.disk.priority", {"limits.disk.priority": "5"}, {}, PRIORITY),
        ("limits.egress", {}, {"eth0": {"type": "nic", "limits.egress": "10Mbit"}}, EGRESS),
    ],
)
def test_a_limit_that_the_host_refuses(
    daemon: FakeDaemon, key: str, config: dict[str, str], devices: dict[str, dict[str, str]], reason: str
) -> None:
    def refuse(raw: dict[str, dict[str, dict[str, str]]]) -> str | None:
        return reason if key in raw["config"] or key in raw["devices"].get("eth0", {}) else None

    daemon.refuse["start"] = refuse
    spec = one(config=config, devices=devices)
    with pytest.raises(ScalingError, match=f"The host cannot apply {key} to proxy-1"):
        bring(daemon, "started", spec)
    _wanted, runner = bring(daemon, "started", spec, options=RunOptions(limits_best_effort=True))
    assert daemon.instances["proxy-1"]["status"] == "Running"
    assert [key in warning for warning in runner.warnings] == [True]
    again, _runner = bring(daemon, "started", spec, options=RunOptions(limits_best_effort=True))
    assert not again.changed, again.steps()
    # The same of a change while it runs.
    daemon.refuse["update"] = refuse
    more = one(config=dict.fromkeys(config, "7"), devices={name: {**card, key: "20Mbit"} for name, card in devices.items()})
    with pytest.raises(ScalingError, match=f"The host cannot apply {key} to proxy-1"):
        bring(daemon, "started", more)
    _wanted, runner = bring(daemon, "started", more, options=RunOptions(limits_best_effort=True))
    assert [key in warning for warning in runner.warnings] == [True]
    assert daemon.instances["proxy-1"]["config"]["user.gb.limits-refused"] == f"{key}={'7' if config else '20Mbit'}"
    again, _runner = bring(daemon, "started", more, options=RunOptions(limits_best_effort=True))
    assert not again.changed, again.steps()


@pytest.mark.parametrize("best_effort", [True, False])
def test_a_limit_that_was_left_out_is_asked_for_again_once_it_must_be_had(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, best_effort: bool
) -> None:
    daemon.refuse["start"] = lambda raw: PRIORITY if "limits.disk.priority" in raw["config"] else None
    monkeypatch.setattr(lxc_instance, "connect", lambda _options: daemon)
    given = {"component": "proxy", "instances": [{"name": "proxy-1", "image": "i", "limits": {"disk_priority": 5}}]}
    called(lxc_instance, {**given, "limits_best_effort": True}, check=False)
    said = called(lxc_instance, {**given, "limits_best_effort": best_effort}, check=True)
    assert said["actions"] == ([] if best_effort else ["update proxy-1: limits.disk.priority"])


@pytest.mark.parametrize(
    ("status", "now", "wanted", "given"),
    [
        ("Running", "1GiB", "512MiB", None),
        ("Frozen", "1GiB", "512MiB", None),
        ("Running", None, "512MiB", None),
        ("Running", "1GiB", "1073741824B", "1073741824B"),
        ("Running", "1GiB", "2GiB", "2GiB"),
        ("Stopped", "1GiB", "512MiB", "512MiB"),
        ("Running", "50%", "5%", None),
        ("Running", "5%", "50%", "50%"),
        ("Running", None, "5%", None),
        ("Running", "8GiB", "5%", "5%"),
        ("Running", "5%", "2GiB", "2GiB"),
    ],
)
def test_no_memory_is_taken_from_what_runs(daemon: FakeDaemon, status: str, now: str | None, wanted: str, given: str | None) -> None:
    daemon.add("proxy-1", status, "proxy", **({"limits__memory": now} if now else {}))
    spec = one(config={"limits.memory": wanted, "limits.cpu": "2"})
    (kept,) = without_less_memory([spec], observe(daemon))  # type: ignore[arg-type]
    assert kept.config == {"limits.cpu": "2", **({"limits.memory": given} if given else {})}


def test_an_instance_that_is_not_there_gets_the_memory_that_is_wanted(daemon: FakeDaemon) -> None:
    spec = one(config={"limits.memory": "512MiB"})
    assert without_less_memory([spec], observe(daemon)) == [spec]  # type: ignore[arg-type]


def test_a_secret_file_never_shows_in_the_plan(daemon: FakeDaemon) -> None:
    daemon.add("proxy-1", "Running", "proxy")
    daemon.files["proxy-1", "/etc/x"] = b"old-secret"
    wanted, _runner = bring(daemon, "started", one(files=(File("/etc/x", b"new-secret"),)))
    assert wanted.changed
    assert "secret" not in str(wanted.result())


def test_no_image_for_a_new_instance_is_refused_before_anything_is_done(daemon: FakeDaemon) -> None:
    with pytest.raises(InvalidInput, match="proxy-1 does not exist and no image is named"):
        bring(daemon, "started", one(image=None))
    assert daemon.calls == []


def test_the_address_of_a_proxy_is_its_own_and_not_the_one_that_it_shares(daemon: FakeDaemon) -> None:
    bring(daemon, "started", one(devices={"eth0": {"type": "nic", "ipv4.address": "10.87.0.11"}}))
    assert brief(observe(daemon)["proxy-1"], "eth0")["address"] == "10.87.0.11"  # type: ignore[arg-type]
    bring(daemon, "started", one("bake-proxy"))
    assert brief(observe(daemon)["bake-proxy"], "eth0")["address"] == ADDRESS  # type: ignore[arg-type]


def test_rules_come_with_an_instance_and_are_renewed_while_it_is_stopped(daemon: FakeDaemon) -> None:
    item = {"name": "redis-1", "image": "gb/redis", "config": {}, "devices": {}}
    first, second = (spec_of({**item, "firewall_rules": rules}, "redis") for rules in ("closed", "open"))
    bring(daemon, "started", first)
    assert daemon.calls == ["create redis-1", "write redis-1 /etc/gb-exposure.nft 0644", "start redis-1"]
    assert bring(daemon, "started", second)[0].steps() == []
    bring(daemon, "stopped", second)
    assert bring(daemon, "started", second)[0].steps() == ["write redis-1: /etc/gb-exposure.nft", "start redis-1"]
    assert daemon.files["redis-1", "/etc/gb-exposure.nft"] == b"open"


@pytest.mark.parametrize(
    ("state", "verb", "before", "after"), [("started", "start", "Stopped", "Running"), ("stopped", "stop", "Running", "Stopped")]
)
def test_what_a_killed_run_had_asked_for_and_is_done_meanwhile_is_no_failure(
    daemon: FakeDaemon, state: str, verb: str, before: str, after: str
) -> None:
    daemon.add("proxy-1", before, "proxy")

    def done_meanwhile(instance: dict[str, object]) -> str:
        instance["status"] = after
        return f"The instance is already {after.lower()}"

    daemon.refuse[verb] = done_meanwhile
    bring(daemon, state, one())
    assert daemon.instances["proxy-1"]["status"] == after
    daemon.instances["proxy-1"]["status"] = before
    daemon.refuse[verb] = lambda _instance: "it is busy"
    with pytest.raises(ScalingError, match="it is busy"):
        bring(daemon, state, one())


def test_what_is_to_go_need_not_be_readable(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.add("bake-1", "Stopped", "bake")
    monkeypatch.delattr(FakeDaemon, "read_file")
    monkeypatch.setattr(lxc_instance, "connect", lambda _options: daemon)
    options = {"component": "bake", "instances": [{"name": "bake-1", "firewall_rules": "closed"}], "state": "absent"}
    with patch_module_args(options), pytest.raises(SystemExit):
        lxc_instance.main()
    assert (json.loads(capsys.readouterr().out)["actions"], daemon.instances) == (["delete bake-1"], {})

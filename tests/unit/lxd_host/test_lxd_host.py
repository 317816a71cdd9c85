# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxc_host: what exists is used, what is missing is made, and only what we made is ever removed."""

from __future__ import annotations

import dataclasses
import json
import types
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from lxd_fake import FakeLxd

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict, InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.host import (
    FEATURES,
    MARK,
    HostSpec,
    carry_out,
    has_own_profiles,
    look,
    plan_absent,
    plan_present,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan
from ansible_collections.generalbots.scaling.plugins.modules import lxc_host

Json = dict[str, t.Any]

SPEC = HostSpec(project="generalbots", pool="gb", network="gbbr0", subnet="10.87.0.0/24", pool_size="20GiB", description="General Bots")
PROFILE_USE = "/1.0/profiles/default?project=generalbots"


@pytest.fixture
def lxd() -> FakeLxd:
    return FakeLxd()


def wanted(lxd: FakeLxd, spec: HostSpec = SPEC, routes: t.Sequence[Json] = ()) -> Plan:
    return plan_present(spec, look(lxd, spec, routes))  # type: ignore[arg-type]


def bring_up(lxd: FakeLxd, spec: HostSpec = SPEC) -> tuple[Plan, list[str]]:
    warnings: list[str] = []
    plan = wanted(lxd, spec)
    carry_out(lxd, plan, warnings.append)  # type: ignore[arg-type]
    return plan, warnings


def take_down(lxd: FakeLxd) -> list[str]:
    plan, kept = plan_absent(SPEC, look(lxd, SPEC))  # type: ignore[arg-type]
    carry_out(lxd, plan, lambda text: None)  # type: ignore[arg-type]
    return kept


def test_an_empty_daemon_gets_everything_and_a_second_run_changes_nothing(lxd: FakeLxd) -> None:
    plan, warnings = bring_up(lxd)
    assert plan.steps() == [
        "create storage pool gb: btrfs",
        "create network gbbr0: 10.87.0.1/24",
        "create project generalbots",
        "update profile default: root, eth0",
    ]
    assert lxd.at("storage-pools/gb")["config"] == {MARK: "true", "size": "20GiB"}
    bridge = lxd.at("networks/gbbr0")["config"]
    assert bridge == {"ipv4.address": "10.87.0.1/24", "ipv4.nat": "true", "ipv6.address": "none", "dns.domain": "lxd", MARK: "true"}
    assert lxd.at("projects/generalbots")["config"] == dict(FEATURES)
    devices = lxd.at("profiles/default")["devices"]
    assert devices["root"] == {"type": "disk", "path": "/", "pool": "gb"}
    assert devices["eth0"] == {"type": "nic", "name": "eth0", "network": "gbbr0", "security.mac_filtering": "true"}
    assert warnings == []
    assert wanted(lxd).result() == {"changed": False, "diff": {"before": {}, "after": {}}, "actions": []}


def test_check_mode_prints_the_plan_of_the_run(lxd: FakeLxd) -> None:
    shown = wanted(lxd)
    assert lxd.sent() == []
    assert shown.steps() == bring_up(lxd)[0].steps()
    assert shown.diff["after"]["storage_pool"] == {"name": "gb", "driver": "btrfs", "size": "20GiB", MARK: "true"}


@pytest.mark.parametrize("missing", ["storage-pools/gb", "networks/gbbr0", "profile"])
def test_a_run_that_was_broken_off_is_continued(lxd: FakeLxd, missing: str) -> None:
    bring_up(lxd)
    if missing == "profile":
        lxd.at("profiles/default")["devices"] = {}
    else:
        del lxd.objects[f"default:{missing}"]
    assert len(bring_up(lxd)[0].actions) == 1
    assert not wanted(lxd).changed


def test_a_pool_that_exists_is_neither_formatted_nor_resized(lxd: FakeLxd) -> None:
    lxd.add("storage-pools/gb", driver="dir", config={"source": "/srv/pool"})
    bring_up(lxd, dataclasses.replace(SPEC, pool_driver="btrfs", pool_size="99GiB"))
    assert lxd.at("storage-pools/gb")["driver"] == "dir"
    assert lxd.at("storage-pools/gb")["config"] == {"source": "/srv/pool"}


@pytest.mark.parametrize(
    ("drivers", "driver", "made", "size"),
    [
        (["btrfs", "dir"], "auto", "btrfs", "20GiB"),
        (["dir"], "auto", "dir", None),
        (["btrfs", "dir"], "dir", "dir", None),
        (["zfs", "dir"], "zfs", "zfs", "20GiB"),
    ],
)
def test_the_driver_of_a_new_pool(drivers: list[str], driver: str, made: str, size: str | None) -> None:
    lxd = FakeLxd(drivers=drivers)
    bring_up(lxd, dataclasses.replace(SPEC, pool_driver=driver))
    pool = lxd.at("storage-pools/gb")
    assert (pool["driver"], pool["config"].get("size")) == (made, size)


def test_a_driver_that_the_daemon_has_not_is_refused_with_those_it_has(lxd: FakeLxd) -> None:
    with pytest.raises(InvalidInput, match=r"no storage driver zfs; it has btrfs, dir\."):
        wanted(lxd, dataclasses.replace(SPEC, pool_driver="zfs"))


def test_auto_falls_back_to_a_directory_and_says_why(lxd: FakeLxd) -> None:
    lxd.refuse("post", "storage-pools", "Failed to set up loop device", times=1)
    _plan, warnings = bring_up(lxd)
    assert lxd.at("storage-pools/gb")["driver"] == "dir"
    assert "size" not in lxd.at("storage-pools/gb")["config"]
    assert "Failed to set up loop device" in warnings[0]


def test_a_driver_that_was_asked_for_does_not_fall_back(lxd: FakeLxd) -> None:
    lxd.refuse("post", "storage-pools", "Failed to set up loop device", times=1)
    with pytest.raises(ApiError, match="loop device"):
        bring_up(lxd, dataclasses.replace(SPEC, pool_driver="btrfs"))


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({"dst": "10.87.0.0/24", "dev": "wg0"}, "10.87.0.0/24 dev wg0"),
        ({"dst": "10.0.0.0/8", "gateway": "192.0.2.1", "dev": "eth0"}, "10.0.0.0/8 via 192.0.2.1 dev eth0"),
        ({"dst": "10.87.0.7", "dev": "tun0"}, "10.87.0.7 dev tun0"),
        ({"dst": "10.87.0.0/25", "dev": "docker0", "flags": ["linkdown"]}, "10.87.0.0/25 dev docker0"),
        ({"type": "blackhole", "dst": "10.87.0.0/16", "flags": []}, "10.87.0.0/16"),
    ],
)
def test_a_subnet_that_collides_with_a_route_is_refused_by_name(lxd: FakeLxd, route: Json, words: str) -> None:
    with pytest.raises(Refused) as refused:
        wanted(lxd, routes=[{"dst": "default", "gateway": "192.0.2.1"}, route])
    assert f"route {words}. Set gb_subnet" in str(refused.value)


def test_other_routes_and_the_bridges_own_are_no_collision(lxd: FakeLxd) -> None:
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "10.87.1.0/24", "dev": "wg0"}, {"dst": "10.87.0.0/24", "dev": "gbbr0"}]
    assert wanted(lxd, routes=routes).changed


@pytest.mark.parametrize("subnet", ["", "10.87.0.1/24", "10.87.0.0/25", "fd00::/64", "lan"])
def test_what_is_no_subnet_for_a_fleet_is_refused(lxd: FakeLxd, subnet: str) -> None:
    with pytest.raises(InvalidInput, match=r"no IPv4 network|addresses; a /24 or larger"):
        wanted(lxd, dataclasses.replace(SPEC, subnet=subnet))


def test_a_bridge_of_another_subnet_is_refused(lxd: FakeLxd) -> None:
    lxd.add("networks/gbbr0", config={"ipv4.address": "10.99.0.1/24"})
    with pytest.raises(Refused, match=r"exists with ipv4\.address 10\.99\.0\.1/24; 10\.87\.0\.1/24 is wanted"):
        wanted(lxd)


def test_an_interface_that_the_engine_does_not_manage_is_left_alone(lxd: FakeLxd) -> None:
    lxd.add("networks/gbbr0", managed=False)
    with pytest.raises(Refused, match="does not manage"):
        wanted(lxd)


def test_keys_that_are_not_ours_are_kept(lxd: FakeLxd) -> None:
    lxd.add("networks/gbbr0", config={"ipv4.address": "10.87.0.1/24", "ipv4.nat": "false", "bridge.mtu": "1400"})
    bring_up(lxd)
    lxd.at("projects/generalbots")["config"].update({"user.gb.lock": "{}", "features.images": "true"})
    nic = {"type": "nic", "name": "eth0", "network": "lxdbr0", "mtu": "1400"}
    lxd.at("profiles/default")["devices"].update({"eth0": nic, "gpu": {"type": "gpu"}})
    bring_up(lxd)
    assert lxd.at("networks/gbbr0")["config"] == {"ipv4.address": "10.87.0.1/24", "ipv4.nat": "false", "bridge.mtu": "1400"}
    assert lxd.at("projects/generalbots")["config"] == {**FEATURES, "user.gb.lock": "{}"}
    devices = lxd.at("profiles/default")["devices"]
    assert devices["eth0"] == {**nic, "network": "gbbr0", "security.mac_filtering": "true"}
    assert devices["gpu"] == {"type": "gpu"}


def test_a_change_by_somebody_else_in_between_is_not_overwritten(lxd: FakeLxd) -> None:
    bring_up(lxd)
    lxd.at("profiles/default")["devices"] = {}
    plan = wanted(lxd)
    lxd.at("profiles/default")["description"] = "changed meanwhile"
    with pytest.raises(Conflict):
        carry_out(lxd, plan, lambda text: None)  # type: ignore[arg-type]


def test_the_default_projects_profile_is_never_taken_for_ours(lxd: FakeLxd) -> None:
    shared = {**FEATURES, "features.profiles": "false"}
    lxd.add("projects/generalbots", config=shared)
    devices = {"root": {"type": "disk", "path": "/", "pool": "gb"}, "eth0": {"type": "nic", "network": "gbbr0"}}
    lxd.objects["default:profiles/default"]["devices"] = devices
    host = look(lxd, SPEC)  # type: ignore[arg-type]
    assert host.profile is None
    assert not has_own_profiles(host.project)
    assert plan_present(SPEC, host).steps()[-1] == "update profile default: root, eth0"


def test_the_default_project_is_refused(lxd: FakeLxd) -> None:
    with pytest.raises(InvalidInput, match="may not be default"):
        wanted(lxd, dataclasses.replace(SPEC, project="default"))
    with pytest.raises(InvalidInput, match="may not be default"):
        plan_absent(dataclasses.replace(SPEC, project="default"), look(lxd, SPEC))  # type: ignore[arg-type]


def test_absent_removes_what_was_made_here_and_again_changes_nothing(lxd: FakeLxd) -> None:
    bring_up(lxd)
    lxd.at("projects/generalbots")["used_by"] = [PROFILE_USE]
    before = len(lxd.sent())
    lxd.before_write = lambda method, path: lxd.at("networks/gbbr0").update(used_by=[]) if "project" in path else None
    lxd.at("networks/gbbr0")["used_by"] = [PROFILE_USE]
    assert take_down(lxd) == []
    assert lxd.sent()[before:] == [
        ("delete", "projects/generalbots"),
        ("delete", "networks/gbbr0"),
        ("delete", "storage-pools/gb"),
    ]
    assert not plan_absent(SPEC, look(lxd, SPEC))[0].changed  # type: ignore[arg-type]


def test_absent_refuses_a_project_that_holds_instances(lxd: FakeLxd) -> None:
    bring_up(lxd)
    lxd.add_instance("botserver-2")
    lxd.add_instance("proxy-1", status="Stopped")
    before = len(lxd.sent())
    with pytest.raises(Refused, match=r"still holds botserver-2, proxy-1; nothing was removed") as refused:
        take_down(lxd)
    assert refused.value.details["instances"] == ["botserver-2", "proxy-1"]
    assert len(lxd.sent()) == before


def test_absent_refuses_a_project_that_holds_volumes(lxd: FakeLxd) -> None:
    bring_up(lxd)
    volume = "/1.0/storage-pools/gb/volumes/custom/backup?project=generalbots"
    lxd.at("projects/generalbots")["used_by"] = [PROFILE_USE, volume]
    with pytest.raises(Refused, match="backup"):
        take_down(lxd)


def test_absent_keeps_what_others_use_and_what_others_made(lxd: FakeLxd) -> None:
    lxd.add("networks/gbbr0", config={"ipv4.address": "10.87.0.1/24"})
    bring_up(lxd)
    lxd.at("storage-pools/gb")["used_by"] = ["/1.0/images/4f0c", PROFILE_USE]
    assert take_down(lxd) == ["network gbbr0: it was not made by this collection", "storage pool gb: used by /1.0/images/4f0c"]
    assert lxd.exists("networks/gbbr0", project="default")
    assert lxd.exists("storage-pools/gb", project="default")
    assert not lxd.exists("projects/generalbots", project="default")


def run_module(lxd: FakeLxd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **arguments: t.Any) -> Json:
    monkeypatch.setattr(lxc_host, "connect", lambda options: lxd)
    given = {"pool": {"name": "gb"}, "network": {"name": "gbbr0", "subnet": "10.87.0.0/24"}, **arguments}
    with patch_module_args(given), pytest.raises(SystemExit):
        lxc_host.main()
    return t.cast(Json, json.loads(capsys.readouterr().out))


def test_the_module_has_one_result_shape(lxd: FakeLxd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(lxc_host, "routes", lambda module, connection: [])
    checked = run_module(lxd, monkeypatch, capsys, _ansible_check_mode=True)
    assert lxd.sent() == []
    done = run_module(lxd, monkeypatch, capsys)
    again = run_module(lxd, monkeypatch, capsys)
    assert checked["changed"] and checked["actions"] == done["actions"]
    assert again["changed"] is False
    assert checked.keys() == done.keys() == again.keys()


def test_check_mode_foretells_what_goes_with_instances_that_go_before(
    lxd: FakeLxd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lxc_host, "routes", lambda module, connection: [])
    bring_up(lxd)
    used = [PROFILE_USE, "/1.0/instances/botserver-2?project=generalbots"]
    for path in ("projects/generalbots", "networks/gbbr0", "storage-pools/gb"):
        lxd.at(path)["used_by"] = [*used]
    lxd.at("storage-pools/gb")["used_by"].append("/1.0/instances/botserver-2")
    lxd.add_instance("botserver-2")
    before = len(lxd.sent())
    asked: Json = {"state": "absent", "leaving": ["botserver-2"]}
    foretold = run_module(lxd, monkeypatch, capsys, **asked, _ansible_check_mode=True)
    assert foretold["actions"] == ["delete project generalbots", "delete network gbbr0"]
    assert foretold["kept"] == ["storage pool gb: used by /1.0/instances/botserver-2"], "one of the default project"
    lxd.add_instance("somebody-s")
    refused = run_module(lxd, monkeypatch, capsys, **asked, _ansible_check_mode=True)
    assert "still holds somebody-s;" in refused["msg"]
    assert "still holds botserver-2, somebody-s;" in run_module(lxd, monkeypatch, capsys, **asked)["msg"], "a run has to have removed it"
    assert len(lxd.sent()) == before


def test_routes_are_those_of_the_engines_host_only(lxd: FakeLxd) -> None:
    answer = '[{"dst":"default","dev":"eth0"}]'
    module = types.SimpleNamespace(get_bin_path=lambda *a, **k: "ip", run_command=lambda *a, **k: (0, answer, ""))
    assert lxc_host.routes(module, lxd) == [{"dst": "default", "dev": "eth0"}]  # type: ignore[arg-type]
    lxd.where = "https://elsewhere:8443"
    assert lxc_host.routes(module, lxd) == []  # type: ignore[arg-type]


def test_a_refusal_of_the_module_names_the_route(lxd: FakeLxd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(lxc_host, "routes", lambda module, connection: [{"dst": "10.87.0.0/16", "dev": "wg0"}])
    failed = run_module(lxd, monkeypatch, capsys)
    assert failed["failed"] and failed["route"] == {"dst": "10.87.0.0/16", "dev": "wg0"}
    assert lxd.sent() == []

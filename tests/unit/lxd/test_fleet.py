# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet: slots, their states, and the plans between them."""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import threading
import typing as t

import pytest
import yaml
from fake_daemon import FakeDaemon

from ansible_collections.generalbots.scaling.plugins.filter.component_instances import component_instances
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, InvalidInput, WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.rules import rule_set
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import fleet_run
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.addresses import address
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet import (
    FleetSpec,
    environment_file,
    fleet_facts,
    leave_to_restart,
    plan_fleet,
    proxy_device,
    read_fleet,
    slots,
    warm_work,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.fleet_run import execute, look_at
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import RunOptions, observe
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import cores, limits_config, refused_limit, size_bytes
from ansible_collections.generalbots.scaling.plugins.modules import lxc_botserver
from ansible_collections.generalbots.scaling.plugins.plugin_utils.in_process import called

SUBNET = "10.87.0.0/24"


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


def spec(**more: object) -> FleetSpec:
    return FleetSpec(**{"subnet": SUBNET, "network": "gbbr0", "image": "gb/botserver", "max_slots": 4, **more})  # type: ignore[arg-type]


def bring(daemon: FakeDaemon, state: str, numbers: list[int] | None = None, count: int | None = None, **more: object) -> list[str]:
    wanted_spec = spec(**more)
    chosen, look = look_at(daemon, wanted_spec, numbers, count, state)  # type: ignore[arg-type]
    wanted = plan_fleet(wanted_spec, chosen, look, state)
    execute(daemon, wanted, RunOptions(), None, lambda _text: None)  # type: ignore[arg-type]
    return wanted.steps()


def bring_healthy(daemon: FakeDaemon, numbers: list[int]) -> None:
    """Start slots and wait for their health."""
    chosen, look = look_at(daemon, spec(), numbers, None, "started")  # type: ignore[arg-type]
    health = {"port": 8079, "path": "/", "timeout": 5}
    execute(daemon, plan_fleet(spec(), chosen, look, "started"), RunOptions(), health, lambda _text: None)  # type: ignore[arg-type]


def now(daemon: FakeDaemon) -> dict[str, list[int]]:
    return {state: numbers for state, numbers in slots(observe(daemon), 4).items() if numbers}  # type: ignore[arg-type]


def test_count_takes_the_lowest_slots_and_is_idempotent(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=2)
    assert now(daemon) == {"active": [1, 2], "free": [3, 4]}
    assert bring(daemon, "started", count=2) == []


def test_an_instance_has_its_rules_before_it_starts_and_a_warm_one_gets_the_newer_ones(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1)
    written = daemon.calls.index("write botserver-1 /etc/gb-exposure.nft 0644")
    assert written < daemon.calls.index("start botserver-1")
    assert daemon.files["botserver-1", "/etc/gb-exposure.nft"] == rule_set("botserver", SUBNET).encode()
    bring(daemon, "stopped", [1])
    assert bring(daemon, "started", [1], firewall_rules="new")[-2:] == ["write botserver-1: /etc/gb-exposure.nft", "start botserver-1"]
    assert daemon.files["botserver-1", "/etc/gb-exposure.nft"] == b"new"


def test_rules_of_a_running_instance_are_left_to_who_loads_them(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1)
    assert bring(daemon, "started", count=1, firewall_rules="new") == []


def test_the_ports_of_the_rules_are_those_of_the_fleet(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1, port=9000)
    assert b"tcp dport 9000" in daemon.files["botserver-1", "/etc/gb-exposure.nft"]


def test_no_instance_can_use_the_address_of_another(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1)
    card = {key: value for key, value in daemon.instances["botserver-1"]["devices"]["eth0"].items() if key != "hwaddr"}
    assert (card["security.mac_filtering"], card["security.ipv4_filtering"]) == ("true", "true")
    one, two = (component_instances("proxy", 1, subnet=SUBNET, network="gbbr0", image="x", shares_address=many) for many in (False, True))
    assert one[0]["firewall_rules"] == rule_set("proxy", SUBNET)
    assert one[0]["devices"]["eth0"] == {**card, "ipv4.address": "10.87.0.11"}
    assert two[0]["devices"]["eth0"] == {**card, "ipv4.address": "10.87.0.11", "security.ipv4_filtering": "false"}


def test_a_gap_is_filled_and_never_collided_with(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=3)
    bring(daemon, "absent", [2])
    bring(daemon, "started", count=3)
    assert now(daemon) == {"active": [1, 2, 3], "free": [4]}


@pytest.mark.parametrize("marks", [{}, {"user__gb__state": "failed"}, {"user__gb__state": "draining"}])
def test_a_copy_of_an_instance_is_in_nobodys_slot(daemon: FakeDaemon, marks: dict[str, str]) -> None:
    bring(daemon, "started", count=1)
    daemon.add("autopsy", "Stopped", **{"user__gb__slot": "1", **marks})
    assert now(daemon) == {"active": [1], "free": [2, 3, 4]}
    bring(daemon, "started", count=2)
    assert now(daemon) == {"active": [1, 2], "free": [3, 4]}
    daemon.instances.pop("botserver-1")
    assert warm_work(observe(daemon), spec(), 1).create == (1,)  # type: ignore[arg-type]


def test_a_slot_beyond_the_maximum_is_only_one_that_is_there(daemon: FakeDaemon) -> None:
    bring(daemon, "started", [5], max_slots=5)
    bring(daemon, "stopped", [5])
    assert now(daemon)["warm"] == [5]
    with pytest.raises(InvalidInput, match=r"Slots are 1 to 4 \(scale-max-instances\); \[6\] are not"):
        bring(daemon, "started", [6])


def test_a_smaller_count_takes_nothing_away(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=3)
    assert bring(daemon, "started", count=1) == []


def test_draining_and_failed_slots_are_not_used(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=2)
    bring(daemon, "draining", [1])
    bring(daemon, "failed", [2], failure="sick")
    bring(daemon, "started", count=2)
    assert now(daemon) == {"active": [3, 4], "draining": [1], "failed": [2]}
    with pytest.raises(InvalidInput, match=r"only 0 of 4 slots are to be had \(others are held"):
        bring(daemon, "started", count=3)


def test_scale_in_marks_first_then_closes_the_gate_and_marks_warm_last(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1)
    steps = bring(daemon, "draining", [1])
    assert [step.split(":")[0] for step in steps] == ["update botserver-1", "close-gate botserver-1"]
    daemon.active_units = "inactive\ninactive\n"
    assert bring(daemon, "draining", [1]) == []
    steps = bring(daemon, "stopped", [1])
    assert [step.split(":")[0] for step in steps] == ["stop botserver-1", "update botserver-1"]
    assert now(daemon) == {"warm": [1], "free": [2, 3, 4]}
    assert bring(daemon, "stopped", [1]) == []


def test_draining_again_keeps_the_deadline(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1)
    bring(daemon, "draining", [1], drain_timeout=100.0)
    deadline = daemon.instances["botserver-1"]["config"]["user.gb.drain-deadline"]
    bring(daemon, "draining", [1], drain_timeout=999.0)
    assert daemon.instances["botserver-1"]["config"]["user.gb.drain-deadline"] == deadline


def test_a_drain_can_be_taken_back(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1)
    bring(daemon, "draining", [1])
    steps = bring(daemon, "started", [1])
    assert [step.split(":")[0] for step in steps] == ["update botserver-1", "open-gate botserver-1"]
    assert "user.gb.drain-deadline" not in daemon.instances["botserver-1"]["config"]


def test_what_leaves_is_not_brought_up_to_date_on_its_way(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1)
    steps = bring(daemon, "draining", [1], limits={"memory": "1GiB"}, environment={"A": "b"})
    assert steps[0] == "update botserver-1: user.gb.state, user.gb.drain-deadline, user.gb.drain-then"
    assert [path for _name, path in daemon.files] == ["/etc/gb-exposure.nft"]


def test_a_slot_without_an_instance_is_already_gone(daemon: FakeDaemon) -> None:
    for state in ("draining", "stopped", "failed", "absent"):
        assert bring(daemon, state, [3]) == []


def test_a_slot_beyond_max_can_be_drained_but_not_started(daemon: FakeDaemon) -> None:
    bring(daemon, "started", [4])
    assert bring(daemon, "draining", [4], max_slots=2) != []
    with pytest.raises(InvalidInput, match="Slots are 1 to 2"):
        bring(daemon, "started", [5], max_slots=2)


def test_each_slot_has_its_own_address_and_environment(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=2, environment={"PORT": 8080, "SECRET": 'a"b$c'})
    devices = [daemon.instances[f"botserver-{n}"]["devices"]["eth0"]["ipv4.address"] for n in (1, 2)]
    assert devices == ["10.87.0.101", "10.87.0.102"]
    assert daemon.files["botserver-2", "/opt/gbo/bin/.env"] == b'PORT="8080"\nSECRET="a\\"b\\$c"\n'
    assert "SECRET" not in str(daemon.instances)


def test_another_environment_waits_for_the_restart_and_is_due_until_then(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=2, environment={"A": "old"})
    bring(daemon, "stopped", [2])
    chosen, look = look_at(daemon, spec(environment={"A": "new"}), None, 2, "started")  # type: ignore[arg-type]
    for _run in range(2):
        wanted = plan_fleet(spec(environment={"A": "new"}), chosen, look, "started")
        assert leave_to_restart(wanted, look.observed) == ["botserver-1"]
        execute(daemon, wanted, RunOptions(), None, lambda _text: None)  # type: ignore[arg-type]
        assert [daemon.files[f"botserver-{n}", "/opt/gbo/bin/.env"] for n in (1, 2)] == [b'A="old"\n', b'A="new"\n']
        chosen, look = look_at(daemon, spec(environment={"A": "new"}), None, 2, "started")  # type: ignore[arg-type]
    assert not wanted.changed


@pytest.mark.parametrize("value", ["botserver", "botserver-1", "server"])
def test_the_slots_to_restart_are_told_although_a_value_of_the_environment_hides_their_names(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(lxc_botserver, "connect", lambda _options: daemon)
    given = {"subnet": SUBNET, "network": "gbbr0", "image": "gb/botserver", "count": 2}
    called(lxc_botserver, {**given, "environment": {"OTEL_SERVICE_NAME": "gb"}}, check=False)
    said = called(lxc_botserver, {**given, "environment": {"OTEL_SERVICE_NAME": value}}, check=True)
    assert (said["restart_slots"], said["slots"]) == ([1, 2], [1, 2])
    assert said["restart_needed"] != ["botserver-1", "botserver-2"]


def test_the_role_restarts_by_number() -> None:
    role = pathlib.Path(__file__).parents[3] / "roles/instances/tasks/main.yml"
    [restart] = [task for task in yaml.safe_load(role.read_text()) if "autoscaler_slots" in task.get("vars", {})]
    assert restart["vars"]["autoscaler_slots"] == "{{ __instances_fleet.restart_slots }}"
    assert restart["when"] == "__instances_fleet.restart_slots | length > 0"


def test_the_environment_of_a_frozen_instance_waits_for_its_restart_as_well(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1, environment={"A": "old"})
    daemon.instances["botserver-1"]["status"] = "Frozen"
    chosen, look = look_at(daemon, spec(environment={"A": "new"}), [1], None, "started")  # type: ignore[arg-type]
    wanted = plan_fleet(spec(environment={"A": "new"}), chosen, look, "started")
    assert leave_to_restart(wanted, look.observed) == ["botserver-1"]
    assert wanted.steps() == ["unfreeze botserver-1"]


def test_a_value_that_is_null_is_refused_with_its_name() -> None:
    with pytest.raises(InvalidInput, match="The value of A in environment is null"):
        environment_file({"A": None})


def test_the_optional_proxy_device_is_bound_to_loopback() -> None:
    assert proxy_device(spec(), 3) is None
    name, device = proxy_device(spec(proxy_port_base=8080), 3) or ("", {})
    assert (name, device["listen"], device["connect"]) == ("port-8083", "tcp:127.0.0.1:8083", "tcp:127.0.0.1:8080")


def test_a_limit_that_is_taken_back_is_taken_from_those_that_have_it(daemon: FakeDaemon) -> None:
    bring(daemon, "started", [1, 2], limits={"cpu": "1", "cpu_allowance": "50%", "memory": "1GiB", "egress": "10Mbit"})
    bring(daemon, "stopped", [2])
    bring(daemon, "started", count=3, limits={"memory": "1GiB"})
    bring(daemon, "started", [2], limits={"memory": "1GiB"})
    limits = [
        {key for part in (raw["config"], raw["devices"]["eth0"]) for key in part if "limits." in key} for raw in daemon.instances.values()
    ]
    assert limits == [{"limits.memory"}] * 3
    assert bring(daemon, "started", count=3, limits={"memory": "1GiB"}) == []


@pytest.mark.parametrize(("best_effort", "steps"), [(True, []), (False, ["update botserver-1: limits.disk.priority"])])
def test_a_limit_that_a_botserver_is_without_is_asked_for_again_once_it_must_be_had(
    daemon: FakeDaemon, best_effort: bool, steps: list[str]
) -> None:
    bring(daemon, "started", count=1)
    daemon.instances["botserver-1"]["config"]["user.gb.limits-refused"] = "limits.disk.priority=5"
    assert bring(daemon, "started", count=1, limits={"disk_priority": 5}, limits_best_effort=best_effort) == steps


def test_where_no_limits_are_given_those_that_are_there_stay(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1, limits={"cpu": "1"})
    assert bring(daemon, "started", count=1) == []


def ports(daemon: FakeDaemon) -> dict[str, list[str]]:
    """The proxy devices of each instance."""
    return {name: [key for key, one in raw["devices"].items() if one["type"] == "proxy"] for name, raw in daemon.instances.items()}


@pytest.mark.parametrize(("base", "wanted"), [(9100, ["port-9101"]), (None, [])])
def test_a_port_past_the_load_balancer_goes_with_the_base_that_it_was_made_for(
    daemon: FakeDaemon, base: int | None, wanted: list[str]
) -> None:
    bring(daemon, "started", count=1, proxy_port_base=9000)
    daemon.instances["botserver-1"]["devices"].update({"port-x": {"type": "proxy"}, "port-1": {"type": "disk"}})
    assert "update botserver-1: port-9001" in bring(daemon, "started", count=1, proxy_port_base=base)[0]
    assert ports(daemon) == {"botserver-1": ["port-x", *wanted]}
    assert "port-1" in daemon.instances["botserver-1"]["devices"]
    assert bring(daemon, "started", count=1, proxy_port_base=base) == []


@pytest.mark.parametrize("state", ["present", "started", "warm"])
def test_a_stopped_slot_loses_such_a_port_before_it_is_started(daemon: FakeDaemon, state: str) -> None:
    bring(daemon, "started", [1], proxy_port_base=9000)
    bring(daemon, "stopped", [1])
    steps = bring(daemon, state, [1])
    assert (steps[0].split(":")[0], ports(daemon)) == ("update botserver-1", {"botserver-1": []})


def test_facts_tell_memory_from_page_cache_and_know_the_limit(daemon: FakeDaemon) -> None:
    bring(daemon, "started", count=1, limits={"cpu": "2", "cpu_allowance": "25ms/100ms", "memory": "256MiB"})
    labels = '{name="botserver-1",project="generalbots",type="container"}'
    daemon.metrics = f"lxd_memory_MemTotal_bytes{labels} 2.68435456e+08\nlxd_memory_MemAvailable_bytes{labels} 2.58435456e+08\n"
    [facts] = fleet_facts(daemon, observe(daemon), SUBNET)  # type: ignore[arg-type]
    assert (facts["memory_used_bytes"], facts["memory_limit_bytes"], facts["cpu_limit"]) == (10_000_000, 268435456, 0.25)
    assert (facts["cpu_usage_ns"], facts["started_at"], facts["state"]) == (5_000_000_000, 1767323045.5, "active")


def test_what_is_not_known_is_none_and_not_zero(daemon: FakeDaemon) -> None:
    daemon.add("botserver-1", "Stopped", user__gb__slot="1")
    [facts] = fleet_facts(daemon, observe(daemon), SUBNET)  # type: ignore[arg-type]
    assert [facts[key] for key in ("cpu_usage_ns", "memory_used_bytes", "memory_limit_bytes", "cpu_limit", "started_at")] == [None] * 5
    assert facts["state"] == "warm"


def test_a_project_that_is_not_there_has_no_empty_fleet(daemon: FakeDaemon) -> None:
    with pytest.raises(ApiError, match="no projects/generalbots"):
        read_fleet(daemon, SUBNET)  # type: ignore[arg-type]
    daemon.add("proxy-1", component="proxy")
    observed, fleet = read_fleet(daemon, SUBNET)  # type: ignore[arg-type]
    assert (list(observed), fleet) == (["proxy-1"], [])


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"cpu": "0"}, "limits.cpu is '0'"),
        ({"cpu": "5-2"}, "limits.cpu is '5-2'; it must be a number of cores such as 2, or a set such as 0-3 or 0-1,4"),
        ({"cpu": "0-1,,4"}, "limits.cpu is '0-1,,4'"),
        ({"memory": "2٣GiB"}, "limits.memory is '2٣GiB'"),
        ({"memory": "512"}, "limits.memory is '512'; it must be a size"),
        ({"disk_priority": 11}, "limits.disk_priority is 11; it must be a number from 0 to 10"),
        ({"ingress": "fast"}, "limits.ingress is 'fast'"),
        ({"cpu_allowance": "101%"}, "limits.cpu_allowance"),
    ],
)
def test_limits_that_are_none_are_refused_with_their_rule(limits: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        limits_config(limits)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("config", "host", "expected"),
    [
        ({}, None, None),
        ({}, 8, 8.0),
        ({"limits.cpu": "2"}, 8, 2.0),
        ({"limits.cpu": "0-3,6"}, 8, 5.0),
        ({"limits.cpu": "0-1,4-5"}, 8, 4.0),
        ({"limits.cpu": "2", "limits.cpu.allowance": "50ms/100ms"}, 8, 0.5),
        ({"limits.cpu.allowance": "50%"}, 8, 8.0),
    ],
)
def test_cores(config: dict[str, str], host: int | None, expected: float | None) -> None:
    assert cores(config, host) == expected


def test_sizes() -> None:
    assert [size_bytes(text) for text in ("512MiB", "1GB", "50%", "")] == [536870912, 10**9, None, None]


def test_a_refusal_about_something_else_is_no_limit() -> None:
    assert refused_limit("Network not found") is None


@pytest.mark.parametrize("environment", [{"A": "x\ny"}, {"A-B": "x"}, {"1A": "x"}])
def test_an_environment_that_a_file_cannot_hold_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        environment_file(environment)


@pytest.mark.parametrize(
    ("subnet", "component", "slot"),
    [(SUBNET, "botserver", 0), (SUBNET, "botserver", 151), (SUBNET, "nobody", 1), ("10.0.0.0/25", "proxy", 1), ("x", "proxy", 1)],
)
def test_a_slot_without_an_address_is_refused(subnet: str, component: str, slot: int) -> None:
    with pytest.raises(InvalidInput):
        address(subnet, component, slot)


def test_a_slot_that_is_made_anew_has_the_hardware_address_that_its_neighbours_know(daemon: FakeDaemon) -> None:
    bring(daemon, "started", [1])
    assert daemon.instances["botserver-1"]["devices"]["eth0"]["hwaddr"] == "00:16:3e:57:00:65"
    assert bring(daemon, "started", [1]) == []
    bring(daemon, "absent", [1])
    bring(daemon, "started", [1])
    assert daemon.instances["botserver-1"]["devices"]["eth0"]["hwaddr"] == "00:16:3e:57:00:65"


def test_a_slot_of_before_keeps_the_hardware_address_that_lxd_gave_it(daemon: FakeDaemon) -> None:
    bring(daemon, "started", [1])
    del daemon.instances["botserver-1"]["devices"]["eth0"]["hwaddr"]
    assert bring(daemon, "started", [1]) == []


def test_the_first_of_a_fleet_starts_alone_and_the_rest_when_it_is_healthy(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(_lxd: object, name: str, _health: object) -> None:
        threading.Event().wait(0.1)
        daemon.calls.append(f"healthy {name}")

    monkeypatch.setattr(fleet_run, "_wait_healthy", slowly)
    bring_healthy(daemon, [1, 2, 3])
    powered = [call for call in daemon.calls if call.split()[0] in ("start", "healthy")]
    assert powered[:2] == ["start botserver-1", "healthy botserver-1"]
    assert sorted(powered[2:]) == ["healthy botserver-2", "healthy botserver-3", "start botserver-2", "start botserver-3"]


def test_beside_one_that_runs_the_others_start_together(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=10)
    monkeypatch.setattr(fleet_run, "_wait_healthy", lambda _lxd, _name, _health: both.wait())
    monkeypatch.setattr(fleet_run, "_asking", lambda _host, _health: lambda: "204")
    bring(daemon, "started", [1])
    bring_healthy(daemon, [2, 3])
    assert now(daemon) == {"active": [1, 2, 3], "free": [4]}


@pytest.fixture
def told(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What slots 1 and 2, which run, answer one after the other; what is asked of them and of those that start is noted as calls."""
    answers: list[str] = []

    def asking(host: str, _health: object) -> t.Callable[[], str]:
        def ask() -> str:
            daemon.calls.append(f"ask {host}")
            return answers.pop(0) if answers else "503"

        return ask

    monkeypatch.setattr(fleet_run, "_asking", asking)
    monkeypatch.setattr(fleet_run, "_wait_healthy", lambda _lxd, name, _health: daemon.calls.append(f"healthy {name}"))
    return answers


def powered(daemon: FakeDaemon) -> list[str]:
    return [call for call in daemon.calls if call.split()[0] in ("start", "healthy", "ask")]


def test_one_that_still_migrates_the_database_is_waited_for_before_others_start(daemon: FakeDaemon, told: list[str]) -> None:
    """As after a run that was killed when the first one had just been started."""
    bring(daemon, "started", [1])
    daemon.calls.clear()
    told += ["takes no connection", "503", "200"]
    bring_healthy(daemon, [1, 2, 3])
    assert powered(daemon)[:3] == ["ask 10.87.0.101"] * 3
    assert sorted(powered(daemon)[3:]) == ["healthy botserver-2", "healthy botserver-3", "start botserver-2", "start botserver-3"]


def test_where_none_of_those_that_run_becomes_healthy_the_first_starts_alone(daemon: FakeDaemon, told: list[str]) -> None:
    bring(daemon, "started", [1])
    daemon.calls.clear()
    chosen, look = look_at(daemon, spec(), None, 3, "started")  # type: ignore[arg-type]
    warnings: list[str] = []
    health = {"port": 8079, "path": "/", "timeout": 0.2}
    execute(daemon, plan_fleet(spec(), chosen, look, "started"), RunOptions(), health, warnings.append)  # type: ignore[arg-type]
    steps = [call for call in powered(daemon) if not call.startswith("ask")]
    assert steps == ["start botserver-2", "healthy botserver-2", "start botserver-3", "healthy botserver-3"]
    assert "for one of botserver-1 to answer / with 2xx, before others start; last seen: 503" in warnings[0]


def test_one_that_drains_is_not_waited_for_and_where_nothing_starts_nobody_is_asked(daemon: FakeDaemon, told: list[str]) -> None:
    bring(daemon, "started", [1])
    bring_healthy(daemon, [1])
    bring(daemon, "draining", [1])
    bring_healthy(daemon, [2, 3])
    assert [call for call in powered(daemon) if call.startswith("ask")] == []


def test_check_mode_tells_of_the_wait_for_health_as_a_run_does(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lxc_botserver, "connect", lambda _options: daemon)
    monkeypatch.setattr(fleet_run, "_wait_healthy", lambda _lxd, _name, _health: None)
    given = {"subnet": SUBNET, "network": "gbbr0", "image": "gb/botserver", "count": 2, "health": {}}
    foreseen, done = (called(lxc_botserver, given, check=check)["actions"] for check in (True, False))
    assert foreseen == done
    assert foreseen[-2:] == [f"health botserver-{slot}: wait until it answers its health check" for slot in (1, 2)]
    assert called(lxc_botserver, given, check=False)["actions"] == []


class Answers(http.server.BaseHTTPRequestHandler):
    """Healthy, or leading to a page that is."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "/")
        self.end_headers()

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("path", "healthy"), [("/", True), ("/away", False)])
def test_health_is_asked_of_the_instance_itself(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, path: str, healthy: bool) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    daemon.add("botserver-1")["devices"] = {"eth0": {"ipv4.address": "127.0.0.1"}}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        health = {"port": server.server_port, "path": path, "timeout": 0.5}
        with contextlib.nullcontext() if healthy else pytest.raises(WaitTimeout, match="302"):
            fleet_run._wait_healthy(daemon, "botserver-1", health)  # type: ignore[arg-type]
        server.shutdown()


def test_where_the_first_is_not_healthy_no_other_is_started(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def ill(_lxd: object, name: str, _health: object) -> None:
        raise WaitTimeout(f"waited for {name}", last_seen="503")

    monkeypatch.setattr(fleet_run, "_wait_healthy", ill)
    with pytest.raises(WaitTimeout, match="waited for botserver-1"):
        bring_healthy(daemon, [1, 2])
    assert [call for call in daemon.calls if call.startswith("start ")] == ["start botserver-1"]
    assert now(daemon) == {"failed": [1], "warm": [2], "free": [3, 4]}

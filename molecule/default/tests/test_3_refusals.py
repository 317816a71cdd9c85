# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong is said clearly, and leaves nothing half done."""

from __future__ import annotations

import json
import time

from topology import INVENTORY, MEMORY, Site

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.store import edit

SHORT = ("-e", "gb_health_timeout=8")


def test_a_malformed_config_is_refused_before_anything_is_changed(site: Site, tmp_path: object) -> None:
    said = site.play("site", settings={"scale-min-instances": 5, "scale-cpu-treshold": 50}, fails=True)
    assert "scale-cpu-treshold" in said and "scale-cpu-threshold" in said
    assert "scale-min-instances" in said and "scale-max-instances" in said
    assert "changed=0" in said.split("PLAY RECAP")[1]


def test_settings_that_nothing_acts_on_are_refused_and_not_ignored(site: Site) -> None:
    said = site.play("autoscale", settings={"fallback-llm-enabled": True}, fails=True)
    assert "fallback-llm-enabled" in said and "nothing in this release acts on" in said


def test_an_instance_that_never_becomes_healthy_is_set_aside(one: Site) -> None:
    broken = {"GB_DEMO_SLOW_START": "600"}
    said = one.play("scale", "-e", "count=2", *SHORT, "-e", json.dumps({"botserver_environment_extra": broken}), fails=True)
    [failed] = one.slots()["failed"]
    assert f"Slot {failed} did not come up and was set aside" in said
    raw, _etag = one.lxd.get(f"instances/botserver-{failed}")
    assert raw["status"] == "Stopped"
    assert raw["config"]["user.gb.failure"]
    assert one.slots()["active"] == [1]
    one.lxd.delete(f"instances/botserver-{failed}")


def test_a_foreign_instance_of_our_name_is_left_alone(one: Site) -> None:
    source = {"type": "image", "alias": one.project_config()["user.gb.image.botserver"]}
    one.lxd.post("instances", {"name": "botserver-4", "source": source, "type": "container"})
    try:
        said = one.play("scale", "-e", "count=4", fails=True)
        assert "An instance named botserver-4 exists and carries no mark of this collection" in said
        raw, _etag = one.lxd.get("instances/botserver-4")
        assert raw["status"] == "Stopped" and "user.gb.component" not in raw["config"]
    finally:
        one.lxd.delete("instances/botserver-4")
        for slot in one.slots().get("failed", []):
            one.lxd.delete(f"instances/botserver-{slot}")


def test_without_caddy_nothing_is_drained(one: Site) -> None:
    one.scale(2)
    one.run("proxy-1", "systemctl", "stop", "caddy")
    try:
        said = one.play("scale", "-e", "count=1", fails=True)
        assert "/run/caddy/admin.sock" in said
        assert one.slots()["active"] == [1, 2]
    finally:
        one.run("proxy-1", "systemctl", "start", "caddy")


def test_the_second_of_two_runs_is_told_who_holds_the_lock(one: Site) -> None:
    held = json.dumps({"holder": "somebody/1", "purpose": "a test", "expires": time.time() + 300})
    edit(one.lxd, MEMORY, lambda _keys: {"user.gb.lock": held})
    try:
        said = one.play("scale", "-e", "count=2", "-e", "gb_lock_wait=2", fails=True)
        assert "somebody/1" in said and "a test" in said and "Waited 2 s" in said
        assert one.slots()["active"] == [1]
    finally:
        edit(one.lxd, MEMORY, lambda _keys: {"user.gb.lock": None})


def test_a_count_out_of_bounds_is_refused(one: Site) -> None:
    assert "count is 9; it must be from 1 (scale-min-instances) to 4" in one.play("scale", "-e", "count=9", fails=True)
    assert "give the number of instances" in one.play("scale", "-e", "count=many", fails=True)


def test_destroy_asks_for_the_explicit_word(site: Site) -> None:
    assert "Say so with -e gb_destroy=yes" in site.play("destroy", fails=True)
    assert site.slots()["active"]


def test_an_engine_that_does_not_run_is_named_with_the_sockets_that_were_tried(site: Site) -> None:
    said = site.play("autoscale", "-e", "gb_engine=incus", fails=True)
    assert "/var/lib/incus/unix.socket" in said
    assert INVENTORY.exists()


def test_a_project_that_is_not_there_is_named_and_not_taken_for_an_empty_one(site: Site) -> None:
    said = site.play("autoscale", "-e", "gb_lxd_project=gb-none-such", fails=True)
    assert "Project not found. Let site.yml make the project gb-none-such, or name the one that is meant (gb_lxd_project)." in said


def test_a_drain_that_was_broken_off_is_finished_by_the_next_run(one: Site) -> None:
    one.scale(2)
    raw, etag = one.lxd.get("instances/botserver-2")
    config = {**raw["config"], "user.gb.state": "draining", "user.gb.drain-deadline": str(int(time.time()) + 60)}
    one.lxd.put("instances/botserver-2", {**raw, "config": config}, etag=etag)
    one.scale(1)
    assert one.slots() == {"active": [1], "warm": one.slots()["warm"]}
    assert 2 in one.slots()["warm"]

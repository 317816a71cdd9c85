# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What LXD itself cannot do is said with LXD's reason: no space, no right, no system that boots."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import typing as t

import pytest
from scenario import ROOT, run_ansible
from topology import INVENTORY, PROJECT, Site

NAME, POOL = "refused-1", "gb-molecule-tiny"
NOBODY = 65534


def instance(*, fails: bool = False, **arguments: t.Any) -> str:
    """Run lxc_instance for one instance of a component of its own; returns what it said."""
    how = {"state": arguments.pop("state"), "wait_for": ["boot"], "wait_timeout": 20, "force_stop": True, "stop_timeout": 5}
    wanted = {"project": PROJECT, "component": "refused", "instances": [{"name": NAME, **arguments}], **how}
    command = ["ansible", "localhost", "-m", "generalbots.scaling.lxc_instance", "-a", json.dumps(wanted)]
    return run_ansible(command, INVENTORY, fails=fails)


@pytest.fixture
def image(site: Site) -> t.Iterator[str]:
    """An image to make instances of; whatever was made of it is gone afterwards."""
    yield site.project_config()["user.gb.image.botserver"]
    instance(state="absent")


def test_a_system_that_does_not_boot_is_told_from_one_that_is_slow(site: Site, image: str) -> None:
    instance(state="stopped", image=image)
    site.lxd.write_file(NAME, "/sbin/init", b"#!/bin/sh\nexit 1\n", mode="0755")
    said = instance(state="started", fails=True)
    assert f"{NAME} was started and is stopped again: its image does not boot" in said, said


def test_a_pool_without_space_is_named_and_nothing_is_left(site: Site, image: str) -> None:
    driver = site.lxd.get("storage-pools/" + site.lxd.get("profiles/default")[0]["devices"]["root"]["pool"])[0]["driver"]
    if driver == "dir":
        pytest.skip("a pool of driver dir has no size of its own")
    site.lxd.post("storage-pools", {"name": POOL, "driver": driver, "config": {"size": "128MiB"}})
    try:
        root = {"type": "disk", "path": "/", "pool": POOL}
        said = instance(state="started", image=image, devices={"root": root}, fails=True)
        assert NAME in said and "space" in said.lower(), said
        names = [item["name"] for item in site.lxd.get("instances", recursion="1")[0]]
        assert NAME not in names
    finally:
        site.lxd.delete(f"storage-pools/{POOL}")


def test_a_user_who_may_not_open_the_socket_is_told_which_and_what_to_do(site: Site) -> None:
    program = textwrap.dedent(f"""
        import os
        from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
        from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
        import pylxd
        os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
        try:
            connect({{"engine": "lxd", "project": {PROJECT!r}}})
        except ScalingError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True, cwd=ROOT, env=dict(os.environ))
    assert "unix.socket may not be opened by this user" in done.stdout
    assert "group that owns the socket" in done.stdout

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""control-1 scales the fleet by itself, may do so in its own project only, and hears an operator."""

from __future__ import annotations

import html
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import time
import typing as t

import ansible_runner
from autoscale_site import INVENTORY, PROJECT, WORK, Site, since
from scenario import ROOT

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

ASK = """
import requests, sys
etc = "/etc/generalbots/lxd"
url = f"https://127.0.0.1:8443/1.0/instances?project={sys.argv[1]}"
print(requests.get(url, cert=(f"{etc}.crt", f"{etc}.key"), verify=f"{etc}-server.crt").status_code)
"""


def ticks(site: Site) -> list[dict[str, t.Any]]:
    """The lines of its decision log."""
    content = site.lxd.read_file("control-1", "/var/log/generalbots/decisions.jsonl")
    return [json.loads(line) for line in (content or b"").decode().splitlines()]


def test_its_certificate_is_good_for_its_project_only(site: Site) -> None:
    def status(project: str) -> str:
        return site.inside("control-1", "/opt/gb/venv/bin/python", "-c", ASK, project).strip()

    assert (status(PROJECT), status("default")) == ("200", "403")
    mode = site.inside("control-1", "stat", "-c", "%U %a", "/etc/generalbots/lxd.key", "/etc/generalbots/inventory/group_vars/all.yml")
    assert mode.split() == ["root", "640"] * 2


def test_it_ticks_by_itself_and_scales_under_load(site: Site) -> None:
    site.scale(1)
    before = len(ticks(site))
    site.inside("control-1", "systemctl", "start", "gb-autoscale.timer")
    try:
        with site.load(16) as report:
            wait_for("the fleet to grow by itself", lambda: site.slots()["active"], lambda seen: len(seen) > 1, timeout=90, interval=1)
        assert report["requests"]["failed"] == 0, report["requests"]
        wait_for("ticks in its log", lambda: len(ticks(site)), lambda seen: seen >= before + 3, timeout=60, interval=1)
    finally:
        site.inside("control-1", "systemctl", "stop", "gb-autoscale.timer")
    done = ticks(site)[before:]
    assert all(one["holder"].startswith("control-1/") for one in done)
    begun = [(one["time"], one["took_seconds"]) for one in done]
    assert all(later >= earlier + took - 1 for (earlier, took), (later, _took) in itertools.pairwise(begun)), begun
    assert "generalbots_autoscaler_" in (site.lxd.read_file("control-1", "/var/lib/generalbots/gb_autoscale.prom") or b"").decode()


def test_a_tick_that_changes_nothing_costs_a_few_starts_of_ansible(site: Site) -> None:
    """Against an empty playbook there, in turns; the best of three of each, as the machine has other work as well."""
    site.scale(1)
    site.run()
    before, took = len(ticks(site)), {"tick": 60.0, "start": 60.0}
    empty = (
        "echo '[{hosts: localhost, gather_facts: false}]' >/tmp/empty.yml; /opt/gb/venv/bin/ansible-playbook -i localhost, /tmp/empty.yml"
    )
    ways = {"tick": ("systemctl", "start", "gb-autoscale.service"), "start": ("sh", "-c", empty)}
    for _ in range(3):
        for way, command in ways.items():
            begun = time.monotonic()
            site.inside("control-1", *command)
            took[way] = min(took[way], since(begun))
    assert [one["action"] for one in ticks(site)[before:]] == ["hold"] * 3
    print(f"a tick took {took['tick']:.2f} s, an empty playbook {took['start']:.2f} s")
    assert took["tick"] <= 4 * took["start"], took


def test_the_report_tells_what_control_1_decided(site: Site) -> None:
    last = ticks(site)[-1]["reason"]
    # What LXD remembers of it is gone, and there is no log here.
    site.forget()
    page = WORK / "report.html"
    said = site.play("report", "-e", json.dumps({"gb_decision_log": "", "dest": str(page)}))
    assert f"The page: {page}" in said
    assert html.escape(last) in page.read_text()


def test_an_operator_pins_and_unpins(site: Site) -> None:
    site.scale(1)
    assert "pin: 2" in site.play("autoscale", "--tags", "pin", "-e", "pin=2")
    site.run()
    assert len(site.slots()["active"]) == 2 and site.remembered()["controls"]["pin"] == 2
    assert "pin: null" in site.play("autoscale", "--tags", "unpin")
    assert site.remembered()["controls"] == {"pause": None, "pin": None}


def test_an_operator_pauses_resumes_and_forces(site: Site) -> None:
    site.scale(1)
    more = {"overrides": {"scale-min-instances": 2}}
    assert "pause: out" in site.play("autoscale", "--tags", "pause", "-e", "pause=out")
    said = site.run(**more)["decision"]
    assert said["action"] == "hold" and "scaling out is paused" in said["reason"]
    assert "pause: null" in site.play("autoscale", "--tags", "resume")
    off = json.dumps({"gb_settings_overrides": {"scale-enabled": False, "scale-min-instances": 2}})
    assert "Scaling is switched off" in site.play("autoscale", "-e", off) and site.slots()["active"] == [1]
    assert "action: out" in site.play("autoscale", "--tags", "force", "-e", off) and site.slots()["active"] == [1, 2]


def test_check_mode_prints_the_decision_that_a_run_takes(site: Site) -> None:
    site.scale(1)
    before = (site.slots(), site.memory())
    said = site.play("autoscale", "--check", "-e", json.dumps({"gb_settings_overrides": {"scale-min-instances": 2}}))
    assert "action: out" in said and (site.slots(), site.memory()) == before
    assert site.run(overrides={"scale-min-instances": 2})["decision"]["action"] == "out"


def test_cron_can_run_a_tick(site: Site) -> None:
    """As it runs a line of /etc/cron.d: by sh, with next to no environment and nobody at the other end."""
    site.scale(1)
    line = f"cd {ROOT} && .venv/bin/ansible-playbook -i {INVENTORY} playbooks/autoscale.yml --check -e autoscaler_skip_locked=true"
    alone = {"HOME": "/root", "LOGNAME": "root", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    done = subprocess.run(
        ["/bin/sh", "-c", line], env=alone, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "action: hold" in done.stdout, done.stdout + done.stderr


class Template:
    """A job template of AWX or Tower, run as they do, by their runner: nothing but a folder with the project, an inventory that was read
    before and variables, and LXD through the network with the certificate that control-1 has.
    """

    def __init__(self, site: Site, folder: pathlib.Path) -> None:
        self.folder = folder
        project, credentials, inventory = folder / "project/inventories/yours", folder / "credentials", folder / "inventory/hosts"
        for one in (project, credentials, inventory.parent):
            one.mkdir(parents=True)
        (folder / "project/ansible.cfg").touch()
        (folder / "project/autoscale.yml").write_text("- import_playbook: generalbots.scaling.autoscale\n")
        shutil.copy(INVENTORY / "config.csv", project)
        (folder / "requirements_collections").symlink_to(ROOT / ".build/collections")
        read = subprocess.run(["ansible-inventory", "-i", str(INVENTORY), "--list"], capture_output=True, text=True, check=True, cwd=ROOT)
        inventory.write_text(f"#!/usr/bin/env python3\nprint({read.stdout!r})\n")
        inventory.chmod(0o700)
        for name in ("lxd.crt", "lxd.key", "lxd-server.crt"):
            content = site.lxd.read_file("control-1", f"/etc/generalbots/{name}")
            assert content is not None
            (credentials / name).touch(0o600)
            (credentials / name).write_bytes(content)
        self.variables = {
            "gb_inventory_dir": "{{ playbook_dir }}/inventories/yours",
            "gb_lxd_url": "https://127.0.0.1:19443",
            "gb_lxd_client_cert": str(credentials / "lxd.crt"),
            "gb_lxd_client_key": str(credentials / "lxd.key"),
            "gb_lxd_server_cert": str(credentials / "lxd-server.crt"),
            "gb_decision_log": "",
            "gb_autoscale_textfile": "",
            "autoscaler_skip_locked": True,
        }

    def launch(self, tags: str = "", **survey: t.Any) -> t.Any:
        """Run it, with job tags and the answers of a survey; returns what its last task said."""
        environment = {
            "ANSIBLE_CONFIG": str(self.folder / "project/ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "requirements_collections"),
        }
        done = ansible_runner.run(
            private_data_dir=str(self.folder),
            playbook="autoscale.yml",
            tags=tags,
            extravars=self.variables | survey,
            envvars=environment,
            quiet=True,
        )
        assert (done.status, done.rc) == ("successful", 0), done.stdout.read()
        return [one["event_data"]["res"] for one in done.events if one["event"] == "runner_on_ok"][-1]["msg"]


def test_a_job_template_pins_and_ticks(site: Site, tmp_path: pathlib.Path) -> None:
    site.scale(1)
    template = Template(site, tmp_path)
    template.launch("pin", pin="2")  # a survey's answers are text
    said = template.launch()
    assert (said["action"], said["set by hand"]["pin"], site.slots()["active"]) == ("out", 2, [1, 2])
    template.launch("unpin")
    assert site.remembered()["controls"] == {"pause": None, "pin": None}


class Pull:
    """A host that fetches what it is to be by ansible-pull: from a repository of the user's, which holds an inventory and playbooks that
    import the collection's. The collection is installed there."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.repository, self.checkout = folder / "repository", folder / "checkout"
        shutil.copytree(INVENTORY, self.repository / "inventories/yours")
        for name in ("site", "autoscale"):
            (self.repository / f"{name}.yml").write_text(f"- import_playbook: generalbots.scaling.{name}\n")
        who = ("-c", "user.name=unit", "-c", "user.email=unit@localhost")
        for command in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "A site")):
            subprocess.run(["git", *command], cwd=self.repository, check=True)

    def run(self, playbook: str, *options: str) -> tuple[int, str]:
        """Fetch and play, with the environment that cron gives; returns the exit status and all that was said, with white space folded."""
        argv = [
            str(ROOT / ".venv/bin/ansible-pull"),
            "-U",
            str(self.repository),
            "-d",
            str(self.checkout),
            "-i",
            "inventories/yours",
            playbook,
            *options,
        ]
        secrets = json.dumps({"gb_secrets_dir": str(WORK / "secrets"), "autoscaler_skip_locked": True})
        alone = {"HOME": "/root", "PATH": "/usr/bin:/bin", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections")}
        done = subprocess.run([*argv, "-e", secrets], cwd="/", env=alone, capture_output=True, text=True, check=False)
        return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_host_pulls_its_site_and_its_ticks(site: Site, tmp_path: pathlib.Path) -> None:
    site.scale(1)
    pull = Pull(tmp_path)
    code, said = pull.run("site.yml")
    assert code and "leaves out every instance" in said and "give it --limit all" in said, said
    code, said = pull.run("site.yml", "--limit", "all", "--tags", "host,caddy")
    assert code == 0 and re.search(r"proxy-1 : ok=[1-9]\d* changed=0 .* failed=0", said), said
    code, said = pull.run("autoscale.yml")
    assert code == 0 and '"action": "hold"' in said, said

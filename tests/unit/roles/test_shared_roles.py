# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of roles that others include: which certificates a host lacks, and whether the inventory lists what was brought up."""

from __future__ import annotations

import getpass
import grp
import json
import os
import pathlib
import subprocess
import typing as t

import pytest

SHARED = {"gb_lxd_project": "gb-unit", "ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
OWN = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
#: file on the host: content and permissions there, or none; it should have the content "key of NAME" with a line's end, and 0600
INSTALLED: dict[str, tuple[str, int] | None] = {
    "sound": ("key of sound\n", 0o600),
    "readable": ("key of readable\n", 0o644),
    "older": ("another key\n", 0o600),
    "cut": ("key of cut", 0o600),
    "missing": None,
}
#: case: what was brought up, and what of it the inventory lacks; it has proxy-1 and proxy-3
BROUGHT_UP: dict[str, tuple[dict[str, int], str]] = {
    "what is listed": ({"proxy": 1}, ""),
    "nothing": ({"proxy": 1, "control": 0}, ""),
    "a gap": ({"proxy": 3}, "does not list proxy-2 of project gb-unit"),
    "no group": ({"proxy": 1, "postgres": 2}, "does not list postgres-1, postgres-2 of project gb-unit"),
}


class Run(t.NamedTuple):
    """By case what was refused, and of the host's files those that were found lacking."""

    refusals: dict[str, str]
    lacking: list[str]


def include(role: str, part: str, **variables: t.Any) -> dict[str, t.Any]:
    return {"ansible.builtin.include_role": {"name": f"generalbots.scaling.{role}", "tasks_from": part}, "vars": variables}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every case in one run, for a start of ansible-playbook costs as much as all of them."""
    folder = tmp_path_factory.mktemp("roles")
    (folder / "host").mkdir()
    wanted = []
    for name, found in INSTALLED.items():
        source, destination = folder / f"{name}.key", folder / "host" / name
        source.write_text(f"key of {name}\n")
        wanted.append({"src": str(source), "dest": str(destination), "mode": "0600", **OWN})
        if found:
            destination.write_text(found[0])
            destination.chmod(found[1])
    wanted.append({"src": str(folder / "sound.key"), "dest": str(folder / "nowhere/sound"), "mode": "0600", **OWN})
    tasks = [include("certificates", "lacking", certificates_wanted=wanted)]
    for case, (brought_up, _said) in BROUGHT_UP.items():
        keep = {
            "refusals": f"{{{{ refusals | default({{}}) | combine({{'{case}': ansible_failed_result.results | map(attribute='msg')}}) }}}}"
        }
        tasks.append({"block": [include("gb", "inventory", gb_brought_up=brought_up)], "rescue": [{"ansible.builtin.set_fact": keep}]})
    result = folder / "result.json"
    content = "{{ {'refusals': refusals, 'lacking': certificates_lacking | map(attribute='dest')} | to_json }}"
    tasks.append({"ansible.builtin.copy": {"dest": str(result), "content": content, "mode": "0600"}})
    hosts = {"proxy-1": {"gb_slot": 1}, "proxy-3": {"gb_slot": 3}}
    (folder / "hosts.json").write_text(
        json.dumps({"all": {"vars": SHARED, "hosts": {"localhost": {}}, "children": {"proxy": {"hosts": hosts}}}})
    )
    (folder / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    argv = ["ansible-playbook", "-i", str(folder / "hosts.json"), str(folder / "play.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(result.read_text())
    refusals = {case: " ".join(text for text in texts if "does not list" in text) for case, texts in said["refusals"].items()}
    return Run(refusals, [str(pathlib.Path(path).relative_to(folder)) for path in said["lacking"]])


@pytest.mark.parametrize("case", BROUGHT_UP)
def test_an_inventory_that_lacks_what_was_brought_up_is_refused(run: Run, case: str) -> None:
    said = BROUGHT_UP[case][1]
    assert (case in run.refusals) == bool(said)
    assert said in run.refusals.get(case, "")


def test_only_those_certificates_are_lacking_that_are_not_as_they_should_be(run: Run) -> None:
    assert run.lacking == ["host/readable", "host/older", "host/cut", "host/missing", "nowhere/sound"]

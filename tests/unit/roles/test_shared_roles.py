# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of roles that others include: whether the inventory lists what was brought up, whether a run reaches the instances, and whether
what is to be published is whole."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest

SHARED = {"gb_lxd_project": "gb-unit", "ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
#: case: what was brought up, and what of it the inventory lacks; it has proxy-1 and proxy-3
BROUGHT_UP: dict[str, tuple[dict[str, int], str]] = {
    "what is listed": ({"proxy": 1}, ""),
    "nothing": ({"proxy": 1, "control": 0}, ""),
    "a gap": ({"proxy": 3}, "does not list proxy-2 of project gb-unit"),
    "no group": ({"proxy": 1, "postgres": 2}, "does not list postgres-1, postgres-2 of project gb-unit"),
}


def include(role: str, part: str, **variables: t.Any) -> dict[str, t.Any]:
    return {"ansible.builtin.include_role": {"name": f"generalbots.scaling.{role}", "tasks_from": part}, "vars": variables}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By case what was refused; every case in one run, for a start of ansible-playbook costs as much as all of them."""
    folder = tmp_path_factory.mktemp("roles")
    tasks: list[dict[str, t.Any]] = []
    for case, (brought_up, _said) in BROUGHT_UP.items():
        keep = {
            "refusals": f"{{{{ refusals | default({{}}) | combine({{'{case}': ansible_failed_result.results | map(attribute='msg')}}) }}}}"
        }
        tasks.append({"block": [include("gb", "inventory", gb_brought_up=brought_up)], "rescue": [{"ansible.builtin.set_fact": keep}]})
    result = folder / "result.json"
    tasks.append({"ansible.builtin.copy": {"dest": str(result), "content": "{{ refusals | to_json }}", "mode": "0600"}})
    hosts = {"proxy-1": {"gb_slot": 1}, "proxy-3": {"gb_slot": 3}}
    (folder / "hosts.json").write_text(
        json.dumps({"all": {"vars": SHARED, "hosts": {"localhost": {}}, "children": {"proxy": {"hosts": hosts}}}})
    )
    (folder / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    argv = ["ansible-playbook", "-i", str(folder / "hosts.json"), str(folder / "play.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(result.read_text())
    return {case: " ".join(text for text in texts if "does not list" in text) for case, texts in said.items()}


@pytest.mark.parametrize("case", BROUGHT_UP)
def test_an_inventory_that_lacks_what_was_brought_up_is_refused(refusals: dict[str, str], case: str) -> None:
    said = BROUGHT_UP[case][1]
    assert (case in refusals) == bool(said)
    assert said in refusals.get(case, "")


def run_play(folder: pathlib.Path, tasks: list[dict[str, t.Any]], *options: str) -> subprocess.CompletedProcess[str]:
    """A play on localhost of an inventory that has a proxy as well."""
    hosts: dict[str, t.Any] = {"localhost": {}, "proxy-1": {}}
    (folder / "hosts.json").write_text(json.dumps({"all": {"vars": SHARED, "hosts": hosts}}))
    (folder / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    argv = ["ansible-playbook", "-i", str(folder / "hosts.json"), str(folder / "play.json"), *options]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("limit", ["", "all", "localhost,proxy-1", "all:!proxy-1", "localhost,*"])
def test_a_limit_within_which_instances_are_is_accepted(tmp_path: pathlib.Path, limit: str) -> None:
    done = run_play(tmp_path, [include("gb", "limit")], *(("--limit", limit) if limit else ()))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_limit_that_ansible_pull_sets_is_refused(tmp_path: pathlib.Path) -> None:
    done = run_play(tmp_path, [include("gb", "limit")], "--limit", "localhost,all-in-one,127.0.0.1")
    assert done.returncode == 2
    said = " ".join(done.stdout.split())
    assert "limited to localhost,all-in-one,127.0.0.1, which leaves out every instance" in said and "give it --limit all" in said


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("", "bake-caddy failed while it was baked, as said above. No image was published. Run again: what is there already stays."),
        ("localhost", "left out of this run, or failed in it: it is limited to localhost. No image was published. Run without --limit"),
    ],
    ids=["one failed", "left out"],
)
def test_an_image_that_was_not_baked_to_its_end_is_not_published(tmp_path: pathlib.Path, limit: str, said: str) -> None:
    """One of two was. What asks LXD would come after it, and there is none of that project."""
    golden = {name: {"version": "1", "container": f"bake-{name}", "missing": True, "due": True} for name in ("caddy", "etcd")}
    whole = {"ansible.builtin.add_host": {"name": "bake-etcd", "groups": ["gb_bake_whole"]}}
    done = run_play(tmp_path, [whole, include("image", "publish", image_golden=golden)], *(("--limit", limit) if limit else ()))
    assert done.returncode == 2
    assert said in " ".join(done.stdout.split())
    assert "Stop what was baked" not in done.stdout

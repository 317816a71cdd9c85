# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of roles that others include: whether the inventory lists what was brought up."""

from __future__ import annotations

import json
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

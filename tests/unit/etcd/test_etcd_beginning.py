# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the role etcd goes on with a first start that was broken off, and when it lets nobody begin anew."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest

NAMES = ("etcd-1", "etcd-2", "etcd-3")
TOLD = "{{ __etcd_beginning | hash('sha1') }}"
BEGUN = "{{ __etcd_begun | hash('sha1') }}"


class Case(t.NamedTuple):
    """Who has data, whom the play reaches, and what each was told to begin with; whether the start goes on."""

    data: tuple[str, ...]
    goes_on: bool
    hosts: tuple[str, ...] = NAMES
    told: t.Mapping[str, str] = {}


CASES = {
    "one had started": Case(("etcd-2",), True),
    "nobody has data": Case((), True),
    "a majority had": Case(("etcd-1", "etcd-2"), False),
    "a cluster that was whole": Case(("etcd-1",), False, told=dict.fromkeys(NAMES, BEGUN)),
    "one was told otherwise": Case(("etcd-1",), False, told={"etcd-3": BEGUN}),
    "one was told nothing": Case(("etcd-1",), False, told={"etcd-3": ""}),
    "one cannot be asked": Case(("etcd-1",), False, hosts=NAMES[:2]),
}


def play(folder: pathlib.Path, name: str, case: Case) -> dict[str, t.Any]:
    """A play that writes what the role makes of a case."""
    facts = {
        "__etcd_member": {"stat": {"exists": "{{ inventory_hostname in case.data }}"}},
        "__etcd_told": {"stat": {"exists": True, "checksum": f"{{{{ case.told[inventory_hostname] | default({TOLD[2:-2]}) }}}}"}},
    }
    write = {"content": "{{ __etcd_broken_off | to_json }}", "dest": str(folder / f"{name}.json"), "mode": "0600"}
    return {
        "hosts": ",".join(case.hosts),
        "gather_facts": False,
        "vars": {"case": {"data": case.data, "told": dict(case.told)}},
        "tasks": [
            {"ansible.builtin.include_role": {"name": "generalbots.scaling.etcd", "tasks_from": "preflight", "public": True}},
            {"ansible.builtin.set_fact": facts},
            {"ansible.builtin.copy": write, "run_once": True},
        ],
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """All cases in one run, for a start of ansible-playbook costs as much as all of them."""
    folder = tmp_path_factory.mktemp("beginning")
    (folder / "plays.json").write_text(json.dumps([play(folder, name, case) for name, case in CASES.items()]))
    shared = {
        "gb_subnet": "10.87.0.0/24",
        "gb_etcd_members": 3,
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    hosts = {name: {"gb_slot": int(name[-1])} for name in NAMES}
    (folder / "hosts.json").write_text(json.dumps({"all": {"vars": shared, "children": {"etcd": {"hosts": hosts}}}}))
    argv = ["ansible-playbook", "-i", str(folder / "hosts.json"), str(folder / "plays.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_a_first_start_goes_on_only_where_no_cluster_can_have_been(found: dict[str, bool], name: str) -> None:
    assert found[name] is CASES[name].goes_on

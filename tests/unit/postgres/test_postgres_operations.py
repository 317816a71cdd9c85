# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role postgres asks of a cluster before and while a member is replaced or upgraded, against a stand-in for Patroni."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import typing as t

import pytest
from postgres_site import SITE

from tests.unit.patroni.patroni_fakes import PASSWORD, SCOPE, STRICT, USER, FakeCluster, fake_cluster

Json = dict[str, t.Any]
NAMES = ("postgres-1", "postgres-2", "postgres-3")
SHARED: Json = {
    **SITE,
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A cluster that ``change`` has made of a healthy one, what is asked of it, and what is said; nothing where it succeeds."""

    entry: str
    said: str = ""
    change: t.Callable[[FakeCluster], None] = lambda _cluster: None
    given: Json = dataclasses.field(default_factory=dict)
    names: tuple[str, ...] = NAMES
    switches: bool = False
    version: str = "3.0.2"


def nobody_leads(cluster: FakeCluster) -> None:
    cluster.leader = None


def stands_still(name: str) -> t.Callable[[FakeCluster], None]:
    return lambda cluster: setattr(cluster.members[name], "streaming", False)


def is_mute(name: str) -> t.Callable[[FakeCluster], None]:
    return lambda cluster: setattr(cluster.members[name], "mute", True)


def waits_for_restarts(cluster: FakeCluster) -> None:
    for member in cluster.members.values():
        member.pending = True


def paused_and_waits(cluster: FakeCluster) -> None:
    waits_for_restarts(cluster)
    cluster.config.update(pause=True)


def leaving(name: str) -> Json:
    return {"postgres_leaving": name}


CASES: dict[str, Case] = {
    "a standby": Case("release", given=leaving("postgres-3")),
    "the leader": Case("release", given=leaving("postgres-1"), switches=True),
    "one that does not answer": Case("release", change=is_mute("postgres-3"), given=leaving("postgres-3")),
    "one that is not listed": Case("release", names=NAMES[:2], given=leaving("postgres-3")),
    "the only standby that is listed": Case(
        "release", "postgres-2 cannot be spared: postgres-3 is not among the members that Patroni lists. Bring the others back first",
        names=NAMES[:2], given=leaving("postgres-2"),
    ),
    "the dead with nobody to lead": Case(
        "release", "no member leads; postgres-3 is running; postgres-1 is not among", nobody_leads, leaving("postgres-2"), ("postgres-3",)
    ),
    "who may lead where nobody does": Case("release", "postgres-1 cannot be spared: no member leads", nobody_leads, leaving("postgres-1")),
    "beside one that does not follow": Case("release", "postgres-3 is running", stands_still("postgres-3"), leaving("postgres-2")),
    "beside one that does not answer": Case("release", "postgres-3 does not answer", is_mute("postgres-3"), leaving("postgres-2")),
    "beside those that wait for a restart": Case(
        "release", "postgres-1 waits for a restart that a setting needs", waits_for_restarts, leaving("postgres-3")
    ),
    "beside those whose restart is put off": Case(
        "release", change=waits_for_restarts, given={**leaving("postgres-3"), "postgres_restart": False}
    ),
    "stopped, and another is synchronous": Case("released", names=NAMES[:2], given=leaving("postgres-3")),
    "stopped, and none is synchronous": Case(
        "released", "postgres-3 was stopped, and is not deleted: Waited", lambda cluster: cluster.sync.clear(), leaving("postgres-3"),
        NAMES[:2],
    ),
    "a member, to make it anew of another version": Case(
        "release", "The cluster generalbots runs PostgreSQL 15, and postgres_version is 17. Another major version needs pg_upgrade",
        given={**leaving("postgres-3"), "postgres_version": 17},
    ),
    "an upgrade to another major version": Case("upgrade", "PostgreSQL 15, and postgres_version is 17", given={"postgres_version": 17}),
    "an upgrade while restarts are due": Case("upgrade", "waits for a restart that a setting needs", waits_for_restarts),
    "an upgrade while they are put off, which is let on to the next question": Case(
        "upgrade", "generalbots is paused", paused_and_waits, {"postgres_restart": False}
    ),
    "an upgrade while it is paused": Case("upgrade", "generalbots is paused", lambda cluster: cluster.config.update(pause=True)),
    "Patroni 4 beside 3.0": Case("upgrade", "members run 3.0.2. Patroni 4", given={"postgres_patroni_version": "4.1.5"}),
    "Debian's Patroni beside 4": Case(
        "upgrade", "is empty, for Debian's 3.0.2, and members run 4.1.5.", given={"postgres_patroni_version": ""}, version="4.1.5"
    ),
    "roles in another major version": Case("databases", "PostgreSQL 15, and postgres_version is 17", given={"postgres_version": 17}),
}  # fmt: skip


def steps(name: str, case: Case, cluster: FakeCluster) -> Json:
    """What is asked of a cluster, and where it is refused the words, under the name of the case."""
    connection = {"urls": cluster.urls(), "scope": SCOPE, "username": USER, "password": PASSWORD, "timeout": 2}
    role = {"name": "generalbots.scaling.postgres", "tasks_from": case.entry}
    given = {"__postgres_connection": connection, "postgres_timeout": 2, **case.given}
    keep = {"refusals": f"{{{{ refusals | default({{}}) | combine({{{name!r}: ansible_failed_result.msg}}) }}}}"}
    asked = [{"ansible.builtin.include_role": role, "vars": given}]
    defaults = {"generalbots.scaling.patroni_cluster_info": connection}
    return {"module_defaults": defaults, "block": asked, "rescue": [{"ansible.builtin.set_fact": keep}]}


class Seen(t.NamedTuple):
    """By case what was said where it was refused, and the changes that the cluster was asked for."""

    refusals: dict[str, str]
    writes: dict[str, list[str]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Every case in one run, for a start of ansible-playbook costs as much as all of them."""
    folder = tmp_path_factory.mktemp("operations")
    with contextlib.ExitStack() as stack:
        clusters = {
            name: stack.enter_context(fake_cluster(*case.names, version=case.version, config=STRICT)) for name, case in CASES.items()
        }
        for name, case in CASES.items():
            case.change(clusters[name])
        tasks = [steps(name, case, clusters[name]) for name, case in CASES.items()]
        tasks.append({"ansible.builtin.copy": {"content": "{{ refusals | to_json }}", "dest": f"{folder}/said.json", "mode": "0600"}})
        shared = {**SHARED, "gb_secrets_dir": str(folder / "secrets"), "gb_cache_dir": str(folder)}
        (folder / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": shared, "tasks": tasks}]))
        argv = ["ansible-playbook", "-i", "localhost,", str(folder / "play.json")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        writes = {name: [path for _name, path, _body in cluster.writes] for name, cluster in clusters.items()}
    return Seen(json.loads((folder / "said.json").read_text()), writes)


@pytest.mark.parametrize("name", CASES)
def test_a_member_is_touched_only_where_the_others_can_go_on(seen: Seen, name: str) -> None:
    case = CASES[name]
    assert bool(case.said) == (name in seen.refusals), seen.refusals.get(name)
    assert case.said in seen.refusals.get(name, "")
    assert seen.writes[name] == (["/switchover"] if case.switches else [])

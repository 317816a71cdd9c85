# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several files with one look: what is not as it should be is placed, and nothing else is touched."""

from __future__ import annotations

import getpass
import grp
import json
import os
import pathlib
import re
import stat
import subprocess
import typing as t

import pytest
import yaml

from ansible_collections.generalbots.scaling.plugins.action.host_files import FILE, SPEC, State, unread
from ansible_collections.generalbots.scaling.plugins.modules.host_files import DOCUMENTATION

OWN = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
SECRET = "not to be shown"
TEMPLATE = "{% if true %}\nfor {{ who }}\n{% endif %}\n"
#: by name: what is wanted of the file, and what it then is
WANTED: dict[str, tuple[dict[str, t.Any], str]] = {
    "folder/content": ({"content": "{{ who }}\n", "mode": "0600"}, "you\n"),
    "folder/empty": ({"content": ""}, ""),
    "folder/number": ({"content": "{{ 1 + 1 }}"}, "2"),
    "folder/json": ({"content": '{"a": [1, "b"]}\n'}, '{"a": [1, "b"]}\n'),
    "folder/copied": ({"src": "copied"}, "as it is: {{ who }}\n"),
    "folder/template": ({"template": "greeting.j2"}, "for you\n"),
    "folder/secret": ({"content": SECRET, "secret": True, "mode": "0600"}, SECRET),
    "folder/.hidden [1]*": ({"content": "odd\n"}, "odd\n"),
    "folder/valid": ({"content": "good\n", "validate": "grep -q good %s"}, "good\n"),
}


class Played(t.NamedTuple):
    status: int
    said: str
    placed: list[str]


class Host:
    """A folder that stands for a host, and a role of two files in another."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.root = folder / "host"
        self.root.mkdir()
        self.folder = folder
        for name, text in {"files/copied": "as it is: {{ who }}\n", "templates/greeting.j2": TEMPLATE}.items():
            path = folder / "roles" / "some" / name
            path.parent.mkdir(parents=True)
            path.write_text(text)
        self.files = [{"dest": str(self.root / "folder"), "mode": "0750", **OWN}]
        self.files += [{"dest": str(self.root / name), **options, **OWN} for name, (options, _content) in WANTED.items()]

    def play(self, *arguments: str, files: list[dict[str, t.Any]] | None = None, **more: str) -> Played:
        """One run of the role with the files; by default all of them."""
        options = {"files": self.files if files is None else files, **more}
        task = {"generalbots.scaling.host_files": options, "register": "done", "notify": "Tell"}
        tasks = self.folder / "roles/some/tasks/main.yml"
        tasks.parent.mkdir(exist_ok=True)
        tell = {"ansible.builtin.debug": {"msg": "placed={{ done.placed | to_json }}"}}
        tasks.write_text(json.dumps([task, tell]))
        handlers = self.folder / "roles/some/handlers/main.yml"
        handlers.parent.mkdir(exist_ok=True)
        handlers.write_text(json.dumps([{"name": "Tell", "ansible.builtin.debug": {"msg": "handler was called"}}]))
        play = {"hosts": "localhost", "gather_facts": False, "vars": {"who": "you"}, "roles": ["some"]}
        (self.folder / "play.json").write_text(json.dumps([play]))
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", "ansible_python_interpreter={{ ansible_playbook_python }}"]
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environment = {
            **os.environ,
            "PATH": path,
            "ANSIBLE_ROLES_PATH": str(self.folder / "roles"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        }
        run = subprocess.run(
            [*argv, str(self.folder / "play.json"), *arguments], capture_output=True, text=True, check=False, env=environment
        )
        said = run.stdout + run.stderr
        listed = [line.split("placed=", 1)[1].rstrip().rstrip('"').replace('\\"', '"') for line in said.splitlines() if "placed=[" in line]
        return Played(run.returncode, said, [pathlib.Path(path).name for path in json.loads(listed[0])] if listed else [])

    def systemd(self, **properties: str) -> None:
        """Let systemctl tell these properties of every unit."""
        program = self.folder / "bin/systemctl"
        program.parent.mkdir(exist_ok=True)
        lines = "\n".join(f"{name}={value}" for name, value in properties.items())
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
        program.chmod(0o755)

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        """Permissions, inode and content of everything there."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            about = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.root))] = (stat.S_IMODE(about.st_mode), about.st_ino, content)
        return found


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    return Host(tmp_path)


def test_what_is_wanted_is_predicted_placed_and_then_left_alone(host: Host) -> None:
    names = ["folder", *(pathlib.Path(name).name for name in WANTED)]
    foreseen = host.play("--check", "--diff")
    assert (foreseen.status, foreseen.placed) == (0, names), foreseen.said
    assert host.state() == {}
    made = host.play("--diff")
    assert (made.status, made.placed) == (0, names), made.said
    assert "handler was called" in made.said
    state = host.state()
    assert {name: content.decode() for name, (_mode, _inode, content) in state.items() if name != "folder"} == {
        name: content for name, (_options, content) in WANTED.items()
    }
    modes = {name: f"{mode:04o}" for name, (mode, _inode, _content) in state.items()}
    assert (modes["folder"], modes["folder/content"], modes["folder/template"]) == ("0750", "0600", "0644")
    for said in (foreseen.said, made.said):
        assert "+for you" in said
        assert SECRET not in said
    again = host.play("--diff")
    assert (again.status, again.placed) == (0, [])
    assert "handler was called" not in again.said
    assert host.play(files=[]).placed == []
    assert host.state() == state


def test_permissions_are_octal_with_quotes_and_without(host: Host) -> None:
    """Without quotes they come as the number that YAML makes of them."""
    modes = {"quoted": "0640", "unquoted": 0o640, "short": "640", "all": 0o2750, "none": ""}
    (host.root / "folder").mkdir()
    files = [{"dest": str(host.root / "folder" / name), "content": name, "mode": mode, **OWN} for name, mode in modes.items()]
    assert host.play(files=files).status == 0
    found = {path.name: f"{stat.S_IMODE(path.stat().st_mode):04o}" for path in (host.root / "folder").iterdir()}
    assert found == {"quoted": "0640", "unquoted": "0640", "short": "0640", "all": "2750", "none": "0644"}
    assert host.play(files=files).placed == []


def test_only_what_differs_is_placed(host: Host) -> None:
    names = ("folder", "folder/content", "folder/copied", "folder/number", "folder/template")
    files = [one for one in host.files if pathlib.Path(one["dest"]).relative_to(host.root).as_posix() in names]
    host.play(files=files)
    state = host.state()
    (host.root / "folder").chmod(0o755)
    (host.root / "folder/content").chmod(0o644)
    (host.root / "folder/template").write_text("for me\n")
    (host.root / "folder/copied").unlink()
    foreseen = host.play("--check", files=files)
    done = host.play(files=files)
    assert foreseen.placed == done.placed == ["folder", "content", "copied", "template"], foreseen.said + done.said
    now = host.state()
    assert {name: (mode, content) for name, (mode, _inode, content) in now.items()} == {
        name: (mode, content) for name, (mode, _inode, content) in state.items()
    }
    assert [name for name in now if now[name][1] != state[name][1]] == ["folder/copied", "folder/template"]


def test_a_file_that_is_not_valid_is_named_and_what_is_there_stays(host: Host) -> None:
    host.play(files=[host.files[0], host.files[-1]])
    state = host.state()
    judge = host.folder / "judge"
    judge.write_text('#!/bin/sh\necho "line 1: $(cat "$1")" >&2\nexit 1\n')
    judge.chmod(0o755)
    bad = {"dest": str(host.root / "folder/valid"), "content": "bad\n", "validate": f"{judge} %s", **OWN}
    run = host.play(files=[bad])
    assert run.status == 2
    assert f"{host.root}/folder/valid: failed to validate: line 1: bad" in run.said
    assert SECRET not in host.play(files=[{**bad, "content": SECRET, "secret": True}]).said
    assert host.state() == state


def test_what_a_run_that_was_killed_placed_and_did_not_take_into_use_is_taken_into_use_by_the_next(host: Host) -> None:
    files = host.files[:2]
    host.systemd(ActiveState="inactive", NeedDaemonReload="no", StateChangeTimestamp="")
    assert host.play(files=files, unit="example.service").placed == ["folder", "content"]
    host.systemd(ActiveState="active", NeedDaemonReload="no", StateChangeTimestamp="Mon 2020-01-06 09:00:00.000000 UTC")
    for arguments in (["--check"], []):
        run = host.play(*arguments, files=files, unit="example.service")
        assert (run.status, run.placed, "handler was called" in run.said) == (0, [], True), run.said
    host.systemd(ActiveState="active", NeedDaemonReload="no", StateChangeTimestamp="Mon 2120-01-01 09:00:00.000000 UTC")
    assert "handler was called" not in host.play(files=files, unit="example.service").said


def test_what_an_earlier_run_placed_is_told_of_also_where_something_is_placed(host: Host) -> None:
    files = host.files[:3]
    host.systemd(ActiveState="active", NeedDaemonReload="no", StateChangeTimestamp="Mon 2020-01-06 09:00:00.000000 UTC")
    host.play(files=files[:2])
    run = host.play("-v", files=files, unit="example.service")
    assert run.placed == ["empty"], run.said
    assert re.search(rf'"unread": \[\s*"{host.root}/folder/content"\s*\]', run.said), run.said


def test_what_restarts_a_service_for_its_drop_in_looks_whether_the_service_has_read_it() -> None:
    """Of a run that was killed before its handlers."""
    seen: list[str] = []
    for path in sorted((pathlib.Path(__file__).parents[3] / "roles").glob("*/tasks/*.yml")):
        for task in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
            options = task.get("generalbots.scaling.host_files")
            files = options["files"] if options and isinstance(options["files"], list) else []
            units = {pathlib.Path(one["dest"]).parent.name.removesuffix(".d") for one in files if ".service.d/" in one["dest"]}
            if units and str(task.get("notify")).startswith("Re") and task["notify"] != "Reload systemd":
                seen += units
                assert units == {options.get("unit")}, f"{path}: {task['name']}"
    assert {"etcd.service", "haproxy.service"} <= {*seen}


SINCE = 1_767_225_600.0
THERE = {
    "/etc/some": State("root", "root", "0755", None, SINCE + 9),
    "/etc/some/config": State("root", "root", "0644", "c0ffee", SINCE + 0.4),
    "/etc/systemd/system/some.service": State("root", "root", "0644", "c0ffee", SINCE - 9),
}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, ["/etc/some/config"]),
        ({"StateChangeTimestamp": "Thu 2026-01-01 00:00:00.500000 UTC"}, []),
        ({"ActiveState": "inactive"}, []),
        ({"ActiveState": "failed"}, []),
        ({"NeedDaemonReload": "yes"}, ["/etc/systemd/system/some.service"]),
        ({"StateChangeTimestamp": "n/a"}, []),
        ({"StateChangeTimestamp": ""}, []),
    ],
    ids=["before it was placed", "after it", "stopped", "failed", "a unit that systemd has not read", "no time", "none at all"],
)
def test_what_a_unit_has_not_read_was_placed_after_it_came_up(said: dict[str, str], found: list[str]) -> None:
    properties = {"ActiveState": "active", "NeedDaemonReload": "no", "StateChangeTimestamp": "Thu 2026-01-01 00:00:00.000000 UTC", **said}
    assert unread("".join(f"{name}={value}\n" for name, value in properties.items()), THERE) == found


@pytest.mark.parametrize(("came_up", "found"), [("Thu 2026-01-01 00:00:00", ["/etc/some/config"]), ("Thu 2026-01-01 00:00:01", [])])
def test_beside_a_unit_that_systemd_has_not_read_each_file_is_looked_at(came_up: str, found: list[str]) -> None:
    own = "/lib/systemd/system/some.service"
    there = {path: state for path, state in THERE.items() if path.startswith("/etc/some")}
    said = f"ActiveState=active\nNeedDaemonReload=yes\nStateChangeTimestamp={came_up}.000000 UTC\nFragmentPath={own}\n"
    assert unread(said, there) == [*found, own]


def test_without_systemd_everything_was_read() -> None:
    assert unread("", THERE) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dest": "folder/x", "content": "x"}, "files: dest is 'folder/x'; give an absolute path. Nothing was changed."),
        ({"dest": "/nowhere/x", "content": "x", "src": "copied"}, "parameters are mutually exclusive: content|src|template found in files"),
        ({"dest": "/nowhere/x", "template": "none.j2"}, "none.j2"),
        ({"dest": "/nowhere/x", "src": "none"}, "Could not find or access 'none'"),
        ({"dest": "/nowhere/x", "content": "x", "mode": "u=rw"}, "files: mode is 'u=rw'; write permissions as octal digits in quotes"),
        ({"dest": "/nowhere/x", "content": "x", "mode": "0o644"}, "files: mode is '0o644'; write permissions as octal digits in quotes"),
        ({"dest": "/nowhere/x", "content": "x", "mode": True}, "files: mode is True; write permissions as octal digits in quotes"),
        ({"dest": "/nowhere/x", "conten": "x"}, "conten. Supported parameters include"),
    ],
    ids=[
        "a path that is relative",
        "two sources",
        "no such template",
        "no such file",
        "words",
        "another notation",
        "a truth",
        "an option that is none",
    ],
)
def test_bad_options_are_refused_before_anything_is_placed(host: Host, options: dict[str, t.Any], said: str) -> None:
    run = host.play(files=[{"dest": str(host.root / "first"), **OWN}, options])
    assert run.status == 2
    assert said in run.said
    assert host.state() == {}


def test_what_is_documented_is_what_is_taken() -> None:
    """Of a module ansible-test compares the two; of an action nobody else does."""
    documented = yaml.safe_load(DOCUMENTATION)["options"]
    suboptions = documented["files"].pop("suboptions")
    assert {name: {key: value for key, value in option.items() if key != "description"} for name, option in suboptions.items()} == FILE
    assert {name: option["type"] for name, option in documented.items()} == {name: option["type"] for name, option in SPEC.items()}

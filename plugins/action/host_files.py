# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places several files with one look at the host; see the documentation of the module of this name.

What has to be done is done by Ansible's own copy and file, one call for each. Whatever the look cannot tell (links, a folder
that cannot be read) is left to them as well: they change nothing where nothing is to be changed.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import re
import shlex
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.utils.hashing import secure_hash, secure_hash_s

Json = dict[str, t.Any]

SOURCES = ("content", "src", "template")
#: where units are that an administrator has
UNITS = "/etc/systemd/system/"
SHOWN = ("ActiveState", "NeedDaemonReload", "StateChangeTimestamp", "FragmentPath")
STAMP = "%a %Y-%m-%d %H:%M:%S.%f UTC"
MODE = re.compile(r"0?[0-7]{3,4}", re.ASCII)
FILE = {
    "dest": {"type": "path", "required": True},
    "content": {"type": "str"},
    "src": {"type": "path"},
    "template": {"type": "path"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "raw"},
    "validate": {"type": "str"},
    "secret": {"type": "bool", "default": False},
}
SPEC: dict[str, Json] = {
    "files": {"type": "list", "elements": "dict", "required": True, "options": FILE, "mutually_exclusive": [SOURCES]},
    "unit": {"type": "str"},
}


@dataclasses.dataclass(frozen=True)
class State:
    """What a file or folder is on a host, as far as it is managed; ``checksum`` (SHA-1, as the look tells it) is None of a folder.

    ``placed`` is when it was written, in seconds since the epoch.
    """

    owner: str
    group: str
    mode: str
    checksum: str | None
    placed: float = dataclasses.field(default=0.0, compare=False)


def states(found: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, State]:
    """By path the state of each plain file and folder among what ``ansible.builtin.find`` returns."""
    plain = (one for one in found if one["isdir"] or one["isreg"])
    return {one["path"]: State(one["pw_name"], one["gr_name"], one["mode"], one.get("checksum"), one["mtime"]) for one in plain}


def unread(said: str, there: t.Mapping[str, State]) -> list[str]:
    """The files that a unit which is active has not read, because it was started or reloaded before they were placed.

    Where systemd has not read the unit itself, those that are units, or if none is, the unit's own file with the others.

    :param said: what ``systemctl show`` prints of the properties SHOWN, times in microseconds
    """
    known = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if known.get("ActiveState") != "active":
        return []
    files = {path: state for path, state in there.items() if state.checksum is not None}
    own: set[str] = set()
    if known.get("NeedDaemonReload") == "yes":
        units = sorted(path for path in files if path.startswith(UNITS))
        if units:
            return units
        own = {known.get("FragmentPath", "")} - {""}
    return sorted({*_placed_since(known, files), *own})


def _placed_since(known: t.Mapping[str, str], files: t.Mapping[str, State]) -> list[str]:
    """The files that were placed after the unit of these properties came up or was reloaded."""
    try:
        since = datetime.datetime.strptime(known.get("StateChangeTimestamp", ""), STAMP).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return []
    return [path for path, state in files.items() if state.placed > since]


def _why(done: t.Mapping[str, t.Any], *, secret: bool) -> str:
    """Why a file could not be placed, with the words of what validated it where they may be shown."""
    words = "" if secret else " ".join(f"{done.get('stdout', '')} {done.get('stderr', '')}".split())
    return ": ".join(text for text in (str(done.get("msg", "it could not be placed")), words) if text)


def _octal(mode: t.Any, *, default: str) -> str:
    """Permissions as four octal digits. Without quotes YAML makes a number of them, of which text would be another number."""
    if mode is None or mode == "":
        return default
    if isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o7777:
        return f"{mode:04o}"
    if isinstance(mode, str) and MODE.fullmatch(mode):
        return f"{mode:0>4}"[-4:]
    raise AnsibleActionFail(f"files: mode is {mode!r}; write permissions as octal digits in quotes, such as '0644'. Nothing was changed.")


class ActionModule(ActionBase):
    """Compares, and hands on what differs."""

    TRANSFERS_FILES = True

    def run(self, tmp: t.Any = None, task_vars: Json | None = None) -> Json:
        """Returns the paths that were not as they should be, and what changed in them."""
        result: Json = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=SPEC)
        wanted = [self._finished(one, task_vars or {}) for one in arguments["files"]]
        there = self._look([one["dest"] for one in wanted], task_vars) if wanted else {}
        result.update(changed=False, placed=[], diff=[])
        # Before anything is placed, which systemd would tell of as well.
        unread_before = self._unread(arguments["unit"], there) if arguments["unit"] else []
        for one in wanted:
            if there.get(one["dest"]) == State(one["owner"], one["group"], one["mode"], self._checksum(one)):
                continue
            done = self._place(one, task_vars)
            if done.get("failed"):
                return {**result, "failed": True, "msg": f"{one['dest']}: {_why(done, secret=one['secret'])}"}
            if done.get("changed"):
                changes = done.get("diff") or []
                result["diff"] += changes if isinstance(changes, list) else [changes]
                result["placed"].append(one["dest"])
                result["changed"] = True
        if arguments["unit"]:
            result["unread"] = [path for path in unread_before if path not in result["placed"]]
            result["changed"] |= bool(result["unread"])
        return result

    def _unread(self, unit: str, there: t.Mapping[str, State]) -> list[str]:
        shown = [word for name in SHOWN for word in ("-p", name)]
        words = ["LC_ALL=C", "systemctl", "show", "--timestamp=us+utc", *shown, "--", unit]
        return unread(self._low_level_execute_command(shlex.join(words))["stdout"], there)

    def _finished(self, one: Json, variables: Json) -> Json:
        """With its permissions, and the text of its template as content."""
        if not pathlib.PurePosixPath(one["dest"]).is_absolute():
            raise AnsibleActionFail(f"files: dest is {one['dest']!r}; give an absolute path. Nothing was changed.")
        folder = all(one[source] is None for source in SOURCES)
        finished = {**one, "folder": folder, "mode": _octal(one["mode"], default="0755" if folder else "0644")}
        if one["template"] is not None:
            lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
            finished["content"] = lookup.run([one["template"]], variables)[0]
        if one["src"] is not None:
            finished["src"] = self._find_needle("files", one["src"])
        return finished

    def _checksum(self, one: Json) -> str | None:
        if one["folder"]:
            return None
        # A file that is vaulted has the content that it has on the host.
        hashed = secure_hash_s(one["content"]) if one["src"] is None else secure_hash(self._loader.get_real_file(one["src"]))
        return t.cast("str | None", hashed)

    def _look(self, paths: t.Sequence[str], variables: Json | None) -> dict[str, State]:
        places = [pathlib.PurePosixPath(path) for path in paths]
        arguments = {
            "paths": sorted({str(place.parent) for place in places}),
            "patterns": sorted({place.name for place in places}),
            "file_type": "any",
            "hidden": True,
            "get_checksum": True,
            "checksum_algorithm": "sha1",
        }
        found = self._execute_module("ansible.builtin.find", module_args=arguments, task_vars=variables)
        if found.get("failed"):
            raise AnsibleActionFail(f"cannot see what is there: {found.get('msg')}", result=found)
        return states(found["files"])

    def _place(self, one: Json, variables: Json | None) -> Json:
        attributes = {name: one[name] for name in ("owner", "group", "mode")}
        if one["folder"]:
            arguments = {"path": one["dest"], "state": "directory", **attributes}
            return t.cast("Json", self._execute_module("ansible.builtin.file", module_args=arguments, task_vars=variables))
        task = self._task.copy()
        task.args = {"dest": one["dest"], **attributes}
        task.args |= {"content": one["content"]} if one["src"] is None else {"src": one["src"]}
        if one["validate"]:
            task.args["validate"] = one["validate"]
        if one["secret"]:
            task.diff = False
        copy = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return t.cast("Json", copy.run(task_vars=variables))

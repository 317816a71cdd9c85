# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of an image: the same for the same content, another one for any difference that matters."""

from __future__ import annotations

import pathlib
import re
import shutil
import typing as t

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader

from ansible_collections.generalbots.scaling.plugins.lookup import tree_hash

NAME = "generalbots.scaling.tree_hash"


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "one" / "role"
    (root / "tasks").mkdir(parents=True)
    (root / "tasks" / "main.yml").write_text("- name: Do", encoding="utf-8")
    (root / "run.sh").write_text("true", encoding="utf-8")
    return root


def version(*paths: pathlib.Path, extra: t.Any = None) -> str:
    return tree_hash.version_of([str(path) for path in paths], extra)


def test_it_does_not_depend_on_place_or_time(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = version(tree)
    assert re.fullmatch("[0-9a-f]{12}", before)
    (tmp_path / "two").mkdir()
    copy = shutil.copytree(tree, tmp_path / "two" / "role")
    (copy / "run.sh").touch()
    assert version(copy) == before


def test_a_folder_above_that_looks_like_a_backup_hides_nothing(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = shutil.copytree(tree, tmp_path / "back~" / "role")
    assert version(copy) == version(tree)
    change_content(copy)
    assert version(copy) != version(tree)


def change_content(tree: pathlib.Path) -> None:
    (tree / "run.sh").write_text("fals", encoding="utf-8")


def rename(tree: pathlib.Path) -> None:
    (tree / "run.sh").rename(tree / "sun.sh")


def make_executable(tree: pathlib.Path) -> None:
    (tree / "run.sh").chmod(0o755)


def add_empty_file(tree: pathlib.Path) -> None:
    (tree / "tasks" / "more.yml").touch()


def move_a_byte(tree: pathlib.Path) -> None:
    # The same bytes one after the other, in other files.
    (tree / "run.sh").write_text("tru", encoding="utf-8")
    (tree / "tasks" / "main.yml").write_text("e- name: Do", encoding="utf-8")


@pytest.mark.parametrize("change", [change_content, rename, make_executable, add_empty_file, move_a_byte])
def test_every_difference_is_another_version(tree: pathlib.Path, change: t.Callable[[pathlib.Path], None]) -> None:
    before = version(tree)
    change(tree)
    assert version(tree) != before


def test_a_file_cannot_pretend_to_be_two(tmp_path: pathlib.Path) -> None:
    two, one = tmp_path / "two" / "r", tmp_path / "one" / "r"
    for folder, contents in ((two, {"a": "X", "b": "Y"}), (one, {"a": "Xr/b\0000\000\000Y"})):
        folder.mkdir(parents=True)
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
    assert version(two) != version(one)


def test_further_data_counts_and_its_order_does_not(tree: pathlib.Path) -> None:
    assert version(tree, extra={"a": 1, "b": 2}) == version(tree, extra={"b": 2, "a": 1})
    assert version(tree, extra={"a": 1}) != version(tree, extra={"a": 2})
    assert version(tree, extra=None) != version(tree, extra={})


def test_what_tools_leave_behind_does_not_count(tree: pathlib.Path) -> None:
    before = version(tree)
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "x.cpython-311.pyc").touch()
    (tree / "run.sh~").touch()
    assert version(tree) == before


def test_single_files_count_by_name_and_content(tree: pathlib.Path) -> None:
    assert version(tree / "run.sh") != version(tree / "tasks" / "main.yml")
    assert version(tree / "run.sh", tree / "tasks") != version(tree / "run.sh")


def look_up(path: pathlib.Path, **options: t.Any) -> list[str]:
    # What Ansible's loader does when it finds the plugin.
    constants.config.initialize_plugin_configuration_definitions("lookup", NAME, yaml.safe_load(tree_hash.DOCUMENTATION)["options"])
    plugin = tree_hash.LookupModule(loader=DataLoader())
    plugin._load_name = NAME
    return plugin.run([str(path)], variables={}, **options)


def test_what_does_not_exist_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(AnsibleLookupError, match=r"tree_hash cannot read .*nowhere: every file or folder"):
        look_up(tmp_path / "nowhere")


def test_the_lookup_returns_one_version(tree: pathlib.Path) -> None:
    assert look_up(tree, extra={"port": 8080}) == [version(tree, extra={"port": 8080})]

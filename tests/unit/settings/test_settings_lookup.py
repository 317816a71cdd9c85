# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup ``generalbots.scaling.config_csv``."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader

from ansible_collections.generalbots.scaling.plugins.lookup import config_csv

NAME = "generalbots.scaling.config_csv"
# The directory that holds ansible_collections, as this process found it.
COLLECTIONS = pathlib.Path(config_csv.__file__).parents[5]
TEXT = "scale-enabled,true\nfallback-llm-enabled,true\nllm-url,http://x\n"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    file = tmp_path / "config.csv"
    file.write_text(TEXT, encoding="utf-8")
    return str(file)


def look_up(*terms: t.Any, **options: t.Any) -> list[t.Any]:
    # What Ansible's loader does when it finds the plugin.
    constants.config.initialize_plugin_configuration_definitions("lookup", NAME, yaml.safe_load(config_csv.DOCUMENTATION)["options"])
    plugin = config_csv.LookupModule(loader=DataLoader())
    plugin._load_name = NAME
    found: list[t.Any] = plugin.run(list(terms), variables={}, **options)
    return found


def test_settings_are_typed_and_overrides_win(path: str) -> None:
    (settings,) = look_up(path, overrides={"scale-max-instances": "4"})
    assert (settings["scale-enabled"], settings["scale-max-instances"], settings["scale-min-instances"]) == (True, 4, 1)
    assert len(settings) == 61


@pytest.mark.parametrize(
    ("want", "value"),
    [
        ("given", {"scale-enabled": 1, "fallback-llm-enabled": 2, "scale-max-instances": "override"}),
        ("foreign", {"llm-url": "http://x"}),
        ("unconsumed", ["fallback-llm-enabled"]),
    ],
)
def test_want_chooses_the_view(path: str, want: str, value: object) -> None:
    assert look_up(path, want=want, overrides={"scale-max-instances": 4}) == [value]


def test_each_path_has_its_result(path: str) -> None:
    assert len(look_up(path, path)) == 2


def test_a_play_reads_it_with_overrides_of_its_own(path: str) -> None:
    """Through Ansible itself, whose values carry tags."""
    lookup = f"lookup('{NAME}', gb_config_csv, overrides=gb_settings_overrides)"
    variables = {"gb_config_csv": path, "gb_settings_overrides": {"scale-max-instances": "4", "cache-nodes": ["a:1", "b:2"]}}
    argv = [
        str(pathlib.Path(sys.executable).with_name("ansible")),
        "localhost",
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        json.dumps(variables),
    ]
    checks = f"that=\"{lookup}['scale-max-instances'] == 4 and {lookup}['cache-nodes'] == ['a:1', 'b:2']\""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_LOCALHOST_WARNING": "false"}
    done = subprocess.run(
        [*argv, "-m", "ansible.builtin.assert", "-a", checks], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("term", "options", "message"),
    [
        ("", {}, "Set gb_config_csv"),
        (None, {}, "Set gb_config_csv"),
        ("/nowhere/config.csv", {}, "cannot be read from /nowhere/config.csv: No such file"),
        ("path", {"overrides": {"scale-enabled": "perhaps"}}, "gb_settings_overrides: scale-enabled = 'perhaps': must be true or false"),
        ("path", {"overrides": "text"}, "overrides"),
        ("path", {"want": "everything"}, "want"),
    ],
)
def test_what_is_wrong_is_an_error_of_ansible(path: str, term: str | None, options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        look_up(path if term == "path" else term, **options)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the house that no linter knows: what every module, role and requirement has, and what none may have."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import typing as t

import pytest
import yaml

from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.limits import LIMIT_OPTIONS

ROOT = pathlib.Path(__file__).resolve().parents[3]
COLLECTION = "generalbots.scaling"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PROGRAMS = sorted(path for folder in ("plugins", "roles", "tools") for path in (ROOT / folder).rglob("*.py"))
PLAYS = sorted(path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml"))


def relative(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def read_yaml(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def documentation() -> dict[str, t.Any]:
    """What ansible-doc says about every module."""
    program = str(pathlib.Path(sys.executable).parent / "ansible-doc")
    command = [program, "--json", "--type", "module", *(f"{COLLECTION}.{name}" for name in MODULES)]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return t.cast("dict[str, t.Any]", json.loads(run.stdout))


def test_action_group_lists_exactly_the_modules() -> None:
    assert sorted(read_yaml(ROOT / "meta" / "runtime.yml")["action_groups"]["scaling"]) == MODULES


def test_the_group_that_shares_a_connection_lists_exactly_those_that_have_one(documentation: dict[str, t.Any]) -> None:
    speak = [name for name in MODULES if {"engine", "project"} <= set(documentation[f"{COLLECTION}.{name}"]["doc"]["options"])]
    assert sorted(read_yaml(ROOT / "meta" / "runtime.yml")["action_groups"]["lxd"]) == speak


def test_limits_are_documented_in_the_same_words_where_no_fragment_reaches(documentation: dict[str, t.Any]) -> None:
    """A fragment gives whole options, and those of an instance stand one level below."""
    of_an_instance = documentation[f"{COLLECTION}.lxc_instance"]["doc"]["options"]["instances"]["suboptions"]["limits"]["suboptions"]
    of_all = documentation[f"{COLLECTION}.lxc_botserver"]["doc"]["options"]["limits"]["suboptions"]
    assert of_an_instance == of_all
    assert of_all.keys() == LIMIT_OPTIONS.keys()


@pytest.mark.parametrize("name", MODULES)
def test_module_states_attributes_and_shows_itself(name: str, documentation: dict[str, t.Any]) -> None:
    entry = documentation[f"{COLLECTION}.{name}"]
    assert {"check_mode", "diff_mode", "idempotent", "action_group"} <= set(entry["doc"]["attributes"])
    tasks = yaml.safe_load(entry["examples"])
    assert any(f"{COLLECTION}.{name}" in task for task in tasks)
    assert entry["return"]
    assert entry["doc"]["author"]


def documentation_lines(tree: ast.Module) -> int:
    """Lines that DOCUMENTATION, EXAMPLES, RETURN and the docstring take."""
    texts = (node for node in tree.body if isinstance(node, (ast.Assign, ast.Expr)) and isinstance(node.value, ast.Constant))
    return sum((node.end_lineno or 0) - node.lineno + 1 for node in texts)


@pytest.mark.parametrize("name", MODULES)
def test_module_is_documentation_and_little_code(name: str) -> None:
    source = (ROOT / "plugins" / "modules" / f"{name}.py").read_text(encoding="utf-8")
    comments = sum(1 for line in source.splitlines() if not line.strip() or line.startswith("#"))
    assert len(source.splitlines()) - documentation_lines(ast.parse(source)) - comments <= 80


@pytest.mark.parametrize("path", PROGRAMS, ids=relative)
def test_functions_are_short(path: pathlib.Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > 50] == []


@pytest.mark.parametrize("path", [path for path in PROGRAMS if relative(path).startswith("plugins/") and path.stat().st_size], ids=relative)
def test_program_states_its_license(path: pathlib.Path) -> None:
    assert "# SPDX-License-Identifier: GPL-3.0-or-later" in path.read_text(encoding="utf-8").splitlines()[:5]


@pytest.mark.parametrize("role", ROLES)
def test_role_is_complete(role: str) -> None:
    for name in ("README.md", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml"):
        assert (ROOT / "roles" / role / name).is_file(), name
    tasks = (ROOT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8").splitlines()
    assert len([line for line in tasks if line.strip() and not line.startswith("#")]) <= 60


@pytest.mark.parametrize("role", ROLES)
def test_every_default_of_a_role_is_specified_with_the_same_value(role: str) -> None:
    defaults = read_yaml(ROOT / "roles" / role / "defaults" / "main.yml") or {}
    entry_points = read_yaml(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"].values()
    documented = {name: option for entry in entry_points for name, option in (entry.get("options") or {}).items()}
    visible = {name: value for name, value in defaults.items() if not name.startswith("__")}
    assert sorted(set(visible) - set(documented)) == []
    # The schema of specs refuses a template as the default of an option that is not text.
    templates = {name for name, value in visible.items() if isinstance(value, str) and "{{" in value}
    stated = {name: documented[name].get("default") for name in visible}
    assert [name for name in templates if stated[name] is not None and documented[name].get("type", "str") not in ("str", "path")] == []
    assert {name: value for name, value in stated.items() if value is not None or name not in templates} == {
        name: value for name, value in visible.items() if name not in templates or stated[name] is not None
    }


FORBIDDEN = re.compile(r"^\s*(- )?(ignore_errors:|failed_when: false|ignore_unreachable:)|(?<![\w-])sleep \d|\bTODO\b|\bFIXME\b")


def forbidden_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if FORBIDDEN.search(line)]


@pytest.mark.parametrize("path", PLAYS, ids=relative)
def test_no_failure_is_hidden_and_nothing_waits_blindly(path: pathlib.Path) -> None:
    assert forbidden_lines(path.read_text(encoding="utf-8")) == []


def arguments(node: t.Any) -> t.Iterator[t.Any]:
    """Every item of every C(argv) below a node of YAML."""
    if isinstance(node, dict):
        if isinstance(node.get("argv"), list):
            yield from node["argv"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from arguments(one)


def merged_twice(node: t.Any) -> t.Iterator[str]:
    """Keys of a mapping that it merges as well, of which Ansible warns in every run."""
    if isinstance(node, yaml.MappingNode):
        merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge" and isinstance(value, yaml.MappingNode)]
        inherited = {key.value for mapping in merged for key, _value in mapping.value}
        yield from (key.value for key, _value in node.value if key.value in inherited)
        yield from (found for pair in node.value for child in pair for found in merged_twice(child))
    elif isinstance(node, yaml.SequenceNode):
        yield from (found for child in node.value for found in merged_twice(child))


@pytest.mark.parametrize("path", PLAYS, ids=relative)
def test_no_mapping_overrides_what_it_merges(path: pathlib.Path) -> None:
    assert not [*merged_twice(yaml.compose(path.read_text(encoding="utf-8")))]


def test_a_key_that_is_merged_and_given_is_found() -> None:
    assert [*merged_twice(yaml.compose("- &one {a: 1, b: 2}\n- {<<: *one, b: 3, c: {<<: *one, d: 4}}\n"))] == ["b"]


@pytest.mark.parametrize("path", PLAYS, ids=relative)
def test_every_argument_of_a_command_is_text(path: pathlib.Path) -> None:
    # "--only-binary=:all:" without quotes is a mapping.
    assert [one for one in arguments(read_yaml(path)) if not isinstance(one, (str, int))] == []


def test_forbidden_words_are_found() -> None:
    lines = ["  ignore_errors: true", "  failed_when: false", "cmd: sleep 5 && true", "# TODO later"]
    assert forbidden_lines("\n".join([*lines, "RestartSec=1", "no sleep here", "x_ignore_errors: 1"])) == [line.strip() for line in lines]


def requirement_names(name: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def canonical(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    found = (line.split("==") for line in requirement_names("constraints.txt"))
    return {canonical(name): version for name, version in found}


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-test.txt"])
def test_every_requirement_is_a_plain_name_with_a_reason_and_a_pin(file: str) -> None:
    names = requirement_names(file)
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9-]+", name)] == []
    assert [name for name in names if canonical(name) not in pins()] == []
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#") and "  # " not in line] == []


def test_what_is_installed_is_what_is_pinned() -> None:
    if not (ROOT / ".venv" / "bin" / "python").exists() or pathlib.Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not run from the checkout's own .venv")
    installed = {canonical(found.metadata["Name"]): found.version for found in importlib.metadata.distributions()}
    bootstrap = {"pip", "setuptools"}
    assert {name: version for name, version in installed.items() if pins().get(name) != version and name not in bootstrap} == {}


def test_dependencies_of_the_artifact_come_with_the_requirements() -> None:
    from ansible.utils.version import SemanticVersion

    packages = pathlib.Path(t.cast("str", importlib.metadata.distribution("ansible").locate_file("ansible_collections")))
    for name, wanted in read_yaml(ROOT / "galaxy.yml")["dependencies"].items():
        manifest = json.loads((packages / name.replace(".", "/") / "MANIFEST.json").read_text(encoding="utf-8"))
        assert wanted.startswith(">=")
        assert SemanticVersion(manifest["collection_info"]["version"]) >= SemanticVersion(wanted.removeprefix(">="))


@pytest.mark.parametrize("folder", ["plugins", "roles", "playbooks", "inventories", "docs", "meta"])
def test_nothing_refers_to_the_machine_it_was_written_on(folder: str) -> None:
    texts = [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in {".py", ".yml", ".md", ".j2", ".csv", ""}]
    words = re.compile(r"/(root|home)/[.\w]+/")
    assert [relative(path) for path in texts if words.search(path.read_text(encoding="utf-8"))] == []

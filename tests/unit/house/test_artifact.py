# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact holds what a user needs and nothing else, and works from where a user installs it."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tarfile

import pytest

from tools import artifact

FOLDERS = {"docs", "inventories", "meta", "playbooks", "plugins", "roles"}
FILES = {"CHANGELOG.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md", "constraints.txt", "requirements.txt"}
# Hidden files may hold secrets or the state of tools; the rest is rubbish.
UNWANTED = re.compile(r"(^|/)(\.|__pycache__)|\.(pyc|retry|log|key|crt|tar\.gz)$")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return artifact.build(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="module")
def installed(archive: pathlib.Path) -> pathlib.Path:
    return artifact.install(archive, archive.parent / "installed")


def ansible(installed: pathlib.Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible as a user does who has only the installed collection."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": str(installed.parents[2]), "ANSIBLE_NOCOLOR": "1"}
    command = [str(pathlib.Path(sys.executable).parent / program), *arguments]
    return subprocess.run(command, cwd=installed.parents[2], env=environment, check=False, capture_output=True, text=True)


def test_holds_what_a_user_needs_and_nothing_else(archive: pathlib.Path) -> None:
    with tarfile.open(archive) as stream:
        names = [member.name for member in stream.getmembers()]
    assert {name.split("/")[0] for name in names} == FOLDERS | FILES
    assert [name for name in names if UNWANTED.search(name)] == []


def test_secrets_beside_an_inventory_stay_out(archive: pathlib.Path, tmp_path: pathlib.Path) -> None:
    secret = artifact.CHECKOUT / "inventories" / "demo" / ".secrets" / "house-test"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.write_text("x", encoding="utf-8")
    try:
        with tarfile.open(artifact.build(tmp_path)) as stream:
            assert [name for name in stream.getnames() if ".secrets" in name] == []
    finally:
        secret.unlink()
        if not any(secret.parent.iterdir()):
            secret.parent.rmdir()


LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")


def test_links_of_the_documentation_lead_somewhere_in_the_artifact(installed: pathlib.Path) -> None:
    pages = [*installed.glob("*.md"), *installed.glob("docs/**/*.md"), *installed.glob("roles/*/README.md")]
    links = {(page, link) for page in pages for link in LINK.findall(page.read_text()) if "://" not in link}
    assert len(links) > 50, "the pattern finds no links any more"
    assert sorted(f"{page.relative_to(installed)}: {link}" for page, link in links if not (page.parent / link).exists()) == []


def test_documentation_is_found_in_the_installed_collection(installed: pathlib.Path) -> None:
    modules = sorted(f"generalbots.scaling.{path.stem}" for path in (installed / "plugins" / "modules").glob("*.py"))
    shown = ansible(installed, "ansible-doc", "--type", "module", *modules)
    assert shown.returncode == 0, shown.stderr
    assert str(installed) in shown.stdout


@pytest.mark.parametrize("playbook", sorted(path.stem for path in (artifact.CHECKOUT / "playbooks").glob("*.yml")))
@pytest.mark.parametrize("inventory", ["demo", "ha"])
def test_playbooks_run_from_the_installed_collection_by_name(installed: pathlib.Path, playbook: str, inventory: str) -> None:
    hosts = str(installed / "inventories" / inventory / "01-hosts.yml")
    checked = ansible(installed, "ansible-playbook", "--syntax-check", "-i", hosts, f"generalbots.scaling.{playbook}")
    assert checked.returncode == 0, checked.stdout + checked.stderr


ROOT = """
- hosts: localhost
  gather_facts: false
  roles:
    - role: generalbots.scaling.gb
      vars:
        gb_config_csv: {config}
  tasks:
    - ansible.builtin.debug:
        var: gb_inventory_dir
"""


def test_an_inventory_that_is_no_file_has_its_folder_beside_the_playbook(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(ROOT.format(config=installed / "inventories/demo/config.csv"), encoding="utf-8")
    done = ansible(installed, "ansible-playbook", "-i", "localhost,", "-c", "local", str(play))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'"gb_inventory_dir": "{tmp_path}"' in done.stdout
    assert not (tmp_path / "None").exists()


@pytest.mark.parametrize(
    "playbook, group", [("postgres_switchover", "postgres"), ("postgres_upgrade", "postgres"), ("etcd_recover", "etcd")]
)
def test_a_playbook_without_its_members_says_so(installed: pathlib.Path, playbook: str, group: str) -> None:
    done = ansible(installed, "ansible-playbook", "-i", "localhost,", "-c", "local", f"generalbots.scaling.{playbook}")
    assert done.returncode != 0
    assert f"(group {group}). Name the inventory of the site with -i" in done.stdout.replace("\n", " ")

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role caddy refuses and builds on the controller: one run of ansible-playbook with stand-ins for Caddy and go."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml

from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS

# The user's variables, which the first role of every play brings.
GB = pathlib.Path(__file__).resolve().parents[3] / "roles/gb/defaults/main.yml"
SETTINGS = {**{name: key.default for name, key in KEYS.items()}, "scale-max-instances": 4}
GOOD: dict[str, t.Any] = {"gb_settings": SETTINGS, "caddy_cookie_secret": "x" * 32}
LIMITED = {**SETTINGS, "rate-limit-enabled": True}
WEB = {"name": "web"}


def routes(*more: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**GOOD, "gb_routes": [*more]}


# name: (entry point, variables, what the refusal says); {bin} is the folder of the stand-ins
REFUSED: dict[str, tuple[str, dict[str, t.Any], str]] = {
    "no health checks": ("preflight", {**GOOD, "gb_settings": {**SETTINGS, "health-enabled": False}}, "every one of the 4 slots"),
    "a short secret": ("preflight", {**GOOD, "caddy_cookie_secret": "short"}, "fewer than 32 characters"),
    "no name": ("preflight", {**GOOD, "gb_site_hosts": []}, "gb_site_hosts is empty"),
    "no route": ("preflight", routes(), "gb_routes is empty"),
    "a route that hides another": ("preflight", routes(WEB, {"name": "api", "path": ["/api/*"]}), "taken by route web before it"),
    "an unknown policy": ("preflight", routes({**WEB, "policy": "sticky"}), "got: sticky"),
    "an option of another policy": ("preflight", routes({**WEB, "policy": "first", "choose": 2}), "choose does not belong to policy first"),
    "an option that is none": ("preflight", routes({**WEB, "polici": "first"}), "polici"),
    "a limit of 0": ("preflight", routes({**WEB, "limit": {"requests": 0}}), "requests and window of its limit are 1 or more"),
    "a window with a unit": ("preflight", routes({**WEB, "limit": {"requests": 5, "window": "1 hour"}}), "unable to convert to int"),
    "a limit by what is not known": ("preflight", routes({**WEB, "limit": {"requests": 5, "by": "colour"}}), "gb_rate_limit_keys has only"),
    "an endpoint without paths": ("preflight", {**GOOD, "gb_settings": {**LIMITED, "rate-limit-api-file": 5}}, "rate-limit-api-files?"),
    "HTTP/3 where no address comes": (
        "preflight",
        {**GOOD, "gb_settings": LIMITED, "gb_http_versions": ["h1", "h2", "h3"]},
        "all visitors would share one limit",
    ),
    "no public name for ACME": ("preflight", {**GOOD, "gb_tls": {"source": "acme"}}, "signs only names that all the world can look up"),
    "ACME for several proxies": (
        "preflight",
        {**GOOD, "gb_site_hosts": ["bots.example.org"], "gb_tls": {"source": "acme"}, "gb_proxies": 2},
        "gb_proxies is 2",
    ),
    "files and no key": ("preflight", {**GOOD, "gb_tls": {"source": "files", "certificate": "{bin}/caddy"}}, "no key"),
    "a certificate that is not there": (
        "preflight",
        {**GOOD, "gb_tls": {"source": "files", "certificate": "{bin}/no.crt", "key": "{bin}/no.key"}},
        "cannot be read on the controller",
    ),
    "a URL without a checksum": ("build", {"caddy_binary": "https://example.com/caddy"}, "nothing was downloaded"),
    "a file that is not there": ("build", {"caddy_binary": "{bin}/absent"}, "is not a file"),
    "another checksum": ("build", {"caddy_binary": "{bin}/caddy", "caddy_binary_checksum": "sha256:" + "0" * 64}, "has the SHA-256"),
    "an old Caddy": ("build", {"caddy_binary": "{bin}/old"}, "At least 2.11.2"),
    "a Caddy without the module": ("build", {"caddy_binary": "{bin}/plain"}, "without the module http.handlers.rate_limit"),
    "an old go": ("build", {"caddy_go": "{bin}/go1.19"}, "go 1.26.0 is needed"),
    "a build that breaks": ("build", {"caddy_go": "{bin}/broken"}, "non-zero return code"),
}

CADDY = "#!/bin/sh\ncase $1 in version) echo '{version}';; list-modules) echo '{modules}';; esac\n"
# Builds what -o names, and says in a file beside itself that it did.
GO = """#!/bin/sh
[ "$1" = version ] && {{ echo 'go version {version} linux/amd64'; exit 0; }}
echo build >> "$0.log"
{build}
"""
PROGRAMS = {
    "caddy": CADDY.format(version="v2.11.9 h1:x", modules="http.handlers.rate_limit"),
    "old": CADDY.format(version="v2.11.1 h1:x", modules="http.handlers.rate_limit"),
    "plain": CADDY.format(version="v2.11.9 h1:x", modules="http.handlers.encode"),
    "go1.19": GO.format(version="go1.19.8", build="exit 1"),
    "broken": GO.format(version="go1.26.8", build="echo half > caddy; exit 1"),
    "go": GO.format(version="go1.26.8", build='cp "$(dirname "$0")/caddy" caddy && ls main.go go.mod go.sum > /dev/null'),
}


def include(entry: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "name": "Use the role",
        "ansible.builtin.include_role": {"name": "generalbots.scaling.caddy", "tasks_from": entry},
        "vars": variables,
    }


def refusal(name: str, entry: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    keep = {"refusals": "{{ refusals | default({}) | combine({case: ansible_failed_result.msg}) }}"}
    return {"vars": {"case": name}, "block": [include(entry, variables)], "rescue": [{"ansible.builtin.set_fact": keep}]}


class Run(t.NamedTuple):
    refusals: dict[str, str]
    cache: pathlib.Path
    programs: pathlib.Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every case in one run, for a start of ansible-playbook costs as much as all of them."""
    folder = tmp_path_factory.mktemp("role")
    programs, cache = folder / "bin", folder / "cache"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    cases = json.loads(json.dumps(REFUSED).replace("{bin}", str(programs)))
    tasks: list[dict[str, t.Any]] = [{"ansible.builtin.set_fact": {"gb_cache_dir": str(cache)}}]
    tasks += [refusal(name, entry, variables) for name, (entry, variables, _why) in cases.items()]
    tasks += [include("preflight", GOOD), include("build", {"caddy_binary": f"{programs}/caddy"})]
    tasks += [include("build", {"caddy_go": f"{programs}/go"})] * 2
    tasks.append({"ansible.builtin.copy": {"content": "{{ refusals | to_json }}", "dest": f"{folder}/result.json", "mode": "0600"}})
    variables = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "vars_files": [str(GB)], "tasks": tasks}
    (folder / "play.json").write_text(json.dumps([play]))
    (folder / "ansible.cfg").write_text("[defaults]\n")
    environment = os.environ | {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(folder / "play.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(json.loads((folder / "result.json").read_text()), cache, programs)


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_why(run: Run, name: str) -> None:
    assert REFUSED[name][2] in run.refusals.get(name, "was not refused")


def test_systemd_lets_it_end_within_its_grace_period() -> None:
    tasks = yaml.safe_load((GB.parents[2] / "caddy/tasks/configure.yml").read_text(encoding="utf-8"))
    written = [task["ansible.builtin.copy"] for task in tasks if "ansible.builtin.copy" in task]
    assert [one["content"] for one in written] == ["[Service]\nTimeoutStopSec={{ caddy_grace_period }} 5s\n"]


def test_builds_once_under_the_hash_of_its_sources(run: Run) -> None:
    sources = pathlib.Path(__file__).parents[3] / "roles" / "caddy" / "files" / "build"
    texts = [(sources / name).read_text().rstrip() for name in ("main.go", "go.mod", "go.sum")]
    built = run.cache / "caddy" / hashlib.sha256("".join(texts).encode()).hexdigest()
    assert [path.name for path in built.iterdir()] == ["caddy"]
    assert (built / "caddy").read_text() == PROGRAMS["caddy"]
    assert (run.programs / "go.log").read_text() == "build\n"


def test_a_build_that_broke_left_nothing_to_be_taken_for_a_binary(run: Run) -> None:
    assert (run.programs / "broken.log").exists()
    assert (run.programs / "go.log").exists(), "the next build found a binary of the broken one"

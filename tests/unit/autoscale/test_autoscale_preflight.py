# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every tick would refuse is refused by site.yml as well, before anything is made."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.generalbots.scaling.plugins.filter.autoscale_policy import FilterModule

policy = FilterModule().filters()["autoscale_policy"]
TOKENS = {"scale-rule-tokens-high": 5000, "scale-rule-tokens-high-action": "up"}
TOKENS_SOURCE = {"name": "tokens", "prometheus": {"url": "http://127.0.0.1:9090", "query": "sum(tokens)"}}


def test_the_policy_is_made_as_a_tick_makes_it() -> None:
    found = policy({"scale-max-instances": 4, **TOKENS}, {"margin": None}, [TOKENS_SOURCE])
    assert (found["enabled"], found["min"], found["max"]) == (False, 1, 4)
    assert {"key": "scale-rule-tokens-high", "metric": "tokens", "level": 5000.0, "direction": "out"} in found["rules"]


@pytest.mark.parametrize(
    ("settings", "options", "sources", "words"),
    [
        (TOKENS, {}, [], "'tokens', which nothing measures. Known are cpu, memory, requests, in-flight, response-time; name another"),
        ({"scale-rule-queue-depth": 9, "scale-rule-queue-action": "up"}, {}, [TOKENS_SOURCE], "'queue-depth', which nothing measures"),
        ({"scale-rule-cpu-low": 80}, {}, [], "scale-rule-cpu-low (80) is not below scale-cpu-threshold (70)"),
        ({}, {"margins": 1}, [], "gb_autoscale has no option 'margins'"),
        ({}, {}, [{"name": "tokens"}], "source 'tokens' has no kind; give exactly one of redis_list, command, prometheus"),
        ({}, {}, [{**TOKENS_SOURCE, "timeout": "soon"}], "gb_autoscale_sources: argument 'timeout' is of type str"),
        ({}, {}, [{"name": "tokens", "prometheus": {"url": "http://127.0.0.1:9090"}}], "missing required arguments: query"),
        ({}, {}, [{"name": "tokens", "command": {"argv": []}}], "source 'tokens': command.argv is [], it must begin with the program"),
        ({}, {}, [{**TOKENS_SOURCE, "timeout": "-1"}], "source 'tokens': timeout is -1.0, it must be seconds above 0"),
    ],
    ids=["a metric", "a queue", "levels", "an option", "no kind", "a type", "no query", "no program", "no time"],
)
def test_what_a_tick_would_refuse_is_refused(
    settings: dict[str, t.Any], options: dict[str, t.Any], sources: list[dict[str, t.Any]], words: str
) -> None:
    with pytest.raises(AnsibleFilterError) as refusal:
        policy(settings, options, sources)
    assert words in str(refusal.value)


def test_site_refuses_a_metric_that_nothing_measures_before_anything_is_made(tmp_path: pathlib.Path) -> None:
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"localhost": host}}}))
    (tmp_path / "config.csv").write_text("key,value\nscale-rule-tokens-high,5000\nscale-rule-tokens-high-action,up\n")
    given = {"gb_config_csv": str(tmp_path / "config.csv"), "gb_cache_dir": str(tmp_path / "cache"), "botserver_demo": True}
    command = [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.json"), "--tags", "autoscaler"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "false"}
    arguments = ["generalbots.scaling.site", "-e", json.dumps(given)]
    done = subprocess.run([*command, *arguments], text=True, capture_output=True, check=False, env=environment)
    said = " ".join((done.stdout + done.stderr).split())
    why = "scale-rule-tokens-high asks for the metric 'tokens', which nothing measures. Known are cpu,"
    assert done.returncode == 2 and why in said, said
    assert "changed=0" in said and "Make the policy, or say why every tick would refuse it" in said

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed settings from file and overrides, and every refusal."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.inputs import loaded
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import load, load_file
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.validate import RULES, broken_rules
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.writer import write

ROOT = pathlib.Path(__file__).resolve().parents[3]
FILES = pathlib.Path(__file__).parent / "files"
TEMPLATES = sorted((pathlib.Path(os.environ.get("GB_SHARED", ROOT.parent / "shared")) / "configs").glob("*.csv"))


def errors_of(text: str, overrides: t.Mapping[str, t.Any] | None = None) -> list[dict[str, t.Any]]:
    """The problems for which ``text`` is refused; each of them stands in the message too."""
    with pytest.raises(InvalidInput) as caught:
        load(text, "config.csv", overrides)
    errors: list[dict[str, t.Any]] = caught.value.details["errors"]
    for error in errors:
        assert error["key"] in str(caught.value) and error["rule"] in str(caught.value) and error["remedy"] in str(caught.value)
    return errors


def test_an_empty_file_gives_the_defaults() -> None:
    settings = load("", "config.csv")
    assert settings.values == {name: key.default for name, key in KEYS.items()}
    assert (settings.given, settings.foreign, settings.unconsumed) == ({}, {}, [])


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("scale-enabled,true", True), ("scale-enabled,False", False), ("health-enabled,FALSE", False),
        ("scale-max-instances,007", 7), ("scale-cooldown-seconds,0", 0), ("scale-max-instances,150", 150),
        ("shard-algorithm,consistent-hash", "consistent-hash"),
        ("shard-tenant-db-prefix,acme_", "acme_"), ("shard-geo-us,10.0.0.7", "10.0.0.7"),
        ("shard-geo-us,db-1.us.example", "db-1.us.example"),
        ("health-endpoint,/api/health?deep=1", "/api/health?deep=1"), ("fallback-llm-model,org/Model 1.5B", "org/Model 1.5B"),
        ("qdrant-write-consistency,majority", "majority"), ("qdrant-write-consistency,1", 1),
        ("cache-nodes,a:6379, b ,[fd00::1]:6379", ["a:6379", "b", "[fd00::1]:6379"]),
        ("shard-ranges,10-:b,0-9:a", [{"first": 10, "last": None, "shard": "b"}, {"first": 0, "last": 9, "shard": "a"}]),
        ("scale-rule-response-time,none", None), ("scale-min-instances,", 1), ("scale-min-instances,N/A", 1),
        ("health-endpoint,NULL", "/api/health"),
    ],
)  # fmt: skip
def test_a_value_is_typed(line: str, value: object) -> None:
    settings = load(f"# comment\n{line}", "config.csv")
    name, _comma, text = line.partition(",")
    assert settings.values[name] == value and isinstance(settings.values[name], type(value))
    assert settings.given == ({} if text.lower() in ("", "none", "null", "n/a") else {name: 2})


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("scale-enabled,yes", "must be true or false"),
        ("scale-enabled,1", "must be true or false"),
        ('scale-enabled,"true"', "must be true or false"),
        ("scale-min-instances,0", "must be a whole number from 1 to 150"),
        ("scale-max-instances,151", "must be a whole number from 1 to 150"),
        ("scale-max-instances,-1", "must be a whole number from 1 to 150"),
        ("scale-max-instances,2.5", "must be a whole number from 1 to 150"),
        ("scale-max-instances,1_0", "must be a whole number from 1 to 150"),
        ("scale-max-instances,\u0664", "must be a whole number from 1 to 150"),
        ("scale-max-instances," + "9" * 5000, "must be a whole number from 1 to 150"),
        ("scale-cpu-threshold,70%", "must be a whole number from 1 to 100"),
        ("scale-memory-threshold,101", "must be a whole number from 1 to 100"),
        ("scale-request-threshold,0", "must be a whole number from 1 to"),
        ("scale-cooldown-seconds,5m", "must be a whole number from 0 to 86400"),
        ("scale-check-interval,0", "must be a whole number from 1 to 3600"),
        ("scale-check-interval,5 # quick", "must be a whole number from 1 to 3600"),
        ("scale-rule-cpu-low-action,up", "must be down"),
        ("scale-rule-response-action,Up", "must be up or down"),
        ("shard-strategy,time", "must be one of tenant, hash, range, geo"),
        ("shard-tenant-db-prefix,Acme-", "small letters"),
        ("shard-geo-eu,host:5432", "without port"),
        ("health-endpoint,api/health", "begins with one slash"),
        ("health-endpoint,//evil", "begins with one slash"),
        ("health-endpoint,/{env.X}", "URL path"),
        ("health-endpoint,/a b", "URL path"),
        ("fallback-llm-model,x # y", "plain text"),
        ("qdrant-write-consistency,quorum", "must be majority or a whole number from 1 to 100"),
        ("cache-nodes,a:1,,b:2", "'' is not a node"),
        ("cache-nodes,a:0", "'a:0' is not a node"),
        ("cache-nodes,a:65536", "'a:65536' is not a node"),
        ("cache-nodes,a:1,a:1", "twice"),
        ("shard-ranges,0-9", "'0-9' is not a range"),
        ("shard-ranges,9-0:a", "ends before it begins"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_a_remedy(line: str, rule: str) -> None:
    name, _comma, text = line.partition(",")
    (error,) = errors_of(f"\n\n{line}")
    assert (error["file"], error["line"], error["key"], error["value"]) == ("config.csv", 3, name, text)
    assert rule in error["rule"]
    assert f"{name}," in error["remedy"]


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("scale-max-instance,4", "scale-max-instances"),
        ("scale-cooldown,4", "scale-cooldown-seconds"),
        ("Scale-Enabled,true", "scale-enabled"),
        ("scale_enabled,true", "scale-enabled"),
        ("Scale Enabled,true", "scale-enabled"),
        ('"scale-enabled","true"', "scale-enabled"),
        ("scale-rule-,1", "scale-rule-cpu-low"),
        ("scale-rule-Disk-Low,1", "scale-rule-cpu-low"),
        ("rate-limit-api-,1", "rate-limit-api-chat"),
        ("rate-limit-api-Chat,1", "rate-limit-api-chat"),
        ("rate-limit-apichat,1", "rate-limit-api-chat"),
        ("rate-limit-,1", "rate-limit-by"),
        ("shard-geo-usa,x", "shard-geo-us"),
        ("qdrant-shards-count,1", "qdrant-shard-count"),
        ("cache-node,x", "cache-nodes"),
        ("health-retry,1", "health-retries"),
        ("Health-Retry,1", "health-retries"),
        ("circuit-breaker-enable,true", "circuit-breaker-enabled"),
        ("fallback-llm-modell,x", "fallback-llm-model"),
        ("metrics-scaling-enable,true", "metrics-scaling-enabled"),
    ],
)
def test_an_unknown_key_of_ours_is_refused_with_the_nearest_name(line: str, nearest: str) -> None:
    (error,) = errors_of(line)
    assert error["rule"] == f"is not a known key; the nearest one is {nearest}"
    assert nearest in error["remedy"]


def test_a_very_long_unknown_key_is_refused_too() -> None:
    (error,) = errors_of("scale-" + "x" * 100_000 + "," + "y" * 1000)
    assert (error["rule"], error["remedy"]) == ("is not a known key", "Take it out; docs/settings.md has those that there are.")


def test_a_line_of_ours_without_comma_is_refused_and_others_pass() -> None:
    (error,) = errors_of("some words\nscale-enabled;true\n")
    assert (error["line"], error["rule"]) == (2, "has no comma between key and value")
    assert error["remedy"] == "Write scale-enabled,true."


@pytest.mark.parametrize("line", ["scale-enabled;yes", "scale-enabled\tyes", "scale-enabled = yes", "scale-enabled yes"])
def test_a_line_with_another_sign_is_told_as_it_was_meant(line: str) -> None:
    assert errors_of(line)[0]["remedy"] == "Write scale-enabled,yes."
    assert errors_of("scale-enabled")[0]["remedy"] == "Write scale-enabled,value."


@pytest.mark.parametrize("dash", "\u2010\u2011\u2013\u2014\u2212")
def test_a_key_with_dashes_of_a_printed_page_is_refused(dash: str) -> None:
    (error,) = errors_of(f"scale{dash}min{dash}instances,2")
    assert error["remedy"] == "Write scale-min-instances, or take the key out."
    assert errors_of(f"cache{dash}nod,2")[0]["remedy"] == "Write cache-nodes, or take the key out."


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("scale-enabled,yes", "Write scale-enabled,true."), ("scale-enabled,0", "Write scale-enabled,false."),
        ('scale-enabled,"True"', "Write scale-enabled,true."), ("scale-min-instances,2 # two", "Write scale-min-instances,2."),
        ("scale-cpu-threshold,70%", "Write scale-cpu-threshold,70."), ("scale-cooldown-seconds,5m", "Write scale-cooldown-seconds,300."),
        ("scale-cooldown-seconds,90 s", "Write scale-cooldown-seconds,90."),
        ("scale-request-threshold,1,000", "Write scale-request-threshold,1000."),
        ("rate-limit-burst,5 requests", "Give such a value, as in rate-limit-burst,20."),
        ("scale-max-instances,2h", "Give such a value, as in scale-max-instances,10."),
        ("scale-max-instances,500%", "Give such a value, as in scale-max-instances,10."),
        ("scale-max-instances,-1", "Give such a value, as in scale-max-instances,10."),
        ("cache-ttl,1h", "Take it out; docs/settings.md has those that there are."),
        ("qdrant-clustr,true", "Take it out; docs/settings.md has those that there are."),
    ],
)  # fmt: skip
def test_the_remedy_is_what_was_meant_where_that_can_be_told(line: str, remedy: str) -> None:
    assert errors_of(line)[0]["remedy"] == remedy


def test_a_byte_order_mark_is_refused() -> None:
    (error,) = errors_of("\ufeffscale-enabled,true")
    assert error["line"] == 1 and "byte order mark" in error["rule"] and "without byte order mark" in error["remedy"]


@pytest.mark.parametrize(
    ("content", "line", "rule", "remedy"),
    [
        (b"$ANSIBLE_VAULT;1.1;AES256\n3162\n", 1, "is encrypted with ansible-vault", "ansible-vault decrypt"),
        (b"\xef\xbb\xbf$ANSIBLE_VAULT;1.1;AES256\n3162\n", 1, "is encrypted with ansible-vault", "ansible-vault decrypt"),
        (b"key,value\rscale-max-instances,4\r", 1, "holds a carriage return", "line ends of Unix or Windows"),
        (b"# head\n# more\rscale-max-instances,4\n", 2, "holds a carriage return", "line ends of Unix or Windows"),
        ("key,value\nscale-max-instances,4\n".encode("utf-16-le"), 1, "holds a NUL character", "as UTF-8 without byte order mark"),
        ("key,value\nscale-max-instances,4\n".encode("utf-16-be"), 1, "holds a NUL character", "as UTF-8 without byte order mark"),
    ],
    ids=["vaulted", "vaulted behind a mark", "of an old Macintosh", "of one in part", "UTF-16", "UTF-16, the other way"],
)
def test_a_file_whose_lines_say_nothing_is_not_taken_for_an_empty_one(
    tmp_path: pathlib.Path, content: bytes, line: int, rule: str, remedy: str
) -> None:
    (tmp_path / "config.csv").write_bytes(content)
    with pytest.raises(InvalidInput, match=str(tmp_path / "config.csv")) as caught:
        load_file(str(tmp_path / "config.csv"))
    [error] = caught.value.details["errors"]
    assert error["line"] == line and rule in error["rule"] and remedy in error["remedy"]
    assert "3162" not in str(caught.value)
    held = loaded(str(tmp_path / "config.csv"), {}, refuse_unconsumed=True, last_good='{"scale-max-instances": 4}')
    assert held.broken and held.values == {"scale-max-instances": 4}, "a tick goes on with the last one that was sound"


def test_line_ends_of_windows_are_none_that_stand_alone() -> None:
    assert load("key,value\r\nscale-enabled,true\r\r\n\r\nscale-max-instances,4\r", "config.csv").given == {
        "scale-enabled": 2,
        "scale-max-instances": 4,
    }


def test_a_key_given_twice_must_not_contradict_itself() -> None:
    (error,) = errors_of("scale-enabled,true\n\nscale-enabled,false")
    assert (error["line"], error["rule"]) == (3, "stands in line 1 already, with another value")
    assert load("scale-enabled,true\nscale-enabled,TRUE", "config.csv").given == {"scale-enabled": 2}


@pytest.mark.parametrize(
    ("text", "key", "wrong"),
    [
        ("scale-min-instances,5\nscale-max-instances,4", "scale-max-instances", "scale-min-instances is 5, scale-max-instances is 4"),
        ("scale-min-instances,11", "scale-min-instances", "scale-min-instances is 11, scale-max-instances is 10"),
        ("scale-rule-cpu-low,70", "scale-rule-cpu-low", "scale-rule-cpu-low is 70, scale-cpu-threshold is 70"),
        ("scale-cpu-threshold,20", "scale-cpu-threshold", "scale-rule-cpu-low is 30, scale-cpu-threshold is 20"),
        ("scale-check-interval,301", "scale-check-interval", "scale-check-interval is 301, scale-cooldown-seconds is 300"),
        ("scale-rule-response-time,2000", "scale-rule-response-time", "set, scale-rule-response-action is not"),
        ("scale-rule-queue-action,up", "scale-rule-queue-action", "scale-rule-queue-action is set, scale-rule-queue-depth is not"),
        ("scale-rule-disk-low,1", "scale-rule-disk-low", "scale-rule-disk-low is set, scale-rule-disk-low-action is not"),
        ("scale-rule-disk-low-action,down", "scale-rule-disk-low-action", "set, scale-rule-disk-low is not"),
        ("scale-rule-disk,2\nscale-rule-disk-action,up\nscale-rule-disk-low,2\nscale-rule-disk-low-action,down",
         "scale-rule-disk-low-action", "scale-rule-disk-low is 2, scale-rule-disk is 2"),
        ("scale-rule-memory-low,80\nscale-rule-memory-low-action,down", "scale-rule-memory-low-action",
         "scale-rule-memory-low is 80, scale-memory-threshold is 80"),
        ("health-interval,4", "health-interval", "health-timeout is 5, health-interval is 4"),
        ("cache-mode,cluster\ncache-nodes,a,b,c\ncache-replicas,1", "cache-replicas",
         "cache-nodes names 3, and three masters with cache-replicas 1 each need 6"),
        ("cache-mode,cluster", "cache-mode", "cache-nodes names 0"),
        ("cache-mode,sentinel", "cache-mode", "cache-nodes and cache-sentinel-nodes not set"),
        ("cache-mode,sentinel\ncache-nodes,a,b", "cache-nodes", "; cache-sentinel-nodes not set"),
        ("qdrant-write-consistency,majority\nqdrant-replication-factor,2", "qdrant-replication-factor", "writes stall"),
        ("qdrant-write-consistency,3\nqdrant-replication-factor,2", "qdrant-replication-factor", "wait for 3 replicas, and there are 2"),
        ("shard-ranges,0-9:a,11-:b", "shard-ranges", "keys 10 to 10 belong to no range"),
        ("shard-ranges,0-9:a,9-:b", "shard-ranges", "the range that begins with 9 overlaps"),
        ("shard-ranges,0-:a,9-:b", "shard-ranges", "the range that begins with 9 overlaps"),
        ("shard-ranges,1-:a", "shard-ranges", "keys 0 to 0 belong to no range"),
        ("shard-ranges,0-9:a", "shard-ranges", "keys from 10 on belong to no range"),
        ("shard-strategy,range", "shard-strategy", "shard-ranges is not set"),
        ("shard-strategy,geo", "shard-strategy", "shard-default is not set"),
    ],
)  # fmt: skip
def test_a_combination_that_cannot_work_is_refused(text: str, key: str, wrong: str) -> None:
    (error,) = errors_of(text)
    assert (error["key"], error["line"]) == (key, text.count("\n") + 1 if key in text.splitlines()[-1] else 1)
    assert wrong in error["rule"]
    assert error["remedy"]


@pytest.mark.parametrize(
    "text",
    [
        "scale-min-instances,4\nscale-max-instances,4",
        "scale-rule-cpu-low,69",
        "health-interval,5",
        "cache-mode,cluster\ncache-nodes,a,b,c",
        "cache-mode,cluster\ncache-nodes,a,b,c,d,e,f\ncache-replicas,1",
        "cache-mode,sentinel\ncache-nodes,a,b\ncache-sentinel-nodes,c,d,e",
        "qdrant-write-consistency,majority\nqdrant-replication-factor,3",
        "qdrant-write-consistency,2\nqdrant-replication-factor,2",
        "shard-strategy,range\nshard-ranges,10-:b,0-9:a",
        "shard-strategy,geo\nshard-default,eu.example",
        "shard-strategy,tenant",
    ],
)
def test_the_border_of_each_combination_passes(text: str) -> None:
    assert load(text, "config.csv").given


def test_defaults_break_no_rule_and_a_bad_key_silences_its_rules() -> None:
    values = {name: key.default for name, key in KEYS.items()}
    assert broken_rules(values, set()) == []
    (wrong,) = broken_rules({**values, "scale-min-instances": 11}, set())
    assert wrong[0] is RULES[0]
    assert broken_rules({**values, "scale-min-instances": 11}, {"scale-max-instances"}) == []
    assert [error["key"] for error in errors_of("scale-min-instances,20\nscale-max-instances,x")] == ["scale-max-instances"]


def test_everything_wrong_comes_at_once_in_the_order_of_the_file() -> None:
    text = "health-interval,2\nscale-max-instance,4\nscale-enabled,maybe\nshard-geo-eu;x\nqdrant-shard-count,0\nllm-x,fine"
    errors = errors_of(text, {"scale-check-interval": "often", "cache-x": 1})
    assert [(error["file"], error["line"]) for error in errors] == [
        ("config.csv", 1), ("config.csv", 2), ("config.csv", 3), ("config.csv", 4), ("config.csv", 5),
        ("gb_settings_overrides", None), ("gb_settings_overrides", None),
    ]  # fmt: skip


def test_the_message_reads_as_a_list() -> None:
    with pytest.raises(InvalidInput) as caught:
        load("scale-enabled,maybe\nhealth-retries,0", "group/config.csv")
    assert str(caught.value).split("\n") == [
        "The settings of group/config.csv cannot be used: 2 problems. Correct all of them and run again.",
        "  group/config.csv:1: scale-enabled = 'maybe': must be true or false. Give such a value, as in scale-enabled,false.",
        "  group/config.csv:2: health-retries = '0': must be a whole number from 1 to 100. Give such a value, as in health-retries,3.",
    ]


@pytest.mark.parametrize(
    ("key", "value", "typed"),
    [
        ("scale-max-instances", 7, 7), ("scale-max-instances", "7", 7), ("scale-max-instances", " 7 ", 7),
        ("scale-enabled", True, True), ("scale-enabled", "TRUE", True),
        ("cache-nodes", ["a:1", "b:2"], ["a:1", "b:2"]), ("cache-nodes", "a:1,b:2", ["a:1", "b:2"]),
        ("scale-cpu-threshold", None, 70), ("scale-cpu-threshold", "", 70),
    ],
)  # fmt: skip
def test_an_override_wins_over_the_file(key: str, value: object, typed: object) -> None:
    settings = load("scale-max-instances,3\nscale-enabled,false\ncache-nodes,c\nscale-cpu-threshold,50", "config.csv", {key: value})
    assert settings.values[key] == typed and isinstance(settings.values[key], type(typed))
    assert settings.given.get(key) == ("override" if value else None)


@pytest.mark.parametrize(
    ("overrides", "key", "rule"),
    [
        ({"scale-max-instances": True}, "scale-max-instances", "whole number"),
        ({"scale-max-instances": 3.5}, "scale-max-instances", "whole number"),
        ({"scale-enabled": 1}, "scale-enabled", "true or false"),
        ({"scale-enabled": {"a": 1}}, "scale-enabled", "must be text, a number"),
        ({"cache-nodes": [["a"], {}]}, "cache-nodes", "must be text, a number"),
        ({5: "x"}, "5", "must be text, a number"),
        ({"scale-max-instance": 4}, "scale-max-instance", "the nearest one is scale-max-instances"),
        ({"llm-x": "a\nb"}, "llm-x", "cannot stand in a line"),
        ({"a,b": "c"}, "a,b", "cannot stand in a line"),
    ],
)
def test_a_wrong_override_is_refused_under_its_own_place(overrides: dict[t.Any, t.Any], key: str, rule: str) -> None:
    (error,) = errors_of("scale-max-instances,3", overrides)
    assert (error["file"], error["line"], error["key"]) == ("gb_settings_overrides", None, key)
    assert rule in error["rule"]


@pytest.mark.parametrize(
    ("overrides", "shown"),
    [
        ({"llm-auth": {"api_key": "sk-x"}}, "llm-auth = '(a mapping)'"),
        ({"llm-keys": [{"a": "sk-x"}]}, "llm-keys = '(a list)'"),
        ({"llm-cert": "BEGIN\nsk-x"}, "llm-cert = '(text)'"),
        ({5: "sk-x"}, "5 = '(text)'"),
        ({"fallback-llm-key": "sk-x"}, "fallback-llm-key = '(text)'"),
        ({"scale-max-instances": {"a": 4}}, "scale-max-instances = \"{'a': 4}\""),
    ],
)
def test_what_is_refused_is_shown_only_under_a_key_of_ours(overrides: dict[t.Any, t.Any], shown: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load("", "config.csv", overrides)
    assert shown in str(caught.value)
    assert "sk-x" not in str(caught.value) + str(caught.value.details)


def test_a_combination_broken_by_an_override_is_told_there() -> None:
    (error,) = errors_of("scale-min-instances,3\nscale-max-instances,9", {"scale-max-instances": 2})
    assert (error["file"], error["key"], error["value"]) == ("gb_settings_overrides", "scale-max-instances", "2")


def test_foreign_keys_pass_untouched_and_can_be_overridden() -> None:
    settings = load(
        "llm-url,http://x,y\nrate-limit,10\nMetrics Org,acme\nllm-url,last", "config.csv", {"llm-cache-threshold": 0.9, "rate-limit": 5}
    )
    assert settings.foreign == {"llm-url": "last", "rate-limit": "5", "Metrics Org": "acme", "llm-cache-threshold": "0.9"}
    assert settings.given == {}


@pytest.mark.parametrize(
    ("text", "unconsumed"),
    [
        ("scale-enabled,true\nhealth-retries,5", []),
        ("rate-limit-enabled,false\nrate-limit-requests,5\nrate-limit-by,ip", []),
        ("rate-limit-enabled,true\ncircuit-breaker-enabled,true\nrate-limit-api-llm,20", []),
        ("metrics-container-count,true", []),
        ("fallback-cache-enabled,false", []),
        ("fallback-cache-enabled,true", ["fallback-cache-enabled"]),
        ("fallback-cache-enabled,true\nfallback-llm-enabled,true", ["fallback-cache-enabled", "fallback-llm-enabled"]),
        ("qdrant-shard-count,1\ncache-mode,single\nshard-auto-create,false", []),
        ("qdrant-shard-count,4\nshard-strategy,tenant", ["qdrant-shard-count", "shard-strategy"]),
        ("scale-rule-response-time,2000\nscale-rule-response-action,up\nscale-rule-disk,1\nscale-rule-disk-action,up", []),
    ],
)
def test_unconsumed_names_what_asks_for_an_effect_in_vain(text: str, unconsumed: list[str]) -> None:
    assert load(text, "config.csv").unconsumed == unconsumed


def test_a_rule_may_have_any_name_and_decimals() -> None:
    text = "scale-rule-queue-share,0.25\nscale-rule-queue-share-action,up\nscale-rule-x-low,1"
    settings = load(text, "config.csv", {"scale-rule-x-low-action": "down"})
    assert settings.values["scale-rule-queue-share"] == 0.25
    assert settings.values["scale-rule-x-low"] == 1 and isinstance(settings.values["scale-rule-x-low"], int)
    assert settings.given["scale-rule-x-low-action"] == "override"
    assert load(write(settings), "again").values == settings.values
    (error,) = errors_of("scale-rule-x,lots\nscale-rule-x-action,up")
    assert "must be a number from 0 to 1000000000, with a point before decimals" in error["rule"]
    (error,) = errors_of("scale-rule-x,1\nscale-rule-x-action,sideways")
    assert "must be up or down" in error["rule"]


def test_an_endpoint_that_the_user_names_has_a_limit_too() -> None:
    settings = load("rate-limit-api-llm,20\nrate-limit-api-image-search,none", "config.csv", {"rate-limit-api-x1": "7"})
    assert (settings.values["rate-limit-api-llm"], settings.values["rate-limit-api-x1"]) == (20, 7)
    assert settings.given == {"rate-limit-api-llm": 1, "rate-limit-api-x1": "override"}
    assert "rate-limit-api-image-search" not in settings.values
    assert write(settings) == "key,value\nrate-limit-api-llm,20\nrate-limit-api-x1,7\n"
    (error,) = errors_of("rate-limit-api-llm,0")
    assert "must be a whole number from 1 to 1000000" in error["rule"]


def test_a_file_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.csv"
    path.write_text("scale-enabled,true\ntheme-title,Olá\n", encoding="utf-8")
    settings = load_file(str(path), {"scale-max-instances": 3})
    assert (settings.values["scale-enabled"], settings.values["scale-max-instances"]) == (True, 3)
    assert settings.foreign == {"theme-title": "Olá"}


def test_a_file_that_cannot_be_read_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match=r"missing\.csv: No such file or directory\. Let gb_config_csv name"):
        load_file(str(tmp_path / "missing.csv"))
    with pytest.raises(InvalidInput, match="Is a directory"):
        load_file(str(tmp_path))


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.csv"
    path.write_bytes(b"a,b\nc,\xe9\n")
    with pytest.raises(InvalidInput, match=r"line 2 is not UTF-8 \(byte 6: .*Save the file as UTF-8") as caught:
        load_file(str(path))
    assert caught.value.details["line"] == 2


@pytest.mark.parametrize(
    ("name", "given", "foreign"),
    [
        ("shop", {}, {"rate-limit": "25", "theme-color1": "#4E342E", "payment-account": ""}),
        ("clinic", {}, {"hours": "mon-fri 08:00-18:00, sat 09:00-12:00", "Metrics Org": "clinic", "llm-key": "none"}),
        ("windows", {"scale-enabled": 3, "scale-max-instances": 4, "cache-mode": 6, "cache-nodes": 7}, {"llm-url": "http://10.0.0.5:8081"}),
    ],
)
def test_files_in_the_manner_of_templates(name: str, given: dict[str, int], foreign: dict[str, str]) -> None:
    settings = load_file(str(FILES / f"{name}.csv"))
    assert settings.given == given
    assert foreign.items() <= settings.foreign.items()
    assert "name" not in settings.foreign


@pytest.mark.parametrize("value", ["", "none", "25", "true", "https://a.example/x,y", "one;two # three", 'say: "hello", and go'])
def test_keys_that_templates_of_general_bots_set_are_others(value: str) -> None:
    """Of all 23 templates the names alone, some of which come near to ours: rate-limit, server_host, Metrics Org."""
    names = (FILES / "keys-of-others.txt").read_text(encoding="utf-8").splitlines()
    assert len(names) > 250
    settings = load("name,value\n,\n# ---\n" + "".join(f"{name},{value}\n" for name in names), "config.csv")
    assert settings.given == {} and settings.values == load("", "config.csv").values
    assert settings.foreign == dict.fromkeys(names, value)


@pytest.mark.skipif(not TEMPLATES, reason="the templates of General Bots are not here; GB_SHARED names the directory above configs/")
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_of_general_bots_pass_untouched(path: pathlib.Path) -> None:
    settings = load_file(str(path))
    assert settings.given == {}
    assert settings.foreign


@pytest.mark.parametrize("inventory", ["demo", "ha"])
def test_the_inventories_set_only_what_is_acted_on(inventory: str) -> None:
    settings = load_file(str(ROOT / "inventories" / inventory / "config.csv"))
    assert settings.values["scale-enabled"] is True
    assert settings.unconsumed == []
    assert all(KEYS[name].consumer for name in settings.given)

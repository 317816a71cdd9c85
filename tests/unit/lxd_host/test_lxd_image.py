# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lxc_image: made once for each version, used by a project, pruned when nothing needs it any more."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from lxd_fake import FakeLxd

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.images import ImageSpec, aliases, execute, image_key, observe, plan
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan
from ansible_collections.generalbots.scaling.plugins.modules import lxc_image

Json = dict[str, t.Any]

MADE = {"gb.component": "botserver", "gb.version": "2"}


@pytest.fixture
def lxd() -> FakeLxd:
    lxd = FakeLxd()
    lxd.add_project()
    lxd.add_instance("bake-botserver", status="Stopped")
    return lxd


@pytest.fixture
def files(tmp_path: pathlib.Path) -> dict[str, str]:
    for name in ("metadata", "rootfs"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    return {name: str(tmp_path / name) for name in ("metadata", "rootfs")}


def botserver(version: str = "2", **more: t.Any) -> ImageSpec:
    return ImageSpec(component="botserver", version=version, **{"instance": "bake-botserver", **more})


def planned(lxd: FakeLxd, spec: ImageSpec, state: str = "present") -> Plan:
    return plan(spec, observe(lxd), state)  # type: ignore[arg-type]


def bring(lxd: FakeLxd, spec: ImageSpec, state: str = "present") -> list[str]:
    wanted = planned(lxd, spec, state)
    execute(lxd, wanted, 60.0)  # type: ignore[arg-type]
    return wanted.steps()


def shelf(lxd: FakeLxd) -> dict[str, Json]:
    return {name: image["properties"] for image in observe(lxd).images for name in aliases(image) or [""]}  # type: ignore[arg-type]


def used(lxd: FakeLxd, project: str = "generalbots") -> str | None:
    return t.cast("str | None", lxd.at(f"projects/{project}")["config"].get(image_key("botserver")))


def test_a_baked_instance_is_published_once_and_used(lxd: FakeLxd) -> None:
    steps = bring(lxd, botserver())
    assert steps == [
        "publish gb/botserver/2: from bake-botserver",
        "use generalbots: gb/botserver/2",
    ]
    assert shelf(lxd)["gb/botserver/2"] == {**MADE, "description": "General Bots botserver 2"}
    assert used(lxd) == "gb/botserver/2"
    assert bring(lxd, botserver(instance="")) == []


def test_publishing_does_not_compress_and_names_the_instance(lxd: FakeLxd) -> None:
    bring(lxd, botserver())
    (body,) = [request.body for request in lxd.requests if (request.method, request.path) == ("post", "images")]
    assert body["source"] == {"type": "instance", "name": "bake-botserver"}
    assert body["compression_algorithm"] == "zstd"


def test_files_are_imported_with_their_version(lxd: FakeLxd, files: dict[str, str]) -> None:
    base = ImageSpec("base", "7", files["metadata"], files["rootfs"], use=False)
    assert bring(lxd, base) == [f"import gb/base/7: from {files['rootfs']}"]
    assert shelf(lxd)["gb/base/7"] == {"gb.component": "base", "gb.version": "7", "description": "General Bots base 7"}
    assert "user.gb.image.base" not in lxd.at("projects/generalbots")["config"]


def test_a_remote_image_is_copied(lxd: FakeLxd) -> None:
    spec = ImageSpec(component="base", version="7", remote="https://images.example.org", remote_alias="debian/12", use=False)
    assert planned(lxd, spec).steps() == ["copy gb/base/7: from https://images.example.org"]
    bring(lxd, spec)
    (body,) = [request.body for request in lxd.requests if (request.method, request.path) == ("post", "images")]
    assert body["source"]["protocol"] == "simplestreams"
    assert (body["source"]["server"], body["source"]["alias"]) == ("https://images.example.org", "debian/12")


@pytest.mark.parametrize(
    ("sources", "given"),
    [({"instance": ""}, "none"), ({"remote": "https://images.example.org"}, "bake-botserver, https://images.example.org")],
)
def test_an_image_that_must_be_made_needs_exactly_one_source(lxd: FakeLxd, sources: dict[str, str], given: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        planned(lxd, botserver(**sources))
    assert str(refused.value).endswith(f"Given: {given}.")


@pytest.mark.parametrize("source", ["import", "publish"])
def test_an_image_that_could_not_be_named_is_named_by_the_next_run(lxd: FakeLxd, files: dict[str, str], source: str) -> None:
    spec = botserver(instance="", **files) if source == "import" else botserver()
    lxd.refuse("post", "images/aliases", "connection reset", times=1)
    with pytest.raises(ApiError, match=r"was made, but could not be named gb/botserver/2: .*connection reset"):
        bring(lxd, spec)
    assert bring(lxd, spec)[0].startswith("name gb/botserver/2: ")
    assert list(shelf(lxd)) == ["gb/botserver/2"]


def test_a_nameless_image_goes_with_its_version(lxd: FakeLxd) -> None:
    lxd.add_image("", **MADE)
    lxd.add_image("", **{**MADE, "gb.version": "3"})
    assert len(bring(lxd, botserver(), "absent")) == 1
    assert [properties["gb.version"] for properties in shelf(lxd).values()] == ["3"]


def test_a_running_instance_is_not_published(lxd: FakeLxd) -> None:
    lxd.at("instances/bake-botserver")["status"] = "Running"
    with pytest.raises(ApiError, match="running"):
        bring(lxd, botserver())
    assert shelf(lxd) == {}
    assert used(lxd) is None


def test_prune_keeps_what_anything_needs(lxd: FakeLxd) -> None:
    old = {name: lxd.add_image(f"gb/botserver/{name}", **{**MADE, "gb.version": name}) for name in ("free", "other", "instance", "current")}
    lxd.add_image("gb/proxy/free", **{"gb.component": "proxy", "gb.version": "free"})
    lxd.add_image("debian/12")
    lxd.add_instance("botserver-1", config={"volatile.base_image": old["instance"]})
    lxd.add("projects/other", config={image_key("botserver"): "gb/botserver/other"})
    lxd.at("projects/generalbots")["config"][image_key("botserver")] = "gb/botserver/current"
    steps = bring(lxd, botserver(prune=True))
    assert [step for step in steps if step.startswith("delete")] == [
        "delete gb/botserver/free: nothing uses it any more",
        "delete gb/botserver/current: nothing uses it any more",
    ]
    assert set(shelf(lxd)) == {"gb/botserver/2", "gb/botserver/other", "gb/botserver/instance", "gb/proxy/free", "debian/12"}
    assert (used(lxd), used(lxd, "other")) == ("gb/botserver/2", "gb/botserver/other")


def test_without_prune_nothing_is_deleted(lxd: FakeLxd) -> None:
    lxd.add_image("gb/botserver/1", **{**MADE, "gb.version": "1"})
    bring(lxd, botserver())
    assert set(shelf(lxd)) == {"gb/botserver/1", "gb/botserver/2"}


def test_an_image_that_is_not_taken_into_use_leaves_the_one_in_use(lxd: FakeLxd) -> None:
    lxd.add_image("gb/botserver/1", **{**MADE, "gb.version": "1"})
    lxd.at("projects/generalbots")["config"][image_key("botserver")] = "gb/botserver/1"
    bring(lxd, botserver(use=False, prune=True))
    assert used(lxd) == "gb/botserver/1"
    assert "gb/botserver/1" in shelf(lxd)


def test_other_keys_of_the_project_stay(lxd: FakeLxd) -> None:
    lxd.at("projects/generalbots")["config"]["user.gb.lock"] = "{}"
    bring(lxd, botserver())
    assert lxd.at("projects/generalbots")["config"]["user.gb.lock"] == "{}"


def test_absent_deletes_it_and_again_nothing(lxd: FakeLxd) -> None:
    bring(lxd, botserver())
    assert bring(lxd, botserver(), "absent") == ["delete gb/botserver/2: it shall be absent"]
    assert bring(lxd, botserver(), "absent") == []


def run_module(lxd: FakeLxd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **arguments: t.Any) -> Json:
    monkeypatch.setattr(lxc_image, "connect", lambda options: lxd)
    with patch_module_args({"component": "botserver", "version": "2", **arguments}), pytest.raises(SystemExit):
        lxc_image.main()
    return t.cast(Json, json.loads(capsys.readouterr().out))


def test_the_module_shows_in_check_mode_what_it_does(
    lxd: FakeLxd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = run_module(lxd, monkeypatch, capsys, instance="bake-botserver", _ansible_check_mode=True)
    assert lxd.sent() == []
    done = run_module(lxd, monkeypatch, capsys, instance="bake-botserver")
    again = run_module(lxd, monkeypatch, capsys)
    assert checked["actions"] == done["actions"] and checked["diff"] == done["diff"]
    assert (done["existed"], again["existed"], again["changed"]) == (False, True, False)
    assert done["alias"] == "gb/botserver/2"


def test_an_image_that_was_made_and_not_named_need_not_be_made_again(
    lxd: FakeLxd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lxd.add_image("", **MADE)
    assert run_module(lxd, monkeypatch, capsys)["existed"] is True
    assert "gb/botserver/2" in shelf(lxd)

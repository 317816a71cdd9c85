# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom LXD trusts, for what, and where it listens for them."""

from __future__ import annotations

import base64
import copy
import hashlib
import pathlib
import types
import typing as t

import pytest
import yaml

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import trust
from ansible_collections.generalbots.scaling.plugins.modules import lxc_trust

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = "generalbots-control"


def pem(word: str) -> str:
    """A certificate as far as its envelope goes."""
    return f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(word.encode()).decode()}\n-----END CERTIFICATE-----\n"


def fingerprint(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


class Daemon:
    """A daemon's config and trust store."""

    project, where = "gb", "unix:/fake.socket"
    engine = types.SimpleNamespace(title="LXD")

    def __init__(self, **config: str) -> None:
        self.config = {key.replace("__", "."): value for key, value in config.items()}
        self.clients: list[dict[str, t.Any]] = []
        self.auth = "trusted"
        self.sent: list[tuple[str, str]] = []

    def trusts(self, name: str, word: str, *, restricted: bool = True, projects: t.Sequence[str] = ("gb",)) -> None:
        self.clients.append(
            {"name": name, "type": "client", "restricted": restricted, "projects": [*projects], "fingerprint": fingerprint(word)}
        )

    def get(self, path: str, **_query: str) -> tuple[t.Any, str]:
        if path == "certificates":
            return copy.deepcopy(self.clients), ""
        return {"auth": self.auth, "config": dict(self.config), "environment": {"certificate": "SERVER"}}, "e1"

    def patch(self, path: str, body: t.Any = None, *, etag: str = "") -> None:
        self.sent.append(("patch", path))
        if path:
            next(one for one in self.clients if path.endswith(one["fingerprint"])).update(body)
            return
        assert etag == "e1"
        self.config = {key: value for key, value in {**self.config, **body["config"]}.items() if value}

    def post(self, path: str, body: t.Any = None) -> None:
        self.sent.append(("post", path))
        known = {key: body[key] for key in ("name", "type", "restricted", "projects")}
        self.clients.append({**known, "fingerprint": hashlib.sha256(base64.b64decode(body["certificate"])).hexdigest()})

    def delete(self, path: str) -> None:
        self.sent.append(("delete", path))
        self.clients = [one for one in self.clients if not path.endswith(one["fingerprint"])]


def apply(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    """What the module returns."""
    monkeypatch.setattr(lxc_trust, "connect", lambda _options: daemon)
    params = {"name": NAME, "certificate": pem("one"), "address": "127.0.0.1:9443", "state": "present", **options}
    return lxc_trust.body(t.cast(t.Any, types.SimpleNamespace(params=params, check_mode=check)))


def test_a_client_is_trusted_for_its_project_once_and_check_mode_only_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon()
    said = apply(daemon, monkeypatch, check=True)
    assert daemon.sent == [] and said["changed"]
    assert apply(daemon, monkeypatch)["actions"] == said["actions"]
    assert daemon.clients == [{"name": NAME, "type": "client", "restricted": True, "projects": ["gb"], "fingerprint": fingerprint("one")}]
    assert daemon.config["core.https_address"] == "127.0.0.1:9443"
    again = apply(daemon, monkeypatch)
    assert (again["changed"], again["server_certificate"], again["reached_at"]) == (False, "SERVER", "127.0.0.1:9443")


@pytest.mark.parametrize(
    ("listens", "reached"), [("[::]:8443", "127.0.0.1:8443"), (":8443", "127.0.0.1:8443"), ("10.0.0.5:99", "10.0.0.5:99")]
)
def test_an_address_that_somebody_chose_is_kept(monkeypatch: pytest.MonkeyPatch, listens: str, reached: str) -> None:
    daemon = Daemon(core__https_address=listens)
    assert apply(daemon, monkeypatch)["reached_at"] == reached
    apply(daemon, monkeypatch, state="absent")
    assert daemon.config == {"core.https_address": listens}


def test_a_new_certificate_takes_the_place_of_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(core__https_address=":8443")
    daemon.trusts(NAME, "old")
    daemon.trusts("somebody", "else", restricted=False, projects=())
    apply(daemon, monkeypatch)
    assert [(one["name"], one["fingerprint"]) for one in daemon.clients] == [("somebody", fingerprint("else")), (NAME, fingerprint("one"))]


@pytest.mark.parametrize("more", [{"restricted": False, "projects": ()}, {"projects": ("gb", "default")}])
def test_a_client_that_may_more_is_restricted(monkeypatch: pytest.MonkeyPatch, more: dict[str, t.Any]) -> None:
    daemon = Daemon(core__https_address=":8443")
    daemon.trusts(NAME, "one", **more)
    assert apply(daemon, monkeypatch)["actions"] == [f"restrict {NAME}: to project gb"]
    assert (daemon.clients[0]["restricted"], daemon.clients[0]["projects"]) == (True, ["gb"])


@pytest.mark.parametrize("more", [{"restricted": False, "projects": ()}, {"projects": ("other",)}])
def test_a_certificate_that_is_trusted_by_another_name_keeps_what_it_may(monkeypatch: pytest.MonkeyPatch, more: dict[str, t.Any]) -> None:
    daemon = Daemon(core__https_address=":8443")
    daemon.trusts("admin", "one", **more)
    before = copy.deepcopy(daemon.clients)
    with pytest.raises(Refused, match=r"is trusted already, as 'admin' and for .* Give generalbots-control a certificate of its own"):
        apply(daemon, monkeypatch)
    assert daemon.clients == before


@pytest.mark.parametrize(
    ("listens", "reached"),
    [
        ("[::]", "127.0.0.1:8443"),
        ("0.0.0.0", "127.0.0.1:8443"),
        ("10.0.0.5", "10.0.0.5:8443"),
        (":9000", "127.0.0.1:9000"),
        ("[fd42::1]:9000", "[fd42::1]:9000"),
    ],
)
def test_where_lxd_is_reached_follows_from_its_address(listens: str, reached: str) -> None:
    assert trust.reached_at(trust.Server({"core.https_address": listens}, "", "", []), "") == reached


@pytest.mark.parametrize(
    ("listens", "reached"), [("", "127.0.0.1:9443"), ("[::]:8443", "127.0.0.1:8443"), ("10.0.0.5:8443", "10.0.0.5:8443")]
)
def test_control_1_is_led_to_where_lxd_listens(monkeypatch: pytest.MonkeyPatch, listens: str, reached: str) -> None:
    role = ROOT / "roles/autoscaler"
    look, bring_up = yaml.safe_load((role / "tasks/instance.yml").read_text(encoding="utf-8"))
    asked = {**look["generalbots.scaling.lxc_trust"], "name": NAME}
    asked["address"] = asked["address"].replace("{{ gb_control_lxd_port }}", "9443")
    daemon = Daemon(core__https_address=listens)
    daemon.trusts(NAME, "one")
    assert apply(daemon, monkeypatch, check=look["check_mode"], certificate=None, **asked)["reached_at"] == reached
    assert daemon.sent == [] and (look["changed_when"], look["diff"]) == (False, False), "it only looks"
    devices = yaml.safe_load((role / "vars/main.yml").read_text(encoding="utf-8"))["__autoscaler_devices"]
    assert "__autoscaler_devices" in bring_up["generalbots.scaling.lxc_instance"]["instances"]
    assert devices["lxd-api"]["connect"] == f"tcp:{{{{ {look['register']}.reached_at }}}}"


def test_absent_takes_the_address_back_when_the_last_client_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon()
    apply(daemon, monkeypatch)
    daemon.trusts("another", "x")
    apply(daemon, monkeypatch, state="absent")
    assert daemon.config["core.https_address"] == "127.0.0.1:9443" and [one["name"] for one in daemon.clients] == ["another"]
    apply(daemon, monkeypatch, name="another", state="absent")
    assert (daemon.config, daemon.clients) == ({}, [])
    assert apply(daemon, monkeypatch, state="absent")["changed"] is False


@pytest.mark.parametrize("projects", [("gb",), ()])
def test_absent_takes_what_is_left_also_when_its_project_is_gone(monkeypatch: pytest.MonkeyPatch, projects: tuple[str, ...]) -> None:
    daemon = Daemon(core__https_address=":8443")
    daemon.trusts(NAME, "one", projects=projects)
    daemon.trusts("generalbots2-control", "two", projects=("generalbots2",))
    assert apply(daemon, monkeypatch, state="absent", certificate=None)["changed"] is True
    assert [one["name"] for one in daemon.clients] == ["generalbots2-control"]


@pytest.mark.parametrize("more", [{"projects": ("other",)}, {"projects": ("gb", "other")}, {"restricted": False, "projects": ()}])
@pytest.mark.parametrize("state", ["absent", "present"])
def test_an_entry_of_that_name_that_is_good_for_more_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, state: str, more: dict[str, t.Any]
) -> None:
    daemon = Daemon(core__https_address=":9443")
    daemon.config[trust.MARK] = ":9443"
    daemon.trusts(NAME, "theirs", **more)
    before = copy.deepcopy(daemon.clients)
    apply(daemon, monkeypatch, state=state)
    assert daemon.clients[:1] == before and daemon.config["core.https_address"] == ":9443"


def test_the_entry_of_control_1_is_taken_back_whether_or_not_the_instance_is_there() -> None:
    [destroy] = yaml.safe_load((ROOT / "playbooks/destroy.yml").read_text())
    absent = yaml.safe_load((ROOT / "roles/autoscaler/tasks/absent.yml").read_text())
    made = yaml.safe_load((ROOT / "roles/autoscaler/vars/main.yml").read_text())["__autoscaler_trusted"]
    an_engine = "gb_destroy_found.engine_answers"
    for tasks, name, condition in ((destroy["tasks"], made, an_engine), (absent, "{{ __autoscaler_trusted }}", None)):
        [task] = [task for task in tasks if "generalbots.scaling.lxc_trust" in task]
        assert task["generalbots.scaling.lxc_trust"] == {"name": name, "state": "absent"}
        assert task.get("when") == condition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----",
        pem("a") + pem("b"),
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
    ],
)
def test_what_is_no_certificate_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    daemon = Daemon()
    with pytest.raises(InvalidInput, match="is not one certificate in PEM") as caught:
        apply(daemon, monkeypatch, certificate=text)
    assert "c2VjcmV0" not in str(caught.value) and daemon.sent == []


def test_a_connection_that_may_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon()
    daemon.auth = "untrusted"
    with pytest.raises(Refused, match="keeps its list of clients"):
        trust.look(t.cast(t.Any, daemon))

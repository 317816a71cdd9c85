# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible calls them, against a strict admin endpoint."""

from __future__ import annotations

import json
import pathlib
import time
import types
import typing as t

import pytest
from caddy_fakes import Call, FakeCaddy, fake_binary, fake_caddy, proxy, site, upstream

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.modules import caddy_config, caddy_upstreams, caddy_upstreams_info

pytest_plugins = ["caddy_fixtures"]

SECRET = "s3cret-of-the-cookie"


def structure(fake: FakeCaddy, *handlers: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**site(*handlers), "admin": {"listen": f"unix/{fake.socket}|0600"}}


def pool(**more: t.Any) -> dict[str, t.Any]:
    return {"id": "gb-ws", "upstreams": ["10.0.0.1:80"], "policy": "cookie", "cookie": {"secret": SECRET}, **more}


def test_config_is_loaded_once_and_then_unchanged(call: Call) -> None:
    with fake_caddy({}) as fake:
        wanted = structure(fake, proxy("gb-ws"))
        first, second = call(caddy_config, fake, config=wanted), call(caddy_config, fake, config=wanted)
        assert (first["changed"], second["changed"], len(fake.writes)) == (True, False, 1)
        assert first["version"] == "2.11.9"


def test_config_in_check_mode_shows_the_same_and_writes_nothing(call: Call) -> None:
    with fake_caddy({}) as fake:
        wanted = structure(fake, proxy("gb-ws"))
        planned = call(caddy_config, fake, check=True, config=wanted)
        assert fake.writes == []
        done = call(caddy_config, fake, config=wanted)
        assert (planned["changed"], planned["diff"]) == (done["changed"], done["diff"])


def test_config_keeps_the_pools_and_shows_none_of_their_secrets(call: Call) -> None:
    with fake_caddy({}) as fake:
        call(caddy_config, fake, config=structure(fake, proxy("gb-ws")))
        call(caddy_upstreams, fake, pools=[pool()])
        result = call(caddy_config, fake, config={**structure(fake, proxy("gb-ws")), "logging": {}})
        assert result["changed"] and "10.0.0.1:80" in json.dumps(fake.config) and SECRET in json.dumps(fake.config)
        assert SECRET not in json.dumps(result)


def test_config_that_caddy_refuses_is_a_failure_with_its_words(call: Call) -> None:
    with fake_caddy({}) as fake:
        fake.refusal = "loading http app module: unknown field"
        result = call(caddy_config, fake, config=structure(fake))
        assert result["failed"] and "unknown field" in result["msg"] and result["status"] == 400


def test_config_without_our_socket_is_refused_before_anything_is_asked(call: Call) -> None:
    with fake_caddy({}) as fake:
        assert "could not be managed" in call(caddy_config, fake, config={"apps": {}})["msg"]
        assert fake.writes == []


@pytest.mark.parametrize("module, options", [(caddy_config, {"config": {}}), (caddy_upstreams, {"pools": []})])
def test_an_older_caddy_is_refused(call: Call, tmp_path: pathlib.Path, module: types.ModuleType, options: dict[str, t.Any]) -> None:
    with fake_caddy({}) as fake:
        if "config" in options:
            options = {"config": structure(fake)}
        old = fake_binary(tmp_path, "v2.6.2")
        assert "at least 2.11.2" in call(module, fake, **options, binary=old)["msg"]
        assert fake.writes == []


def test_pools_are_filled_once_all_together_and_then_unchanged(call: Call) -> None:
    with fake_caddy(site(proxy("gb-ws", headers={}), proxy("gb-api"))) as fake:
        pools = [pool(), {"id": "gb-api", "upstreams": ["10.0.0.1:80"]}]
        first, second = call(caddy_upstreams, fake, pools=pools), call(caddy_upstreams, fake, pools=pools)
        assert first["actions"] == ["update gb-ws: 1 upstreams, cookie", "update gb-api: 1 upstreams, random"]
        assert (first["changed"], second["changed"], len(fake.writes)) == (True, False, 1)
        assert '"headers": {}' in json.dumps(fake.config)


def test_pools_in_check_mode_tell_the_same_and_write_nothing(call: Call) -> None:
    with fake_caddy(site(proxy("gb-ws"))) as fake:
        planned = call(caddy_upstreams, fake, check=True, pools=[pool()])
        assert fake.writes == []
        done = call(caddy_upstreams, fake, pools=[pool()])
        assert {**planned, "invocation": None} == {**done, "invocation": None} and planned["changed"]


def test_a_new_pool_is_told_by_both_modules_in_check_mode(call: Call) -> None:
    """What one would load the other leaves out; an id that nobody brings is refused, and on a run it is so with any that does not run."""
    with fake_caddy(site(proxy("gb-ws", "10.0.0.9:80"))) as fake:
        chosen = {"selection_policy": {"policy": "random"}}
        brought = structure(fake, proxy("gb-ws"), proxy("gb-new", "10.0.0.1:80", load_balancing=chosen))
        pools = [pool(), {"id": "gb-new", "upstreams": ["10.0.0.1:80"]}]
        loaded = call(caddy_config, fake, check=True, config=brought)
        assert loaded["changed"] and loaded["added"] == ["gb-new"]
        planned = call(caddy_upstreams, fake, check=True, pools=pools, added=loaded["added"])
        assert planned["actions"] == ["update gb-ws: 1 upstreams, cookie"] and fake.writes == []
        for check, added in ((True, []), (True, ["gb-other"]), (False, ["gb-new"])):
            assert "carries @id gb-new" in call(caddy_upstreams, fake, check=check, pools=pools, added=added)["msg"]
        done = call(caddy_config, fake, config=brought)
        assert done["added"] == ["gb-new"] and call(caddy_config, fake, config=brought)["added"] == []
        assert call(caddy_upstreams, fake, pools=pools, added=done["added"])["actions"] == planned["actions"]


def test_a_changed_secret_is_a_change_that_is_not_shown(call: Call) -> None:
    with fake_caddy(site(proxy("gb-ws"))) as fake:
        call(caddy_upstreams, fake, pools=[pool()])
        result = call(caddy_upstreams, fake, pools=[pool(cookie={"secret": "another"})])
        assert result["diff"]["after"] == {"gb-ws cookie secret": "(hidden), changed"}
        assert SECRET not in json.dumps(result) and "another" not in json.dumps(result)


@pytest.mark.parametrize(
    "wrong, why",
    [({"upstreams": []}, "no upstreams"), ({"upstreams": ["bad addr:99999999"]}, "is no address"), ({"id": "gb-wss"}, "@id gb-wss")],
)
def test_what_caddy_would_accept_and_we_do_not(call: Call, wrong: dict[str, t.Any], why: str) -> None:
    with fake_caddy(site(proxy("gb-ws"))) as fake:
        result = call(caddy_upstreams, fake, pools=[pool(**wrong)])
        assert result["failed"] and why in result["msg"] and fake.writes == []


def test_members_are_waited_for_and_the_wait_can_fail(call: Call) -> None:
    with fake_caddy(site(proxy("gb-ws"))) as fake, upstream("one") as one:
        fake.metrics = f'process_start_time_seconds 5\ncaddy_reverse_proxy_upstreams_healthy{{upstream="{one.address}"}} 1\n'
        wanted = pool(upstreams=[one.address], health={"uri": "/"})
        assert call(caddy_upstreams, fake, pools=[wanted], wait_healthy=[one.address])["changed"]
        one.status = 503
        assert not call(caddy_upstreams, fake, check=True, pools=[wanted], wait_healthy=[one.address], wait_timeout=0)["changed"]
        result = call(caddy_upstreams, fake, pools=[wanted], wait_healthy=[one.address], wait_timeout=0)
        assert result["failed"] and "HTTP 503" in result["last_seen"]


def test_a_member_that_caddy_holds_for_unhealthy_is_not_healthy(call: Call) -> None:
    with fake_caddy(site(proxy("gb-ws"))) as fake, upstream("one") as one:
        fake.metrics = f'process_start_time_seconds 5\ncaddy_reverse_proxy_upstreams_healthy{{upstream="{one.address}"}} 0\n'
        wanted = pool(upstreams=[one.address], health={"uri": "/"})
        result = call(caddy_upstreams, fake, pools=[wanted], wait_healthy=[one.address], wait_timeout=0)
        assert result["failed"] and "while Caddy holds it for unhealthy" in result["last_seen"]


INFO = {"uri": "/api/health-check", "timeout": 0.3}


def test_info_tells_all_of_the_contract(call: Call) -> None:
    with fake_caddy(site(proxy("gb-ws", "10.0.0.1:80"))) as fake, upstream("one") as one:
        fake.upstreams = [
            {"address": one.address, "num_requests": 2, "fails": 1},
            {"address": "127.0.0.1:1", "num_requests": 0, "fails": 0},
        ]
        fake.metrics = 'caddy_http_requests_total{handler="subroute",server="site"} 12\nprocess_start_time_seconds 5\n'
        result = call(caddy_upstreams_info, fake, health=INFO)
        assert result["upstreams"] == [
            {"address": "127.0.0.1:1", "in_flight": 0, "fails": 0, "healthy": False},
            {"address": one.address, "in_flight": 2, "fails": 1, "healthy": True},
        ]
        assert (result["version"], result["requests_total"], result["started_at"]) == ("2.11.9", 12, 5)
        assert result["time"] > 1e9 and not result["changed"] and "idle" not in result
        assert call(caddy_upstreams_info, fake)["upstreams"][1]["healthy"] is None


def test_info_waits_for_idle_and_does_not_fail_when_it_is_not(call: Call) -> None:
    with fake_caddy(site()) as fake:
        fake.upstreams = [{"address": "a:1", "num_requests": 2, "fails": 0}]
        busy = call(caddy_upstreams_info, fake, wait_idle=["a:1"], wait_timeout=0)
        assert (busy["idle"], busy["in_flight"]) == (False, {"a:1": 2}) and "failed" not in busy
        assert call(caddy_upstreams_info, fake, wait_idle=["gone:1"], wait_timeout=0)["idle"] is True


def test_info_begins_to_wait_anew_when_caddy_is_reloaded(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_caddy(site()) as fake:
        stamps = iter([1, 1, 2])
        loaded = "caddy_config_last_reload_success_timestamp_seconds {}\n"
        monkeypatch.setattr(Caddy, "metrics", lambda _caddy: loaded.format(next(stamps, 2)))
        call(caddy_upstreams_info, fake, health=INFO, wait_unhealthy=["127.0.0.1:1"], wait_timeout=0)
        assert next(stamps, None) is None


def test_info_waits_until_caddy_has_noticed(call: Call) -> None:
    checks = {"active": {"uri": "/", "interval": "200ms", "timeout": "100ms", "fails": 2}}
    with fake_caddy(site(proxy("gb-ws", "127.0.0.1:1", health_checks=checks))) as fake:
        start = time.monotonic()
        result = call(caddy_upstreams_info, fake, health=INFO, wait_unhealthy=["127.0.0.1:1"], wait_idle=["127.0.0.1:1"], wait_timeout=0)
        assert result["idle"] is True and time.monotonic() - start >= 0.5


def test_info_fails_when_health_does_not_come_or_go(call: Call) -> None:
    with fake_caddy(site()) as fake, upstream("one") as one:
        assert "healthy" in call(caddy_upstreams_info, fake, health=INFO, wait_healthy=["127.0.0.1:1"], wait_timeout=0)["msg"]
        assert "HTTP 200" in call(caddy_upstreams_info, fake, health=INFO, wait_unhealthy=[one.address], wait_timeout=0)["msg"]
        assert "no pool with health checks has it" in call(caddy_upstreams_info, fake, wait_healthy=[one.address])["msg"]

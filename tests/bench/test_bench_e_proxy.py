# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests per second and p99 through our configuration, beside the same Caddy with nothing but reverse_proxy, and beside HAProxy."""

from __future__ import annotations

import json
import pathlib
import statistics
import typing as t

import pytest
from bench_loopback import (
    Answer,
    Pair,
    Speed,
    answer,
    caddy,
    certificate,
    made,
    options,
    program,
    running,
    until_it_answers,
    wrk,
)
from bench_results import Record, Result
from ports import free_port

pytest_plugins = ["bench_fixtures"]

PATH = "/api/x"
ROUNDS, SECONDS = 3, 4
LIMITS = {"rate-limit-enabled": True, "rate-limit-requests": 1_000_000, "rate-limit-burst": 0, "circuit-breaker-enabled": True}

HAPROXY = """
global
    maxconn 4096
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
frontend site
    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
    default_backend fleet
backend fleet
    balance roundrobin
    option httpchk GET /api/health
{servers}
"""


def backend(ports: t.Sequence[int]) -> dict[str, t.Any]:
    """A Caddy that answers at once, whatever it is asked, and says on which port."""
    said = {"X-Backend": ["{http.request.local.port}"]}
    answer = {"handle": [{"handler": "static_response", "status_code": 200, "headers": said, "body": "answered\n"}]}
    server = {"listen": [f"127.0.0.1:{port}" for port in ports], "automatic_https": {"disable": True}, "routes": [answer]}
    return {"apps": {"http": {"servers": {"backend": server}}}}


def bare(port: int, backends: t.Sequence[str], pair: Pair) -> dict[str, t.Any]:
    """TLS and reverse_proxy, and nothing else."""
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": address} for address in backends],
        "load_balancing": {"selection_policy": {"policy": "round_robin"}},
    }
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "automatic_https": {"disable": True},
        "tls_connection_policies": [{}],
        "routes": [{"handle": [proxy]}],
    }
    files = {"certificates": {"load_files": [{"certificate": str(pair.certificate), "key": str(pair.key)}]}}
    return {"apps": {"http": {"servers": {"site": server}}, "tls": files}}


def haproxy(folder: pathlib.Path, port: int, backends: t.Sequence[str], pair: Pair) -> list[str]:
    """The command that runs HAProxy with these backends."""
    servers = "\n".join(f"    server slot{number} {address} check" for number, address in enumerate(backends, 1))
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, pem=pair.both, servers=servers))
    return [program("haproxy", "haproxy"), "-db", "-f", str(file)]


class Measured(t.NamedTuple):
    """What was measured of one of the three, what it answered afterwards, and the last lines of our own access log."""

    speed: Speed
    answers: list[Answer]
    log: str


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    """The median of some rounds, in which the three take turns with the same backends and the same certificate."""
    folder = tmp_path_factory.mktemp("proxy")
    pair = certificate(folder)
    ports = {name: free_port() for name in ("ours", "bare", "haproxy", "one", "other")}
    backends = [f"127.0.0.1:{ports[name]}" for name in ("one", "other")]
    ours = made(options(folder, f"{folder}/ours.sock", ports["ours"], backends, pair, **LIMITS))["config"]
    assert '"rate_limit"' in json.dumps(ours), "limits are to be a part of what is measured"
    with (
        caddy(folder, "backend", backend([ports["one"], ports["other"]])),
        caddy(folder, "ours", ours),
        caddy(folder, "bare", bare(ports["bare"], backends, pair)),
        running(haproxy(folder, ports["haproxy"], backends, pair), folder, "haproxy.log"),
    ):
        seen: dict[str, list[Speed]] = {"ours": [], "bare": [], "haproxy": []}
        for name in seen:
            until_it_answers(ports[name], PATH, pair.certificate)
        for _ in range(ROUNDS):
            for name, found in seen.items():
                found.append(wrk(ports[name], PATH, SECONDS))
        answers = {name: [answer(ports[name], PATH, pair.certificate) for _ in backends] for name in seen}
    log = (folder / "access.log").read_text()[-8000:]
    return {name: Measured(median(found), answers[name], log) for name, found in seen.items()}


def median(speeds: t.Sequence[Speed]) -> Speed:
    """Of each figure the median."""
    return Speed(*(statistics.median(values) for values in zip(*speeds, strict=True)))


@pytest.mark.parametrize("name", ["ours", "bare", "haproxy"])
def test_bench_e_each_of_the_three_passes_on_the_answers_of_both_backends(measured: dict[str, Measured], name: str) -> None:
    answers = measured[name].answers
    assert {(one.status, one.body) for one in answers} == {(200, "answered\n")}
    assert len({one.headers["x-backend"] for one in answers}) == len(answers) == 2


def test_bench_e_ours_did_all_its_work(measured: dict[str, Measured]) -> None:
    """Headers, request ids and log; without it the comparison would be one of the same with the same."""
    for one in measured["ours"].answers:
        assert one.headers["x-frame-options"] == "DENY" and one.headers["x-request-id"] in measured["ours"].log
    assert not any("x-request-id" in one.headers for name in ("bare", "haproxy") for one in measured[name].answers)


@pytest.mark.parametrize("bench, other, least", [("e", "bare", 0.5), ("f", "haproxy", 0.2)])
def test_bench_e_requests_through_our_configuration(
    measured: dict[str, Measured], record: Record, bench: str, other: str, least: float
) -> None:
    ours, theirs = measured["ours"].speed, measured[other].speed
    words = {"bare": "the same Caddy, reverse_proxy alone", "haproxy": "HAProxy"}[other]
    ratio = ours.rate / theirs.rate
    assert ratio > 0, "nothing was measured"
    record(Result(bench, "requests through the proxy, 32 visitors", str(ours), f"{words}: {theirs}", ratio, ratio >= least))

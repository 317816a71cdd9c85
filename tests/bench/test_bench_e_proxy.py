# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests per second and p99 through our configuration, beside the same Caddy with nothing but reverse_proxy, and beside HAProxy."""

from __future__ import annotations

import pathlib
import statistics
import typing as t

import pytest
from bench_loopback import Pair, Speed, caddy, certificate, free_port, made, options, program, running, until_it_answers, wrk
from bench_results import Record, Result

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
    """A Caddy that answers at once, whatever it is asked."""
    answer = {"handle": [{"handler": "static_response", "status_code": 200, "body": "answered\n"}]}
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


@pytest.fixture(scope="module")
def speeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Speed]:
    """The median of some rounds, in which the three take turns with the same backends and the same certificate."""
    folder = tmp_path_factory.mktemp("proxy")
    pair = certificate(folder)
    ports = {name: free_port() for name in ("ours", "bare", "haproxy", "one", "other")}
    backends = [f"127.0.0.1:{ports[name]}" for name in ("one", "other")]
    ours = made(options(folder, f"{folder}/ours.sock", ports["ours"], backends, pair, **LIMITS))["config"]
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
    return {name: Speed(*(statistics.median(values) for values in zip(*found, strict=True))) for name, found in seen.items()}


@pytest.mark.parametrize("bench, other, least", [("e", "bare", 0.5), ("f", "haproxy", 0.2)])
def test_bench_e_requests_through_our_configuration(speeds: dict[str, Speed], record: Record, bench: str, other: str, least: float) -> None:
    ours, theirs = speeds["ours"], speeds[other]
    words = {"bare": "the same Caddy, reverse_proxy alone", "haproxy": "HAProxy"}[other]
    ratio = ours.rate / theirs.rate
    record(Result(bench, "requests through the proxy, 32 visitors", str(ours), f"{words}: {theirs}", ratio, ratio >= least))

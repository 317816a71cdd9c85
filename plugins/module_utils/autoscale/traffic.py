# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all load balancers say, asked at once through the engine: no port of theirs is open, and no Ansible task runs there.

One command per proxy asks Caddy's admin socket for its metrics and upstreams, and the gates of the running instances for
their health, from where the proxy stands. Of Caddy's configuration only the names of handlers are read: it holds secrets.
"""

from __future__ import annotations

import concurrent.futures
import json
import re
import time
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import SOCKET
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.metrics import traffic_of
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError, Unreachable

Entry = dict[str, t.Any]

COMPONENT = "proxy"
#: seconds for Caddy's answers, and for an instance to take a connection
ADMIN_SECONDS, DIAL_SECONDS = 5, 1
#: routes of the site whose handlers are asked for; each request passes the first one
ROUTES = 4
#: seconds between two rounds of health checks while an instance starts
PAUSE = 0.1
#: seconds that one command waits for instances to become healthy; then it is looked whether they still run
ROUND = 5.0

#: $1 socket, $2 seconds for Caddy, $3 seconds for a connection, $4 for a check; paths of Caddy, --, URLs of gates
READ = """
socket=$1 admin=$2 dial=$3 check=$4; shift 4
for path; do shift; [ "$path" = -- ] && break; set -- "$@" "http://localhost$path"; done
urls=; for url; do case $url in http://localhost/*) urls="$urls $url";; esac; done
curl -gsS --max-time "$admin" --unix-socket "$socket" -w '\\n@@ %{http_code} %{url_effective}\\n' $urls || exit 9
gates=; for url; do case $url in http://localhost/*) ;; *) gates="$gates -o /dev/null $url";; esac; done
[ -z "$gates" ] || curl -gsZ --connect-timeout "$dial" --max-time "$check" -w '\\n@@ %{http_code} %{url_effective}\\n' $gates || true
"""

#: $1 seconds in all, $2 seconds for a connection, $3 for a check, $4 checks in a row, $5 pause; URLs of gates
WAIT = """
until=$(($(date +%s) + $1)) dial=$2 check=$3 passes=$4 pause=$5; shift 5
gates=; for url; do gates="$gates -o /dev/null $url"; done
row=0
while :; do
  said=$(curl -gsZ --connect-timeout "$dial" --max-time "$check" -w '\\n@@ %{http_code} %{url_effective}\\n' $gates)
  if [ "$(printf '%s\\n' "$said" | grep -c '^@@ 2')" -eq $# ]; then row=$((row + 1)); else row=0; fi
  [ "$row" -ge "$passes" ] && break
  [ "$(date +%s)" -ge "$until" ] && break
  sleep "$pause"
done
printf '%s\\n' "$said"
"""
_MARK = re.compile(r"^@@ (\d{3}) (\S+)$")


class Connection(t.Protocol):
    """What is needed of the LXD client."""

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
        """Run a command in an instance; returns its exit code, standard output and standard error."""


def read_all(
    lxd: Connection,
    proxies: t.Sequence[str],
    addresses: t.Sequence[str],
    health: Health,
    *,
    socket: str = SOCKET,
    server: str = "site",
    now: t.Callable[[], float] = time.time,
) -> list[Entry]:
    """One entry for each proxy, in the shape of C(caddy_upstreams_info) with ``name`` and ``durations``.

    A proxy that does not answer is its ``name`` and ``error`` only, so that its share counts as unknown and not as zero.

    :param addresses: ``host:port`` of the instances that run and are asked for their health
    """

    def one(name: str) -> Entry:
        try:
            return {"name": name, **read(lxd, name, addresses, health, socket=socket, server=server, now=now)}
        except ScalingError as error:
            return {"name": name, "error": str(error)}

    if not proxies:
        return []
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(proxies)) as pool:
        return list(pool.map(one, proxies))


def read(
    lxd: Connection,
    name: str,
    addresses: t.Sequence[str],
    health: Health,
    *,
    socket: str = SOCKET,
    server: str = "site",
    now: t.Callable[[], float] = time.time,
) -> Entry:
    """What one proxy says: ``time``, ``started_at``, ``requests_total``, ``durations`` and ``upstreams`` with their health.

    :raises Unreachable: Caddy does not answer there
    """
    gates = {_gate(address, health): address for address in addresses}
    paths = ["/metrics", "/reverse_proxy/upstreams", *_structure(server)]
    checks = [str(ADMIN_SECONDS), str(DIAL_SECONDS), _seconds(health.timeout)]
    argv = ["sh", "-c", READ, "traffic", socket, *checks, *paths, "--", *gates]
    code, out, err = lxd.execute(name, argv, timeout=ADMIN_SECONDS + health.timeout + 30)
    if code != 0:
        why = "curl is missing there; the image of the proxies has it" if "curl" in err and "not found" in err else err.strip()
        raise Unreachable(f"Caddy at {socket} in {name} gave no answer: {why or f'exit code {code}'}. Is caddy.service running there?")
    answers = answers_of(out)
    return _entry(name, {url.removeprefix("http://localhost"): said for url, said in answers.items()}, gates, server, now())


def wait_healthy(lxd: Connection, name: str, addresses: t.Sequence[str], health: Health, seconds: float) -> dict[str, str]:
    """Wait in one proxy until all addresses pass their checks; returns those that do not, with their last answer in words.

    :param seconds: for how long, at least one round of checks
    """
    gates = {_gate(address, health): address for address in addresses}
    limits = [str(max(int(seconds), 1)), str(DIAL_SECONDS), _seconds(health.timeout), str(health.passes), str(PAUSE)]
    code, out, err = lxd.execute(name, ["sh", "-c", WAIT, "wait", *limits, *gates], timeout=seconds + health.timeout + 30)
    if code != 0:
        raise Unreachable(f"The health of {', '.join(addresses)} could not be asked for in {name}: {err.strip() or f'exit code {code}'}.")
    answers = answers_of(out)
    said = {address: answers.get(url, ("000", ""))[0] for url, address in gates.items()}
    return {address: _words(status) for address, status in said.items() if not status.startswith("2")}


def answers_of(text: str) -> dict[str, tuple[str, str]]:
    """curl's output → status and body by URL; a body ends at the line that follows it."""
    found: dict[str, tuple[str, str]] = {}
    body: list[str] = []
    for line in text.split("\n"):
        mark = _MARK.match(line)
        if mark is None:
            body.append(line)
            continue
        found[mark[2]] = (mark[1], "\n".join(body))
        body = []
    return found


def in_flight(traffic: t.Sequence[Entry], address: str) -> int | None:
    """Requests and websockets in flight to an address over all proxies; None if one of them does not say. Not listed is none."""
    total = 0
    for entry in traffic:
        if "upstreams" not in entry:
            return None
        total += sum(int(one["in_flight"]) for one in entry["upstreams"] if one["address"] == address)
    return total


def silent(traffic: t.Sequence[Entry]) -> list[str]:
    """Why proxies did not answer."""
    return [str(entry["error"]) for entry in traffic if entry.get("error")]


def _structure(server: str) -> list[str]:
    root = f"/config/apps/http/servers/{server}/routes"
    return ["/config/apps/http/metrics", f"{root}/0/match", *(f"{root}/{number}/handle/0/handler" for number in range(ROUTES))]


def _entry(name: str, answers: t.Mapping[str, tuple[str, str]], gates: t.Mapping[str, str], server: str, now: float) -> Entry:
    def said(path: str) -> t.Any:
        status, body = answers.get(path, ("000", ""))
        return json.loads(body) if status == "200" and body.strip() else None

    for path in ("/metrics", "/reverse_proxy/upstreams"):
        if answers.get(path, ("000", ""))[0] != "200":
            raise Unreachable(f"Caddy in {name} answered GET {path} with {answers.get(path, ('nothing', ''))[0]}.")
    _metrics, first_match, *handlers = _structure(server)
    routes = [{"handle": [{"handler": handler}]} for path in handlers if (handler := said(path)) is not None]
    if routes and said(first_match):
        routes[0]["match"] = said(first_match)
    http = {"servers": {server: {"routes": routes}}, **({} if said("/config/apps/http/metrics") is None else {"metrics": {}})}
    entry = traffic_of(answers["/metrics"][1], said("/reverse_proxy/upstreams"), {"apps": {"http": http}}, now, server=server)
    health = {address: answers.get(url, ("000", ""))[0].startswith("2") for url, address in gates.items()}
    upstreams = [{**one, "healthy": health.get(one["address"])} for one in entry["upstreams"]]
    return {**entry, "upstreams": upstreams}


def _gate(address: str, health: Health) -> str:
    return f"http://{health.address(address)}{health.uri}"


def _seconds(value: float) -> str:
    return f"{value:g}"


def _words(status: str) -> str:
    return "no answer" if status == "000" else f"HTTP {status}"

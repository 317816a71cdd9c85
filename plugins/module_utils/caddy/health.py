# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking upstreams for their health from where Caddy stands, and waiting for what they or Caddy shall come to."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import http.client
import re
import time
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.config import plain
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.metrics import gauges, healthy, in_flight
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.upstreams import Health
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import WaitTimeout
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import Clock, wait_for

# A slot without an instance does not answer at all; one that lives takes a connection at once.
DIAL_SECONDS = 1.0
_AT_ONCE = 32
# How many reloads a wait begins anew after: each may take as long as Caddy needs to notice.
_RELOADS = 5
_BODY_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a health check came to, in words."""

    healthy: bool
    words: str

    def __str__(self) -> str:
        return self.words


def probe(upstream: str, health: Health) -> Answer:
    """Check an upstream as Caddy does: a GET without redirects or proxies on the way, judged by status and body, in time."""
    host, port = health.address(upstream).rsplit(":", 1)
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=min(DIAL_SECONDS, health.timeout))
    try:
        connection.connect()
        connection.sock.settimeout(health.timeout)
        connection.request("GET", health.uri)
        response = connection.getresponse()
        body = response.read(_BODY_BYTES) if health.body else b""
    except (OSError, http.client.HTTPException) as error:
        return Answer(False, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    if health.expects(response.status) and not re.search(health.body.encode(), body):
        return Answer(False, f"HTTP {response.status}, and a body without {health.body!r}")
    return Answer(health.expects(response.status), f"HTTP {response.status}")


def probe_all(checks: t.Mapping[str, Health]) -> dict[str, Answer]:
    """Check many upstreams at once; the answers by address, in the same order."""
    if not checks:
        return {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(checks))) as workers:
        return dict(zip(checks, workers.map(probe, checks, checks.values()), strict=True))


View = t.Callable[[], t.Mapping[str, "bool | None"]]


def view_of(caddy: Caddy, now: t.Callable[[], float] = time.time) -> View:
    """What Caddy itself says of its upstreams' health whenever it is asked, of those that it can tell; None for not yet known."""
    running, _etag = caddy.read()
    told = gauges(running)
    return lambda: {address: said for address, said in healthy(caddy.metrics(), running, now()).items() if address in told}


def wait_healthy(checks: t.Mapping[str, Health], timeout: float, clock: Clock = Clock(), view: View | None = None) -> None:
    """Wait until every address has passed as many checks in a row as its pool asks for, and with ``view`` until Caddy says so too.

    :param timeout: seconds
    :raises WaitTimeout: with the last answer of each address that is not there yet
    """
    row = dict.fromkeys(checks, 0)

    def observe() -> dict[str, Answer]:
        answers = probe_all(checks)
        for address, answer in answers.items():
            row[address] = row[address] + 1 if answer.healthy else 0
        said = view() if view is not None else {}
        late = {address: _with_view(answer, said.get(plain(address), True)) for address, answer in answers.items()}
        return {address: answer for address, answer in late.items() if row[address] < checks[address].passes or not answer.healthy}

    wait_for(
        f"{', '.join(checks)} to be healthy",
        observe,
        lambda waiting: not waiting,
        timeout=timeout,
        describe=_by_address,
        hint="Look at the service's journal in that instance, and at its health gate.",
        clock=clock,
    )


def _with_view(answer: Answer, said: bool | None) -> Answer:
    """A check's answer, which counts for nothing as long as Caddy does not say the same."""
    if not answer.healthy or said:
        return answer
    return Answer(False, f"{answer}, while Caddy {'does not know yet' if said is None else 'holds it for unhealthy'}")


def wait_unhealthy(
    checks: t.Mapping[str, Health],
    notice: float,
    timeout: float,
    clock: Clock = Clock(),
    loaded: t.Callable[[], float | None] = lambda: None,
) -> None:
    """Wait until every address fails its checks, and has failed them for as long as Caddy needs to notice.

    A reload makes Caddy forget what it noticed; after one the wait begins anew.

    :param notice: seconds after which Caddy knows for certain
    :param timeout: seconds for the checks to begin to fail; ``notice`` is added to them
    :param loaded: when Caddy's configuration was loaded, in whatever unit
    :raises WaitTimeout: with the addresses that still pass, or Caddy was reloaded all the time
    """
    for _turn in range(1 + _RELOADS):
        if _failed_since_it_was_loaded(checks, notice, timeout, clock, loaded):
            return
    raise WaitTimeout(
        f"Caddy's configuration was loaded anew {_RELOADS + 1} times while it was to notice that {', '.join(checks)} fails, and forgot it "
        "each time. Find out what writes to this Caddy.",
        last_seen=None,
        waited_seconds=0,
    )


def _failed_since_it_was_loaded(
    checks: t.Mapping[str, Health], notice: float, timeout: float, clock: Clock, loaded: t.Callable[[], float | None]
) -> bool:
    """Wait as :func:`wait_unhealthy` does; False at once where Caddy was reloaded meanwhile."""
    begun, since = loaded(), t.cast("float | None", None)
    one_round = DIAL_SECONDS + max(health.timeout for health in checks.values())

    def observe() -> tuple[float | None, dict[str, Answer], bool]:
        nonlocal since
        passing = {address: answer for address, answer in probe_all(checks).items() if answer.healthy}
        now = clock.now()
        since = None if passing else now if since is None else since
        return None if since is None else now - since, passing, loaded() != begun

    _failing, _passing, reloaded = wait_for(
        f"{', '.join(checks)} to be out of Caddy's choice",
        observe,
        lambda seen: seen[2] or (seen[0] is not None and seen[0] >= notice),
        timeout=timeout + one_round + notice,
        describe=lambda seen: _by_address(seen[1]) or f"failing for {seen[0]:.1f} s of the {notice:g} s that Caddy needs",
        hint="Is the health gate of that instance closed?",
        clock=clock,
    )
    return not reloaded


def wait_idle(caddy: Caddy, addresses: t.Sequence[str], timeout: float, clock: Clock = Clock()) -> dict[str, int]:
    """Wait until nothing is in flight for the addresses; what is in flight at the end, which is not empty of work on timeout."""
    try:
        return wait_for(
            "requests in flight to end",
            lambda: in_flight(caddy.upstreams(), addresses),
            lambda counts: not any(counts.values()),
            timeout=timeout,
            clock=clock,
        )
    except WaitTimeout:
        return in_flight(caddy.upstreams(), addresses)


def _by_address(answers: t.Mapping[str, Answer]) -> str:
    return "; ".join(f"{address} {answer}" for address, answer in answers.items())

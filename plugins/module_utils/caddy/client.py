# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's admin API, as far as it is needed: the configuration with its ETag, the upstreams, the metrics.

Rules from https://caddyserver.com/docs/api: C(GET /config/) carries an ETag, a write with C(If-Match) is refused with 412
if the configuration changed since. C(/load) pays no heed to C(If-Match), so the whole is written with C(POST /config/).
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    ApiError,
    Conflict,
    InvalidInput,
    ScalingError,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.http import HttpClient, Response

Config = dict[str, t.Any]

SOCKET = "/run/caddy/admin.sock"
BINARY = "/usr/local/bin/caddy"
# The first that goes on counting requests in flight of an upstream that was taken out, and keeps every @id unique.
MINIMUM = (2, 11, 2)

_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_ANY_ANSWER = range(200, 600)


class Caddy:
    """One running Caddy, reached over the unix socket of its admin endpoint.

    :param socket: path of the socket
    :param timeout: seconds for each request; a write lasts until the new configuration runs; the old one ends its requests behind it
    """

    def __init__(self, socket: str = SOCKET, timeout: float = 30.0) -> None:
        self.where = f"unix:{socket}"
        self._http = HttpClient(self.where, timeout=timeout)

    def read(self) -> tuple[Config, str]:
        """The running configuration (empty if there is none) and its ETag.

        :raises Unreachable, ApiError: it did not answer, or refused
        :raises ScalingError: the answer has no ETag, so that no safe write is possible
        """
        answer = self._ask("GET", "/config/")
        etag = answer.headers.get("Etag", "")
        if not etag:
            raise ScalingError(f"GET /config/ at {self.where} came without an ETag. Is this Caddy {_dotted(MINIMUM)} or later?")
        return self._decode(answer) or {}, etag

    def write(self, config: Config, etag: str) -> None:
        """Replace the configuration if it still is the one that ``etag`` stands for.

        :raises Conflict: it was changed meanwhile; nothing was written
        :raises ApiError: Caddy refused it, with its words; the former configuration runs on
        """
        self._ask("POST", "/config/", json=config, headers={"If-Match": etag})

    def upstreams(self) -> list[dict[str, t.Any]]:
        """C(address), C(num_requests) in flight, websockets among them, and recent C(fails) of every upstream."""
        return list(self._decode(self._ask("GET", "/reverse_proxy/upstreams")) or [])

    def metrics(self) -> str:
        """The metrics in Prometheus' text format."""
        return self._ask("GET", "/metrics").body

    def _ask(self, method: str, path: str, **more: t.Any) -> Response:
        answer = self._http.request(method, path, expect=_ANY_ANSWER, **more)
        if answer.status < 300:
            return answer
        kind = Conflict if answer.status == 412 else ApiError
        verdict = "Nothing was changed." if method != "GET" else ""
        message = f"{method} {path} at {self.where} was refused by Caddy ({answer.status}): {_words(answer)}. {verdict}"
        raise kind(message.rstrip(), status=answer.status)

    def _decode(self, answer: Response) -> t.Any:
        try:
            return answer.json()
        except ValueError as error:
            raise ScalingError(f"{self.where} answered with no JSON: {answer.body[:200]!r}. Is it Caddy that listens there?") from error


def _words(answer: Response) -> str:
    """What Caddy said, without the JSON around it."""
    try:
        said = answer.json()
    except ValueError:
        said = None
    text = said["error"] if isinstance(said, dict) and "error" in said else answer.body
    return " ".join(str(text).split())[:1000].rstrip(".") or "(empty answer)"


def version_of(binary: str, run: t.Callable[..., t.Any] = subprocess.run) -> str | None:
    """The version of a Caddy binary such as C(2.11.9), None if it cannot be run or does not tell.

    The admin API does not tell the version: C(go_build_info) names the program that Caddy was built into.
    """
    try:
        said = run([binary, "version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said)
    return ".".join(found.groups()) if found else None


def require_version(binary: str, run: t.Callable[..., t.Any] = subprocess.run) -> str:
    """The version of the binary, which is at least :data:`MINIMUM`.

    :raises InvalidInput: it is older, or cannot be told
    """
    version = version_of(binary, run)
    if version is None:
        raise InvalidInput(
            f"`{binary} version` does not tell Caddy's version. Give the path of the running Caddy as option binary; nothing was changed."
        )
    if tuple(int(part) for part in version.split(".")) < MINIMUM:
        raise InvalidInput(
            f"{binary} is Caddy {version}; at least {_dotted(MINIMUM)} is needed, because earlier ones forget requests in flight of an "
            "upstream that was taken out. Install a newer one; nothing was changed."
        )
    return version


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@dataclasses.dataclass(frozen=True)
class Change:
    """A configuration before and after; ``changed`` says whether they differ."""

    before: Config
    after: Config

    @property
    def changed(self) -> bool:
        """True if something was (or in check mode would be) written."""
        return self.before != self.after


def reconcile(caddy: Caddy, edit: t.Callable[[Config], Config], *, check: bool = False, retries: int = 3) -> Change:
    """Bring the running configuration to what ``edit`` makes of it, by at most one write that succeeds.

    :param edit: a pure function from the running configuration to the wanted one
    :param check: only say what would be written
    :param retries: how often it is read and edited again after somebody else's change came between
    :raises Conflict: it was changed by others each time; ``etag`` is the last one seen
    :raises ScalingError: after the write Caddy runs something else
    """
    for _attempt in range(retries + 1):
        running, etag = caddy.read()
        change = Change(running, edit(running))
        if check or not change.changed:
            return change
        try:
            caddy.write(change.after, etag)
        except Conflict:
            continue
        _read_back(caddy, change.after)
        return change
    raise Conflict(
        f"Caddy at {caddy.where} refused the new configuration (412: it was changed meanwhile, ETag {etag}); "
        f"read again and retried {retries} times. Find out what else writes to this Caddy; nothing was changed by us.",
        status=412,
        etag=etag,
    )


def _read_back(caddy: Caddy, wanted: Config) -> None:
    running, _etag = caddy.read()
    place = first_difference(wanted, running)
    if place is not None:
        raise ScalingError(
            f"Caddy at {caddy.where} accepted the new configuration and now runs another one; they first differ at {place}. "
            "Somebody else wrote in the same moment: run again."
        )


def first_difference(one: t.Any, other: t.Any, place: str = "/") -> str | None:
    """The path of the first place where two JSON values differ, None if they are equal. Values are not shown."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(name, one.get(name), other.get(name)) for name in sorted({*one, *other})]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(str(index), *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other else place
    found = (first_difference(mine, theirs, f"{place.rstrip('/')}/{name}") for name, mine, theirs in pairs)
    return next((where for where in found if where is not None), None)


def as_json(config: Config) -> Config:
    """The configuration as it is after its way through JSON: keys are text, tuples are lists."""
    return t.cast(Config, json.loads(json.dumps(config)))

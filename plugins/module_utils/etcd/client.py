# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's v3 API through its JSON gateway: members, and reading keys. Works from etcd 3.4 on.

The gateway takes every call as a POST with a JSON body, and gives 64-bit numbers as text
(https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/).
"""

from __future__ import annotations

import base64
import dataclasses
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, InvalidInput, ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.http import HttpClient, Response

_ANY_ANSWER = range(200, 600)
#: calls that change nothing and may be asked of one endpoint after the other
_READS = ("/v3/cluster/member/list", "/v3/kv/range")


@dataclasses.dataclass(frozen=True)
class Tls:
    """Paths of the authority that etcd's certificates are checked against, and of our own certificate and key."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclasses.dataclass(frozen=True)
class Member:
    """A member as the cluster knows it. One that was added and has not started yet has no ``name`` and no client URLs."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...] = ()
    learner: bool = False

    @property
    def started(self) -> bool:
        """Whether it has run since it was added."""
        return bool(self.name)


@dataclasses.dataclass(frozen=True)
class Status:
    """What one member says of itself; ``error`` is set, and nothing else, where it did not answer."""

    version: str = ""
    db_size: int = 0
    leader: str = ""
    raft_index: int = 0
    error: str = ""


class Etcd:
    """A cluster, reached through whichever of its endpoints answers.

    :param endpoints: ``https://host:port`` of members
    :param timeout: seconds for each request
    """

    def __init__(self, endpoints: t.Sequence[str], tls: Tls, timeout: float = 5.0, http: t.Callable[..., HttpClient] = HttpClient) -> None:
        self.endpoints = [require_endpoint(endpoint) for endpoint in endpoints]
        self._tls, self._timeout, self._http = tls, timeout, http

    def members(self) -> list[Member]:
        """Every member, by name.

        :raises Unreachable: no endpoint answers; says what each of them said
        """
        found = self._call("/v3/cluster/member/list").get("members", [])
        return sorted((_member(raw) for raw in found), key=lambda member: (member.name, member.peer_urls))

    def below(self, prefix: str) -> dict[str, str]:
        """Every key that begins with the prefix, with its value.

        :raises Unreachable: no endpoint answers
        """
        first = prefix.encode()
        body = {"key": _base64(first), "range_end": _base64(first[:-1] + bytes([first[-1] + 1]))}
        found = self._call("/v3/kv/range", body).get("kvs", [])
        return {base64.b64decode(raw["key"]).decode(): base64.b64decode(raw.get("value", "")).decode() for raw in found}

    def add(self, peer_url: str, *, learner: bool) -> bool:
        """Make a member known that is about to start. False if the members have not been connected for long enough for that."""
        return self._once_connected("/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": learner})

    def update(self, member_id: str, peer_url: str) -> None:
        """Tell the others a member's new address."""
        self._call("/v3/cluster/member/update", {"ID": member_id, "peerURLs": [peer_url]})

    def remove(self, member_id: str) -> bool:
        """Take a member out for ever. False if the members have not been connected for long enough for that."""
        return self._once_connected("/v3/cluster/member/remove", {"ID": member_id})

    def promote(self, member_id: str) -> bool:
        """Make a learner a member that votes. False if it has not caught up yet."""
        return self._unless("in sync with leader", "/v3/cluster/member/promote", {"ID": member_id})

    def status(self, endpoint: str) -> Status:
        """What one member says of itself; it never raises for a member that is down."""
        try:
            answer = self._client(endpoint, retries=0).request("POST", "/v3/maintenance/status", json={})
            raw = answer.json()
        except (ApiError, Unreachable, ValueError) as error:
            return Status(error=str(error))
        problems = "; ".join(map(str, raw.get("errors", [])))
        if not int(raw.get("leader", 0)):
            problems = problems or "it sees no leader"
        return Status(raw.get("version", ""), int(raw.get("dbSize", 0)), str(raw.get("leader", "")), int(raw.get("raftIndex", 0)), problems)

    def _client(self, endpoint: str, retries: int = 1) -> HttpClient:
        pair = (self._tls.cert, self._tls.key) if self._tls.cert and self._tls.key else None
        return self._http(endpoint, timeout=self._timeout, verify=self._tls.ca or True, cert=pair, retries=retries)

    def _call(self, path: str, body: t.Mapping[str, t.Any] | None = None) -> dict[str, t.Any]:
        answer = self._ask(path, body or {})
        self._require_ok(answer, path, ", ".join(self.endpoints))
        return t.cast("dict[str, t.Any]", answer.json() or {})

    def _once_connected(self, path: str, body: t.Mapping[str, t.Any]) -> bool:
        """Change the members, which etcd refuses until those that vote have been connected for five seconds (server.go, HealthInterval)."""
        return self._unless("unhealthy cluster", path, body)

    def _unless(self, refusal: str, path: str, body: t.Mapping[str, t.Any]) -> bool:
        """Whether a change was done; False where it was refused in these words, which later may not be so."""
        answer = self._ask(path, body)
        if answer.status >= 300 and refusal in answer.body:
            return False
        self._require_ok(answer, path, ", ".join(self.endpoints))
        return True

    def _ask(self, path: str, body: t.Mapping[str, t.Any]) -> Response:
        """The answer of the first endpoint that gives one. A write that got no answer is not repeated elsewhere.

        A learner answers neither reads nor writes (https://etcd.io/docs/v3.4/learning/design-learner/), so the next one is asked.
        """
        heard: list[str] = []
        for endpoint in self.endpoints:
            if path not in _READS and not self._listens(endpoint, heard):
                continue
            try:
                answer = self._client(endpoint).request("POST", path, json=dict(body), expect=_ANY_ANSWER)
            except Unreachable as error:
                if path not in _READS:
                    raise
                heard.append(str(error))
                continue
            if answer.status < 300 or "not supported for learner" not in answer.body:
                return answer
            heard.append(f"{endpoint} has no vote yet and answers nothing")
        raise Unreachable(f"No etcd member answers: {' | '.join(heard)}")

    def _listens(self, endpoint: str, heard: list[str]) -> bool:
        status = self.status(endpoint)
        if status.error:
            heard.append(f"{endpoint}: {status.error}")
        return not status.error

    @staticmethod
    def _require_ok(answer: Response, path: str, where: str) -> None:
        if answer.status < 300:
            return
        if answer.status == 404:
            raise ScalingError(
                f"{where} has no {path}, so it speaks no v3 API. Patroni needs etcd 3.4 or later and its client port (2379); "
                "addresses of the v2 API cannot be used."
            )
        raise ApiError(f"etcd at {where} refused {path} ({answer.status}): {_words(answer)}", status=answer.status)


def require_endpoint(endpoint: str) -> str:
    """An endpoint's URL without a path.

    :raises InvalidInput: it is no http or https URL with a port, or one of the v2 API
    """
    rest = endpoint.rstrip("/").partition("://")
    host, _colon, port = rest[2].rpartition(":")
    if rest[0] not in ("http", "https") or not host or not port.isdigit():
        raise InvalidInput(f"etcd's endpoint {endpoint!r} is no URL of its v3 API. Write it like https://10.87.0.21:2379.")
    return endpoint.rstrip("/")


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _member(raw: t.Mapping[str, t.Any]) -> Member:
    return Member(
        id=str(raw["ID"]),
        name=raw.get("name", ""),
        peer_urls=tuple(raw.get("peerURLs", ())),
        client_urls=tuple(raw.get("clientURLs", ())),
        learner=bool(raw.get("isLearner", False)),
    )


def _words(answer: Response) -> str:
    """What etcd said, without the JSON around it."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = {}
    return " ".join(str(said.get("error") or said.get("message") or answer.body).split())[:400] or "(empty answer)"

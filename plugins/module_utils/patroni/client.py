# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's REST API, of 3.0 and later (https://patroni.readthedocs.io/en/latest/rest_api.html).

Any member tells about the whole cluster and takes changes of its configuration. Restarts and reinitialisations are asked of the
member that they concern.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Conflict, InvalidInput, ScalingError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.http import HttpClient, Response

Json = dict[str, t.Any]
_ANY_ANSWER = range(200, 600)
#: seconds by which the answer to a restart may come later than PostgreSQL's time to start ends, for it stops first
_ANSWER_LATER = 10


@dataclasses.dataclass(frozen=True)
class Access:
    """How to get in: name and password for changes, the authority that the API's certificate is checked against, our certificate."""

    username: str | None = None
    password: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class Patroni:
    """One cluster, reached through whichever of its members answers.

    :param urls: ``https://host:port`` of members' REST APIs
    :param timeout: seconds for each request that answers at once
    """

    def __init__(self, urls: t.Sequence[str], access: Access, timeout: float = 5.0, http: t.Callable[..., HttpClient] = HttpClient) -> None:
        twice = sorted({url for url in urls if list(urls).count(url) > 1})
        if not urls or twice:
            raise InvalidInput(f"urls names {twice[0]} twice." if twice else "urls is empty; name the REST API of at least one member.")
        self.urls = [url.rstrip("/") for url in urls]
        self._access, self._timeout, self._http = access, timeout, http

    def cluster(self) -> Json:
        """The members as the cluster's store knows them."""
        return self._first("/cluster")

    def config(self) -> Json:
        """The dynamic configuration; empty where there is none yet."""
        return self._first("/config", none_at=(502, 503))

    def member(self, url: str) -> Json:
        """What one member says of itself.

        :raises Unreachable, ApiError, ScalingError: it does not answer, or not as Patroni does
        """
        return self._decode(self._client(url, retries=0).request("GET", "/patroni"), url)

    def patch_config(self, patch: t.Mapping[str, t.Any]) -> None:
        """Merge a change into the dynamic configuration.

        :raises Conflict: somebody else changed it in the same moment
        """
        self._write("PATCH", self._reachable(), "/config", patch, expect=(200,))

    def switchover(self, url: str, leader: str, candidate: str, timeout: float) -> Response:
        """Ask for a switchover; the answer is to be judged by what the cluster looks like afterwards."""
        return self._write("POST", url, "/switchover", {"leader": leader, "candidate": candidate}, expect=(200, 202, 503), timeout=timeout)

    def failover(self, url: str, candidate: str, timeout: float) -> Response:
        """Ask for a failover, which may lose what the candidate has not got."""
        return self._write("POST", url, "/failover", {"candidate": candidate}, expect=(200, 202, 503), timeout=timeout)

    def restart(self, url: str, timeout: float) -> bool:
        """Restart PostgreSQL of one member where a restart is pending. False if it said that nothing was.

        :param timeout: seconds that PostgreSQL may take to start. Unless told, Patroni gives it C(primary_start_timeout), and 60 where that
            is 0; after it a standby is promoted where the leader was restarted.
        """
        body = {"restart_pending": True, "timeout": max(math.ceil(timeout), 1)}
        answer = self._write("POST", url, "/restart", body, expect=(200, 503), timeout=timeout + _ANSWER_LATER)
        if answer.status == 503 and "conditions" not in answer.body:
            raise ApiError(f"POST /restart at {url} failed (503): {_words(answer)}", status=503)
        return answer.status == 200

    def reinitialize(self, url: str) -> None:
        """Let a member throw its data away and copy the leader's."""
        self._write("POST", url, "/reinitialize", {"force": True}, expect=(200,))

    def _client(self, url: str, timeout: float | None = None, retries: int = 1) -> HttpClient:
        given = self._access
        return self._http(
            url,
            timeout=timeout or self._timeout,
            auth=(given.username, given.password) if given.username and given.password else None,
            verify=given.ca or True,
            cert=(given.cert, given.key) if given.cert and given.key else None,
            retries=retries,
        )

    def _first(self, path: str, none_at: t.Collection[int] = ()) -> Json:
        heard: list[str] = []
        empty = False
        for url in self.urls:
            try:
                answer = self._client(url, retries=0).request("GET", path, expect=_ANY_ANSWER)
                if answer.status == 200:
                    return self._decode(answer, url)
                empty = empty or answer.status in none_at
                heard.append(f"{url} answered {path} with {answer.status}")
            except (Unreachable, ScalingError) as error:
                heard.append(str(error))
        if empty:
            return {}
        raise Unreachable(f"No member of the Patroni cluster answers: {' | '.join(heard)}")

    def _reachable(self) -> str:
        """A member that answers now, so that a write is sent once and to somebody who hears it."""
        heard: list[str] = []
        for url in self.urls:
            try:
                self.member(url)
                return url
            except ScalingError as error:
                heard.append(str(error))
        raise Unreachable(f"No member of the Patroni cluster answers: {' | '.join(heard)}")

    def _write(
        self, method: str, url: str, path: str, body: t.Mapping[str, t.Any], *, expect: t.Collection[int], timeout: float | None = None
    ) -> Response:
        answer = self._client(url, timeout).request(method, path, json=dict(body), expect=_ANY_ANSWER)
        if answer.status in expect:
            return answer
        kind = Conflict if answer.status == 409 else ApiError
        raise kind(f"{method} {path} at {url} was refused ({answer.status}): {self._reason(answer)}", status=answer.status)

    def _reason(self, answer: Response) -> str:
        if answer.status == 401:
            whose = f"of {self._access.username}" if self._access.username else "is missing; it"
            return f"the password {whose} is not the one that this member has (restapi.authentication of its configuration)."
        if answer.status == 403:
            return f"{_words(answer)}. Either this address is not in restapi.allowlist, or a client certificate is asked for."
        return _words(answer)

    @staticmethod
    def _decode(answer: Response, url: str) -> Json:
        try:
            said = answer.json()
        except ValueError as error:
            raise ScalingError(f"{url} answered with no JSON: {answer.body[:100]!r}. Is it Patroni that listens there?") from error
        if not isinstance(said, dict):
            raise ScalingError(f"{url} answered {str(said)[:100]!r}. Is it Patroni that listens there?")
        return said


def _words(answer: Response) -> str:
    return " ".join(answer.body.split())[:400].rstrip(".") or "(empty answer)"

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP client over requests for every service we speak to: Caddy, Patroni, Qdrant, botserver.

It always has a timeout, speaks over unix sockets as well, repeats only what is harmless to repeat, and raises our
errors with the method and address in them.
"""
# pylint takes this file for Python's own package http and finds that one's imports unused; ruff checks the real ones.
# pylint: disable=unused-import

from __future__ import annotations

import dataclasses
import socket
import time
import traceback
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    ApiError,
    Conflict,
    ScalingError,
    Unreachable,
)

try:
    import requests
    import requests.adapters
    import urllib3
    import urllib3.connection

    REQUESTS_ERROR: str | None = None

    class _UnixConnection(urllib3.connection.HTTPConnection):
        """An HTTP connection whose transport is a unix socket."""

        def __init__(self, path: str, timeout: t.Any) -> None:
            super().__init__("localhost", timeout=timeout)
            self._path = path

        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout if isinstance(self.timeout, (int, float)) else None)
            self.sock.connect(self._path)

    class _UnixPool(urllib3.connectionpool.HTTPConnectionPool):
        def __init__(self, path: str, timeout: float) -> None:
            super().__init__("localhost", timeout=timeout)
            self._path = path
            self._seconds = timeout

        def _new_conn(self) -> _UnixConnection:
            return _UnixConnection(self._path, self._seconds)

    class _UnixAdapter(requests.adapters.HTTPAdapter):
        """Sends every request of a session to one unix socket."""

        def __init__(self, path: str, timeout: float) -> None:
            super().__init__()
            self._pool = _UnixPool(path, timeout)

        def get_connection(self, url: t.Any, proxies: t.Any = None) -> t.Any:
            return self._pool

        def get_connection_with_tls_context(self, request: t.Any, verify: t.Any, proxies: t.Any = None, cert: t.Any = None) -> t.Any:
            return self._pool

        def request_url(self, request: t.Any, proxies: t.Any) -> str:
            return str(request.path_url)

except ImportError:
    REQUESTS_ERROR = traceback.format_exc()

REPEATABLE = frozenset({"GET", "HEAD"})


@dataclasses.dataclass(frozen=True)
class Response:
    """What came back. ``body`` is text; ``json()`` decodes it; header names are looked up without regard to case."""

    status: int
    headers: t.Mapping[str, str]
    body: str
    _decoded: t.Callable[[], t.Any]

    def json(self) -> t.Any:
        """The body decoded; an empty body is None. Raises ``ValueError`` where it is not JSON."""
        return self._decoded() if self.body.strip() else None


class HttpClient:
    """A client for one service.

    :param base: ``http://host:port``, ``https://…`` or ``unix:/path/to.sock``
    :param timeout: seconds for connecting and for each read
    :param verify: True, False, or a path of a CA bundle
    :param retries: how often GET and HEAD are repeated when the connection fails; writes never are
    :param direct: what is asked is this address itself: no proxy of the environment, and no other place that it redirects to
    """

    def __init__(
        self,
        base: str,
        *,
        timeout: float = 10.0,
        headers: t.Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        retries: int = 2,
        direct: bool = False,
        pause: t.Callable[[float], None] = time.sleep,
    ) -> None:
        if REQUESTS_ERROR is not None:
            raise ScalingError(
                "The Python library requests is missing where this module runs. Install python3-requests there.",
                exception=REQUESTS_ERROR,
            )
        self.base = base.rstrip("/")
        self._timeout = timeout
        self._retries = retries
        self._pause = pause
        self._session = requests.Session()
        self._session.trust_env = not (direct or base.startswith("unix:"))
        self._redirects = not direct
        self._session.headers.update(headers or {})
        self._session.auth = auth
        self._verify = verify
        self._session.cert = cert
        self._root = self.base
        if base.startswith("unix:"):
            self._root = "http://localhost"
            self._session.mount("http://", _UnixAdapter(base.removeprefix("unix:"), timeout))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: t.Any = None,
        headers: t.Mapping[str, str] | None = None,
        expect: t.Collection[int] | None = None,
    ) -> Response:
        """Send one request and return the response.

        :param path: begins with ``/``
        :param expect: status codes that are an answer and not an error; default every 2xx
        :raises Unreachable: no connection, or no answer within the timeout
        :raises Conflict: 409 and 412 unless expected
        :raises ApiError: any other status that is not expected, with the service's own words
        """
        answer = self._send(method, path, json, headers or {})
        ok = answer.status_code in expect if expect is not None else 200 <= answer.status_code < 300
        if not ok:
            kind = Conflict if answer.status_code in (409, 412) else ApiError
            raise kind(
                f"{method} {path} at {self.base} was refused with {answer.status_code}: {_reason(answer.text)}",
                status=answer.status_code,
            )
        return Response(answer.status_code, answer.headers, answer.text, answer.json)

    def _send(self, method: str, path: str, body: t.Any, headers: t.Mapping[str, str]) -> requests.Response:
        attempts = 1 + (self._retries if method in REPEATABLE else 0)
        for attempt in range(1, attempts + 1):
            try:
                return self._session.request(
                    method,
                    self._root + path,
                    json=body,
                    headers=dict(headers),
                    timeout=self._timeout,
                    # Said with each request, for what is said of the session gives way to REQUESTS_CA_BUNDLE.
                    verify=self._verify,
                    allow_redirects=self._redirects,
                )
            except requests.exceptions.RequestException as error:
                if attempt == attempts:
                    raise Unreachable(f"{method} {path} at {self.base} got no answer: {error}. {_hint(error)}") from error
                self._pause(0.1 * attempt)
        raise AssertionError("unreachable: the loop returns or raises")


def _hint(error: Exception) -> str:
    """What the reader should look at when no answer came."""
    if isinstance(error, requests.exceptions.SSLError):
        return "Look at the dates of its certificate, at the names in it, and at the authority that it is checked against."
    return "Is the service running there, and may this user reach it?"


def _reason(text: str) -> str:
    """The first 400 characters of what a service said, on one line."""
    return " ".join(text.split())[:400] or "(empty answer)"

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The LXD API as this collection uses it: pylxd carries the connection, ETags and bounded waits are ours.

Paths are relative to ``/1.0``. Everything runs in the project of the connection unless a call names another one.
"""

from __future__ import annotations

import functools
import os
import traceback
import typing as t
from urllib.parse import quote

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    ApiError,
    Conflict,
    ScalingError,
    Unreachable,
    WaitTimeout,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import (
    Engine,
    engine_named,
    find_socket,
)
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import (
    wait_for,
)

os.environ.setdefault("PYLXD_WARNINGS", "none")

OPERATION_TIMEOUT = 120.0
#: seconds of grace that a socket gets beyond the time the daemon itself was asked to wait
SOCKET_GRACE = 10.0
#: LXD's helper for the files of an instance: the name of its socket, and seconds in which it should listen
HELPER_SOCKET, HELPER_START = "forkfile.sock", 5.0


@functools.cache
def _pylxd() -> t.Any:
    """The library, loaded by the first connection: that takes longer than most of what a module does before it.

    :raises ScalingError: it is missing
    """
    try:
        import pylxd
        import pylxd.exceptions
    except ImportError:
        raise ScalingError(
            "The Python library pylxd is missing for the interpreter that runs this module. "
            "Install it there, or set ansible_python_interpreter to the controller's virtual environment.",
            exception=traceback.format_exc(),
        ) from None
    return pylxd


class Lxd:
    """One connection to an LXD or Incus daemon, bound to a project."""

    def __init__(self, client: t.Any, engine: Engine, where: str, project: str, timeout: float) -> None:
        self.engine = engine
        self.where = where
        self.project = project
        self._client = client
        self._timeout = timeout

    def get(self, path: str, **query: str) -> tuple[t.Any, str]:
        """The object at ``path`` and its ETag ("" where the daemon gives none)."""
        response = self._call("get", path, query=query)
        return response.json()["metadata"], response.headers.get("ETag", "")

    def get_text(self, path: str) -> str:
        """The plain text at ``path``, such as the metrics."""
        return str(self._call("get", path, is_api=False).text)

    def exists(self, path: str, **query: str) -> bool:
        """Whether there is an object at ``path``."""
        try:
            self.get(path, **query)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def put(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = OPERATION_TIMEOUT, **query: str) -> t.Any:
        """Replace the object; with an ``etag`` only if it is still the one that was read (else Conflict)."""
        return self._write("put", path, body, etag, timeout, query)

    def patch(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = OPERATION_TIMEOUT, **query: str) -> t.Any:
        """Change the given keys of the object."""
        return self._write("patch", path, body, etag, timeout, query)

    def post(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = OPERATION_TIMEOUT, **query: str) -> t.Any:
        """Create an object or begin an action, and wait for it to end."""
        return self._write("post", path, body, etag, timeout, query)

    def delete(self, path: str, body: t.Any = None, *, etag: str = "", timeout: float = OPERATION_TIMEOUT, **query: str) -> t.Any:
        """Delete the object."""
        return self._write("delete", path, body, etag, timeout, query)

    def start(self, method: str, path: str, body: t.Any = None, *, etag: str = "", **query: str) -> str:
        """Send a request and return its operation's id without waiting; "" if it was done at once."""
        response = self._call(method, path, body=body, etag=etag, query=query)
        return str(response.json().get("operation") or "").removeprefix("/1.0/operations/").partition("?")[0]

    def wait(self, operation: str, timeout: float = OPERATION_TIMEOUT, *, what: str = "") -> t.Any:
        """Wait for an operation and return its metadata.

        :param timeout: seconds
        :param what: the operation in words, for the error
        :raises ApiError: it failed, with the daemon's own words
        :raises WaitTimeout: it is still running
        """
        if not operation:
            return None
        label = what or f"operation {operation}"
        seconds = max(int(timeout), 1)
        metadata = self._operation(operation, seconds)
        if metadata["status_code"] < 200:
            raise WaitTimeout(
                f"Waited {seconds} s for {self.engine.title} to finish: {label}; last seen: {metadata['status']}. "
                f"See {self.engine.client} operation show {operation}.",
                last_seen=metadata["status"],
            )
        if metadata["status_code"] >= 400:
            raise ApiError(
                f"{self.engine.title} at {self.where} could not {label}: {metadata['err'] or metadata['status']}",
                status=metadata["status_code"],
                reason=metadata["err"],
            )
        return metadata.get("metadata")

    def execute(self, instance: str, argv: t.Sequence[str], *, timeout: float = 60.0) -> tuple[int, str, str]:
        """Run a command in an instance; returns its exit code, standard output and standard error."""
        body = {"command": list(argv), "record-output": True, "wait-for-websocket": False, "interactive": False}
        operation = self.start("post", f"instances/{instance}/exec", body)
        done = self.wait(operation, timeout, what=f"run {argv[0]} in {instance}")
        streams = [self._recorded(done["output"].get(number)) for number in ("1", "2")]
        return int(done["return"]), streams[0], streams[1]

    def read_file(self, instance: str, path: str) -> bytes | None:
        """The content of a file in an instance, running or stopped; None if there is none."""
        try:
            response = self._file_call("get", instance, path, is_api=False)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return bytes(response.content)

    def write_file(self, instance: str, path: str, content: bytes, *, mode: str = "0600", uid: int = 0, gid: int = 0) -> None:
        """Write a file into an instance, running or stopped."""
        headers = {"X-LXD-type": "file", "X-LXD-mode": mode, "X-LXD-uid": str(uid), "X-LXD-gid": str(gid)}
        headers.update({name.replace("LXD", self.engine.title): value for name, value in headers.items()})
        self._file_call("post", instance, path, data=content, headers=headers)

    def _file_call(self, method: str, instance: str, path: str, **more: t.Any) -> t.Any:
        """A call on a file of an instance, which may be repeated without harm.

        LXD serves files by a helper process that it starts on demand. On a busy host it now and then dials the helper's
        socket before that is there, and answers 500.
        """

        def attempt() -> t.Any:
            try:
                return self._call(method, f"instances/{instance}/files", query={"path": path}, **more)
            except ApiError as error:
                if error.status == 500 and HELPER_SOCKET in str(error):
                    return error
                raise

        try:
            return wait_for(
                f"{self.engine.title} to serve the files of {instance}",
                attempt,
                lambda answer: not isinstance(answer, ApiError),
                timeout=HELPER_START,
                interval=0.1,
            )
        except WaitTimeout as error:
            raise ApiError(str(error), status=500) from error

    def import_image(self, metadata: str, rootfs: str, properties: str, *, timeout: float) -> t.Any:
        """Upload an image of two files on this machine and return what its operation says, its ``fingerprint``.

        :param properties: urlencoded, as the header X-LXD-properties takes them
        """
        from requests_toolbelt import MultipartEncoder

        with open(metadata, "rb") as head, open(rootfs, "rb") as body:
            parts = MultipartEncoder({"metadata": ("metadata", head), "rootfs": ("rootfs", body)})
            headers = {"Content-Type": parts.content_type, f"X-{self.engine.title}-properties": properties}
            response = self._call("post", "images", data=parts, headers=headers, timeout=timeout)
        operation = response.json()["operation"].removeprefix("/1.0/operations/").partition("?")[0]
        return self.wait(operation, timeout, what=f"import {rootfs}")

    def _recorded(self, path: str | None) -> str:
        if not path:
            return ""
        relative = path.removeprefix("/1.0/").partition("?")[0]
        text = self._call("get", relative, is_api=False).text
        self._call("delete", relative)
        return str(text)

    def _operation(self, operation: str, seconds: int) -> t.Any:
        response = self._call(
            "get", f"operations/{operation}/wait", query={"timeout": str(seconds)}, timeout=seconds + SOCKET_GRACE, statuses=(400,)
        )
        return response.json()["metadata"]

    def _write(self, method: str, path: str, body: t.Any, etag: str, timeout: float, query: dict[str, str]) -> t.Any:
        response = self._call(method, path, body=body, etag=etag, query=query)
        answer = response.json()
        if answer.get("type") != "async":
            return answer.get("metadata")
        operation = answer["operation"].removeprefix("/1.0/operations/").partition("?")[0]
        return self.wait(operation, timeout, what=f"{method} {path}")

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: t.Any = None,
        etag: str = "",
        query: t.Mapping[str, str] | None = None,
        timeout: float | None = None,
        is_api: bool = True,
        data: t.Any = None,
        headers: t.Mapping[str, str] | None = None,
        statuses: t.Collection[int] = (),
    ) -> t.Any:
        node = self._client.api
        for part in filter(None, path.split("/")):
            node = node[quote(part, safe="")]
        options: dict[str, t.Any] = {
            "params": {"project": self.project, **(query or {})},
            "timeout": timeout or self._timeout,
            "headers": {**({"If-Match": etag} if etag else {}), **(headers or {})},
        }
        if method == "get":
            options["is_api"] = is_api
        if data is not None:
            options["data"] = data
        elif body is not None:
            options["json"] = body
        import requests.exceptions

        try:
            return getattr(node, method)(**options)
        except _pylxd().exceptions.LXDAPIException as error:
            if error.response.status_code in statuses:
                return error.response
            raise self._refusal(method, path, error) from error
        except requests.exceptions.RequestException as error:
            raise Unreachable(f"{self.engine.title} at {self.where} gave no answer to {method} {path}: {error}") from error

    def _refusal(self, method: str, path: str, error: t.Any) -> ApiError:
        status = error.response.status_code
        kind = Conflict if status == 412 else ApiError
        reason = str(error).strip()
        words = f"{self.engine.title} at {self.where} refused {method} {path} ({status}): {reason}"
        if status == 404 and reason.endswith("Project not found"):
            words += f". Let site.yml make the project {self.project}, or name the one that is meant (gb_lxd_project)."
        return kind(words, status=status, reason=reason)


def connect(options: t.Mapping[str, t.Any]) -> Lxd:
    """Connect by the options of the documentation fragment ``lxd``.

    :raises Unreachable: nothing answers; the message names what was tried
    :raises ScalingError: this user may not open the socket, or pylxd is missing
    """
    _pylxd()
    engine = engine_named(options["engine"])
    url = options.get("url") or "unix:" + find_socket(engine)
    timeout = float(options.get("timeout") or 30)
    return Lxd(_pylxd_client(engine, url, options, timeout), engine, url, str(options.get("project") or "default"), timeout)


def _pylxd_client(engine: Engine, url: str, options: t.Mapping[str, t.Any], timeout: float) -> t.Any:
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
            raise ScalingError(
                f"{engine.title}'s socket {path} may not be opened by this user. "
                f"Run as root, or add the user to the group that owns the socket.",
                tried=[path],
            )
        endpoint, security = "http+unix://" + quote(path, safe=""), {}
    else:
        endpoint, security = url.rstrip("/"), _https_options(options)
    import requests.exceptions

    pylxd = _pylxd()
    try:
        # Else REQUESTS_CA_BUNDLE would take the place of the certificate that is pinned, and a proxy that of the daemon.
        session = pylxd.client.get_session_for_url(endpoint, **security)
        session.trust_env = False
        return pylxd.Client(endpoint=endpoint, timeout=timeout, session=session, **security)
    except (pylxd.exceptions.ClientConnectionFailed, requests.exceptions.RequestException) as error:
        raise Unreachable(f"{engine.title} does not answer at {url}: {error}. Is its daemon running?", tried=[url]) from error
    except OSError as error:
        raise ScalingError(f"The certificates for {engine.title} at {url} cannot be read: {error}.", tried=[url]) from error


def _https_options(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    missing = [name for name in ("client_cert", "client_key", "server_cert") if not options.get(name)]
    if missing:
        raise ScalingError(
            f"An https address needs {', '.join(missing)} as well: the client's certificate and key, "
            "and the server's certificate that is to be trusted and nothing else."
        )
    return {"cert": (options["client_cert"], options["client_key"]), "verify": options["server_cert"]}

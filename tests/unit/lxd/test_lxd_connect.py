# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection: over https the pinned certificate and no other, whatever the environment says; and what is said of a daemon that is not
there, does not answer, or has no such project."""

from __future__ import annotations

import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import threading
import time
import typing as t
from urllib.parse import urlsplit

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.engines import engine_named, find_socket
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.instances import observe, observe_project


class Daemon(http.server.BaseHTTPRequestHandler):
    """What pylxd asks a daemon first; otherwise it has no project, which LXD says so that it lists no instance of it."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        none = {"type": "error", "error_code": 404, "error": "Project not found"}
        metadata: t.Any = [] if path == "/1.0/instances" else {"api_extensions": ["projects"], "auth": "trusted"}
        missing = path.startswith("/1.0/projects/")
        text = json.dumps(none if missing else {"type": "sync", "status_code": 200, "metadata": metadata}).encode()
        self.send_response(404 if missing else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args: t.Any) -> None:
        pass


def certificate(folder: pathlib.Path, name: str) -> tuple[str, str]:
    """A new certificate and its key."""
    paths = str(folder / f"{name}.crt"), str(folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"]
    subprocess.run([*command, f"/CN={name}", "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


@pytest.fixture
def there(tmp_path: pathlib.Path) -> t.Iterator[dict[str, str]]:
    """The options for a daemon with a certificate of its own."""
    server, client = certificate(tmp_path, "server"), certificate(tmp_path, "client")
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Daemon)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{listening.server_address[1]}/"
    yield {"engine": "lxd", "project": "gb", "url": url, "client_cert": client[0], "client_key": client[1], "server_cert": server[0]}
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_the_pinned_certificate_is_trusted_whatever_bundle_and_proxy_the_environment_names(
    there: dict[str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate(tmp_path, "company")[0])
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert connect(there).project == "gb"


def test_any_other_certificate_is_refused(there: dict[str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, _key = certificate(tmp_path, "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", there["server_cert"])
    with pytest.raises(Unreachable, match="Fingerprints did not match"):
        connect({**there, "server_cert": other})


def test_a_project_that_is_not_there_is_named_with_what_to_do(there: dict[str, str]) -> None:
    lxd = connect(there)
    assert observe(lxd) == {}, "LXD does not say it here"
    with pytest.raises(
        ApiError, match=r"refused get projects/gb \(404\): Project not found\. Let site\.yml make the project gb"
    ) as refusal:
        observe_project(lxd)
    assert refusal.value.status == 404


def test_a_daemon_that_is_not_installed_or_does_not_run_is_named_with_what_was_tried(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        Unreachable, match=r"LXD is not running here, or not installed: no unix socket at /var/lib/lxd/unix\.socket, /var/snap"
    ):
        find_socket(engine_named("lxd"), lambda _path: False)
    left_over = tmp_path / "unix.socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(left_over))
    with pytest.raises(Unreachable, match=f"LXD does not answer at unix:{left_over}: .*Is its daemon running"):
        connect({"engine": "lxd", "project": "gb", "url": f"unix:{left_over}"})


def test_a_daemon_that_hangs_is_given_up_in_time(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "unix.socket"))
        listening.listen()
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="timed out"):
            connect({"engine": "lxd", "project": "gb", "url": f"unix:{tmp_path}/unix.socket", "timeout": 1})
        assert time.monotonic() - begun < 10

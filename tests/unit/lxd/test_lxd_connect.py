# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection over https: the pinned certificate and no other, whatever the environment says."""

from __future__ import annotations

import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import typing as t

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import connect


class Daemon(http.server.BaseHTTPRequestHandler):
    """What pylxd asks a daemon first."""

    def do_GET(self) -> None:
        text = json.dumps({"type": "sync", "status_code": 200, "metadata": {"api_extensions": ["projects"], "auth": "trusted"}}).encode()
        self.send_response(200)
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

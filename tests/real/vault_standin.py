#!/usr/bin/env python3
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for a Vault with a KV version 2 engine at secret/, in trials of the real botserver; it keeps everything in memory.

    VAULT_TOKEN=… vault_standin.py [PORT]

It answers reads with the whole metadata of the real one, without which botserver takes the answer for none, and keeps versions.
botserver asks for ``gbo/tables?``: the query is empty then, and means the latest version, which is the only one that can be had here.
"""

from __future__ import annotations

import datetime
import hmac
import http.server
import json
import os
import sys
import typing as t

PREFIX = "/v1/secret/data/"
TOKEN = os.environ["VAULT_TOKEN"]
#: by path, every version: what was written, and its metadata
SECRETS: dict[str, list[tuple[dict[str, t.Any], dict[str, t.Any]]]] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Read the latest version of a secret."""
        if self.path.startswith("/v1/sys/health"):
            return self.answer(200, {"initialized": True, "sealed": False, "standby": False, "version": "1.15.0"})
        if not self.allowed():
            return None
        versions = SECRETS.get(self.name)
        if not versions:
            return self.answer(404, {"errors": []})
        data, metadata = versions[-1]
        return self.answer(200, envelope({"data": data, "metadata": metadata}))

    def do_POST(self) -> None:
        """Write a version of a secret."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.allowed():
            return None
        versions = SECRETS.setdefault(self.name, [])
        created = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
        about = {"created_time": created, "custom_metadata": None, "deletion_time": "", "destroyed": False, "version": len(versions) + 1}
        versions.append((json.loads(body)["data"], about))
        return self.answer(200, envelope(about))

    do_PUT = do_POST

    @property
    def name(self) -> str:
        """The secret that the request is about."""
        return self.path.partition("?")[0].removeprefix(PREFIX)

    def allowed(self) -> bool:
        """Whether the request has the token and is about the engine; answers it if not."""
        if not hmac.compare_digest(self.headers.get("X-Vault-Token") or "", TOKEN):
            self.answer(403, {"errors": ["permission denied"]})
            return False
        if not self.path.startswith(PREFIX):
            self.answer(404, {"errors": [f"no handler for route {self.path!r}"]})
            return False
        return True

    def answer(self, status: int, body: dict[str, t.Any]) -> None:
        """Send a JSON document."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def envelope(data: dict[str, t.Any]) -> dict[str, t.Any]:
    """An answer as Vault wraps it."""
    plain = {"request_id": os.urandom(16).hex(), "lease_id": "", "renewable": False, "lease_duration": 0}
    return {**plain, "data": data, "wrap_info": None, "warnings": None, "auth": None}


def main() -> None:
    """Serve until killed."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8200
    http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()


if __name__ == "__main__":
    main()

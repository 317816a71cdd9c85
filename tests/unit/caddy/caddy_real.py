# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Caddy on loopback, run as the role runs it, and the role's own configuration for it."""

from __future__ import annotations

import contextlib
import functools
import glob
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for


def binary() -> str | None:
    """A Caddy to test with: the one that C(GB_CADDY_BINARY) names, else one that the role built."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    built = sorted(glob.glob(f"{cache}/generalbots.scaling/caddy/*/caddy"), key=os.path.getmtime)
    found = os.environ.get("GB_CADDY_BINARY") or (built[-1] if built else None)
    return found if found and os.access(found, os.X_OK) else None


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


@functools.cache
def rendered(given: str) -> str:
    """The role's variables for given ones, both as JSON text."""
    root = next(place for place in sys.path if pathlib.Path(place, "ansible_collections", "generalbots", "scaling").is_dir())
    program = pathlib.Path(__file__).with_name("caddy_render.py")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(pathlib.Path(root).resolve())}
    done = subprocess.run([sys.executable, str(program)], input=given, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class RealCaddy:
    """One Caddy with a folder of its own; ``start`` and ``stop`` may come in turns, as with a restart."""

    def __init__(self, program: str, folder: str) -> None:
        self.binary = program
        self.folder = folder
        self.socket = f"{folder}/admin.sock"
        self.https, self.http, self.port, self.gate = (free_port() for _ in range(4))
        self._process: subprocess.Popen[bytes] | None = None

    def role(self, slots: int = 2, **given: t.Any) -> dict[str, t.Any]:
        """The role's variables for this Caddy: slots at 127.0.0.101 and on."""
        settings = {
            "scale-max-instances": slots, "health-enabled": True, "health-endpoint": "/api/health-check",
            "health-interval": 1, "health-timeout": 1, "health-retries": 1,
        }  # fmt: skip
        variables = {
                "gb_settings": settings, "gb_subnet": "127.0.0.0/24", "gb_botserver_port": self.port, "gb_gate_port": self.gate,
                "gb_publish_https_port": self.https, "caddy_socket": self.socket, "caddy_cookie_secret": "0123456789" * 4,
                "caddy_https_listen": f"127.0.0.1:{self.https}", "caddy_http_listen": f"127.0.0.1:{self.http}", **given,
        }  # fmt: skip
        return t.cast(dict[str, t.Any], json.loads(rendered(json.dumps(variables))))

    def start(self) -> None:
        """Start it as the unit does, and wait until its admin endpoint answers."""
        bootstrap = pathlib.Path(self.folder, "bootstrap.json")
        bootstrap.write_text(json.dumps({"admin": self.role()["__caddy_admin"]}))
        with open(f"{self.folder}/log", "ab") as log:
            self._process = subprocess.Popen(
                [self.binary, "run", "--resume", "--config", str(bootstrap)],
                env={"HOME": self.folder, "PATH": os.environ["PATH"]},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for("Caddy to start", self._answers, bool, timeout=20)

    def _answers(self) -> bool:
        try:
            Caddy(self.socket, timeout=2).read()
        except Unreachable:
            return False
        return True

    def stop(self) -> None:
        """End it by SIGTERM, as systemd does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def log(self) -> list[dict[str, t.Any]]:
        """Every line that it logged."""
        return [json.loads(line) for line in pathlib.Path(self.folder, "log").read_text().splitlines() if line.startswith("{")]

    def trust(self) -> ssl.SSLContext:
        """Trust in its own authority and nothing else."""
        root = f"{self.folder}/.local/share/caddy/pki/authorities/local/root.crt"
        wait_for("Caddy's authority", lambda: os.path.exists(root), bool, timeout=20)
        return ssl.create_default_context(cafile=root)

    def shows_its_certificate(self) -> bool:
        """Whether the first certificate has been made, which takes a moment."""
        try:
            with (
                socket.create_connection(("127.0.0.1", self.https), 5) as plain,
                self.trust().wrap_socket(plain, server_hostname="localhost"),
            ):
                return True
        except ssl.SSLError:
            return False

    def get(self, path: str, host: str = "localhost", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        """One HTTPS request on a connection of its own: status, headers in lower case, body."""
        connection = http.client.HTTPSConnection("localhost", self.https, timeout=20, context=self.trust())
        with contextlib.closing(connection):
            connection.request(method, path, headers={"Host": host, **headers})
            answer = connection.getresponse()
            return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read().decode()


@contextlib.contextmanager
def real_caddy(program: str) -> t.Iterator[RealCaddy]:
    """A running Caddy that ends with the block."""
    folder = tempfile.mkdtemp(prefix="gb-caddy-")
    caddy = RealCaddy(program, folder)
    try:
        caddy.start()
        yield caddy
    finally:
        caddy.stop()
        shutil.rmtree(folder)


def until(what: str, seen: t.Callable[[], bool], timeout: float = 15) -> None:
    """Wait for what a test needs to be so."""
    wait_for(what, seen, bool, timeout=timeout, interval=0.05)

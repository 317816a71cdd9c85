# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Caddy on loopback, run as the role runs it, and the role's own configuration for it.

Tests that need it are skipped where there is none; ``make caddy`` builds one.
"""

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

import pytest
from caddy_fakes import Call, Upstream, upstream
from ports import free_port

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for
from ansible_collections.generalbots.scaling.plugins.modules import caddy_config, caddy_upstreams


@functools.cache
def binary() -> str | None:
    """A Caddy to test with: the one that C(GB_CADDY_BINARY) names, else one that the role built."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    built = sorted(glob.glob(f"{cache}/generalbots.scaling/caddy/*/caddy"), key=os.path.getmtime)
    found = os.environ.get("GB_CADDY_BINARY") or (built[-1] if built else None)
    return found if found and os.access(found, os.X_OK) else None


needs_caddy = pytest.mark.skipif(binary() is None, reason="no Caddy: name one in GB_CADDY_BINARY, or let the role build one")


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
            **{name: key.default for name, key in KEYS.items()}, "scale-max-instances": slots, "health-endpoint": "/api/health-check",
            "health-interval": 1, "health-timeout": 1, "health-retries": 1, **given.pop("settings", {}),
        }  # fmt: skip
        variables = {
                "gb_settings": settings, "gb_subnet": "127.0.0.0/24", "gb_botserver_port": self.port, "gb_gate_port": self.gate,
                "gb_publish_https_port": self.https, "gb_publish_http_port": self.http, "caddy_socket": self.socket,
                "caddy_cookie_secret": "0123456789" * 4, "caddy_tls_dir": f"{self.folder}/tls", "caddy_log_dir": self.folder,
                "caddy_https_listen": f"127.0.0.1:{self.https}", "caddy_http_listen": f"127.0.0.1:{self.http}",
                "caddy_panic_health": "/alive", **given,
        }  # fmt: skip
        return t.cast(dict[str, t.Any], json.loads(rendered(json.dumps(variables))))

    def start(self) -> None:
        """Start it as the unit does, and wait until its admin endpoint answers."""
        bootstrap = pathlib.Path(self.folder, "bootstrap.json")
        bootstrap.write_text(json.dumps({"admin": {"listen": f"unix/{self.socket}|0600"}}))
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

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def log(self, name: str = "log") -> list[dict[str, t.Any]]:
        """Every line of its own log, or of another that it writes, such as access.log."""
        return [json.loads(line) for line in pathlib.Path(self.folder, name).read_text().splitlines() if line.startswith("{")]

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

    def get(
        self, path: str, host: str = "localhost", method: str = "GET", source: str = "127.0.0.1", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """One HTTPS request on a connection of its own from an address of loopback: status, headers in lower case, body."""
        connection = http.client.HTTPSConnection("localhost", self.https, timeout=20, context=self.trust(), source_address=(source, 0))
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


@contextlib.contextmanager
def slot(caddy: RealCaddy, number: int) -> t.Iterator[tuple[Upstream, Upstream]]:
    """A slot with an instance: what serves, and its gate."""
    host = f"127.0.0.{100 + number}"
    with upstream(f"botserver-{number}", host, caddy.port) as serving, upstream("gate", host, caddy.gate) as gate:
        yield serving, gate


def configure(call: Call, caddy: RealCaddy, slots: int = 2, check: bool = False, **given: t.Any) -> list[bool]:
    """What the entry point configure does; whether each of its two steps changed anything, or in check mode would."""
    wanted = caddy.role(slots, **given)["__caddy_site"]
    loaded = call(caddy_config, caddy, check, config=wanted["config"], keep=wanted["keep"])
    steps = [loaded, call(caddy_upstreams, caddy, check, pools=wanted["pools"], added=loaded.get("added", []))]
    assert not any(step.get("failed") for step in steps), steps
    if given.get("gb_tls", {}).get("source", "internal") == "internal":
        until("the certificate", caddy.shows_its_certificate)
    return [step["changed"] for step in steps]


def load(caddy: RealCaddy, slots: int = 2, **given: t.Any) -> None:
    """The role's site for these variables in one write, for fixtures that outlive a test."""
    admin = Caddy(caddy.socket)
    _running, etag = admin.read()
    admin.write(caddy.role(slots, **given)["__caddy_site"]["config"], etag)
    until("the certificate", caddy.shows_its_certificate)

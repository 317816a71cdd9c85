# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy, HAProxy and a demo botserver as processes on loopback, and the site that the role makes, for benches that need no containers."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ports import free_port

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import site
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import KEYS
from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
Json = dict[str, t.Any]
# The mission's four, as roles/gb has them.
ROUTES: list[Json] = [
    {"name": "ws", "path": ["/ws*"], "policy": "cookie"},
    {"name": "health", "path": ["/api/health"]},
    {"name": "api", "path": ["/api/*"]},
    {"name": "web", "policy": "first"},
]


def caddy_binary() -> str:
    """A Caddy with caddy-ratelimit: the one that ``GB_CADDY_BINARY`` names, else one that the role built; skips without."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    built = sorted(cache.glob("generalbots.scaling/caddy/*/caddy"), key=lambda path: path.stat().st_mtime)
    found = os.environ.get("GB_CADDY_BINARY") or (str(built[-1]) if built else "")
    if not found:
        pytest.skip("This bench needs a Caddy. Build one (make caddy), or name one in GB_CADDY_BINARY.")
    return found


def program(name: str, package: str) -> str:
    """A program in PATH; skips without."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"This bench needs {name}. Install it (apt install {package}).")
    return found


class Pair(t.NamedTuple):
    """A certificate for localhost and its key, as PEM files, and both in one as HAProxy wants them."""

    certificate: pathlib.Path
    key: pathlib.Path
    both: pathlib.Path


def certificate(folder: pathlib.Path) -> Pair:
    """A certificate that signs itself and holds for a day."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name, day = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")]), datetime.timedelta(days=1)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    made = built.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pair = Pair(folder / "site.crt", folder / "site.key", folder / "site.pem")
    for path, text in zip(pair, (pem, secret, pem + secret), strict=True):
        path.write_bytes(text)
    return pair


def options(folder: pathlib.Path, admin: str, port: int, backends: t.Sequence[str], pair: Pair, **settings: t.Any) -> Json:
    """A site as the role makes it, which listens on this port of loopback and checks its backends where they serve."""
    return {
        "settings": {**{name: key.default for name, key in KEYS.items()}, **settings},
        "admin": f"unix/{admin}|0600",
        "hosts": ["localhost"],
        "routes": ROUTES,
        "headers": {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"},
        "listen": {"http": f"127.0.0.1:{free_port()}", "https": f"127.0.0.1:{port}", "proxy_protocol": True},
        "pool": {
            "upstreams": [*backends],
            "health": {"uri": "/api/health", "interval": 1, "timeout": 1},
            "cookie_secret": "0123456789" * 4,
            "stream_close_delay": 300,
        },
        "tls": {"source": "files", "certificate": str(pair.certificate), "key": str(pair.key)},
        "tls_folder": str(folder / "tls"),
        "log": {"file": str(folder / "access.log")},
        "pages": {"maintenance": "away"},
    }


def made(given: Json) -> site.Site:
    """The site, with the files that it names where it names them."""
    built = site.build(given)
    for file in built["files"]:
        place = pathlib.Path(file["dest"])
        place.parent.mkdir(exist_ok=True)
        shutil.copy(file["src"], place)
    return built


@contextlib.contextmanager
def running(command: t.Sequence[str], folder: pathlib.Path, log: str, **environment: str) -> t.Iterator[None]:
    """A process while the block runs, with its output in a file of the folder."""
    with (folder / log).open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "HOME": str(folder), **environment})
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def caddy(folder: pathlib.Path, name: str, config: Json) -> t.Iterator[Caddy]:
    """A Caddy that runs this configuration, whose admin endpoint is ``<name>.sock`` of the folder."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"admin": {"listen": f"unix/{folder}/{name}.sock|0600"}, **config}))
    with running([caddy_binary(), "run", "--config", str(file)], folder, f"{name}.log"):
        yield Caddy(f"{folder}/{name}.sock")


@contextlib.contextmanager
def botserver(folder: pathlib.Path, port: int) -> t.Iterator[None]:
    """A demo botserver on a port of every address of loopback, so that it stands for as many slots as are wanted."""
    command = [sys.executable, str(ROOT / "roles/botserver/files/demo_botserver.py")]
    work = {"PORT": str(port), "GB_DEMO_STANDALONE": "true", "GBO_WORK_PATH": str(folder / "work")}
    with running(command, folder, "botserver.log", **work):
        yield


class Answer(t.NamedTuple):
    """What came back: status, headers with their names in lower case, body."""

    status: int
    headers: dict[str, str]
    body: str


def answer(port: int, path: str, trust: pathlib.Path | None = None) -> Answer:
    """One request to localhost on a connection of its own, by HTTPS where there is a certificate to trust."""
    context = ssl.create_default_context(cafile=str(trust)) if trust else None
    link = http.client.HTTPSConnection("localhost", port, timeout=5, context=context) if trust else None
    with contextlib.closing(link or http.client.HTTPConnection("localhost", port, timeout=5)) as connection:
        connection.request("GET", path)
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read().decode())


def until_it_answers(port: int, path: str, trust: pathlib.Path | None = None) -> None:
    """Wait for a 200 of localhost."""

    def status() -> int:
        try:
            return answer(port, path, trust).status
        except OSError:
            return 0

    wait_for(f"port {port} to answer {path}", status, lambda seen: seen == 200, timeout=20, interval=0.05)


class Speed(t.NamedTuple):
    """What wrk measured: requests per second, and the time in milliseconds within which 99 of 100 were answered."""

    rate: float
    p99: float

    def __str__(self) -> str:
        return f"{self.rate:.0f}/s, p99 {self.p99:.1f} ms"


_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def read_wrk(text: str) -> Speed:
    """The figures of ``wrk --latency``; fails where an answer was none, or no 2xx or 3xx."""
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)", text)
    assert rate and p99 and "Non-2xx" not in text and "Socket errors" not in text, text
    return Speed(float(rate[1]), float(p99[1]) * _UNITS[p99[2]])


def wrk(port: int, path: str, seconds: int, connections: int = 32) -> Speed:
    """Load from 32 visitors who each send the next request when the last is answered."""
    url = f"https://localhost:{port}{path}"
    command = [program("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return read_wrk(done.stdout)

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy on loopback with the role's own configuration, and members of a cluster to lead to: an echo and a REST API each."""

from __future__ import annotations

import contextlib
import datetime
import functools
import http.server
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ports import free_port

from ansible_collections.generalbots.scaling.plugins.module_utils.wait import wait_for

#: where make programs puts what it unpacks
BUILT = pathlib.Path(__file__).parents[3] / ".build" / "programs"
SUBNET = "127.0.0.0/24"
MEMBERS = {f"postgres-{number}": f"127.0.0.3{number}" for number in (1, 2, 3)}


def binary() -> str | None:
    """A HAProxy to test with: the one that C(GB_HAPROXY_BINARY) names, else an installed one, else that of C(make programs)."""
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:{BUILT}"
    found = os.environ.get("GB_HAPROXY_BINARY") or shutil.which("haproxy", path=places)
    return found if found and os.access(found, os.X_OK) else None


@functools.cache
def rendered(given: str) -> dict[str, str]:
    """The role's files for given variables, both as JSON text."""
    root = next(place for place in sys.path if pathlib.Path(place, "ansible_collections", "generalbots", "scaling").is_dir())
    program = pathlib.Path(__file__).with_name("endpoints_render.py")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(pathlib.Path(root).resolve())}
    done = subprocess.run([sys.executable, str(program)], input=given, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return t.cast("dict[str, str]", json.loads(done.stdout))


class Authority:
    """Signs certificates for members; its own stands in C(ca.crt)."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        own = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def context(self, name: str) -> ssl.SSLContext:
        """What a server of that name presents."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = self._builder(subject, key).add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = request.sign(self._key, hashes.SHA256())
        file = self.folder / f"{name}.pem"
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        built = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        return built.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))


class Threaded(socketserver.ThreadingTCPServer):
    """A server whose threads do not keep the test from ending."""

    allow_reuse_address = True
    daemon_threads = True


class Member:
    """One member: its C(role) is what its REST API says, C(lag) its bytes behind the primary."""

    def __init__(self, name: str, address: str, ports: tuple[int, int], tls: ssl.SSLContext) -> None:
        self.role, self.lag = "replica", 0
        self.asked: list[str] = []
        member = self

        class Echo(socketserver.BaseRequestHandler):
            """Says its name to whoever connects, and again after each line."""

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.request.sendall(name.encode() + b"\n")
                    while self.request.recv(100):
                        self.request.sendall(name.encode() + b"\n")

        class Rest(http.server.BaseHTTPRequestHandler):
            """The two questions of HAProxy, as Patroni answers them."""

            def setup(self) -> None:
                self.request = tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def do_OPTIONS(self) -> None:
                member.asked.append(self.path)
                self.send_response(200 if member.answers(self.path) else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The test looks at C(asked)."""

        self._servers = [Threaded((address, ports[0]), Echo), _Quiet((address, ports[1]), Rest)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def answers(self, path: str) -> bool:
        """Whether this question is answered with yes."""
        if path == "/primary":
            return self.role == "primary"
        return path.startswith("/replica?lag=") and self.role == "replica" and self.lag <= 16 * 1024 * 1024

    def refuse(self) -> None:
        """Refuse sessions, and go on answering what it is."""
        self._servers[0].shutdown()
        self._servers[0].server_close()

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Quiet(Threaded):
    """A check that is broken off in its handshake is part of what is tested."""

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Say nothing."""


class Endpoint:
    """HAProxy as the unit runs it, master and worker."""

    def __init__(self, program: str, folder: pathlib.Path, given: t.Mapping[str, t.Any]) -> None:
        self.folder, self.program = folder, program
        self.primary, self.replica = free_port(), free_port()
        variables = {
            "gb_subnet": SUBNET, "gb_secrets_dir": str(folder), "endpoints_postgres_members": 3,
            "endpoints_postgres_primary_port": self.primary, "endpoints_postgres_replica_port": self.replica,
            "endpoints_check_interval": 100, "endpoints_check_fast_interval": 50, "endpoints_check_timeout": 2000,
            "__endpoints_socket": f"{folder}/admin.sock", "__endpoints_state": f"{folder}/servers.state", **given,
        }  # fmt: skip
        files = rendered(json.dumps(variables))
        # Whoever runs the tests is not root, or has no such user.
        dropped = ("    user ", "    group ", "    chroot ")
        self.config = folder / "haproxy.cfg"
        self.config.write_text("\n".join(line for line in files["haproxy.cfg"].split("\n") if not line.startswith(dropped)))
        (folder / "servers.state").write_text(files["servers.state"])
        self.output = folder / "haproxy.out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self.output.open("wb") as output:
            command = [self.program, "-W", "-f", str(self.config), "-S", f"{self.folder}/master.sock"]
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        # The master answers when it is done with its start, and takes signals from then on.
        wait_for("the master", self._master, lambda text: "worker" in text, timeout=20, interval=0.02)

    def _master(self) -> str:
        """The beginning of what the master says of its processes; it keeps the connection open."""
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(1)
                one.connect(f"{self.folder}/master.sock")
                one.sendall(b"show proc\n")
                return one.recv(65536).decode()
        except OSError:
            return ""

    def says(self, command: str = "show info") -> str:
        """What its stats socket answers; empty while there is none."""
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(5)
                one.connect(f"{self.folder}/admin.sock")
                one.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: one.recv(65536), b"")).decode()
        except OSError:
            return ""

    def reload(self) -> None:
        """As the unit does it: keep what is known, and let the master start a new worker."""
        assert self._process is not None
        before = self.says().split("Pid: ")[1].split("\n")[0]
        (self.folder / "servers.state").write_text(self.says("show servers state"))
        self._process.send_signal(signal.SIGUSR2)
        wait_for("a new worker", self.says, lambda said: "Pid: " in said and f"Pid: {before}\n" not in said, timeout=20, interval=0.02)

    def stop(self) -> None:
        """End master and workers."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)


def connect(port: int) -> tuple[socket.socket, str]:
    """A session through an address of HAProxy, and the name of the member at its other end; empty where it was refused."""
    one = socket.create_connection(("127.0.0.1", port), timeout=5)
    return one, said(one)


def said(one: socket.socket) -> str:
    """The next line of a session; empty where it was cut."""
    try:
        return one.recv(100).decode().strip()
    except ConnectionError:
        return ""

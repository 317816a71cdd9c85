# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member whose certificate has ended, or was signed by somebody else: refused, and said so."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import pathlib
import ssl
import threading
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.patroni.client import Access, Patroni

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


class Authority:
    """Signs certificates; its own stands in ``file``."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
        own = self._builder("authority", self._key, DAY).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.file = folder / "ca.crt"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def member(self, ends: datetime.timedelta) -> ssl.SSLContext:
        """What a member on loopback shows, with a certificate that ends after so long."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = self._builder("postgres-1", key, ends).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = self.file.with_name("member.pem")
        file.write_bytes(secret + signed.public_bytes(PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(self, subject: str, key: ec.EllipticCurvePrivateKey, ends: datetime.timedelta) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        name = self._name if subject == "authority" else x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        return made.serial_number(x509.random_serial_number()).not_valid_before(now - 9 * DAY).not_valid_after(now + ends)


class Quiet(http.server.ThreadingHTTPServer):
    """A server that keeps failed handshakes to itself."""

    def handle_error(self, _request: t.Any, _address: t.Any) -> None:
        pass


def refusal(shown: ssl.SSLContext, trusted: pathlib.Path) -> str:
    """What is said of a member that shows this to somebody who trusts that authority."""
    with Quiet(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = shown.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            with pytest.raises(Unreachable) as refused:
                Patroni([f"https://127.0.0.1:{server.server_port}"], Access(ca=str(trusted))).cluster()
        finally:
            server.shutdown()
    return str(refused.value)


def test_a_certificate_that_ended_is_named_as_that(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the machine trusts, by its environment, is no matter here.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path / "other").file))
    authority = Authority(tmp_path / "one")
    said = refusal(authority.member(-DAY), authority.file)
    assert "certificate has expired" in said
    assert "Look at the dates of its certificate" in said


def test_a_certificate_of_another_authority_is_not_believed(tmp_path: pathlib.Path) -> None:
    said = refusal(Authority(tmp_path / "one").member(DAY), Authority(tmp_path / "other").file)
    assert "certificate verify failed" in said
    assert "the authority that it is checked against" in said

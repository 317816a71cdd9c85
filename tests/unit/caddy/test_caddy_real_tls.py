# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of a real Caddy: certificates of the user's, the oldest version that is spoken, HTTP/2 and HTTP/3; and what is refused before."""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import socket
import ssl
import typing as t

import pytest
from caddy_fakes import Call
from caddy_real import RealCaddy, binary, configure, needs_caddy, real_caddy, rendered, slot, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ports import free_port

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy import site_tls
from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Caddy
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

pytest_plugins = ["caddy_fixtures"]

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Pair(t.NamedTuple):
    """A certificate and its key, as PEM files."""

    certificate: pathlib.Path
    key: pathlib.Path


def pair(folder: pathlib.Path, name: str, *hosts: str, begin: datetime.datetime = NOW - DAY, end: datetime.datetime = NOW + DAY) -> Pair:
    """A self-signed certificate for these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    built = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, end)
    certificate = built.add_extension(names, False).add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    made = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return made


def refusal(certificate: pathlib.Path, key: pathlib.Path, *hosts: str) -> str:
    with pytest.raises(InvalidInput) as error:
        site_tls.check_files(str(certificate), str(key), hosts, NOW)
    return str(error.value)


def test_certificates_that_would_not_work_are_refused_with_the_reason(tmp_path: pathlib.Path) -> None:
    good, other = pair(tmp_path, "good", "bots.test", "*.bots.test"), pair(tmp_path, "other", "bots.test")
    old = pair(tmp_path, "old", "bots.test", begin=NOW - 9 * DAY, end=NOW - 2 * DAY)
    early = pair(tmp_path, "early", "bots.test", begin=NOW + DAY, end=NOW + 2 * DAY)
    site_tls.check_files(str(good.certificate), str(good.key), ["bots.test", "a.bots.test"], NOW)
    assert "do not belong together" in refusal(good.certificate, other.key, "bots.test")
    assert f"expired on {NOW - 2 * DAY:%Y-%m-%d}" in refusal(*old, "bots.test")
    assert f"holds only from {NOW + DAY:%Y-%m-%d} on" in refusal(*early, "bots.test")
    assert "is for bots.test, *.bots.test, and not for else.test, a.b.bots.test" in refusal(
        *good, "bots.test", "else.test", "a.b.bots.test"
    )
    assert "no certificate and key in PEM" in refusal(good.key, good.key, "bots.test")
    assert "cannot be read on the controller" in refusal(tmp_path / "none.crt", good.key, "bots.test")


def test_an_encrypted_key_is_refused(tmp_path: pathlib.Path) -> None:
    made = pair(tmp_path, "locked", "bots.test")
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"word")
    made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    assert "is encrypted" in refusal(*made, "bots.test")


OPTIONS: dict[str, t.Any] = {
    "source": "internal", "email": "", "staging": False, "directory": "", "trusted_root": "", "certificate": "", "key": "",
    "minimum": "1.2",
}  # fmt: skip
PUBLIC = {"public_http_port": 80, "public_https_port": 443}


@pytest.mark.parametrize(
    "options, listen, hosts, reason",
    [
        ({"email": "a@example.org"}, PUBLIC, ["bots.example.org"], "email, which belongs to source acme, and source is internal"),
        ({"source": "files", "certificate": "x"}, PUBLIC, ["bots.example.org"], "source files and no key"),
        ({"source": "acme", "staging": True, "directory": "https://ca.test"}, PUBLIC, ["a.test"], "staging and directory"),
        ({"source": "acme", "directory": "http://ca.test"}, PUBLIC, ["a.test"], "does not begin with https://"),
        ({"source": "acme", "trusted_root": "/etc/hosts"}, PUBLIC, ["bots.example.org"], "no directory"),
        ({"source": "acme"}, PUBLIC, ["localhost", "10.0.0.1", "a.lan"], "localhost, 10.0.0.1, a.lan, and a public authority signs only"),
        ({"source": "acme"}, {"public_http_port": 8080, "public_https_port": 8443}, ["bots.example.org"], "asks at port 80 or 443"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(options: dict[str, t.Any], listen: t.Any, hosts: list[str], reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        site_tls.build({**OPTIONS, **options}, hosts, listen, "/etc/caddy/tls")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "options, issuer",
    [
        ({"source": "internal"}, {"module": "internal"}),
        ({"source": "acme", "email": "a@example.org"}, {"module": "acme", "email": "a@example.org"}),
        ({"source": "acme", "staging": True}, {"module": "acme", "ca": site_tls.STAGING}),
        ({"source": "acme", "directory": "https://ca.test/d"}, {"module": "acme", "ca": "https://ca.test/d"}),
    ],
)
def test_issuers_are_said_in_caddys_words(options: dict[str, t.Any], issuer: dict[str, t.Any]) -> None:
    made = site_tls.build({**OPTIONS, **options}, ["bots.example.org"], PUBLIC, "/etc/caddy/tls")
    assert made.app["automation"]["policies"] == [{"subjects": ["bots.example.org"], "issuers": [issuer]}]


def files(caddy: RealCaddy, made: Pair) -> dict[str, t.Any]:
    """Put a pair where the role would, and the variables for it."""
    # The same paths may hold something else by now.
    rendered.cache_clear()
    given: dict[str, t.Any] = {"gb_tls": {"source": "files", "certificate": str(made.certificate), "key": str(made.key)}}
    pathlib.Path(caddy.folder, "tls").mkdir(exist_ok=True)
    for file in caddy.role(**given)["__caddy_site"]["files"]:
        pathlib.Path(file["dest"]).write_bytes(pathlib.Path(file["src"]).read_bytes())
    return given


def shown(caddy: RealCaddy) -> bytes:
    """The certificate that Caddy shows."""
    with socket.create_connection(("127.0.0.1", caddy.https), 10) as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain, server_hostname="localhost") as one:
            return one.getpeercert(True) or b""


def der(made: Pair) -> bytes:
    return x509.load_pem_x509_certificate(made.certificate.read_bytes()).public_bytes(serialization.Encoding.DER)


@needs_caddy
def test_certificates_of_the_users_are_served_and_a_new_one_is_a_change(call: Call, caddy: RealCaddy, tmp_path: pathlib.Path) -> None:
    configure(call, caddy)
    first = pair(tmp_path, "first", "localhost")
    assert configure(call, caddy, **files(caddy, first)) == [True, False] and shown(caddy) == der(first)
    second = pair(tmp_path, "second", "localhost")
    first.certificate.write_bytes(second.certificate.read_bytes())
    first.key.write_bytes(second.key.read_bytes())
    assert configure(call, caddy, **files(caddy, first)) == [True, False] and shown(caddy) == der(second)
    assert configure(call, caddy, **files(caddy, first)) == [False, False]
    assert "PRIVATE KEY" not in json.dumps(Caddy(caddy.socket).read()[0])


@needs_caddy
@pytest.mark.parametrize("minimum, spoken", [("1.2", True), ("1.3", False)])
def test_the_oldest_tls_is_what_is_asked_for(call: Call, caddy: RealCaddy, minimum: str, spoken: bool) -> None:
    configure(call, caddy, gb_tls={"source": "internal", "minimum": minimum})
    context = caddy.trust()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", caddy.https), 10) as plain, contextlib.ExitStack() as stack:
        if not spoken:
            stack.enter_context(pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"))
        with context.wrap_socket(plain, server_hostname="localhost") as one:
            assert one.version() == "TLSv1.2"


@needs_caddy
@pytest.mark.parametrize("version, proto", [("1.1", "HTTP/1.1"), ("2", "HTTP/2.0"), ("3", "HTTP/3.0")])
def test_http_1_2_and_3_are_spoken(call: Call, caddy: RealCaddy, version: str, proto: str) -> None:
    """Asked by a second Caddy, which speaks all of them as a client."""
    program = binary()
    assert program is not None
    with slot(caddy, 1), real_caddy(program) as client:
        configure(call, caddy, gb_http_versions=["h1", "h2", "h3"])
        until("slot 1 to serve", lambda: caddy.get("/")[0] == 200)
        headers = caddy.get("/")[1]
        assert f'h3=":{caddy.https}"' in headers["alt-svc"]
        status, body = asked_by(client, caddy, version)
        assert (status, body) == (200, "botserver-1")
        until("the request to be logged", lambda: proto in [line["request"]["proto"] for line in caddy.log("access.log")])


def asked_by(client: RealCaddy, caddy: RealCaddy, version: str) -> tuple[int, str]:
    """One request through another Caddy, which passes it on in this version of HTTP."""
    import http.client

    port = free_port()
    caddy.trust()
    root = f"{caddy.folder}/.local/share/caddy/pki/authorities/local/root.crt"
    tls = {"ca": {"provider": "file", "pem_files": [root]}, "server_name": "localhost"}
    passing = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{caddy.https}"}],
        "transport": {"protocol": "http", "versions": [version], "tls": tls},
        "headers": {"request": {"set": {"Host": ["localhost"]}}},
    }
    admin = Caddy(client.socket)
    running, etag = admin.read()
    server = {"listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": [{"handle": [passing]}]}
    admin.write({**running, "apps": {"http": {"servers": {"passing": server}}}}, etag)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as link:
        link.request("GET", "/")
        answer = link.getresponse()
        return answer.status, answer.read().decode()

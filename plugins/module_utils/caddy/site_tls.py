# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of a site: who signs its certificates, and what is wrong with certificates of the user's before Caddy ever sees them.

Reads the files that the user names, on the controller; apart from that all functions are pure.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import pathlib
import ssl
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.site_options import Json
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput

STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
# Names that no public authority signs.
_PRIVATE = ("localhost", ".localhost", ".local", ".internal", ".lan", ".lxd", ".test", ".example", ".invalid", ".home.arpa")


class File(t.TypedDict):
    """A file that has to be in the proxy before the configuration is loaded; ``src`` is on the controller."""

    src: str
    dest: str
    secret: bool


class Tls(t.NamedTuple):
    """Caddy's TLS app and connection policies, and the files that they name."""

    app: Json
    policies: list[Json]
    files: list[File]


def build(options: Json, hosts: t.Sequence[str], listen: Json, folder: str, now: datetime.datetime | None = None) -> Tls:
    """TLS as the options want it.

    :param options: the part C(tls) of the site's options
    :param hosts: the names that the site answers to
    :param folder: where the files will stand in the proxy
    :raises InvalidInput: options that do not belong together, or certificates that would not work
    """
    _check_options(options)
    source = options["source"]
    policies = [{"default_sni": hosts[0], "protocol_min": f"tls{options['minimum']}"}]
    if source == "files":
        check_files(options["certificate"], options["key"], hosts, now or datetime.datetime.now(datetime.UTC))
        certificate, key = _file(options["certificate"], folder, ".crt"), _file(options["key"], folder, ".key", secret=True)
        app = {"certificates": {"load_files": [{"certificate": certificate["dest"], "key": key["dest"]}]}}
        return Tls(app, policies, [certificate, key])
    files = [_file(options["trusted_root"], folder, ".pem")] if options["trusted_root"] else []
    if source == "acme":
        _check_acme(options, hosts, listen)
        issuer = _acme(options, files)
    else:
        issuer = {"module": "internal"}
    automation = {"policies": [{"subjects": list(hosts), "issuers": [issuer]}]}
    return Tls({"certificates": {"automate": list(hosts)}, "automation": automation}, policies, files)


def check_proxies(options: Json, proxies: int) -> None:
    """Refuse what only one of several proxies could get a certificate by.

    :raises InvalidInput: an ACME server's question comes to the proxy that has the address, and another one knows no answer
    """
    if options["source"] == "acme" and proxies > 1:
        raise InvalidInput(
            f"gb_tls has source acme, and gb_proxies is {proxies}. Each proxy asks for a certificate of its own, the authority's question "
            "comes to the one that has the address, and the others would have none when they take over. Get the certificate elsewhere and "
            "use source files, or set gb_proxies to 1; nothing was changed."
        )


def _check_options(options: Json) -> None:
    owners = {
        "files": ("certificate", "key"),
        "acme": ("email", "staging", "directory", "trusted_root"),
        "internal": (),
    }
    source = options["source"]
    for owner, names in owners.items():
        given = [name for name in names if options[name]]
        if owner != source and given:
            raise InvalidInput(f"gb_tls has {given[0]}, which belongs to source {owner}, and source is {source}. Nothing was changed.")
    missing = [name for name in owners["files"] if source == "files" and not options[name]]
    if missing:
        raise InvalidInput(f"gb_tls has source files and no {' and no '.join(missing)}; name the PEM file. Nothing was changed.")
    if options["staging"] and options["directory"]:
        raise InvalidInput("gb_tls has staging and directory; a directory of your own has no staging. Nothing was changed.")
    if options["trusted_root"] and not options["directory"]:
        raise InvalidInput("gb_tls has trusted_root, which is for a directory of your own, and no directory. Nothing was changed.")


def _check_acme(options: Json, hosts: t.Sequence[str], listen: Json) -> None:
    """A public authority signs public names only, and comes to the public ports to look."""
    if options["directory"]:
        if not options["directory"].startswith("https://"):
            raise InvalidInput(f"gb_tls directory {options['directory']!r} does not begin with https://. Nothing was changed.")
        return
    refused = [host for host in hosts if not is_public(host)]
    if refused:
        raise InvalidInput(
            f"gb_site_hosts has {', '.join(refused)}, and a public authority signs only names that all the world can look up. Name the "
            "site's own host names, or use source internal or a directory of your own. Nothing was changed."
        )
    if listen["public_http_port"] != 80 and listen["public_https_port"] != 443:
        raise InvalidInput(
            f"A public authority asks at port 80 or 443, and the site is published at {listen['public_http_port']} and "
            f"{listen['public_https_port']}. Publish one of them, or use another source in gb_tls. Nothing was changed."
        )


def is_public(host: str) -> bool:
    """Whether a public authority may sign a name: a DNS name with a dot, and none that is kept for private use."""
    name = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return "." in name and "*" not in name and not any(name == end or name.endswith(end) for end in _PRIVATE)
    return False


def _acme(options: Json, files: t.Sequence[File]) -> Json:
    directory = options["directory"] or (STAGING if options["staging"] else "")
    words = {"module": "acme", "ca": directory, "email": options["email"], "trusted_roots_pem_files": [file["dest"] for file in files]}
    return {name: value for name, value in words.items() if value}


def _file(path: str, folder: str, suffix: str, secret: bool = False) -> File:
    """A file under a name that changes with its content, so that a new certificate is a new configuration.

    The name tells nothing about a key: it comes from a hash.
    """
    digest = hashlib.sha256(_read(path)).hexdigest()[:16]
    return {"src": path, "dest": f"{folder}/{digest}{suffix}", "secret": secret}


def _read(path: str) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"gb_tls names {path}, which cannot be read on the controller: {error.strerror}. Nothing was changed."
        ) from error


def check_files(certificate: str, key: str, hosts: t.Sequence[str], now: datetime.datetime) -> None:
    """Look whether certificate and key belong together, and whether they hold for the site's names now.

    :raises InvalidInput: with the file, what is wrong with it, and what to do
    """
    text = _read(certificate)
    _check_pair(certificate, key)
    from cryptography import x509

    leaf = x509.load_pem_x509_certificates(text)[0]
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not begin <= now <= end:
        state = f"expired on {end:%Y-%m-%d}" if now > end else f"holds only from {begin:%Y-%m-%d} on"
        raise InvalidInput(f"The certificate {certificate} {state}. Get a new one, or correct the clock; nothing was changed.")
    names = _names(leaf)
    missing = [host for host in hosts if not any(matches(name, host) for name in names)]
    if missing:
        raise InvalidInput(
            f"The certificate {certificate} is for {', '.join(names) or 'no name'}, and not for {', '.join(missing)} of gb_site_hosts. "
            "Get one for all of them, or take the names out; nothing was changed."
        )


def _check_pair(certificate: str, key: str) -> None:
    if b"ENCRYPTED" in _read(key):
        raise InvalidInput(f"The key {key} is encrypted, and Caddy cannot ask for its passphrase. Decrypt it; nothing was changed.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        what = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else f"are no certificate and key in PEM ({error.reason})"
        raise InvalidInput(f"{certificate} and {key} {what}. Name the pair that does; nothing was changed.") from error


def _names(leaf: t.Any) -> list[str]:
    from cryptography import x509

    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def matches(pattern: str, host: str) -> bool:
    """Whether a name of a certificate is that of a host; a * stands for one label (RFC 6125)."""
    pattern, host = pattern.lower(), host.lower()
    return pattern == host or (pattern.startswith("*.") and "." in host and pattern[2:] == host.split(".", 1)[1])

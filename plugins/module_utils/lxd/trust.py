# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client certificates that LXD trusts for one project only, and the address at which such clients reach it. Planning is pure."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.client import Lxd
from ansible_collections.generalbots.scaling.plugins.module_utils.plan import Plan

Json = t.Mapping[str, t.Any]

ADDRESS = "core.https_address"
#: the daemon's key that says that we set its address
MARK = "user.gb.https-address"
#: where LXD listens if its address has no port
DEFAULT_PORT = "8443"
_LISTENS = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?", re.ASCII)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(?P<body>[A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


@dataclasses.dataclass(frozen=True)
class Server:
    """The daemon: its config with the ETag, its own certificate, and the clients that it trusts."""

    config: t.Mapping[str, str]
    etag: str
    certificate: str
    clients: t.Sequence[Json]


@dataclasses.dataclass(frozen=True)
class Client:
    """A client by the name of its trust entry; ``der`` is its certificate in base64, empty where it only has to go."""

    name: str
    project: str
    der: str = ""

    @property
    def fingerprint(self) -> str:
        """The certificate's SHA-256, as LXD names it."""
        return hashlib.sha256(base64.b64decode(self.der)).hexdigest()


def client_of(name: str, project: str, pem: str) -> Client:
    """The client whose certificate is given in PEM.

    :raises InvalidInput: that is none; a private key is refused without being shown
    """
    found = _PEM.fullmatch(pem.strip())
    der = "".join(found["body"].split()) if found else ""
    try:
        valid = bool(der) and bool(base64.b64decode(der, validate=True))
    except binascii.Error:
        valid = False
    if not valid:
        raise InvalidInput(f"The certificate of {name} is not one certificate in PEM. Give what the client shows, without its key.")
    return Client(name, project, der)


def look(lxd: Lxd) -> Server:
    """Read everything that a plan needs.

    :raises Refused: this connection may not do it
    """
    server, etag = lxd.get("")
    if server.get("auth") != "trusted" or "certificate" not in server.get("environment", {}):
        raise Refused(f"{lxd.engine.title} at {lxd.where} keeps its list of clients from this connection. Use an unrestricted one.")
    clients, _etag = lxd.get("certificates", recursion="1")
    return Server(server["config"], etag, server["environment"]["certificate"], clients or [])


def plan_present(client: Client, server: Server, address: str) -> Plan:
    """What makes the client trusted for its project and the daemon listen. An address that somebody chose is kept.

    :param address: ``host:port`` to listen at where the daemon does not listen yet
    """
    plan = Plan()
    if not server.config.get(ADDRESS):
        plan.differ(ADDRESS, None, address)
        plan.act("listen", address, "where clients with a certificate reach the daemon", config={ADDRESS: address, MARK: address})
    for one in _ours(client, server):
        if one["fingerprint"] != client.fingerprint:
            plan.differ(f"certificate {client.name}", one["fingerprint"], None)
            plan.act("distrust", client.name, one["fingerprint"][:12], path=f"certificates/{one['fingerprint']}")
    same = next((one for one in server.clients if one["fingerprint"] == client.fingerprint), None)
    wanted = {"name": client.name, "type": "client", "restricted": True, "projects": [client.project]}
    if same is None:
        plan.differ(f"certificate {client.name}", None, client.fingerprint)
        plan.act("trust", client.name, f"for project {client.project} only", body={**wanted, "certificate": client.der})
    elif {name: same.get(name) for name in wanted} != wanted:
        _guard_others(client, same)
        plan.differ(f"certificate {client.name}", {name: same.get(name) for name in wanted}, wanted)
        plan.act("restrict", client.name, f"to project {client.project}", path=f"certificates/{client.fingerprint}", body=wanted)
    return plan


def _guard_others(client: Client, same: Json) -> None:
    """Refuse to take from an entry of another name what somebody gave it; one of ours is good for too much."""
    if same.get("name") == client.name:
        return
    good = f"the projects {', '.join(sorted(same.get('projects') or ()))}" if same.get("restricted") else "everything"
    raise Refused(
        f"The certificate of {client.name} is trusted already, as {same.get('name')!r} and for {good}. To restrict it to project "
        f"{client.project} would take that away. Give {client.name} a certificate of its own. Nothing was changed."
    )


def plan_absent(client: Client, server: Server) -> Plan:
    """What takes the trust back, and the address if we set it and no client is left that could use it."""
    plan = Plan()
    ours = _ours(client, server)
    for one in ours:
        plan.differ(f"certificate {client.name}", one["fingerprint"], None)
        plan.act("distrust", client.name, one["fingerprint"][:12], path=f"certificates/{one['fingerprint']}")
    set_by_us = server.config.get(MARK)
    if set_by_us and len(ours) == len(server.clients):
        plan.differ(ADDRESS, server.config.get(ADDRESS), None)
        gone = {ADDRESS: None, MARK: None} if server.config.get(ADDRESS) == set_by_us else {MARK: None}
        plan.act("unlisten", set_by_us, "nobody is left who reaches the daemon there", config=gone)
    return plan


def _ours(client: Client, server: Server) -> list[Json]:
    """The entries of that name that are good for the project at most. LXD takes a project that is deleted out of the entries."""
    named = (one for one in server.clients if one["name"] == client.name)
    return [one for one in named if one.get("restricted") and {*(one.get("projects") or ())} <= {client.project}]


def carry_out(lxd: Lxd, plan: Plan, server: Server) -> None:
    """Execute a plan of this file, in order."""
    for action in plan.actions:
        if action.verb in ("listen", "unlisten"):
            lxd.patch("", {"config": {key: value or "" for key, value in action.detail["config"].items()}}, etag=server.etag)
        elif action.verb == "trust":
            lxd.post("certificates", action.detail["body"])
        elif action.verb == "restrict":
            lxd.patch(action.detail["path"], action.detail["body"])
        else:
            lxd.delete(action.detail["path"])


def reached_at(server: Server, address: str) -> str:
    """``host:port`` at which the daemon is reached from its own host; an address that means all of them is loopback."""
    listens = server.config.get(ADDRESS) or address
    found = _LISTENS.fullmatch(listens)
    if found is None or not (found["host"] or found["port"]):
        raise InvalidInput(f"{listens!r} is no host:port.")
    host, port = found["host"], found["port"] or DEFAULT_PORT
    return f"127.0.0.1:{port}" if host in ("", "[::]", "0.0.0.0") else f"{host}:{port}"

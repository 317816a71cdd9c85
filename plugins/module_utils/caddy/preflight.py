# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at before a configuration is written: whether Caddy would take it, and whether its ports are free for it."""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import struct
import subprocess
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.caddy.client import Config
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput, Refused, Unreachable
from ansible_collections.generalbots.scaling.plugins.module_utils.exposure.listeners import Listener, Wanted, listeners, taken


def validate(binary: str, config: Config, user: str | None = None, run: t.Callable[..., t.Any] = subprocess.run) -> None:
    """Have a Caddy of its own load the configuration without serving it (``caddy validate``).

    The configuration goes through a pipe and never lies anywhere. Loading opens files: logs, certificates, Caddy's own authority.

    :param user: as whom, so that those files are the service's; without it as whoever runs this
    :raises InvalidInput: Caddy would refuse it, with Caddy's own words and place; or there is no such user
    """
    done = run(
        [binary, "validate", "--config", "-"],
        input=json.dumps(config),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **(_as(user) if user else {}),
    )
    if done.returncode != 0:
        raise InvalidInput(f"Caddy would refuse the new configuration: {_words(done.stderr)}. Nothing was changed.")


def _as(name: str) -> dict[str, t.Any]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise InvalidInput(f"There is no user {name} here, as whom the configuration is to be validated. Nothing was changed.") from error
    places = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "env": {**places, "HOME": entry.pw_dir}}


def _words(logged: str) -> str:
    """The last error of what Caddy logs, line by line in JSON; else all of it."""
    for line in reversed(logged.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error":
            return str(entry.get("msg")).rstrip(".")
    return " ".join(logged.split())[:1000].rstrip(".") or "(no words)"


def require_ports(config: Config, pid: int, present: t.Sequence[Listener]) -> None:
    """Refuse a port that another process listens on.

    Caddy does not notice: it listens with SO_REUSEPORT, and the kernel shares the connections between the two.

    :param pid: the Caddy that is to have the ports
    :param present: who listens on this host
    :raises Refused: with the server, its port and the other process
    """
    others = [one for one in present if not one.owner.endswith(f"(pid {pid})")]
    blocked = taken(ports(config), others, "")
    if blocked:
        one = blocked[0]
        raise Refused(
            f"Port {one['port']} of server {one['variable']} would not be ours alone: there is {one['by']} too, and the kernel would share "
            "the visitors between the two. Stop it, or choose another port; nothing was changed."
        )


def ports(config: Config) -> list[Wanted]:
    """Address and port of every TCP listener of the HTTP servers, by the server's name."""
    found = []
    for name, server in (((config.get("apps") or {}).get("http") or {}).get("servers") or {}).items():
        for listen in server.get("listen") or []:
            words = _LISTEN.fullmatch(str(listen))
            if words:
                found.append(Wanted(words["host"].strip("[]") or "::", int(words["port"]), name))
    return found


# host:port with an IP address or none, for TCP; anything else is not looked at.
_LISTEN = re.compile(r"(?:tcp4?6?/)?(?P<host>[0-9.]*|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]+)")


def process_of(path: str) -> int:
    """The process id of who listens on a unix socket (SO_PEERCRED, unix(7)).

    :raises Unreachable: nobody listens there
    """
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(path)
        except OSError as error:
            raise Unreachable(f"Nobody listens at unix:{path}: {error.strerror}. Is Caddy running there?") from error
        pid, _user, _group = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid)


def check_ports(config: Config, admin: str) -> None:
    """:func:`require_ports` for this host and the Caddy whose admin endpoint is the socket ``admin``."""
    require_ports(config, process_of(admin), listeners())

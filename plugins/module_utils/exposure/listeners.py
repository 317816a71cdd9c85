# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on this host's TCP ports, read from /proc, and which of the ports that we want somebody else has."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import pathlib
import typing as t

_LISTEN = "0A"


@dataclasses.dataclass(frozen=True)
class Listener:
    """A listening TCP socket.

    :param owner: its process in words, empty where it cannot be read
    :param device: project, instance and device, if it is the socket of an engine's proxy device
    """

    address: str
    port: int
    owner: str = ""
    device: tuple[str, str, str] | None = None


def listeners(proc: pathlib.Path = pathlib.Path("/proc")) -> list[Listener]:
    """All listening TCP sockets of the host's own network namespace."""
    sockets = [entry for name in ("tcp", "tcp6") for entry in _sockets(proc / "self" / "net" / name)]
    owners = _owners(proc, {inode for _address, _port, inode in sockets})
    return [Listener(address, port, *owners.get(inode, ("", None))) for address, port, inode in sockets]


def _sockets(table: pathlib.Path) -> t.Iterator[tuple[str, int, str]]:
    for line in table.read_text(encoding="ascii").splitlines()[1:] if table.is_file() else []:
        fields = line.split()
        if fields[3] == _LISTEN:
            address, _colon, port = fields[1].partition(":")
            yield _address(address), int(port, 16), fields[9]


def _address(text: str) -> str:
    """The kernel's hexadecimal notation, words of 32 bits in the machine's (little endian) order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _owners(proc: pathlib.Path, inodes: t.Collection[str]) -> dict[str, tuple[str, tuple[str, str, str] | None]]:
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, tuple[str, tuple[str, str, str] | None]] = {}
    for process in proc.glob("[0-9]*"):
        targets = _open_files(process / "fd")
        for target in wanted.keys() & targets:
            found[wanted[target]] = _named(process, targets)
    return found


def _open_files(folder: pathlib.Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):  # the process ended meanwhile, or is somebody else's
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):  # this one was closed meanwhile
                found.add(os.readlink(folder / name))
    return found


def _named(process: pathlib.Path, files: t.Iterable[str]) -> tuple[str, tuple[str, str, str] | None]:
    try:
        command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "", None
    device = _device(files) if "forkproxy" in command else None
    return f"{pathlib.Path(command[0]).name or 'a process'} (pid {process.name})", device


def _device(files: t.Iterable[str]) -> tuple[str, str, str] | None:
    """A proxy device writes to ``…/<project>_<instance>/proxy.<device>.log``, where the project ``default`` is left out."""
    for file in files:
        path = pathlib.PurePosixPath(file)
        if path.name.startswith("proxy.") and path.suffix == ".log":
            project, _score, instance = path.parent.name.rpartition("_")
            return project or "default", instance, path.name.removeprefix("proxy.").removesuffix(".log")
    return None


def in_order(present: t.Sequence[Listener]) -> list[dict[str, t.Any]]:
    """The sockets as the module returns them; ``device`` with ``project``, ``instance`` and ``name``, or None."""
    names = ("project", "instance", "name")
    return [
        {
            "address": one.address,
            "port": one.port,
            "owner": one.owner,
            "device": dict(zip(names, one.device, strict=True)) if one.device else None,
        }
        for one in sorted(present, key=lambda one: (one.port, one.address))
    ]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """An address and port that are to be ours, and the variable that says so."""

    address: str
    port: int
    variable: str = ""


def taken(wanted: t.Sequence[Wanted], present: t.Sequence[Listener], project: str) -> list[dict[str, t.Any]]:
    """The wanted ports that somebody else has: ``address``, ``port``, ``variable`` and ``by`` in words.

    What a proxy device of ``project`` listens on is ours.
    """
    found = []
    for want in wanted:
        others = [one for one in present if one.port == want.port and not (one.device and one.device[0] == project)]
        blocking = next((one for one in others if _meet(want.address, one.address)), None)
        if blocking:
            found.append({"address": want.address, "port": want.port, "variable": want.variable, "by": _in_words(blocking)})
    return found


def _meet(one: str, other: str) -> bool:
    """Whether sockets on both addresses would be in each other's way."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return first == second or _covers(first, second) or _covers(second, first)


def _covers(whole: ipaddress.IPv4Address | ipaddress.IPv6Address, part: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether ``whole`` stands for every address of the other's kind; ``::`` takes IPv4 as well."""
    return whole.is_unspecified and whole.version in (part.version, 6)


def _in_words(listener: Listener) -> str:
    if listener.device:
        project, instance, device = listener.device
        return f"device {device} of instance {instance} in project {project}"
    return f"{listener.owner or 'a process that only root can name'}, which listens on {listener.address}"

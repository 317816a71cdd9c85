# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing one LXD object that others may be changing too: read, edit, write if it is still the same."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Conflict

Keys = t.Mapping[str, str]
Body = t.Mapping[str, t.Any]
#: what to change: a key's new value, or None to remove it
Edit = t.Callable[[Keys], t.Mapping[str, t.Optional[str]]]  # noqa: UP045 (pylint takes no | outside of annotations)

ATTEMPTS = 5


class Connection(t.Protocol):
    """What is needed of the LXD client."""

    def get(self, path: str) -> tuple[t.Any, str]:
        """The object and its ETag."""

    def put(self, path: str, body: t.Any = None, *, etag: str = "") -> t.Any:
        """Replace the object if it still has that ETag; raises Conflict if not."""


@dataclasses.dataclass(frozen=True)
class Edited:
    """The object's config keys before and after."""

    before: Keys
    after: Keys

    @property
    def changed(self) -> bool:
        """True if anything was, or in check mode would be, written."""
        return self.before != self.after


def read(lxd: Connection, path: str) -> Keys:
    """The config keys of the object at ``path``, for example ``projects/generalbots``."""
    body, _etag = lxd.get(path)
    return t.cast(Keys, dict(body["config"]))


def edit(lxd: Connection, path: str, change: Edit, *, write: bool = True) -> Edited:
    """Apply ``change`` to the config keys under the object's ETag; on a conflict read again and think again.

    ``change`` may raise to refuse. Nothing is written if it changes nothing, or with ``write=False``.

    :raises Conflict: somebody else changed the object each time between reading and writing
    """

    def changed(body: Body) -> Body:
        return {**body, "config": _applied(body["config"], change(dict(body["config"])))}

    before, after = replace(lxd, path, changed, write=write)
    return Edited(dict(before["config"]), dict(after["config"]))


def replace(lxd: Connection, path: str, change: t.Callable[[Body], Body], *, write: bool = True) -> tuple[Body, Body]:
    """Make of the object what ``change`` makes of it, under its ETag; returns it before and after. Otherwise as :func:`edit`."""
    for attempt in range(1, ATTEMPTS + 1):
        before, etag = lxd.get(path)
        after = change(before)
        if after == before or not write:
            return before, after
        try:
            lxd.put(path, after, etag=etag)
        except Conflict as error:
            if attempt == ATTEMPTS:
                raise Conflict(
                    f"Writing {', '.join(_touched(before, after))} of {path} failed: it was changed by somebody else {ATTEMPTS} times "
                    f"between reading and writing. Last answer: {error}. Try again when the other runs on this project are done.",
                    status=error.status,
                ) from error
        else:
            return before, after
    raise AssertionError("unreachable: the loop returns or raises")


def _applied(before: Keys, changes: t.Mapping[str, str | None]) -> dict[str, str]:
    merged = {**before, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def _touched(before: Body, after: Body) -> list[str]:
    """What differs, by config key where it is one."""
    names = {key for key in {*before, *after} if before.get(key) != after.get(key)} - {"config"}
    old, new = before.get("config") or {}, after.get("config") or {}
    return sorted(names | {key for key in {*old, *new} if old.get(key) != new.get(key)})

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing config keys of one LXD object that others may be changing too: read, edit, write if it is still the same."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import Conflict

Keys = t.Mapping[str, str]
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
    for attempt in range(1, ATTEMPTS + 1):
        body, etag = lxd.get(path)
        before = dict(body["config"])
        edited = Edited(before, _applied(before, change(before)))
        if not edited.changed or not write:
            return edited
        try:
            lxd.put(path, {**body, "config": edited.after}, etag=etag)
        except Conflict as error:
            if attempt == ATTEMPTS:
                raise Conflict(
                    f"Writing {', '.join(_touched(edited))} of {path} failed: it was changed by somebody else {ATTEMPTS} times between "
                    f"reading and writing. Last answer: {error}. Try again when the other runs on this project are done.",
                    status=error.status,
                ) from error
        else:
            return edited
    raise AssertionError("unreachable: the loop returns or raises")


def _applied(before: Keys, changes: t.Mapping[str, str | None]) -> dict[str, str]:
    merged = {**before, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def _touched(edited: Edited) -> list[str]:
    return sorted(key for key in {*edited.before, *edited.after} if edited.before.get(key) != edited.after.get(key))

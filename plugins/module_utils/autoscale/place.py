# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the autoscaler's lock and memory are: the config keys of a profile of our project, which no instance uses.

Not those of the project itself: a client certificate that is restricted to the project reads them, and is refused (403) when
it writes them. Profiles of the project it may write, under an ETag as well.
"""

from __future__ import annotations

import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.lock import LOCK_KEY, SETTINGS_KEY, STATE_KEY
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ApiError
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd import store
from ansible_collections.generalbots.scaling.plugins.module_utils.lxd.host import AUTOSCALE_PROFILE, MARK

PATH = f"profiles/{AUTOSCALE_PROFILE}"
KEYS = (LOCK_KEY, STATE_KEY, SETTINGS_KEY)
DESCRIPTION = "What the autoscaler of generalbots.scaling remembers; no instance uses this profile"


class Connection(store.Connection, t.Protocol):
    """What is needed of the LXD client."""

    project: str

    def post(self, path: str, body: t.Any = None) -> t.Any:
        """Create an object."""


def where(lxd: Connection, *, write: bool) -> str:
    """The path of the object that carries the keys. It is made where there is none yet, with what an earlier version kept elsewhere.

    :param write: False makes nothing and may therefore return the path of that earlier place, for reading
    """
    if _exists(lxd, PATH):
        return PATH
    before = _before(lxd)
    if not write:
        return before
    kept = {key: value for key, value in store.read(lxd, before).items() if key in KEYS}
    try:
        lxd.post("profiles", {"name": AUTOSCALE_PROFILE, "description": DESCRIPTION, "config": {MARK: "true", **kept}})
    except ApiError:
        # Of two who make it at once one comes too late, and that is as good.
        if not _exists(lxd, PATH):
            raise
    if kept:
        _forget(lxd, before)
    return PATH


def _before(lxd: Connection) -> str:
    return f"projects/{lxd.project}"


def _exists(lxd: Connection, path: str) -> bool:
    try:
        lxd.get(path)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _forget(lxd: Connection, path: str) -> None:
    """Take the moved keys away from where nobody looks any more, if that is allowed."""
    try:
        store.edit(lxd, path, lambda _keys: dict.fromkeys(KEYS))
    except ApiError as error:
        if error.status != 403:
            raise

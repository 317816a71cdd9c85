# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a run. A config.csv that is broken while the autoscaler runs does not stop it: the last sound settings,
which every run records, go on, and every run says so until the file is repaired. Broken is a file also if all of it can be
read and no policy can be made of it, as with a rule on a metric that nothing measures.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.settings.loader import Settings, load_file


@dataclasses.dataclass(frozen=True)
class LoadedSettings:
    """Typed settings by their config.csv names, whether they are older ones, what to tell, and what to record of them."""

    values: t.Mapping[str, t.Any]
    recorded: str
    broken: bool = False
    notes: tuple[str, ...] = ()


def given(values: t.Mapping[str, t.Any]) -> LoadedSettings:
    """Settings that were typed by somebody else."""
    return LoadedSettings(values, _text(values))


def loaded(
    path: str,
    overrides: t.Mapping[str, t.Any],
    *,
    refuse_unconsumed: bool,
    last_good: str | None,
    judge: t.Callable[[t.Mapping[str, t.Any]], t.Any] = lambda values: None,
) -> LoadedSettings:
    """The settings of a file with overrides, or the last sound ones if the file is broken and there are any.

    Overrides are what this very run was told: if the file is sound by itself, the fault is theirs, and it is refused.

    :param last_good: what an earlier run recorded, or None
    :param judge: raises InvalidInput for typed settings of which no policy can be made
    :raises InvalidInput: wrong overrides; or the file is broken and nothing was recorded that is sound
    """

    def read(more: t.Mapping[str, t.Any]) -> Settings:
        found = load_file(path, more)
        _refuse_unconsumed(found, path, refuse_unconsumed)
        judge(found.values)
        return found

    try:
        found = read(overrides)
    except InvalidInput as error:
        before = _read(last_good)
        if before is None or _refused(judge, before) or (overrides and not _refused(read, {})):
            raise
        return LoadedSettings(
            before, last_good or "", True, (f"The last settings that were sound go on, because {path} cannot be used: {error}",)
        )
    return LoadedSettings(found.values, _text(found.values))


def _refused(judge: t.Callable[[t.Mapping[str, t.Any]], t.Any], given: t.Mapping[str, t.Any]) -> bool:
    """Whether it cannot be used."""
    try:
        judge(given)
    except InvalidInput:
        return True
    return False


def _refuse_unconsumed(found: Settings, path: str, refuse: bool) -> None:
    if refuse and found.unconsumed:
        raise InvalidInput(
            f"{path} sets {', '.join(found.unconsumed)}, and nothing in this release acts on that. "
            "Remove the keys, or set gb_unconsumed_settings to warn to go on without."
        )


def _read(text: str | None) -> dict[str, t.Any] | None:
    try:
        data = json.loads(text or "null")
    except ValueError:
        return None
    return data if isinstance(data, dict) and data else None


def _text(values: t.Mapping[str, t.Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))

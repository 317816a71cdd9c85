# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions of the collection; the adapter in ``module.py`` turns them into ``fail_json``."""

from __future__ import annotations

import typing as t


class ScalingError(Exception):
    """Base of every error this collection raises on purpose.

    The text is one clear sentence or two: what was attempted, where (URL, socket, instance, file and line), what came
    back, and what to do next. ``details`` is returned beside the message, so that a playbook can act on it.
    """

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.details: dict[str, t.Any] = details


class InvalidInput(ScalingError):
    """The user's input is refused; nothing was changed."""


class Unreachable(ScalingError):
    """A service did not answer at all: nothing listens, no permission, name or route unknown."""


class ApiError(ScalingError):
    """A service answered and refused. ``status`` is its HTTP status code."""

    def __init__(self, message: str, *, status: int, **details: t.Any) -> None:
        super().__init__(message, status=status, **details)
        self.status = status


class Conflict(ApiError):
    """The object was changed by somebody else between our reading and our writing (HTTP 412 or 409)."""


class Refused(ScalingError):
    """A guard of ours holds the step back: a foreign instance, a lock held by another run, a missing explicit word."""


class WaitTimeout(ScalingError):
    """A bounded wait ended without its condition; ``last_seen`` says what was there instead."""

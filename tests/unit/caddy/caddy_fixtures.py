# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of Caddy; a test module asks for them with ``pytest_plugins``."""

from __future__ import annotations

import json
import pathlib
import types
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from caddy_fakes import Call, fake_binary
from caddy_real import RealCaddy, binary, real_caddy


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> Call:
    """Run a module's main() with options and return its result."""
    fallback = fake_binary(tmp_path)

    def run(module: types.ModuleType, caddy: t.Any, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        given = {"socket": caddy.socket, "binary": getattr(caddy, "binary", fallback), **options}
        with patch_module_args({**given, "_ansible_check_mode": check, "_ansible_diff": True}), pytest.raises(SystemExit):
            module.main()
        return t.cast(dict[str, t.Any], json.loads(capsys.readouterr().out))

    return run


@pytest.fixture
def caddy() -> t.Iterator[RealCaddy]:
    """A Caddy with nothing but its admin endpoint."""
    program = binary()
    assert program is not None
    with real_caddy(program) as one, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", one.folder)
        yield one

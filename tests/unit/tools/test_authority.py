# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate that visitors of a test or demo site trust."""

from __future__ import annotations

import pytest

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from tools.authority import PATH, root_certificate


class Files:
    """An LXD that holds files."""

    def __init__(self, held: dict[tuple[str, str], bytes]) -> None:
        self.held = held

    def read_file(self, instance: str, path: str) -> bytes | None:
        return self.held.get((instance, path))


def test_it_is_read_from_the_proxy_that_is_named() -> None:
    lxd = Files({("proxy-1", PATH): b"one", ("proxy-2", PATH): b"two"})
    assert root_certificate(lxd) == b"one"  # type: ignore[arg-type]
    assert root_certificate(lxd, "proxy-2") == b"two"  # type: ignore[arg-type]


@pytest.mark.parametrize("held", [{}, {("proxy-2", PATH): b""}])
def test_where_there_is_none_it_is_said_where_to_look(held: dict[tuple[str, str], bytes]) -> None:
    with pytest.raises(ScalingError, match=r"proxy-2 has no /var/lib/caddy/.*See journalctl -u caddy there"):
        root_certificate(Files(held), "proxy-2")  # type: ignore[arg-type]

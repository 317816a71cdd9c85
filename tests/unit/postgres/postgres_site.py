# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site of a role's test has in common with that of any other."""

from __future__ import annotations

import typing as t

SITE: dict[str, t.Any] = {
    "gb_subnet": "10.87.0.0/24",
    "gb_lxd_project": "tests",
    "gb_settings": {"scale-max-instances": 2},
    "gb_bots": 1,
    "gb_postgres_members": 3,
    "gb_postgres_limits": {"memory": "1GiB"},
}

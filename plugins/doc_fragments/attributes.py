# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that every module of the collection states, with the words for them."""

from __future__ import annotations


class ModuleDocFragment:
    """``generalbots.scaling.attributes`` and its parts ``.actiongroup_scaling``, ``.full`` and ``.info_module``."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Says in check mode what a run would change, from the same plan, and changes nothing.
  diff_mode:
    description: Shows what it manages before and after the change.
  idempotent:
    description:
      - Run again with the same options while nobody else makes changes, it changes nothing and says so.
      - This holds for a run that was broken off as well, the next one does what is left.
"""

    # Beside the standard part, in every module: what module_defaults of the group apply to.
    ACTIONGROUP_SCALING = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/generalbots.scaling.scaling) in C(module_defaults) to set options for every module of the group.
    support: full
    membership:
      - generalbots.scaling.scaling
"""

    # Beside the standard part, in modules that do all of it without exception.
    FULL = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

    # Beside the standard part, in modules that only read.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module only reads.
  diff_mode:
    support: N/A
    details:
      - This module only reads.
  idempotent:
    support: full
    details:
      - This module only reads.
"""

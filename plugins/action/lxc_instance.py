# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.generalbots.scaling.plugins.modules import lxc_instance
from ansible_collections.generalbots.scaling.plugins.plugin_utils.in_process import InProcess


class ActionModule(InProcess):
    """Calls the module where its task is."""

    module = lxc_instance

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every tick would refuse, before there is anything that ticks."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.job import RUN_SPEC
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.model import Policy
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.options import policy_of
from ansible_collections.generalbots.scaling.plugins.module_utils.autoscale.sources import check
from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput


def checked(settings: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any], sources: t.Sequence[t.Mapping[str, t.Any]]) -> Policy:
    """The policy of typed settings, of ``gb_autoscale`` and of ``gb_autoscale_sources``, as a tick would take it.

    :raises InvalidInput: what a tick would refuse: contradictions, a metric that nothing measures, a source that cannot be asked
    """
    spec = {"sources": RUN_SPEC.options["sources"]}
    typed = ArgumentSpecValidator(spec).validate({"sources": list(sources)})
    if typed.error_messages:
        raise InvalidInput(f"gb_autoscale_sources: {' '.join(typed.error_messages)}")
    check(typed.validated_parameters["sources"])
    given = {name: value for name, value in options.items() if value is not None}
    return policy_of(settings, given, [str(one["name"]) for one in sources])

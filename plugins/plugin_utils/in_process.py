# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that run where their task is, instead of being packed, sent and compiled anew for each task.

A module that speaks to LXD imports some sixty files of the collection. Ansible finds and packs them for every task, and the interpreter
that runs it compiles them from the archive each time, as it keeps no bytecode of one. Where the module would run on the controller, by
the interpreter that runs the playbook, the process of the task can as well call it: it has all of it compiled.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import types
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.parsing.ajson import AnsibleJSONEncoder
from ansible.plugins.action.normal import ActionModule as Normal

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import ScalingError
from ansible_collections.generalbots.scaling.plugins.module_utils.module import secrets_of

Json = dict[str, t.Any]


@dataclasses.dataclass
class InTask:
    """What the body of a module uses of AnsibleModule."""

    params: Json
    check_mode: bool
    warnings: list[str] = dataclasses.field(default_factory=list)

    def warn(self, warning: str) -> None:
        """Have it shown with the result."""
        self.warnings.append(warning)


def called(module: types.ModuleType, arguments: t.Mapping[str, t.Any], *, check: bool) -> Json:
    """What the module returns for these arguments, with its options checked and its secrets removed as AnsibleModule does it.

    :param module: has ``SPEC``, and ``body``, which uses of its argument no more than :class:`InTask` has
    """
    validated = ArgumentSpecValidator(**module.SPEC.arguments()).validate(arguments)
    if validated.error_messages:
        return {"failed": True, "msg": validated.errors.msg}
    task = InTask(validated.validated_parameters, check)
    try:
        result = {"changed": False, **module.body(t.cast(AnsibleModule, task))}
    except ScalingError as error:
        result = {"failed": True, "msg": str(error), **error.details}
    if task.warnings:
        result["warnings"] = task.warnings
    return t.cast("Json", remove_values(result, secrets_of(module.SPEC, arguments)))


class InProcess(Normal):
    """The action of such a module; a class of a module names it in ``module``."""

    module: types.ModuleType

    def run(self, tmp: t.Any = None, task_vars: Json | None = None) -> Json:
        """Call the module, or have it run as any other where it would run elsewhere or as somebody else."""
        if not self._is_here(task_vars or {}):
            return t.cast("Json", super().run(tmp, task_vars))
        # As a module has them: plain values, dates as text, without what Ansible notes of where each comes from.
        arguments = json.loads(json.dumps(self._task.args, cls=AnsibleJSONEncoder))
        return called(self.module, arguments, check=self._task.check_mode)

    def _is_here(self, variables: Json) -> bool:
        if self._task.delegate_to:
            variables = variables.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        interpreter = self._templar.template(variables.get("ansible_python_interpreter"))
        as_other = self._task.become or self._task.async_val or any(self._task.environment or ())
        return self._connection.transport == "local" and not as_other and _runs_this(interpreter)


def _runs_this(interpreter: str | None) -> bool:
    """Whether it is the interpreter of this process: the same program, in the same virtual environment, which is that of its folder."""
    mine, other = pathlib.Path(sys.executable), pathlib.Path(interpreter or "/")
    return (mine.parent, mine.resolve()) == (other.parent, other.resolve())

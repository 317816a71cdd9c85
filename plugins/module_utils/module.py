# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one adapter between AnsibleModule and the rest of the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import (
    ScalingError,
)

Body = t.Callable[[AnsibleModule], t.Mapping[str, t.Any]]
#: characters from which on a value of an environment may be a secret
SECRET_LENGTH = 6


@dataclasses.dataclass(frozen=True)
class ArgumentSpec:
    """Options and the rules between them, as one value; merge the connection's spec with the module's own."""

    options: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    required_if: t.Sequence[t.Sequence[t.Any]] = ()
    required_one_of: t.Sequence[t.Sequence[str]] = ()
    required_together: t.Sequence[t.Sequence[str]] = ()
    mutually_exclusive: t.Sequence[t.Sequence[str]] = ()

    def merge(self, other: ArgumentSpec) -> ArgumentSpec:
        """Both specs together; an option of ``other`` replaces one of the same name."""
        return ArgumentSpec(
            options={**self.options, **other.options},
            required_if=[*self.required_if, *other.required_if],
            required_one_of=[*self.required_one_of, *other.required_one_of],
            required_together=[*self.required_together, *other.required_together],
            mutually_exclusive=[*self.mutually_exclusive, *other.mutually_exclusive],
        )

    def arguments(self) -> dict[str, t.Any]:
        """It as AnsibleModule and ArgumentSpecValidator take it."""
        rules = {field.name: list(getattr(self, field.name)) for field in dataclasses.fields(self) if field.name != "options"}
        return {"argument_spec": dict(self.options), **rules}


def run(spec: ArgumentSpec, body: Body, *, supports_check_mode: bool = True) -> None:
    """Parse the arguments, call ``body(module)``, and exit with what it returns.

    ``body`` returns the result; it holds ``changed`` unless the module only reads. Every
    :class:`~.errors.ScalingError` becomes one ``fail_json`` with its text and details. The arguments, which are shown with either, are
    without all that is secret in Ansible's eyes: in an environment that is also a number or a short word, which a result may hold.
    """
    module = AnsibleModule(**spec.arguments(), supports_check_mode=supports_check_mode)
    invocation = {"module_args": remove_values(module.params, module.no_log_values)}
    module.no_log_values = secrets_of(spec, module.params, module.no_log_values)
    try:
        result = dict(body(module))
    except ScalingError as error:
        module.fail_json(msg=str(error), invocation=invocation, **error.details)
    result.setdefault("changed", False)
    module.exit_json(invocation=invocation, **result)


def secrets_of(spec: ArgumentSpec, arguments: t.Mapping[str, t.Any], known: t.Collection[str] = ()) -> set[str]:
    """What a result must not hold: the values of options that are secret, and what else is ``known`` as one.

    Of an environment the plain values are no secrets: with a 64 or an 8080 among them every such number of a result would be removed.
    What another option keeps secret stays secret, whatever it is.
    """
    rules = spec.arguments()
    everything = _no_log(rules, arguments)
    elsewhere = _no_log({**rules, "argument_spec": _open_environment(rules["argument_spec"])}, arguments)
    plain = {value for value in everything - elsewhere if _is_plain(value)}
    return {*known, *everything} - plain


def _no_log(rules: t.Mapping[str, t.Any], arguments: t.Mapping[str, t.Any]) -> set[str]:
    # The set is not public, but it is what AnsibleModule takes as well, since 2.11.
    return t.cast("set[str]", ArgumentSpecValidator(**rules).validate(arguments)._no_log_values)


def _open_environment(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options with those that are an environment as if they were no secret, at any depth."""
    opened = {}
    for name, option in options.items():
        inner = {"options": _open_environment(option["options"])} if "options" in option else {}
        opened[name] = {**option, **inner, **({"no_log": False} if name == "environment" else {})}
    return opened


def _is_plain(value: str) -> bool:
    """Whether a value of an environment is too short to be a secret, or a number; true, false and none are short."""
    return len(value) < SECRET_LENGTH or value.isdigit()

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables in a file for another Ansible, which has to read the very same values."""

from __future__ import annotations

import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext
from ansible.template import Templar, trust_as_template

from ansible_collections.generalbots.scaling.plugins.filter.variables_yaml import variables_yaml

VALUES: dict[str, t.Any] = {
    "as go's templates are": "{{.State.Pid}}",
    "beside quotes": "it's {{ 'x' }}",
    "in lines": "a\n\n {# 'x'\n%} ",
    "a statement": "{% if",
    "in a list": [{"of": ["{{ x }}", "plain"]}],
    "of no template": "{ } # % 'ä' !unsafe",
    "like another type": ["0644", "yes", "1", "null", "2026-01-02", ""],
    "of other types": [644, 1.5, True, None, {}, []],
    "{{ key }}": "stays",
}


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> EncryptedString:
    """A vaulted value while its password is known."""
    known = [("default", VaultSecret(b"word"))]
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(known))
    return EncryptedString(ciphertext=VaultLib(known).encrypt("hvs.{{ token }}").decode())


def read(text: str) -> t.Any:
    """What an Ansible without a vault password makes of it, templates and all."""
    loader = DataLoader()
    return Templar(loader=loader, variables={"x": "was templated", "key": "was templated"}).template(loader.load(trust_as_template(text)))


def test_ansible_reads_the_values_that_were_written() -> None:
    assert read(variables_yaml(VALUES)) == VALUES


def test_a_vaulted_value_is_written_as_what_it_stands_for(secret: EncryptedString) -> None:
    written = variables_yaml({"token": secret, "deep": [{"er": secret}]})
    assert read(written) == {"token": "hvs.{{ token }}", "deep": [{"er": "hvs.{{ token }}"}]}


def test_the_same_values_in_another_order_give_the_same_file() -> None:
    assert variables_yaml(VALUES) == variables_yaml(dict(reversed(VALUES.items())))

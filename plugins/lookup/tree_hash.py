# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: tree_hash
short_description: A version made of the content of files and folders
version_added: "0.1.0"
author: The generalbots.scaling contributors (@generalbots)
description:
  - Computes one SHA-256 over the names, contents and execute bits of files and of everything in folders, and over further data.
  - The same content gives the same version on every machine; where the folders lie does not matter.
options:
  _terms:
    description: Files and folders on the controller.
    type: list
    elements: path
    required: true
  extra:
    description: Further data that the version depends on, anything that JSON can hold.
    type: raw
"""

EXAMPLES = r"""
- name: Show the version of a role
  ansible.builtin.debug:
    msg: "{{ lookup('generalbots.scaling.tree_hash', role_path, extra={'port': 8080}) }}"
"""

RETURN = r"""
_raw:
  description: The first 12 hexadecimal digits of the hash.
  type: list
  elements: str
"""

import hashlib
import json
import os
import pathlib
import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DIGITS = 12
#: what editors and interpreters leave behind is no content
IGNORED = ("__pycache__", ".pyc", "~", ".swp")


def version_of(paths: t.Sequence[str], extra: t.Any = None) -> str:
    """The version; raises FileNotFoundError for a path that does not exist."""
    digest = hashlib.sha256()
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise FileNotFoundError(path)
        for file in _files(path):
            name = file.relative_to(path.parent).as_posix()
            digest.update(f"{name}\0{os.access(file, os.X_OK):d}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    digest.update(json.dumps(extra, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:DIGITS]


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    found = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    return [item for item in found if not any(part.endswith(IGNORED) for part in item.relative_to(path.parent).parts)]


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: t.Sequence[str], variables: t.Any = None, **options: t.Any) -> list[str]:
        """The version of all terms together."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [version_of([str(term) for term in terms], self.get_option("extra"))]
        except OSError as error:
            raise AnsibleLookupError(f"tree_hash cannot read {error}: every file or folder must exist on the controller.") from error

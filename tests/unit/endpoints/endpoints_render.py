# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a program: the role's files as Ansible renders them, for variables on stdin, as JSON on stdout."""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

TEMPLATES = ("haproxy.cfg", "servers.state", "gb-endpoints-state")


def main() -> None:
    """Read the variables that are given, print the rendered templates by name."""
    # Not before here: the loader has to see the first import of a collection.
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import init_plugin_loader
    from ansible.template import Templar, trust_as_template

    init_plugin_loader([])
    role = pathlib.Path(__file__).resolve().parents[3] / "roles" / "endpoints"
    variables: dict[str, t.Any] = {"role_path": str(role)}
    for part in ("defaults", "vars"):
        variables |= DataLoader().load_from_file(str(role / part / "main.yml"), trusted_as_template=True)
    variables |= json.load(sys.stdin)
    templar = Templar(loader=DataLoader(), variables=variables)
    texts = {name: trust_as_template((role / "templates" / f"{name}.j2").read_text(encoding="utf-8")) for name in TEMPLATES}
    print(json.dumps({name: templar.copy_with_new_env().template(text, escape_backslashes=False) for name, text in texts.items()}))


if __name__ == "__main__":
    main()

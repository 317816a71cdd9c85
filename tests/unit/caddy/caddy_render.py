# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a program: the role's variables as Ansible computes them, for what stands on stdin, as JSON on stdout."""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

NAMES = ("__caddy_admin", "__caddy_site", "caddy_health")


def main() -> None:
    """Read the values that are given, print those of the role."""
    # Not before here: the loader has to see the first import of a collection.
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import init_plugin_loader
    from ansible.template import Templar

    init_plugin_loader([])
    roles = pathlib.Path(__file__).resolve().parents[3] / "roles"
    variables: dict[str, t.Any] = {"role_path": str(roles / "caddy")}
    for part in ("gb/defaults", "caddy/defaults", "caddy/vars"):
        variables |= DataLoader().load_from_file(str(roles / part / "main.yml"), trusted_as_template=True)
    variables |= json.load(sys.stdin)
    templar = Templar(loader=DataLoader(), variables=variables)
    print(json.dumps({name: templar.template(variables[name]) for name in NAMES}))


if __name__ == "__main__":
    main()

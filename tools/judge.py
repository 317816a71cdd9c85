# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge logs that a recorder left: ``.venv/bin/python tools/judge.py LOG…`` says what each proves; exit status 1 if one is not good."""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

from ansible_collections.generalbots.scaling.plugins.module_utils.errors import InvalidInput
from ansible_collections.generalbots.scaling.plugins.module_utils.history.judge import judge
from ansible_collections.generalbots.scaling.plugins.module_utils.history.log import parse


def main(arguments: t.Sequence[str]) -> int:
    """Print a verdict for each log, as words or with ``--json`` as JSON."""
    paths = [argument for argument in arguments if argument != "--json"]
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    good = True
    for path in paths:
        try:
            verdict = judge(parse(pathlib.Path(path).read_text(encoding="utf-8"))).as_dict()
        except (OSError, InvalidInput) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
        good = good and bool(verdict["good"])
        print(json.dumps({"log": path, **verdict}) if "--json" in arguments else f"{path}: {verdict['words']}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

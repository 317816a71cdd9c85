#!/usr/bin/env python3
# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/settings.md from the table of keys; with --check only say whether the page is up to date (exit status 1: stale)."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
import tempfile
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"

INTRODUCTION = """\
# Settings: config.csv

<!-- Made by tools/settings_page.py from plugins/module_utils/settings/table.py. Change the table, then make docs. -->

A deployment is described by one `config.csv`, the same file that a General Bots bot has. It holds the keys on this page beside
everything that General Bots itself knows. `gb_config_csv` names the file; `gb_settings_overrides`, a mapping of the same keys,
wins over it, so that a survey or `-e` can change one key for one run.

## The file

- UTF-8 text without byte order mark, one `key,value` in a line. A file with a byte order mark is refused, because botserver
  would take the mark for a part of the first key. So is one that is encrypted with ansible-vault, one in UTF-16, and one in which
  a carriage return stands alone: no line of theirs would be seen.
- The first comma of a line ends the key; whatever follows is the value, further commas included. Blanks around key and value
  do not count.
- There are no quotes: a quotation mark is a character like any other. There are no comments behind a value either. A line that
  begins with `#` is a comment as a whole.
- Empty lines, lines without a key (such as a lone `,`) and the headers `key,value` and `name,value` are passed over wherever
  they stand. Best write `key,value`: botserver stores the other one as a key.
- Keys are compared as written, in small letters and with hyphens. A key of ours in another spelling is refused.
- An empty value, `none`, `null` and `n/a` mean "not set": the default holds.
- Switches are written `true` or `false`, in small or capital letters; `yes`, `on` and `1` are refused. Numbers are plain digits
  without sign, unit or decimal point.
- A key of ours may stand twice only with the same value. Of two lines with the same foreign key the last one counts.

Keys that begin with {prefixes} are ours: an unknown one is refused, and so is a line that begins so and has no comma. The
nearest known key is named. All other keys belong to General Bots or to you and pass through untouched.

In `gb_settings_overrides` values may be typed: `true`, `7` and lists as well as their texts. An empty value takes a key of the
file back to its default.

Everything wrong in file and overrides is told at once: file, line, key, value, the rule that is broken, and what to write.

## The keys

"Acted on by" names the part of this collection that uses the key now. A dash says that the key is checked and otherwise does
nothing yet: `lookup('generalbots.scaling.config_csv', gb_config_csv, want='unconsumed')` lists such keys where a file sets them
to something that asks for an effect. Switches among them are off by default.
"""


@contextlib.contextmanager
def _importable_collection() -> t.Iterator[None]:
    """Makes the collection importable from a plain checkout too, which has no ansible_collections directory above it."""
    with tempfile.TemporaryDirectory(prefix="gb-settings-page-") as base:
        namespace = pathlib.Path(base, "ansible_collections", "generalbots")
        namespace.mkdir(parents=True)
        (namespace / "scaling").symlink_to(ROOT)
        # Behind what is there already: a checkout inside ansible_collections is found first.
        sys.path.append(base)
        try:
            yield
        finally:
            sys.path.remove(base)


def page() -> str:
    """The text of the page."""
    from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import FAMILIES, PREFIXES

    prefixes = ", ".join(f"`{prefix}`" for prefix in PREFIXES[:-1]) + f" or `{PREFIXES[-1]}`"
    parts = [INTRODUCTION.format(prefixes=prefixes), *(_family(family) for family in FAMILIES), _refused()]
    return "\n".join(parts)


def _family(family: t.Any) -> str:
    head = (
        f"### {family.title}: `{family.prefix}*`\n\n| Key | Type | Default | Allowed | Acted on by | Meaning |\n|---|---|---|---|---|---|\n"
    )
    from ansible_collections.generalbots.scaling.plugins.module_utils.settings.table import NAMED

    named = [one.key for one in NAMED if one.prefix.startswith(family.prefix)]
    return head + "".join(_row(key) for key in [*family.keys, *named])


def _row(key: t.Any) -> str:
    from ansible_collections.generalbots.scaling.plugins.module_utils.settings import kinds

    kind = f"{key.kind}, {key.unit}" if key.unit else key.kind
    default = f"`{kinds.render(key.default)}`" if key.default is not None else "unset"
    meaning = key.description if key.default is not None else f"{key.description} Example: `{kinds.example(key)}`."
    cells = (f"`{key.name}`", kind, default, kinds.allowed(key), key.consumer or "-", meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _refused() -> str:
    from ansible_collections.generalbots.scaling.plugins.module_utils.settings.validate import RULES

    head = "## Combinations that are refused\n\nDefaults count like values that were written.\n\n| Keys | Rule | Remedy |\n|---|---|---|\n"
    rows = (
        f"| {', '.join(f'`{key}`' for key in rule.keys)} | {rule.text[0].upper()}{rule.text[1:]}. | {rule.remedy} |\n" for rule in RULES
    )
    return head + "".join(rows)


def main(arguments: t.Sequence[str] | None = None, target: pathlib.Path = PAGE) -> int:
    """Write or check the page; the exit status is 1 when ``--check`` finds it stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 when the page is stale")
    check: bool = parser.parse_args(arguments).check
    with _importable_collection():
        text = page()
    stale = not target.exists() or target.read_text(encoding="utf-8") != text
    if check:
        if stale:
            print(f"{target} is stale: run tools/settings_page.py and commit the page.", file=sys.stderr)
        return int(stale)
    if stale:
        target.write_text(text, encoding="utf-8")
    print(f"{target}: {'written' if stale else 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

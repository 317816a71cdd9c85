# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's artifact from this checkout and install it: ``artifact.py FOLDER``.

The folder can then stand in ``ANSIBLE_COLLECTIONS_PATH``; tests use the collection from there as a user would.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
GALAXY = str(pathlib.Path(sys.executable).parent / "ansible-galaxy")


def _galaxy(*arguments: str) -> None:
    """Run ``ansible-galaxy collection``; raises ``RuntimeError`` with its own words."""
    command = [GALAXY, "collection", *arguments]
    # The dependencies are in the virtual environment already; asking a server for them would need one.
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    run = subprocess.run(command, cwd=CHECKOUT, env=environment, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {run.returncode}:\n{run.stdout}{run.stderr}")


def build(folder: pathlib.Path) -> pathlib.Path:
    """Build the artifact into ``folder`` and return the archive's path."""
    _galaxy("build", "--force", "--output-path", str(folder), str(CHECKOUT))
    (archive,) = folder.glob("generalbots-scaling-*.tar.gz")
    return archive


def install(archive: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Install the archive below ``folder`` and return the collection's own folder."""
    _galaxy("install", "--force", "--no-deps", "--offline", "--collections-path", str(folder), str(archive))
    return folder / "ansible_collections" / "generalbots" / "scaling"


def main() -> int:
    """Build and install into the folder named on the command line; print where the collection stands."""
    folder = pathlib.Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(install(build(folder), folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) 2026, the generalbots.scaling contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``ansible-test sanity`` on a copy of the working tree.

The tool wants to stand in ``ansible_collections/<namespace>/<name>``, fetches pip's bootstrap script from its
project's server, and drops pip's environment variables. So it gets a copy under .build, and a home folder there that
holds a bootstrap script which takes the pip that Python brings, and this machine's pip settings as a file.
Arguments are passed on: ``tools/sanity.py --test pep8``. With ``--copy FOLDER`` such a copy is laid there for another
tool, which may run at the same time, and nothing is run.
"""

from __future__ import annotations

import fnmatch
import os
import pathlib
import shutil
import subprocess
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
PLACE = CHECKOUT / ".build" / "sanity"
COLLECTION = pathlib.Path("ansible_collections", "generalbots", "scaling")
HOME = PLACE / "home"
# Not content of a collection but programs beside it; ruff and mypy check them, and the demo botserver has its own rules.
LEFT_OUT = ("tests/*.py", "tests/unit/*", "tests/bench/*", "tools/*", "molecule/*", "roles/*/files/*.py", "conftest.py")
# pslint needs PowerShell and shellcheck its own program; the collection has no PowerShell, and little shell.
SKIPPED = ("pslint", "shellcheck")

BOOTSTRAP = '''\
"""Stands where ansible-test looks for its download of get-pip: installs the pip that this Python brings along."""
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip"])
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
'''


def sources() -> list[pathlib.Path]:
    """Files of the working tree that git tracks or would track and that are tested, relative to the checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    names = (name for name in sorted(set(listed.split("\0"))) if name and (CHECKOUT / name).exists())
    return [pathlib.Path(name) for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)]


def pip_settings(listing: str) -> str:
    """``pip config list`` as the text of a pip.conf; what the environment sets wins over the files, as in pip.

    >>> pip_settings("global.timeout='5'\\n:env:.timeout='9'\\n")
    '[global]\\ntimeout = 9\\n'
    """
    found: dict[str, str] = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _equals, value = line.partition("=")
        section, _dot, option = name.rpartition(".")
        if section in ("global", ":env:"):
            found[option] = value.strip("'\"")
    return "[global]\n" + "".join(f"{option} = {value}\n" for option, value in sorted(found.items()))


def copy_sources(place: pathlib.Path) -> pathlib.Path:
    """Lay the sources anew in a collection path, as a repository of their own: so only these files are tested.

    Returns the folder of the copy.
    """
    copy = place / COLLECTION
    shutil.rmtree(copy, ignore_errors=True)
    for name in sources():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, copy / name, follow_symlinks=False)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=copy, check=True)
    return copy


def prepare_home() -> None:
    """Write the bootstrap script and the pip settings; the environments made in earlier runs stay and are used again."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "get_pip_24_2.py").write_text(BOOTSTRAP, encoding="utf-8")
    listing = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True).stdout
    settings = HOME / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(pip_settings(listing), encoding="utf-8")


def main() -> int:
    """Prepare, run, and return ansible-test's exit status."""
    if sys.argv[1:2] == ["--copy"]:
        (folder,) = sys.argv[2:]
        copy_sources(pathlib.Path(folder).absolute())
        return 0
    copy = copy_sources(PLACE)
    prepare_home()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--color", "no", "--python", version]
    command += [word for name in SKIPPED for word in ("--skip-test", name)]
    # The link to the checkout that other tools use would make the collection stand in two places.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    environment |= {"HOME": str(HOME), "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run([*command, *sys.argv[1:]], cwd=copy, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

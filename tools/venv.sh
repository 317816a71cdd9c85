#!/usr/bin/env bash
# Make .venv and the folder in which Ansible and Python find this checkout as a collection.
# Run any time: it does nothing where the virtual environment already holds what the requirement files ask for, and
# begins anew where an earlier run was broken off or the checkout has been moved. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
# The interpreter that makes .venv anew cannot be the one in it, which make puts first.
PATH=${PATH//"$PWD/.venv/bin:"/}

stamp=.venv/.made-from
files=(requirements.txt requirements-test.txt constraints.txt)
# Python 3.14 and later have no ansible-core 2.19, earlier than 3.11 neither.
usable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

say() { printf '%s\n' "== venv: $*"; }

# The first interpreter that runs (a version manager's shim may not) and can make virtual environments.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 /usr/bin/python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c "$usable" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

install_python() {
    if [ -n "${PYTHON:-}" ] || ! command -v apt-get >/dev/null; then
        say "no usable interpreter: set PYTHON to a Python 3.11 to 3.13 that has the modules venv and ensurepip" >&2
        exit 1
    fi
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    say "no Python 3.11 to 3.13 with venv here; installing the distribution's"
    "${sudo[@]}" apt-get update -q
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3 python3-venv
}

link_collection() {
    mkdir -p .build/collections/ansible_collections/generalbots
    ln -sfn ../../../.. .build/collections/ansible_collections/generalbots/scaling
}

mkdir -p .build
exec 9>.build/venv.lock
flock 9 # two makes at once: the second waits here
link_collection

# Its programs name their interpreter by its whole path, so a checkout that was moved has none that runs.
wanted=$({ printf '%s\n' "$PWD"; cat "${files[@]}"; } | sha256sum | cut -d' ' -f1)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c "$usable" 2>/dev/null; then
    exit 0
fi

started=$SECONDS
python=$(find_python) || { install_python; python=$(find_python); }
say "installing the pinned requirements with $("$python" -V) (about two minutes and 800 MB)"
rm -rf .venv
"$python" -m venv .venv
# Compiling the few hundred modules that are used takes a moment at first use; compiling all of them, half a minute now.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
    -c constraints.txt -r requirements.txt -r requirements-test.txt
printf '%s\n' "$wanted" >"$stamp"
say "made in $((SECONDS - started)) s"

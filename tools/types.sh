#!/usr/bin/env bash
# mypy, strict: the plugins under the name by which Ansible imports them, then every other program and test.
set -uo pipefail
cd "$(dirname "$0")/.."

mypy=$PWD/.venv/bin/mypy
status=0
MYPYPATH=.build/collections "$mypy" -p ansible_collections.generalbots.scaling.plugins || status=1
# Folder by folder: files of two folders may bear the same name, and a test imports what lies beside it, as pytest has it.
mapfile -t folders < <(git ls-files --cached --others --exclude-standard -- '*.py' ':!plugins' | xargs -d '\n' -n1 dirname | sort -u)
for folder in "${folders[@]}"; do
    MYPYPATH=$folder:.build/collections:molecule/shared:. "$mypy" "$folder"/*.py || status=1
done
exit "$status"

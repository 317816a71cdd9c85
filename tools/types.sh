#!/usr/bin/env bash
# mypy, strict: the plugins under the name by which Ansible imports them, then every other program and test.
set -uo pipefail
cd "$(dirname "$0")/.."

mypy=$PWD/.venv/bin/mypy
status=0
MYPYPATH=.build/collections "$mypy" -p ansible_collections.generalbots.scaling.plugins || status=1
# pytest lets a test import a helper that lies beside it; so does this.
beside=$(printf ':%s' tests/*/*/ tests/*/)
# One call for each role and scenario: their files may bear the same names.
mapfile -t places < <(git ls-files --cached --others --exclude-standard -- 'roles/**/*.py' 'molecule/**/*.py' | cut -d/ -f1-2 | sort -u)
for place in "conftest.py tools tests" "${places[@]}"; do
    # shellcheck disable=SC2086 # several words on purpose
    MYPYPATH=.build/collections:.$beside "$mypy" $place || status=1
done
exit "$status"

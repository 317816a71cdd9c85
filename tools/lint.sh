#!/usr/bin/env bash
# Everything that can be said about the sources without running them. All checks run; the first failure does not hide the next.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
export PATH=$bin:$PATH ANSIBLE_CONFIG=$PWD/ansible.cfg ANSIBLE_COLLECTIONS_PATH=$PWD/.build/collections
# What the user has installed elsewhere must not be linted in place of this checkout, nor anything be installed there.
unset PYTHONPATH
export HOME=$PWD/.build/home
mkdir -p "$HOME"
failed=()

check() {
    tools/step.sh "lint: $1" "${@:2}" || failed+=("$1")
}

check ruff "$bin/ruff" check .
check "ruff format" "$bin/ruff" format --check .
check mypy tools/types.sh
check yamllint "$bin/yamllint" --strict .
check ansible-lint "$bin/ansible-lint" --offline --strict
# In the checkout it would copy .venv along, and only from a git repository of its own does it take what .build holds. The copy
# of ansible-test stays untouched: it may be in use.
check "copy for antsibull-docs" "$bin/python" tools/sanity.py --copy .build/antsibull
check antsibull-docs env ANSIBLE_COLLECTIONS_PATH="$PWD/.build/antsibull" \
    "$bin/antsibull-docs" lint-collection-docs --plugin-docs --validate-collection-refs=dependent \
    .build/antsibull/ansible_collections/generalbots/scaling
check antsibull-changelog "$bin/antsibull-changelog" lint
check "generated pages" "$bin/python" tools/docs.py --check

if [ "${#failed[@]}" -gt 0 ]; then
    printf '\nlint found something in: %s\n' "${failed[*]}" >&2
    exit 1
fi

#!/usr/bin/env bash
# Everything that can be said about the sources without running them. All checks run; the first failure does not hide the next.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
export PATH=$bin:$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.build/collections
failed=()

check() {
    tools/step.sh "lint: $1" "${@:2}" || failed+=("$1")
}

check ruff "$bin/ruff" check .
check mypy tools/types.sh
check yamllint "$bin/yamllint" --strict .
check ansible-lint "$bin/ansible-lint" --offline --strict
check antsibull-docs "$bin/antsibull-docs" lint-collection-docs --plugin-docs --validate-collection-refs=all .build/collections/ansible_collections/generalbots/scaling
check antsibull-changelog "$bin/antsibull-changelog" lint
check "generated pages" "$bin/python" tools/docs.py --check

if [ "${#failed[@]}" -gt 0 ]; then
    printf '\nlint found something in: %s\n' "${failed[*]}" >&2
    exit 1
fi

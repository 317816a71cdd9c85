#!/usr/bin/env bash
# Try the real botserver: GB_BOTSERVER_BINARY=/path/to/botserver tools/real.sh
# Brings it up in LXD containers of its own beside a database, asks it what the demo botserver is asked, and removes all of it.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x "${GB_BOTSERVER_BINARY:-}" ]; then
    printf '== real: GB_BOTSERVER_BINARY is "%s": give the path of a botserver built for Debian 12\n' "${GB_BOTSERVER_BINARY:-}" >&2
    exit 2
fi
play() { .venv/bin/ansible-playbook -i tests/real/inventory "$@"; }

leave() {
    # The image holds the program, and nobody else makes anything of it.
    local image
    image=$(lxc project get gb-real user.gb.image.botserver || true)
    play playbooks/destroy.yml -e gb_destroy=yes
    [ -z "$image" ] || lxc image delete "$image"
}

trap leave EXIT
play playbooks/site.yml --tags host
play tests/real/backend.yml
play playbooks/site.yml
# gb_botserver_proxy_port_base plus the slot
GB_BOTSERVER_URL=http://127.0.0.1:28191 .venv/bin/python -m pytest tests/unit/botserver/test_botserver_contract.py tests/real

#!/usr/bin/env bash
# Make what the unit tests look at pages and alert rules with: Chromium, and Prometheus' promtool under .build/programs.
# Run any time: it does nothing where they are. Where there is no apt-get it says which tests will be skipped, and ends well.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=$PWD/.build/programs
say() { printf '%s\n' "== programs: $*"; }

apt() {
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q "$@"
}

# Without its recommendations, of which only a font is needed.
install_chromium() {
    say "installing the distribution's Chromium (about 400 MB)"
    apt install -y --no-install-recommends chromium fonts-dejavu-core
}

# Not installed: the package would start a Prometheus on this machine.
unpack_promtool() {
    say "unpacking promtool from the distribution's package of Prometheus"
    local place
    place=$(mktemp -d)
    # As itself: apt's own user may not write into the folders of others.
    (cd "$place" && apt-get -q -o APT::Sandbox::User=root download prometheus && dpkg-deb -x prometheus_*.deb .)
    mkdir -p "$programs"
    install -m 755 "$place/usr/bin/promtool" "$programs/.promtool.new"
    mv "$programs/.promtool.new" "$programs/promtool"
    rm -rf "$place"
}

missing=()
command -v chromium >/dev/null || missing+=(install_chromium)
command -v promtool >/dev/null || [ -x "$programs/promtool" ] || missing+=(unpack_promtool)
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    say "no apt-get here: install chromium and promtool yourself, or the tests that need them are skipped"
    exit 0
fi
apt update
for one in "${missing[@]}"; do
    "$one"
done

#!/usr/bin/env bash
# Make what the unit tests try things on: Chromium for the report's page and, unpacked under .build/programs, Prometheus' promtool for the
# alert rules and HAProxy for the endpoints.
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

# unpack PROGRAM PACKAGE PATH: one program of a package. Not installed, because the package would start a service on this machine.
unpack() {
    local program=$1 package=$2 path=$3 place
    say "unpacking $program from the distribution's package $package"
    place=$(mktemp -d)
    # As itself: apt's own user may not write into the folders of others.
    (cd "$place" && apt-get -q -o APT::Sandbox::User=root download "$package" && dpkg-deb -x "$package"_*.deb .)
    mkdir -p "$programs"
    install -m 755 "$place/$path" "$programs/.$program.new"
    mv "$programs/.$program.new" "$programs/$program"
    rm -rf "$place"
}

unpack_promtool() { unpack promtool prometheus usr/bin/promtool; }

# Its libraries start nothing.
unpack_haproxy() {
    apt install -y --no-install-recommends liblua5.3-0 libopentracing-c-wrapper0 libpcre2-8-0
    unpack haproxy haproxy usr/sbin/haproxy
}

missing=()
command -v chromium >/dev/null || missing+=(install_chromium)
command -v promtool >/dev/null || [ -x "$programs/promtool" ] || missing+=(unpack_promtool)
PATH=$PATH:/usr/sbin command -v haproxy >/dev/null || [ -x "$programs/haproxy" ] || missing+=(unpack_haproxy)
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    say "no apt-get here: install chromium, promtool and haproxy yourself, or the tests that need them are skipped"
    exit 0
fi
apt update
for one in "${missing[@]}"; do
    "$one"
done

#!/usr/bin/env bash
# Make what the unit tests try things on: Chromium for the report's page and, unpacked under .build/programs, Prometheus' promtool for the
# alert rules and HAProxy for the endpoints.
# programs.sh [PROGRAM...]: those, or all that the unit tests use. The benches ask for wrk as well, and the
# scenario autoscale for Prometheus itself.
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
unpack_prometheus() { unpack prometheus prometheus usr/bin/prometheus; }

# Its libraries start nothing.
unpack_haproxy() {
    apt install -y --no-install-recommends liblua5.3-0 libopentracing-c-wrapper0 libpcre2-8-0
    unpack haproxy haproxy usr/sbin/haproxy
}

install_wrk() { apt install -y --no-install-recommends wrk; }

[ "$#" -gt 0 ] || set -- chromium promtool haproxy
missing=()
for program in "$@"; do
    case $program in
        chromium | wrk) missing_as=install_$program ;;
        promtool | prometheus | haproxy) missing_as=unpack_$program ;;
        *)
            say "there is no program named $program here: chromium, promtool, prometheus, haproxy, wrk" >&2
            exit 2
            ;;
    esac
    PATH=$PATH:/usr/sbin:$programs command -v "$program" >/dev/null || missing+=("$missing_as")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    say "no apt-get here: install $* yourself, or what needs them is skipped"
    exit 0
fi
apt update
for one in "${missing[@]}"; do
    "$one"
done

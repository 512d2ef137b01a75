#!/bin/sh
# Installs the tools that the benchmarks compare with, where apt-get and root are there.
# Elsewhere it says which of them will not be measured.
set -eu

missing_packages() {
    command -v clush >/dev/null || echo clustershell
    command -v pssh >/dev/null || command -v parallel-ssh >/dev/null || echo pssh
    command -v pdsh >/dev/null || echo pdsh
}

packages=$(missing_packages)
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    trap 'exit 1' HUP INT TERM
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of words
    {
        echo "Installing" $packages
        apt-get -qq update
        apt-get -qqy install --no-install-recommends $packages
    } >"$log" 2>&1 </dev/null || cat "$log" >&2
    packages=$(missing_packages)
fi

for package in $packages; do
    echo "$package is missing: it will not be measured." >&2
done

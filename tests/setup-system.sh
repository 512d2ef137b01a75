#!/bin/sh
# Installs the servers and tools that the tests use beside Python, where apt-get and root are there.
# Elsewhere it says which tests will be skipped; with CI=true something missing is an error.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing_packages() {
    command -v sshd >/dev/null || echo openssh-server
    command -v dropbear >/dev/null || echo dropbear-bin
    command -v busybox >/dev/null || echo busybox-static
    command -v tcsh >/dev/null || echo tcsh
    command -v fish >/dev/null || echo fish
    command -v curl >/dev/null || echo curl
    command -v shellcheck >/dev/null || echo shellcheck
}

# A test needs the program, not the service: nothing may start now, and nothing at the next boot.
install_without_services() {
    log=$(mktemp)
    policy=/usr/sbin/policy-rc.d
    trap 'rm -f "$log"' EXIT
    trap 'exit 1' HUP INT TERM
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$log" "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "Installing" "$@"
    {
        apt-get -qq update
        apt-get -qqy install --no-install-recommends "$@" && apt-get -qq clean
    } >"$log" 2>&1 </dev/null || cat "$log" >&2
    case " $* " in
    *' openssh-server '*) [ ! -d /run/systemd/system ] || systemctl --quiet disable ssh.service ssh.socket || true ;;
    esac
}

packages=$(missing_packages)
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086  # a list of words
    install_without_services $packages
    packages=$(missing_packages)
fi

# Root's sshd refuses to start without this folder, which otherwise comes with the service.
if [ "$(id -u)" = 0 ] && [ -d /run ] && [ ! -d /run/sshd ]; then
    mkdir -m 755 /run/sshd
fi

for package in $packages; do
    case $package in
    shellcheck) echo "$package is missing: shell files are not checked." ;;
    *) echo "$package is missing: the tests that need it will be skipped." ;;
    esac
done >&2
[ -z "$packages" ] || [ "${CI:-}" != true ]

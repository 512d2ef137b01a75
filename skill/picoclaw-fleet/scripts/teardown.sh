#!/usr/bin/env bash
# Takes PicoClaw away from one host: teardown.sh HOST USER [SSH_KEY]
# What deploy.sh, the deploy tool or the scripts of old have put there goes, and nothing of the owner's. What was removed
# and what was kept, and why, is on stdout, as read back on the host. PICOCLAW_PURGE=1: also what onboard has made.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

[ $# -eq 2 ] || [ $# -eq 3 ] || give_up "$USAGE" usage 'teardown.sh HOST USER [SSH_KEY]'
aim "$1" "$2" "${3:-}"
share_connection
look
variable=$(key_variable) || exit
purge=-
[ "${PICOCLAW_PURGE:-}" != 1 ] || purge=purge
# The key goes over stdin: the host looks for it, and says where it still is.
step 120 removal.sh remove "$purge" "PROVIDER${variable:+|$variable}" <<<"${variable:+${!variable:-}}"
expect_done "$?"
heard_all removed | sed 's/^/removed: /'
heard_all kept | sed 's/^/kept: /'
if heard nothing >/dev/null; then
  echo "$host: nothing of ours is there"
else
  echo "$host: torn down"
fi

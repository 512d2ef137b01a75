#!/usr/bin/env bash
# Installs or updates PicoClaw on one host: deploy.sh HOST USER ARCH [SSH_KEY]
# Environment: the provider's key (ANTHROPIC_API_KEY, or what API_KEY_ENV or the fleet config names), PROVIDER. It is
# downloaded and verified here; the host needs neither curl nor Internet. The same deploy again changes nothing.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"
# shellcheck source-path=SCRIPTDIR source=release.sh
. "$here/release.sh"

read_key() {
  API_KEY_ENV=$(key_variable) || exit
  local key=${API_KEY_ENV:+${!API_KEY_ENV:-}}
  case $key:$keyless in
    :yes)
      [ -z "$API_KEY_ENV" ] || note "$API_KEY_ENV is not set, so this worker has no key for $api_base."
      API_KEY_ENV='' ;;
    :*) give_up "$KEY_MISSING" key_missing "${API_KEY_ENV:-the variable that API_KEY_ENV names} is not set. Set it to the key of $provider." ;;
    *[![:graph:]]*:*) give_up "$USAGE" usage "$API_KEY_ENV holds blanks or control characters, so it is no key." ;;
  esac
  PROVIDER=$provider MODEL=$model API_BASE=$api_base
  # Only python3 needs the key, and it takes it from the environment.
  export PROVIDER MODEL API_BASE API_KEY_ENV
  [ -z "$API_KEY_ENV" ] || export "${API_KEY_ENV?}"
}

choose_machine() { # ARCH: the host knows better, except that uname does not tell the byte order of MIPS
  case $machine:$1 in
    mips:mipsle) machine=mipsle ;;
    x86_64:amd64 | amd64:amd64 | aarch64:arm64 | arm64:arm64 | "$1:$1" | armv7l:armv7 | armv6l:armv6 | loongarch64:loong64) ;;
    *) note "you say $1, the host says $machine; the host is believed." ;;
  esac
}

# --- settings ---------------------------------------------------------------------------------------------------------

write_settings() { # SAYS: for the version that the binary says it is
  fleet_json settings "$1" "$scratch/parcel" || exit "$USAGE"
  scope=own
  case $1 in
    0.[01].* | 0.2.0*) # these read ~/.picoclaw/config.json and no other
      scope=home
      [ -z "$owner_config" ] || scope=owner ;;
  esac
}

recorded() { # KEY: what the manifest of the last deploy has
  heard_all manifest | sed -n "s/^$1 //p" | tail -n 1
}

# --- steps ------------------------------------------------------------------------------------------------------------

survey() {
  step 60 install.sh survey </dev/null
  expect_done "$?"
  in_use=$(heard current) owner_config=$(heard owner)
  old_says=$(recorded says) old_digest=$(recorded digest)
}

is_unchanged() {
  [ -n "$in_use" ] && [ "$old_digest" = "$binary_digest" ] || return
  write_settings "$old_says"
  step 90 install.sh check "$in_use" "$binary_digest" "$(size "$binary")" "$variables" "$scope" <"$scratch/parcel"
  heard 'done' >/dev/null || return
  ! heard leftovers >/dev/null || step 60 install.sh sweep </dev/null
}

begin() {
  local words
  step 60 install.sh begin "$version_name" "$binary_digest" "$(size "$binary")" </dev/null
  expect_done "$?"
  words=$(heard folder)
  folder=${words%% *}
  trap 'abandon; leave' EXIT
  [ "${words#* }" = need ] || return 0
  words=$(number "$(heard space)")
  if [ -n "$words" ] && [ $((words * 1024)) -lt $((2 * $(size "$binary"))) ]; then
    give_up "$HOST_TROUBLE" disk_full "only $words KB are free there."
  fi
  note "uploading $(size "$binary") bytes"
  step 1800 upload.sh upload "$folder" <"$binary"
  expect_done "$?"
}

verify() {
  step 90 install.sh verify "$folder" "$binary_digest" "$(size "$binary")" </dev/null
  expect_done "$?"
  says=$(heard_all '|' | version_in)
  [ -n "$says" ] || give_up "$NOT_READY" not_ready "what was installed does not run there: $(heard_all '|' | head -n 3 | cut -c 1-300)"
}

install() {
  write_settings "$says"
  step 180 install.sh install "$folder" "$binary_digest" "$(size "$binary")" "$variables" "$scope" \
    "$version_name" "$repository" "$says" <"$scratch/parcel"
  expect_done "$?"
  folder=''
}

# shellcheck disable=SC2317  # the traps call it
abandon() { # nothing of a failed deploy stays
  [ -n "$folder" ] || return 0
  local leaving=$folder
  folder=''
  step 30 install.sh abandon "$leaving" </dev/null
}

# --- in order ---------------------------------------------------------------------------------------------------------

[ $# -eq 3 ] || [ $# -eq 4 ] || give_up "$USAGE" usage 'deploy.sh HOST USER ARCH [SSH_KEY]'
folder=''
aim "$1" "$2" "${4:-}"
share_connection
read_key
api=${PICOCLAW_GITHUB_API:-${github_api:-https://api.github.com}}
api=${api%/}
look
choose_machine "$3"
find_release "$version" "$system" "$machine"
fetch_release
variables=PROVIDER${API_KEY_ENV:+|$API_KEY_ENV}
binary_digest=$(sha256 "$binary")
version_name=${tag#v}
survey
if is_unchanged; then
  echo "$host: unchanged, PicoClaw $old_says from $repository $tag"
  exit 0
fi
begin
verify
install
heard_all kept | sed 's/^/kept: ~\//' >&2
outcome=installed
[ -z "$in_use" ] || outcome=upgraded
echo "$host: $outcome, PicoClaw $says from $repository $tag, $verified"

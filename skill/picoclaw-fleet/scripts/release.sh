# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables of lib.sh and of deploy.sh
# Gets PicoClaw onto this machine: finds the release, downloads, verifies and unpacks it, once per build.

readonly MOST_BYTES=200000000

failed() { # TEXT
  give_up "$NO_RELEASE" no_release "$1"
}

# Downloads a URL; `status` is its HTTP status. A token goes to the API and stands in no argument.
download() { # URL FILE ACCEPT SECONDS [TOKEN]
  local protocols='=https'
  case $api in http:*) protocols='=http,https' ;; esac
  case $1 in http://* | https://*) ;; *) failed "its address in the release is broken." ;; esac
  status=$(
    printf '%s\n' ${5:+"header = \"Authorization: Bearer $5\""} |
      curl --config - --silent --show-error --location --max-redirs 5 --proto "$protocols" --proto-redir "$protocols" \
        --connect-timeout 10 --max-time "$4" --speed-limit 1000 --speed-time 30 --max-filesize "$MOST_BYTES" \
        --user-agent picoclaw-fleet --header "Accept: $3" --dump-header "$scratch/headers" --output "$2" \
        --write-out '%{http_code}' "$1" 2>"$scratch/curl"
  )
  case $? in
    0) ;;
    23) no_room ;;
    *) failed "the download from $(echo "$1" | cut -d / -f 3) broke off ($(tail -n 1 "$scratch/curl" | cut -c 1-200)). Try again." ;;
  esac
  case $status in
    403 | 429) ! refused_for_now || give_up "$NO_RELEASE" rate_limited "GitHub allows no more requests until $(end_of_limit). Try again then, or set GITHUB_TOKEN." ;;
  esac
}

header() { # NAME: of the last answer
  tr -d '\r' <"$scratch/headers" | sed -n "s/^$1: *//p" | tail -n 1
}

refused_for_now() {
  [ "$status" = 429 ] || [ "$(header '[Xx]-[Rr]ate[Ll]imit-[Rr]emaining')" = 0 ] || [ -n "$(header '[Rr]etry-[Aa]fter')" ]
}

end_of_limit() {
  local reset
  reset=$(header '[Xx]-[Rr]ate[Ll]imit-[Rr]eset')
  case $reset in
    '' | *[!0-9]*) reset=$(header '[Rr]etry-[Aa]fter'); echo "${reset:-a time that it does not name}" ;;
    *) TZ=UTC date -d "@$reset" '+%Y-%m-%d %H:%M:%S UTC' 2>/dev/null || TZ=UTC date -r "$reset" '+%Y-%m-%d %H:%M:%S UTC' ;;
  esac
}

# Sets repository, tag, asset, asset_size, url, digest (of the asset, may be empty) and checksums (a URL, may be empty).
# A repository that can't be asked ends the search: an outage must not change where a binary comes from.
find_release() { # VERSION SYSTEM MACHINE
  local wanted=${1:-latest} spelling spellings misses='' line
  case $wanted in
    latest) spellings=latest ;;
    [0-9]*) spellings="tags/$wanted tags/v$wanted" ;;
    v[0-9]*) spellings="tags/$wanted tags/${wanted#v}" ;;
    *[!A-Za-z0-9._+-]* | [!A-Za-z0-9]*) give_up "$USAGE" usage "$wanted is no version. Use latest or a tag, such as v0.2.9." ;;
    *) spellings=tags/$wanted ;;
  esac
  for repository in ${release_repo:-EricGrill/picoclaw sipeed/picoclaw}; do
    for spelling in $spellings; do
      download "$api/repos/$repository/releases/$spelling" "$scratch/release" application/vnd.github+json 60 "${GITHUB_TOKEN:-}"
      [ "$status" = 404 ] || break
    done
    case $status in
      200) ;;
      404) misses+=" $repository has no release $wanted."; continue ;;
      *) failed "$repository: GitHub answered with status $status." ;;
    esac
    asset=''
    fleet_json asset "$scratch/release" "$wanted" "$2" "$3" >"$scratch/asset" 2>"$scratch/curl" ||
      failed "$repository: $(cat "$scratch/curl")."
    while IFS= read -r line; do
      case $line in
        'name '*) asset=${line#* } ;;
        'size '*) asset_size=${line#* } ;;
        *) printf -v "${line%% *}" %s "${line#* }" ;;
      esac
    done <"$scratch/asset"
    [ -z "$asset" ] || return 0
    misses+=" $repository has no file for it."
  done
  failed "there is no PicoClaw release for $2 $3:$misses Choose another version or release_repo in the fleet config."
}

# Sets binary, a verified executable of the release found, and verified, how.
fetch_release() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/picoclaw-fleet/skill kept
  find_digest
  kept=$cache/${digest:-none}
  if [ -n "$digest" ] && [ -f "$kept.sha256" ] && [ "$(sha256 "$kept")" = "$(cat "$kept.sha256")" ]; then
    binary=$kept
    return
  fi
  note "downloading $asset ($asset_size bytes) of $repository $tag"
  download "$url" "$scratch/download" application/octet-stream 1800
  [ "$status" = 200 ] || failed "$asset: the server answered with status $status."
  [ "$(size "$scratch/download")" = "$asset_size" ] ||
    failed "$asset: $(size "$scratch/download") of $asset_size bytes arrived. Try again."
  if [ -n "$digest" ] && [ "$(sha256 "$scratch/download")" != "$digest" ]; then
    give_up "$NO_RELEASE" checksum_mismatch "$asset is not what $repository has published as $tag. It was thrown away."
  fi
  unpack
  binary=$scratch/picoclaw
  [ -n "$digest" ] || return 0
  # Two deploys may do this at once: each writes the same, under a name of its own first.
  mkdir -p "$cache" && cp "$binary" "$kept.$me" && mv -f "$kept.$me" "$kept" && sha256 "$kept" >"$kept.sha256"
  [ -f "$kept.sha256" ] || note "nothing could be kept in $cache"
}

find_digest() {
  verified='by its digest'
  if [ -z "$digest" ] && [ -n "$checksums" ]; then
    verified='by the checksum file'
    download "$checksums" "$scratch/checksums" application/octet-stream 60
    [ "$status" = 200 ] || failed "the checksum file: the server answered with status $status."
    # v0.1.1 lists build/picoclaw-linux-arm64, so folders in front don't count.
    digest=$(tr -d '\r' <"$scratch/checksums" | sed -nE "s|^([0-9a-fA-F]{64})[[:blank:]]+\*?([^[:blank:]]*/)?$asset\$|\1|p" |
      tr A-F a-f | sort -u)
    case $digest in
      '' | *[!0-9a-f]*) failed "the checksum file of $repository $tag does not have one line for $asset." ;;
    esac
  fi
  if [ -z "$digest" ]; then
    verified='not verified'
    case ${PICOCLAW_ALLOW_UNVERIFIED:-}:$allow_unverified in
      1:* | *:yes) note "nothing says what $asset should be; it is used all the same, as you wished." ;;
      *) give_up "$NO_RELEASE" checksum_mismatch "nothing says what $asset of $repository $tag should be. Set PICOCLAW_ALLOW_UNVERIFIED=1 to use it all the same." ;;
    esac
  fi
}

unpack() {
  local member
  case $asset in
    *.tar.gz)
      tar -tzf "$scratch/download" >"$scratch/members" 2>/dev/null || failed "$asset is no archive, or a broken one."
      ! grep -qE '^/|(^|/)\.\.(/|$)' "$scratch/members" || failed "$asset has members outside of its folder."
      member=$(grep -E '^(.*/)?picoclaw$' "$scratch/members")
      case $member in
        '') failed "$asset has no picoclaw in it." ;;
        *$'\n'*) failed "$asset has more than one picoclaw in it." ;;
      esac
      case $(tar -tvzf "$scratch/download" -- "$member") in
        -*) ;;
        *) failed "the picoclaw in $asset is a link." ;;
      esac
      tar -xzOf "$scratch/download" -- "$member" | head -c "$MOST_BYTES" 2>/dev/null >"$scratch/picoclaw" || no_room ;;
    *) mv "$scratch/download" "$scratch/picoclaw" ;;
  esac
  [ -s "$scratch/picoclaw" ] || failed "the picoclaw in $asset is empty."
}

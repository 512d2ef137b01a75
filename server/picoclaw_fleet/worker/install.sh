# shellcheck shell=sh disable=SC1010,SC2015,SC2016,SC2046,SC2086,SC2154  # ground.sh precedes it; `done` is a word of ours
# Puts one version of PicoClaw on a host. Binary and settings of a version lie together in versions/FOLDER, `current` says
# which one is used, and nothing that is in use is ever written to: each deploy that changes something makes a new folder.

version_of_file() { # FILE: what it says about itself
  in_quiet /nonexistent ask 20 "$1" version | head -n 20 | quote
}

digest_of() { # FILE: empty where there is no tool for it; openssl, a multiple faster than the others, goes first
  for tool in "openssl dgst -sha256 -r" sha256sum "busybox sha256sum" "shasum -a 256"; do
    if sum=$($tool <"$1"); then break; fi
  done 2>/dev/null
  echo "${sum%% *}"
}

is_binary() { # FILE
  [ -f "$1" ] && [ "$(size_of "$1")" = "$size" ] || return 1
  found=$(digest_of "$1")
  [ -z "$found" ] || [ "$found" = "$digest" ]
}

settled() { # FOLDER: a sum of the settings as PicoClaw left them, and of our lines in .env
  {
    cat "$1/config.json" "$1/.security.yml" "$1/worker.env"
    grep -E "^($variables)=" "$HOME/.picoclaw/.env"
  } 2>/dev/null | sum_of
}

has_owner_config() { # one that is neither our link nor what onboard made for us
  is_there "$HOME/.picoclaw/config.json" || return 1
  ! points_to "$HOME/.picoclaw/config.json" "fleet/$name/current/config.json" || return 1
  ! noted file | grep -qxF -e "$(sum_of <"$HOME/.picoclaw/config.json") .picoclaw/config.json"
}

# --- looking ----------------------------------------------------------------------------------------------------------

survey() {
  say home "$HOME"
  say current $(current)
  [ ! -f "$manifest" ] || while read -r line; do say manifest "$line"; done <"$manifest"
  cd "$HOME" || exit
  if has_owner_config; then say owner config; fi
  say done
}

check() { # FOLDER DIGEST SIZE VARIABLES SCOPE, on stdin a digest of the settings: is all as a deploy would leave it?
  folder=$1 digest=$2 size=$3 variables=$4 scope=$5
  read -r sent
  home=$fleet/versions/$folder
  [ "$(current)" = "$folder" ] || fail differs current
  [ "$(noted sent)" = "$sent" ] && [ "$(noted settled)" = "$(settled "$home")" ] || fail differs settings
  [ "$scope" != home ] || points_to "$HOME/.picoclaw/config.json" "fleet/$name/current/config.json" || fail differs config
  is_there "$HOME/.local/bin/picoclaw" || fail differs link
  is_binary "$home/picoclaw" || fail differs binary
  for other in "$fleet"/versions/* "$fleet"/versions/.old-*; do
    case ${other##*/} in "$folder" | '.old-*') ;; *) say leftovers ;; esac
  done
  tell_kept
  ready "$fleet/current" "$HOME"
  code=$?
  rm -rf "$fleet/trial.$me"
  [ $code -eq 0 ] || { echo "$said" | tail -n 20 | quote; fail not_ready; }
  say done
}

tell_kept() {
  link=$HOME/.local/bin/picoclaw
  if is_there "$link" && ! points_to "$link" "$fleet/current/picoclaw"; then
    say kept ".local/bin/picoclaw it is not ours; workers use the one in .picoclaw/fleet/$name/current"
  fi
  if has_owner_config; then say kept ".picoclaw/config.json the owner's settings"; fi
}

# --- making room ------------------------------------------------------------------------------------------------------

begin() { # NAME DIGEST SIZE
  wanted=$1 digest=$2 size=$3
  mkdir -p "$fleet/versions" "$fleet/jobs" "$fleet/running" 2>/dev/null || cannot_write
  take_lock
  tidy "$(current)"
  folder=$wanted number=1
  while ! mkdir "$fleet/versions/$folder" 2>/dev/null; do
    [ -d "$fleet/versions/$folder" ] || cannot_write
    number=$((number + 1)) folder=$wanted-$number
  done
  incoming=$fleet/versions/$folder/.picoclaw.new has=need
  for have in "$fleet"/versions/*/picoclaw "$fleet"/versions/.old-*/.picoclaw.new "$fleet"/versions/.old-*/picoclaw; do
    if is_binary "$have"; then
      if ln "$have" "$incoming" 2>/dev/null || cp "$have" "$incoming" 2>/dev/null; then has=have; fi
      break
    fi
  done
  rm -rf "$fleet"/versions/.old-*
  df -Pk "$HOME" | { read -r _; read -r _ _ _ free _; say space "$free"; }
  say folder "$folder" "$has"
  say done
}

tidy() { # FOLDER: everything but that one goes, unless jobs may still need it; then only what is secret goes
  jobs=$(running_jobs)
  rm -rf "$fleet"/trial.* "$fleet"/env.* "$fleet"/rc.* "$fleet"/manifest.*
  for other in "$lock".*; do [ "$other" = "$lock.$me" ] || rm -f "$other"; done
  for other in "$fleet"/versions/*; do
    [ -d "$other" ] && [ "${other##*/}" != "$1" ] || continue
    still_locked
    if [ -z "$jobs" ]; then
      mv "$other" "$fleet/versions/.old-${other##*/}"
    elif [ -n "$1" ] && [ -e "$fleet/versions/$1/worker.env" ]; then
      rm -f "$other/config.json" "$other/.security.yml" "$other"/*.bak "$other"/.*.bak
    fi
  done
}

verify() { # FOLDER DIGEST SIZE: what was sent is whole, and it runs
  digest=$2 size=$3 incoming=$fleet/versions/$1/.picoclaw.new
  still_locked
  [ -f "$incoming" ] || fail differs absent
  is_binary "$incoming" || fail differs "$(size_of "$incoming") bytes"
  chmod 700 "$incoming" || cannot_write
  version_of_file "$incoming"
  still_locked
  mv -f "$incoming" "$fleet/versions/$1/picoclaw" || cannot_write
  say done
}

# --- installing -------------------------------------------------------------------------------------------------------

receive() { # from stdin: lines of name and size, each followed by so many bytes; `end` is the last
  while read -r file bytes; do
    [ "$file" != end ] || return 0
    case $file in */* | '' | .) return 1 ;; esac
    dd bs=1 count="$bytes" >"$new/$file" 2>/dev/null || cannot_write
    [ "$(size_of "$new/$file")" = "$bytes" ] || return 1
  done
  return 1
}

install() { # FOLDER DIGEST SIZE VARIABLES SCOPE VERSION SOURCE SAYS, on stdin a digest of the settings, and they
  folder=$1 digest=$2 size=$3 variables=$4 scope=$5 version=$6 source=$7 says=$8
  read -r sent
  new=$fleet/versions/$folder old=$(current) me_made_link=
  cd "$HOME" || exit
  step settings
  receive || fail lost_contact "the settings did not arrive whole"
  mv -f "$new/env" "$fleet/env.$me" || cannot_write
  true >"$new/worker.env" || cannot_write
  [ "$scope" != own ] || echo "PICOCLAW_CONFIG=$new/config.json" >"$new/worker.env"

  step trial
  trial_home=$HOME
  if [ "$scope" = home ]; then
    trial_home=$fleet/trial.$me
    mkdir -p "$trial_home/.picoclaw" && ln -s "$new/config.json" "$trial_home/.picoclaw/config.json" || cannot_write
  fi
  if ! ready "$new" "$trial_home"; then give_up; fi
  rm -rf "$fleet/trial.$me"

  step onboard
  onboard
  step env
  note_old_script
  write_env
  step path
  extend_path
  step switch
  [ "$scope" != home ] || link_config
  switch "$folder"
  link_binary

  step ready
  if ! ready "$fleet/current" "$HOME"; then go_back; fi
  rm -rf "$fleet/trial.$me"
  # Copies with the key in plain text, made where PicoClaw found settings of an older form.
  rm -f "$new"/*.bak "$new"/.*.bak

  step tidy
  [ "$scope" = home ] || unlink_config
  tidy "$folder"
  rm -rf "$fleet"/versions/.old-*
  step manifest
  write_manifest
  tell_kept
  release
  say done
}

give_up() {
  echo "$said" | tail -n 20 | quote
  still_locked
  rm -rf "$new" "$fleet/trial.$me" "$fleet/env.$me"
  release
  fail not_ready
}

go_back() {
  still_locked
  if [ -n "$old" ] && [ -d "$fleet/versions/$old" ]; then switch "$old"; else rm -f "$fleet/current"; fi
  [ -z "$me_made_link" ] || rm -f "$HOME/.picoclaw/config.json"
  give_up
}

onboard() { # only where it can destroy nothing: later versions overwrite memory and persona
  ! is_there .picoclaw/config.json && ! is_there .picoclaw/workspace || return 0
  note "onboard begun"
  (unset PICOCLAW_CONFIG; in_quiet /nonexistent ask 20 "$new/picoclaw" onboard) >/dev/null
  find .picoclaw/config.json .picoclaw/.security.yml .picoclaw/workspace -type f 2>/dev/null | while read -r file; do
    note "file $(sum_of <"$file") $file"
  done
}

note_old_script() { # the binary and the .env that the shell scripts of old put there: a teardown may take them away
  [ -z "$(noted env)" ] && has_old_script || return 0
  note "old-script $(sum_of <.local/bin/picoclaw) .local/bin/picoclaw"
}

write_env() { # our lines replaced, all others as they are
  if [ -L .picoclaw/.env ]; then
    say kept ".picoclaw/.env it is a link; nothing was written to it"
    return
  fi
  ours=$variables
  for one in $(noted env); do ours="$ours|$one"; done
  { [ ! -e .picoclaw/.env ] || grep -vE "^($ours)=" .picoclaw/.env || [ $? -eq 1 ]; } >"$fleet/env.$me.all" || cannot_write
  cat "$fleet/env.$me" >>"$fleet/env.$me.all" || cannot_write
  note "env $(cut -d = -f 1 "$fleet/env.$me" | tr '\n' ' ')"
  still_locked
  mv -f "$fleet/env.$me.all" .picoclaw/.env || cannot_write
  rm -f "$fleet/env.$me"
}

extend_path() {
  for rc in .bashrc .zshrc; do
    [ -f "$rc" ] && [ -w "$rc" ] && ! grep -q '[.]local/bin' "$rc" || continue
    note "path $rc"
    [ -z "$(tail -c 1 "$rc")" ] || echo >>"$rc"
    echo 'export PATH="$HOME/.local/bin:$PATH" # picoclaw-fleet' >>"$rc"
  done
}

link_config() { # for versions that know only ~/.picoclaw/config.json; the owner's is never touched (SCOPE is `owner` then)
  ! points_to .picoclaw/config.json "fleet/$name/current/config.json" && ! has_owner_config || return 0
  note "made .picoclaw/config.json"
  still_locked
  ln -s "fleet/$name/current/config.json" "$fleet/config.$me" && mv -f "$fleet/config.$me" .picoclaw/config.json ||
    cannot_write
  me_made_link=yes
}

unlink_config() {
  ! points_to .picoclaw/config.json "fleet/$name/current/config.json" || rm -f .picoclaw/config.json
}

switch() { # FOLDER: one rename, where mv can rename onto a link (GNU, BusyBox, toybox: -T, BSD: -h)
  still_locked
  rm -f "$fleet/current.$me"
  ln -s "versions/$1" "$fleet/current.$me" || cannot_write
  mv -fT "$fleet/current.$me" "$fleet/current" 2>/dev/null || mv -fh "$fleet/current.$me" "$fleet/current" 2>/dev/null || {
    ln -sfn "versions/$1" "$fleet/current"
    rm -f "$fleet/current.$me"
  }
  [ "$(current)" = "$1" ] || cannot_write
}

link_binary() { # only where there is nothing of the user's own
  ! is_there .local/bin/picoclaw || return 0
  for made in .local .local/bin; do [ -d "$made" ] || note "folder $made"; done
  note "made .local/bin/picoclaw"
  mkdir -p .local/bin 2>/dev/null && ln -s "$fleet/current/picoclaw" .local/bin/picoclaw 2>/dev/null ||
    say kept ".local/bin/picoclaw no link could be made there"
}

write_manifest() { # what was noted stays; the rest is as of now
  {
    echo "picoclaw-fleet 1"
    grep -E '^(onboard|file|made|folder|env|path|old-script) ' "$manifest"
    echo "in-use $folder"
    echo "version $version"
    echo "says $says"
    echo "source $source"
    echo "digest $digest"
    echo "scope $scope"
    echo "sent $sent"
    echo "settled $(settled "$new")"
  } >"$fleet/manifest.$me" 2>/dev/null
  still_locked
  mv -f "$fleet/manifest.$me" "$manifest" || cannot_write
}

abandon() { # FOLDER: a deploy that failed on the controller's side
  if locked_by_us && [ "$(current)" != "$1" ]; then rm -rf "$fleet/versions/$1" "$fleet"/env.*; fi
  release
  say done
}

sweep() { # what an earlier deploy left, because jobs were running or its controller died
  take_lock
  tidy "$(current)"
  rm -rf "$fleet"/versions/.old-*
  release
  say done
}

keep_lock() {
  if locked_by_us && renew; then say done; else fail locked "somebody else took over"; fi
}

main() {
  case $verb in
    survey) survey ;;
    check) check "$@" ;;
    begin) begin "$@" ;;
    sweep) sweep ;;
    renew) keep_lock ;;
    verify) verify "$@" ;;
    install) install "$@" ;;
    abandon) abandon "$@" ;;
  esac
}
main "$@"

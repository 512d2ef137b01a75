# shellcheck shell=sh disable=SC2034,SC2046,SC2086,SC2163  # parts are put together when sent; words are split on purpose
# What the scripts of deploy and teardown stand on: how they speak, the lock on the host, and what they ask PicoClaw.
#
# They come over stdin (script.py) and are run by whatever POSIX sh is there. Arguments: nonce, verb, the folder's name, the
# nonce of the lock, its owner, a lock that is known to be dead. Each line of an answer begins with the nonce.
umask 077
export LC_ALL=C
nonce=$1 verb=$2 name=$3 me=$4 owner=$5 dead=$6
shift 6
base=$HOME/.picoclaw/fleet
fleet=$base/$name
lock=$fleet/lock
manifest=$fleet/manifest
silence=60

say() { echo "$nonce $*"; }

quote() { # passes lines on as somebody else's words
  while IFS= read -r words || [ -n "$words" ]; do printf '%s | %s\n' "$nonce" "$words"; done
}

fail() { # REASON WORDS
  say failed "$@"
  exit 0
}

# --- the lock: a line of nonce, boot, uptime of the last sign of life, owner; made whole by ln ------------------------
# Who has it keeps a name of his own for that file, and renews it through that: so he never writes what is another's by now.

clock() {
  read -r boot </proc/sys/kernel/random/boot_id || boot=-
  read -r up _ </proc/uptime
  up=${up%.*}
}

locked_by_us() {
  { read -r holder _ <"$lock"; } 2>/dev/null && [ "$holder" = "$me" ]
}

renew() { # in place, which takes no room: the line never gets shorter
  clock
  locked_by_us && echo "$me $boot $up $owner" 1<>"$lock.$me" && locked_by_us && return
  rm -f "$lock.$me"
  return 1
}

still_locked() { # stands before each change
  locked_by_us || fail locked "somebody else took over"
}

step() { # NAME
  still_locked
  renew
  say step "$1"
}

release() {
  rm -f "$lock.$me"
  locked_by_us && rm -f "$lock"
}

take_lock() { # says who has it, and for how long he has been silent, when it can't be had
  if renew; then return; fi
  for attempt in 1 2 3; do
    echo "$me $boot $up $owner" >"$lock.$me" || cannot_write
    ln "$lock.$me" "$lock" 2>/dev/null && return
    { read -r line <"$lock"; } 2>/dev/null || line=
    [ -n "$line" ] || [ $attempt -gt 1 ] || continue
    set -- $line
    # A container that was restarted has its host's boot id as before, but its uptime begins anew.
    silent=$((up - ${3:-0}))
    if [ "$2" = "$boot" ] && [ $silent -ge 0 ] && [ $silent -le $silence ] && [ "$1" != "$dead" ]; then
      rm -f "$lock.$me"
      say locked "$1" $silent "$4"
      exit 0
    fi
    # Two may see the same dead lock, but only one gets it in his hands; a living one that he gets instead goes back.
    mv "$lock" "$lock.$me" 2>/dev/null || continue
    { read -r found <"$lock.$me"; } 2>/dev/null || found=
    [ "$found" = "$line" ] || ln "$lock.$me" "$lock" 2>/dev/null
    # What went back must not be written through the name that is still ours.
    rm -f "$lock.$me"
  done
  say locked - 0 somebody
  exit 0
}

cannot_write() {
  case $(df -Pk "$HOME" | { read -r _; read -r _ _ _ free _; echo "$free"; }) in
    [0-9] | [0-9][0-9] | [0-9][0-9][0-9]) fail disk_full "its disk is full" ;;
  esac
  fail home_not_writable "nothing can be written to ~/.picoclaw there"
}

# --- what is on the host ----------------------------------------------------------------------------------------------

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

points_to() { # LINK TARGET
  [ -L "$1" ] || return 1
  target=$(ls -ld "$1")
  [ "${target##* -> }" = "$2" ]
}

sum_of() { # of standard input, in one word; BusyBox may have any of these, or none
  if command -v sha256sum >/dev/null; then set -- $(sha256sum)
  elif command -v md5sum >/dev/null; then set -- $(md5sum)
  elif command -v cksum >/dev/null; then set -- $(cksum)
  else set -- $(wc -c)
  fi
  echo "$1"
}

size_of() { # FILE
  set -- $(wc -c <"$1")
  echo "$1"
}

note() { # LINE: before what it tells of is done, so that a teardown knows of it whatever happens
  grep -qxF -e "$*" "$manifest" 2>/dev/null || echo "$*" >>"$manifest" || cannot_write
}

noted() { # KIND: what stands behind it, a line each
  while read -r kind rest; do
    [ "$kind" != "$1" ] || echo "$rest"
  done 2>/dev/null <"$manifest"
}

has_old_script() { # a binary and an .env as the shell scripts of old put them there, without any record
  [ -f "$HOME/.local/bin/picoclaw" ] && [ ! -L "$HOME/.local/bin/picoclaw" ] &&
    grep -qsE '^(export )?(PROVIDER|[A-Z_]*API_KEY)=' "$HOME/.picoclaw/.env"
}

current() { # the folder in use, below versions; empty when there is none
  [ -L "$fleet/current" ] || return
  folder=$(ls -ld "$fleet/current")
  echo "${folder##*/}"
}

alive() { # PID-START: its pid alone may be somebody else's by now
  { read -r stat <"/proc/${1%-*}/stat"; } 2>/dev/null || return
  set -- "${1#*-}" ${stat##*')'}
  case $2 in [ZX]) return 1 ;; esac
  [ "$1" = "${21}" ]
}

running_jobs() {
  clock
  for entry in "$fleet"/running/*; do
    job=${entry##*/}
    rest=${job#*.}
    pids=${rest#*.}
    guard=${pids#*.}
    if [ "${rest%%.*}" != "$boot" ] || [ -s "$fleet/jobs/${job%%.*}/closed" ]; then continue; fi
    if alive "${pids%.*}" || alive "$guard"; then echo "${job%%.*}"; fi
  done
}

# --- asking PicoClaw --------------------------------------------------------------------------------------------------

ask() { # SECONDS COMMAND...: stdout and stderr together; its exit status
  limit=$1
  shift
  "$@" </dev/null 2>&1 &
  asked=$!
  (trap 'kill $!; exit' TERM; sleep "$limit" & wait $!; kill -9 $asked) >/dev/null 2>&1 &
  watch=$!
  wait $asked
  code=$?
  kill $watch 2>/dev/null
  return $code
}

in_quiet() { # FOLDER COMMAND...: with the environment that belongs to the version in FOLDER
  if [ -f "$1/worker.env" ]; then
    while IFS= read -r setting; do export "$setting"; done <"$1/worker.env"
  fi
  shift
  unset TZ PICOCLAW_HOME
  export NO_COLOR=1 TERM=dumb PICOCLAW_LOG_LEVEL=fatal PICOCLAW_LOG_FILE=/dev/null
  "$@"
}

ready() { # FOLDER HOME: the dry run; PicoClaw's words are in $said
  mkdir -p "$fleet/trial.$me/workspace" || cannot_write
  said=$(
    cd "$fleet/trial.$me" || exit
    export HOME="$2" PICOCLAW_AGENTS_DEFAULTS_WORKSPACE="$fleet/trial.$me/workspace"
    in_quiet "$1" ask 20 "$1/picoclaw" agent -m "/show model"
  )
}

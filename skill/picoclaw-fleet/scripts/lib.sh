# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables that the scripts use, and `here`, which they set
# What the scripts share: a host's settings, reaching it within a time, and saying what went wrong.
# Bash 3.2 will do, as on macOS. Secrets travel on stdin and in environments, never in an argument.

readonly FAILED=1 USAGE=2 UNREACHABLE=3 MISSING=4 NO_SLOT=5 HOST_TROUBLE=6 LOST=7 NO_RELEASE=8 KEY_MISSING=9
readonly NOT_READY=10 BUSY=11 TIMED_OUT=124

host=''

leave() { # no ssh of ours and no file stays behind
  # shellcheck disable=SC2046  # pids
  kill $(jobs -p) 2>/dev/null
  [ ! -S "$scratch/ssh" ] || ssh -F none -o ControlPath="$scratch/ssh" -O exit there >/dev/null 2>&1
  rm -rf "$scratch"
}

# Not picoclaw*: a teardown looks for the key in what is named so on the host, which may be this machine.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/fleet.XXXXXX") || exit "$HOST_TROUBLE"
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
umask 077

note() { # TEXT
  printf '%s: %s%s\n' "${0##*/}" "${host:+$host: }" "$1" >&2
}

give_up() { # CODE REASON TEXT
  note "$2: $3"
  exit "$1"
}

no_room() {
  give_up "$HOST_TROUBLE" disk_full "there is no room for temporary files in ${TMPDIR:-/tmp} of this machine."
}

{ echo >"$scratch/room"; } 2>/dev/null || no_room

new_nonce() {
  LC_ALL=C tr -dc 0-9a-f </dev/urandom | head -c 16
}

sha256() { # FILE
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

key_variable() { # the environment variable with the key of $provider; empty when nothing says which
  local variable=${API_KEY_ENV:-$api_key_env}
  [ -n "$variable" ] || [ "$provider" != anthropic ] || variable=ANTHROPIC_API_KEY
  # A key in the place of its variable's name must not be shown, nor come into a command line.
  if [[ $variable = [0-9]* || $variable = *[!A-Za-z0-9_]* || (${#variable} -ge 20 && $variable = *[a-z]* && $variable = *[0-9]*) ]]; then
    give_up "$USAGE" usage 'API_KEY_ENV has to name an environment variable.'
  fi
  printf %s "$variable"
}

size() { # FILE
  wc -c <"$1" | tr -d ' '
}

fleet_json() { python3 -IS "$here/fleet_json.py" "$@"; }

config_path() {
  local path=${PICOCLAW_FLEET_CONFIG:-$HOME/.openclaw/workspace/config/picoclaw-fleet.json}
  case $path in \~/*) path=$HOME/${path#??} ;; esac
  printf '%s\n' "$path"
}

# --- one host ---------------------------------------------------------------------------------------------------------

# Sets `ssh` and `there`, the words that reach the host, and what the fleet config says about it: connect_timeout, slots, provider,
# api_key_env, model, api_base, release_repo, version, github_api, allow_unverified, worker_env (NAME=VALUE lines), and
# keyless, where api_base is a server that may want no key.
# Sets `secrets` too, a line each. A host that the config does not have is reached all the same.
aim() { # HOST USER [SSH_KEY]
  case $1 in
    '' | */* | *[[:space:][:cntrl:]]*) give_up "$USAGE" usage 'HOST has to be a name of the fleet config or an address.' ;;
  esac
  host=$1
  local config line value variable address=$1 user=$2
  config=$(config_path)
  connect_timeout=10 slots=0 provider=anthropic api_key_env='' model='' api_base='' keyless=''
  release_repo='' version='' github_api='' allow_unverified='' worker_env='' secrets=''
  ssh=(ssh -T -a -x)
  # shellcheck disable=SC2206  # several options in one variable
  [ -z "${PICOCLAW_SSH_OPTIONS:-}" ] || ssh+=($PICOCLAW_SSH_OPTIONS)
  [ -z "${3:-}" ] || ssh+=(-i "${3/#\~\//$HOME/}")
  if [ -e "$config" ]; then
    fleet_json host "$config" "$1" "$2" >"$scratch/settings.$1" || exit "$USAGE"
    while IFS= read -r line; do
      value=${line#* }
      case $line in
        'ssh '*) ssh+=(-o "$value") ;;
        'pin '*) pin_host_key "$value" ;;
        'address '*) address=$value ;;
        'user '*) user=${user:-$value} ;;
        'env '*) worker_env+=$value$'\n' ;;
        'secret '*) secrets+=$value$'\n' ;;
        *) printf -v "${line%% *}" %s "$value" ;;
      esac
    done <"$scratch/settings.$1"
  fi
  if [ "${PROVIDER:-$provider}" != "$provider" ]; then
    # A key goes to the provider that it was meant for and to no other.
    provider=$PROVIDER api_key_env='' model='' api_base='' keyless=''
  fi
  variable=$(key_variable) || exit
  secrets+=${variable:+${!variable:-}}
  # The first value of an option counts, so the user's own stand in front.
  ssh+=(-o BatchMode=yes -o "ConnectTimeout=$connect_timeout" -o ServerAliveInterval=15 -o ServerAliveCountMax=3)
  ssh+=(-o StrictHostKeyChecking=yes -o LogLevel=ERROR)
  [ -z "$user" ] || ssh+=(-l "$user")
  there=$address
}

share_connection() { # one handshake for all calls of a script; a socket's path may not have many more characters
  [ ${#scratch} -gt 70 ] || ssh+=(-o ControlMaster=auto -o "ControlPath=$scratch/ssh" -o ControlPersist=60)
}

pin_host_key() { # KEY
  printf 'pinned %s\n' "$1" >"$scratch/pinned.$host"
  ssh+=(-o "UserKnownHostsFile=\"$scratch/pinned.$host\"" -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=pinned)
  ssh+=(-o UpdateHostKeys=no)
}

# Runs our scripts on the host, one behind the other in one shell. Their text goes over stdin, since Dropbear refuses
# commands above 9,000 bytes; what follows is their stdin. What ssh says goes to $scratch/said.
on_host() { # SECONDS "SCRIPT..." WORD...
  local seconds=$1 status feed_pid ssh_pid watch_pid word words=''
  # shellcheck disable=SC2086  # names
  (cd "$here/host" && cat $2) | sed -e '/^ *#/d' -e '/^ *$/d' >"$scratch/script"
  shift 2
  for word; do words+=" '$word'"; done
  # No pipe: `wait` would wait for both ends of it, and the first one may have to wait for us. No process substitution
  # either: nobody would end it who has to end before its stdin does.
  rm -f "$scratch/feed"
  mkfifo "$scratch/feed"
  cat "$scratch/script" - <&6 >"$scratch/feed" 2>/dev/null 6<&- &
  feed_pid=$!
  "${ssh[@]}" -- "$there" "sh -c 'eval \"\$(dd bs=1 count=$(size "$scratch/script") 2>/dev/null)\"' fleet$words" \
    <"$scratch/feed" 2>"$scratch/said" 6<&- &
  ssh_pid=$!
  kill_after "$seconds" "$ssh_pid" >/dev/null 2>&1 6<&- &
  watch_pid=$!
  # Bash tells of whoever was killed. Only that is kept quiet: a trap that comes meanwhile has something to say.
  wait "$ssh_pid" 2>/dev/null
  status=$?
  {
    kill "$watch_pid"
    kill -9 "$feed_pid" # while a job is being stopped the other signals are ignored
    wait "$watch_pid" "$feed_pid"
  } 2>/dev/null
  return "$status"
} 6<&0

kill_after() { # SECONDS PID
  trap 'kill "$!"; exit' TERM
  sleep "$1" &
  wait "$!" && kill "$2"
}

# --- what a host answered ---------------------------------------------------------------------------------------------

# Lines that begin with the nonce of the call are our script's; what a .bashrc or PicoClaw prints does not know it.
answer_to() { # NONCE WORD FILE: what follows the word in the first such line; fails when there is none
  local line
  line=$(LC_ALL=C grep -a -m 1 -e "^$1 $2 " -e "^$1 $2\$" "$3") || return
  line=${line#"$1 $2"}
  line=${line# }
  printf '%s\n' "${line//[[:cntrl:]]/}"
}

# A host may be hostile, and arithmetic would evaluate what is no number.
number() { # TEXT: the same, when it is a number; else nothing
  case $1 in '' | *[!0-9]* | ????????????????*) ;; *) printf %s "$1" ;; esac
}

# What hosts and workers say is hostile: no escape sequences, no control, bidi and tag characters, no key that we
# know, and nothing that looks like one.
cleaned() { # from stdin
  local escape=$'\033' bell=$'\007' before='(^|[^A-Za-z0-9]|\\[bfnrt])'
  LC_ALL=C sed -E \
    -e "s/${escape}\\[[0-?]*[ -\\/]*[@-~]//g" \
    -e "s/${escape}\\][^${bell}${escape}]*(${bell}|${escape}\\\\)?//g" \
    -e "s/${escape}[ -\\/]*[0-~]?//g" \
    -e $'s/\302[\200-\237]//g; s/\342\200[\216\217\252-\256]//g; s/\342\201[\246-\251]//g; s/\357\273\277//g; s/\330\234//g' \
    -e $'s/\363\240[\200\201][\200-\277]//g' |
    LC_ALL=C tr -d '\000-\010\013-\037\177' |
    SECRETS="$secrets" LC_ALL=C awk '
      # A private key goes up to its end, which may be lines away; where it has none, what looks like its lines.
      function clean(text, last,   key, at) {
        while (match(text, /-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?(-----)?/)) {
          printf "%s", substr(text, 1, RSTART - 1)
          text = substr(text, RSTART)
          key = substr(text, RLENGTH + 1)
          at = index(key, "-----")
          if (!at && !last && length(key) <= 7500) {
            held = text
            return
          }
          printf "[secret]"
          text = substr(key, at)
          if (at && at <= 7501 && match(text, /^-----END [A-Z ]*PRIVATE KEY( BLOCK)?-----/)) text = substr(text, RLENGTH + 1)
          else text = without_lines(key)
        }
        held = ""
        print text
      }
      function without_lines(text,   rest) {
        while (1) {
          rest = text
          sub(/^([ \t\n]|\\[nr])+/, "", rest)
          if (!match(rest, "^[A-Za-z0-9+/=]+") || RLENGTH < 16) return text
          text = substr(rest, RLENGTH + 1)
        }
      }
      BEGIN { count = split(ENVIRON["SECRETS"], known, "\n") }
      {
        for (number = 1; number <= count; number++) {
          key = known[number]
          while (length(key) >= 8 && (at = index($0, key))) $0 = substr($0, 1, at - 1) "[secret]" substr($0, at + length(key))
        }
        clean(held == "" ? $0 : held "\n" $0, 0)
      }
      END { if (held != "") clean(held, 1) }' |
    LC_ALL=C sed -E \
      -e "s/${before}(sk-|pcf_|glpat-)[A-Za-z0-9_-]{16,200}/\\1[secret]/g" \
      -e "s/${before}(gh[pousr]_|github_pat_)[A-Za-z0-9_]{16,200}/\\1[secret]/g" \
      -e "s/${before}(gsk_|xai-|hf_)[A-Za-z0-9]{16,200}/\\1[secret]/g" \
      -e "s/${before}sk_(live|test)_[A-Za-z0-9]{8,200}/\\1[secret]/g" \
      -e "s/${before}xox[abeprs]-[A-Za-z0-9-]{10,200}/\\1[secret]/g" \
      -e "s/${before}(AKIA|ASIA)[A-Z0-9]{16}/\\1[secret]/g" \
      -e "s/${before}AIza[A-Za-z0-9_-]{30,200}/\\1[secret]/g" \
      -e "s/${before}eyJ[A-Za-z0-9_-]{10,}\\.[A-Za-z0-9_-]*(\\.[A-Za-z0-9_-]*)?/\\1[secret]/g"
}

version_in() { # from stdin: what `picoclaw version` calls itself
  LC_ALL=C sed -nE 's/.*picoclaw v?([0-9][A-Za-z0-9._+-]*|dev[A-Za-z0-9._+-]*).*/\1/p' | head -n 1
}

last_words() {
  LC_ALL=C tr -d '\000-\010\013-\037\177' <"$scratch/said" | grep -v '^ *$' | tail -n 1 | cut -c 1-300
}

# Why there was no answer, as a reason of the closed list and in words: `reason` and `because`.
judge_silence() { # STATUS of ssh
  because=$(last_words)
  case $1:$(cat "$scratch/said") in
    *'IDENTIFICATION HAS CHANGED'*)
      reason=host_key_changed because='its host key has changed. Find out why before you trust the new one.' ;;
    *'Host key verification failed'* | *'host key is known'*)
      reason=host_key_unknown because='its host key is not known. Check its fingerprint, then add it to known_hosts.' ;;
    *'Permission denied'* | *'Too many authentication failures'*) reason=auth_failed ;;
    143:* | *'timed out'*) reason=connect_timeout because=${because:-it did not answer in time.} ;;
    255:*) reason=unreachable because=${because:-the connection was lost.} ;;
    *) reason=protocol_error because="it did not answer as a POSIX sh with /proc does${because:+ ($because)}" ;;
  esac
}

expect_answer() { # STATUS NONCE WORD FILE: gives up unless the host has said that word
  answer_to "$2" "$3" "$4" >/dev/null && return
  judge_silence "$1"
  if [ "$reason" = protocol_error ]; then give_up "$HOST_TROUBLE" "$reason" "$because"; fi
  give_up "$UNREACHABLE" "$reason" "$because"
}

trouble() { # REASON: what the host's own word for its trouble means
  case $1 in
    not_installed) give_up "$MISSING" "$1" 'PicoClaw is not installed there. Use deploy.sh to put it there.' ;;
    no_slot) give_up "$NO_SLOT" "$1" 'it has no free slot or too little free memory (24 MB). Try again later.' ;;
    disk_full) give_up "$HOST_TROUBLE" "$1" 'its disk is full. Free some space in the home there.' ;;
    home_not_writable) give_up "$HOST_TROUBLE" "$1" 'nothing can be written to ~/.picoclaw there. Check owner and mode.' ;;
    busy) give_up "$BUSY" "$1" "jobs run there (${*:2}). Wait for their end." ;;
    gateway) give_up "$BUSY" busy "a PicoClaw of ours runs there as process $2, as a gateway perhaps. Stop it first." ;;
    not_ready) give_up "$NOT_READY" "$1" 'PicoClaw does not run there as it should; what it said stands above.' ;;
    *) give_up "$HOST_TROUBLE" "${1:-protocol_error}" "${*:2}" ;;
  esac
}

# --- deploy and teardown ----------------------------------------------------------------------------------------------

me=$(new_nonce)
owner=$(printf %s "${USER:-somebody}@${HOSTNAME:-somewhere}" | LC_ALL=C tr -cd 'A-Za-z0-9@._-')

# Runs one step of theirs on the host; stdin is the step's. `heard WORD` has its answer.
step() { # SECONDS "SCRIPT..." VERB WORD...
  local seconds=$1 scripts=$2 verb=$3
  shift 3
  nonce=$(new_nonce)
  on_host "$seconds" "ground.sh $scripts" "$nonce" "$verb" "$name" "$me" "$owner" - "$@" >"$scratch/answer"
}

heard() { answer_to "$nonce" "$1" "$scratch/answer"; }

heard_all() { LC_ALL=C sed -n "s/^$nonce $1 //p" "$scratch/answer" | cleaned; }

expect_done() { # STATUS of the step: gives up with the host's reason, or ours
  local words holder pid
  # shellcheck disable=SC2086  # words
  if words=$(heard failed); then
    heard_all '|' >&2
    words=$(printf '%s\n' "$words" | cleaned)
    trouble $words
  elif words=$(heard locked); then
    IFS=: read -r holder pid words <<<"${words#* * }"
    give_up "$BUSY" locked "$holder${pid:+, process $pid} is at work there. Try again when that is done, or in a minute."
  fi
  expect_answer "$1" "$nonce" 'done' "$scratch/answer"
}

# Sets what the probe says about the host: its name, system, machine, free_kilobytes and whether it is readonly.
look() {
  local status words
  nonce=$(new_nonce)
  on_host $((connect_timeout + 40)) probe.sh "$nonce" none - </dev/null >"$scratch/answer"
  status=$?
  expect_answer "$status" "$nonce" end "$scratch/answer"
  words=$(heard host)
  name=${words%% *}
  words=$(heard machine)
  system=${words% *} machine=${words#* }
  ! heard readonly >/dev/null || trouble home_not_writable
}

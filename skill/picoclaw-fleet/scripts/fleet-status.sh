#!/usr/bin/env bash
# Shows the hosts of the fleet config, all looked at at once: fleet-status.sh [--json]
# A row per host, in the config's order: name, PicoClaw (ready, installed, missing, unknown), version, machine, load,
# running jobs and free slots, free memory and disk in MB, and the reason when it can't be used. Exit status 0 when the
# fleet could be looked at, whatever its hosts are like.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

readonly ANSWER_SECONDS=40 SMALL_MB=256

create_config() { # CONFIG: never over a file that somebody else makes meanwhile
  mkdir -p "$(dirname "$1")"
  (set -C; cat >"$1") <<'TEMPLATE' || give_up "$USAGE" config "$1 can't be created."
{
  "hosts": [
    {
      "name": "darth",
      "host": "192.168.50.57",
      "user": "eric",
      "arch": "arm64",
      "ssh_key": "~/.ssh/id_rsa"
    }
  ],
  "defaults": {
    "provider": "anthropic",
    "api_key_env": "ANTHROPIC_API_KEY"
  }
}
TEMPLATE
  give_up "$USAGE" config "$1 was missing; a template is there now. Put your hosts into it and run this again."
}

# Runs in a process of its own, with a scratch folder of its own; its last line is the row.
row_of() { # NAME ADDRESS USER
  local status row
  aim "$1" "$3"
  nonce=$(new_nonce)
  on_host $((connect_timeout + ANSWER_SECONDS)) probe.sh "$nonce" none - </dev/null >"$scratch/answer"
  status=$?
  row="name=$1"
  if ! heard end >/dev/null; then
    judge_silence "$status"
    join "$row" reachable=no picoclaw=unknown "reason=$reason" "message=$because"
    return
  fi
  read_facts
  join "$row" reachable=yes "picoclaw=$picoclaw" "version=$version" "arch=$machine" "load=$load" \
    "memory_free_mb=$memory_free" "disk_free_mb=$disk_free" "running=$running" "free_slots=$free_slots" \
    "reason=$reason" "message=$because"
}

join() {
  local IFS=$'\037'
  printf '%s\n' "$*"
}

read_facts() { # of the probe's answer
  local words memory
  words=$(heard host)
  load=$(printf %s "${words##* }" | tr -cd 0-9.)
  words=$(heard machine)
  machine=$(printf %s "${words#* }" | tr -cd A-Za-z0-9_)
  memory=$(heard memory)
  memory_free=$(number "${memory#* }") memory=$(number "${memory% *}")
  memory_free=${memory_free:+$((memory_free / 1024))}
  words=$(heard disk)
  # shellcheck disable=SC2086  # words
  set -- $words
  disk_free=$(number "${4:-}")
  disk_free=${disk_free:+$((disk_free / 1024))}
  running=$(number "$(heard running)")
  running=${running:-0}
  if [ "$slots" = 0 ]; then
    slots=4
    [ $((${memory:-1048576} / 1024)) -ge "$SMALL_MB" ] || slots=1
  fi
  free_slots=$((running < slots ? slots - running : 0))
  version=$(part version ready | version_in)
  reason='' because=''
  if ! heard picoclaw >/dev/null; then
    picoclaw=missing reason=not_installed because='PicoClaw is not installed there. Use deploy.sh to put it there.'
  elif [ "$(heard answered)" = 0 ]; then
    picoclaw=ready
  else
    picoclaw=installed reason=not_ready
    because="PicoClaw is there, but not ready: $(part ready answered | cleaned | tail -n 3 | tr '\n' ' ')"
  fi
}

part() { # FROM TO: the lines between two words of the answer
  LC_ALL=C sed -n "/^$nonce $1\$/,/^$nonce $2/p" "$scratch/answer" | LC_ALL=C grep -av "^$nonce "
}

print_table() {
  local line field value columns='%-16s %-10s %-10s %-9s %6s %8s %9s %9s  %s\n'
  # shellcheck disable=SC2059  # the same columns for all
  printf "$columns" HOST PICOCLAW VERSION MACHINE LOAD RUNNING MEMORY DISK REASON
  while IFS= read -r line; do
    local name='' picoclaw='' version='' arch='' load='' running='' free_slots='' memory_free_mb='' disk_free_mb='' reason='' message=''
    while IFS= read -r -d $'\037' field; do
      value=${field#*=}
      printf -v "${field%%=*}" %s "$value"
    done <<<"$line"$'\037'
    [ -z "$running" ] || running+=/$((running + free_slots))
    # shellcheck disable=SC2059
    printf "$columns" "$name" "$picoclaw" "${version:--}" "${arch:--}" "${load:--}" \
      "${running:--}" "${memory_free_mb:--}" "${disk_free_mb:--}" \
      "${reason:--}${message:+: $message}"
  done
}

case ${1:-} in
  '' | --json) ;;
  *) give_up "$USAGE" usage 'fleet-status.sh [--json]' ;;
esac
config=$(config_path)
[ -e "$config" ] || create_config "$config"
fleet_json hosts "$config" >"$scratch/hosts" || exit "$USAGE"
everything=$scratch
number=0
while IFS=$'\037' read -r one address user; do
  number=$((number + 1))
  scratch=$everything/$number
  mkdir "$scratch"
  ( (row_of "$one" "$address" "$user") >"$scratch/row" 2>"$scratch/trouble" ||
    join "name=$one" reachable=no picoclaw=unknown reason=protocol_error "message=$(tail -n 1 "$scratch/trouble")" >"$scratch/row") &
done <"$scratch/hosts"
wait
scratch=$everything
index=0
while [ $index -lt $number ]; do
  index=$((index + 1))
  tail -n 1 "$scratch/$index/row"
done >"$scratch/rows"
if [ "${1:-}" = --json ]; then fleet_json rows <"$scratch/rows"; else print_table <"$scratch/rows"; fi

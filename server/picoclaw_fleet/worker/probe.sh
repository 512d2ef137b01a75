# shellcheck shell=sh
# Reads the state of a host; writes nothing there. Arguments: nonce, runner, brief or full, stamp of the last full look.
# Sent inside of single quotes to whatever shell the user has, hence without any here, and without backslashes.
export LC_ALL=C
nonce=$1 runner=$2 depth=$3 known=$4
say() { echo "$nonce $*"; }
# What the shell has greeted with may lack the end of its line.
echo
read -r name </proc/sys/kernel/hostname || name=$(uname -n)
case $name in "" | .* | *[!A-Za-z0-9_.-]*) name=host ;; esac
read -r boot </proc/sys/kernel/random/boot_id || boot=-
read -r up _ </proc/uptime
read -r load _ </proc/loadavg
say host "$name" "$boot" "$up" "$load"
while read -r key value _; do
  case $key in
    MemTotal:) total=$value ;;
    MemAvailable:) say memory "$total" "$value"; break ;;
  esac
done </proc/meminfo
fleet=$HOME/.picoclaw/fleet/$name running=0
for entry in "$fleet"/running/*; do
  entry=${entry##*/} entry=${entry#*.}
  pid=${entry#*.} guard=${entry##*.}
  [ "${entry%%.*}" = "$boot" ] || continue
  if [ -d "/proc/${pid%%-*}" ] || [ -d "/proc/${guard%%-*}" ]; then running=$((running + 1)); fi
done
say running "$running"
[ ! -f "$fleet/$runner" ] || say runner
[ "$depth" = full ] || { say end; exit; }

say machine "$(uname -s)" "$(uname -m)"
read -r cpus </sys/devices/system/cpu/online && say cpus "$cpus"
# shellcheck disable=SC2046 # several words
say home $(ls -di "$HOME")
df -Pk "$HOME" | { read -r _; read -r line; say disk "$line"; }
# shellcheck disable=SC2046 # two words
say kills $(grep "^oom_kill " /proc/vmstat)
[ -w "$HOME" ] || say readonly
folder=$(cd "$fleet/current" 2>/dev/null && pwd -P)
for picoclaw in ${folder:+"$folder/picoclaw"} "$HOME/.local/bin/picoclaw" /usr/local/bin/picoclaw "$(command -v picoclaw)" ""; do
  [ ! -x "$picoclaw" ] || break
done
[ -n "$picoclaw" ] || { say end; exit; }
say picoclaw "$picoclaw"
beside=${picoclaw%/*}
stamp=$({
  ls -lLin "$picoclaw"
  # By content: ls tells the minute, and a key may be replaced within it.
  cat "$beside/worker.env" "$beside/config.json" "$beside/.security.yml"
  cat "$HOME/.picoclaw/config.json" "$HOME/.picoclaw/.security.yml"
} 2>/dev/null | { cksum || md5sum; })
stamp=${stamp%% *}
say stamp "$stamp"
[ "$stamp" != "$known" ] || { say end; exit; }

forget_timer() { kill "$timer"; exit; }

ask() { # at most 10 seconds
  "$picoclaw" "$@" </dev/null 2>&1 &
  asked=$!
  (trap forget_timer TERM; sleep 10 & timer=$!; wait $timer; kill -9 $asked) >/dev/null 2>&1 &
  watch=$!
  wait $asked
  code=$?
  kill $watch
  echo
}
if [ -f "$beside/worker.env" ]; then
  # shellcheck disable=SC2163 # NAME=VALUE
  while IFS= read -r setting; do export "$setting"; done <"$beside/worker.env"
fi
unset TZ
export NO_COLOR=1 TERM=dumb PICOCLAW_LOG_LEVEL=fatal PICOCLAW_LOG_FILE=/dev/null
say version
ask version
say ready
ask agent -m "/show model"
say answered "$code"
say end

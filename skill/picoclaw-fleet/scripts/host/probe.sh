# shellcheck shell=sh
# Reads the state of a host; writes nothing there. Arguments: nonce, runner, stamp of the last full look.
# It is sent in single quotes, as one line (probe.py), to whatever shell the user has. Hence no single quotes in here, each
# line ends where a command may, and a ! stands before a blank or a = only: csh takes it for an earlier command otherwise.
# What takes time are other programs and writing, so it says all in one go.
export LC_ALL=C
nonce=$1 runner=$2 known=$3 said="" nl=${IFS#??}
# Each line begins anew: what the shell has greeted with, or PicoClaw said, may lack the end of its line.
say() { said=$said$nl$nonce" "$*; }
tell() { printf "%s\n" "$said"; said=""; }
finish() { say end; tell; exit; }
read -r name </proc/sys/kernel/hostname || name=$(uname -n)
case $name in "" | .* | *=* | *[!=A-Za-z0-9_.-]*) name=host ;; esac
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
# Of PID-START: the pid alone may be the one of somebody else by now.
alive() {
  { read -r stat <"/proc/${1%-*}/stat"; } 2>/dev/null || return
  # shellcheck disable=SC2086 # words
  set -- "${1#*-}" ${stat##*")"}
  case $2 in [ZX]) return 1 ;; esac
  [ "$1" = "${21}" ]
}
fleet=$HOME/.picoclaw/fleet/$name running=0
for entry in "$fleet"/running/*; do
  entry=${entry##*/}
  [ ! -s "$fleet/jobs/${entry%%.*}/closed" ] || continue
  entry=${entry#*.}
  pid=${entry#*.} guard=${entry##*.}
  [ "${entry%%.*}" = "$boot" ] || continue
  if alive "${pid%.*}" || alive "$guard"; then running=$((running + 1)); fi
done
say running "$running"
[ ! -f "$fleet/$runner" ] || say runner
# --- the rest is for a full look --------------------------------------------------------------------------------------
unset TIME_STYLE
say shell "$SHELL"
read -r system </proc/sys/kernel/ostype || system=$(uname -s)
{ read -r machine </proc/sys/kernel/arch; } 2>/dev/null || machine=$(uname -m)
say machine "$system" "$machine"
read -r cpus </sys/devices/system/cpu/online && say cpus "$cpus"
# shellcheck disable=SC2046 # seven words of a heading, then the figures
set -- $(df -Pk "$HOME")
[ $# -lt 7 ] || { shift 7; say disk "$*"; }
# shellcheck disable=SC2046 # two words
say kills $(grep "^oom_kill " /proc/vmstat)
[ -w "$HOME" ] || say readonly

find_picoclaw() {
  folder=""
  if cd -P "$fleet/current" 2>/dev/null; then folder=$PWD; fi
  for picoclaw in ${folder:+"$folder/picoclaw"} "$HOME/.local/bin/picoclaw" /usr/local/bin/picoclaw; do
    [ ! -x "$picoclaw" ] || return 0
  done
  picoclaw=$(command -v picoclaw)
}
find_picoclaw
cd "$HOME" || finish
# shellcheck disable=SC2046 # ten words about the home, and those about PicoClaw: a dot comes before all other names
set -- $(ls -dLin . ${picoclaw:+"$picoclaw"})
say home "$1" "$HOME"
[ -n "$picoclaw" ] || finish
say picoclaw "$picoclaw"
[ $# -lt 10 ] || shift 10
look=$*
beside=${picoclaw%/*}
set --
for file in "$beside/worker.env" "$beside/config.json" "$beside/.security.yml" .picoclaw/config.json .picoclaw/.security.yml; do
  [ ! -f "$file" ] || set -- "$@" "$file"
done
# By content: ls tells the minute, and a key may be replaced within it.
[ $# -eq 0 ] || look=$look" "$(cksum "$@" || md5sum "$@")
# shellcheck disable=SC2086 # the words are made one
set -- $look
IFS=,
stamp=$*
unset IFS
say stamp "$stamp"
[ "$stamp" != "$known" ] || finish

# PicoClaw has 20 seconds for both answers. The functions are called by traps.
# shellcheck disable=SC2317
forget_timer() { kill $! ; exit; }
# shellcheck disable=SC2317
give_up() { late=yes; kill -s KILL "$asked"; }
(trap forget_timer TERM; sleep 20 & wait $! ; kill -s USR1 $$) >/dev/null 2>&1 &
watch=$!
trap give_up USR1
late="" code=""
ask() {
  [ -z "$late" ] || return
  "$picoclaw" "$@" </dev/null 2>&1 &
  asked=$!
  wait "$asked"
  code=$?
}
if [ -f "$beside/worker.env" ]; then
  # shellcheck disable=SC2163 # NAME=VALUE
  while IFS= read -r setting; do export "$setting"; done <"$beside/worker.env"
fi
unset TZ
export NO_COLOR=1 TERM=dumb PICOCLAW_LOG_LEVEL=fatal PICOCLAW_LOG_FILE=/dev/null
say version
tell
ask version
say ready
tell
ask agent -m "/show model"
kill "$watch" 2>/dev/null
say answered "$code"
finish

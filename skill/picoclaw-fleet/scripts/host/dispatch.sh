# shellcheck shell=sh
# Runs on the host, in front of the runner: finds it, and gives it what only the host knows.
#   NONCE RUNNER install SIZE                              stdin: the runner's text
#   NONCE RUNNER start ID SECONDS SLOTS BYTES DIGEST       SLOTS 0: by the host's memory; stdin as the runner wants it
#   NONCE RUNNER wait|stop|forget ID
export LC_ALL=C
nonce=$1 runner=$2 verb=$3
shift 3
read -r name </proc/sys/kernel/hostname || name=$(uname -n)
case $name in "" | .* | *[!A-Za-z0-9_.-]*) name=host ;; esac
fleet=$HOME/.picoclaw/fleet/$name
echo "$nonce host $name"

if [ "$verb" = install ]; then
  umask 077
  mkdir -p "$fleet/jobs" "$fleet/claims" "$fleet/running" && cat >"$fleet/$runner.$nonce" &&
    [ "$(wc -c <"$fleet/$runner.$nonce")" -eq "$1" ] && mv -f "$fleet/$runner.$nonce" "$fleet/$runner" && echo "$nonce installed"
  exit
fi
[ -s "$fleet/$runner" ] || { echo "$nonce runner_missing"; exit; }
[ "$verb" = start ] || exec sh "$fleet/$runner" "$verb" "$nonce" "$@"

id=$1 seconds=$2 slots=$3 bytes=$4 digest=$5
if [ "$slots" = 0 ]; then
  slots=4
  while read -r key kilobytes _; do
    case $key in MemTotal:) [ "$kilobytes" -ge 262144 ] || slots=1; break ;; esac
  done </proc/meminfo
fi
# No file of a job may be larger than 256 MB or half of what is free; the runner counts in blocks of 512 bytes.
blocks=$(df -Pk "$HOME" | { read -r _; read -r _ _ _ free _; echo "$free"; })
case $blocks in "" | *[!0-9]*) blocks=524288 ;; esac
[ "$blocks" -le 524288 ] || blocks=524288
[ "$blocks" -ge 128 ] || blocks=128
echo "$nonce kills $(grep "^oom_kill " /proc/vmstat)"
exec sh "$fleet/$runner" start "$nonce" "$id" "$seconds" "$slots" "$blocks" "$bytes" "$digest"

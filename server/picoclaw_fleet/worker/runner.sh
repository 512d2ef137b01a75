#!/bin/sh
# Runs one task with PicoClaw, detached, and keeps the truth about it on this host. POSIX sh, grep, ln, kill and /proc.
#
#   sh RUNNER start NONCE ID SECONDS SLOTS BLOCKS BYTES DIGEST    stdin: NAME=VALUE lines, an empty line, the task
#   sh RUNNER wait  NONCE ID
#   sh RUNNER stop  NONCE ID
#
# Who calls keeps stdin open for as long as he waits. Each line of an answer begins with the nonce; contract.py has the
# words that follow. The processes of a job:
#   front    the process of the SSH channel: starts the runner, waits for the end, reports it; may go at any time
#   runner   starts PicoClaw and waits for it; holds the pipe `live` open, whose end tells everybody that it is gone
#   guard    in a session of its own; stops the job when its time is up or its runner is gone
# The files of a job in jobs/ID: task (size, digest), live, out, err, workspace/, worker (PicoClaw's pid), outcome (the
# first who writes it decides), and once all is stopped: tail, files, closed.
# PicoClaw's processes are found by the mark PICOFLEET_JOB=ID/ in their environment and by the sessions of those found.
umask 077
trap '' HUP PIPE
cd "${0%/*}" || exit 1
fleet=$PWD self=$PWD/${0##*/}
verb=$1 nonce=$2 id=$3
locale=${LC_ALL-}
export LC_ALL=C
detach=$(command -v setsid)

say() { echo "$nonce $*"; }

# --- small change -----------------------------------------------------------------------------------------------------

keep() { # FILE TEXT: on a full disk the job's reserve makes room
  { echo "$2" >"$1"; } 2>/dev/null && return
  rm -f reserve
  echo "$2 disk_full" >"$1"
}

decide() { # OUTCOME: the first one stays
  set -C
  { true >outcome; } 2>/dev/null && mine=yes || mine=
  set +C
  [ -z "$mine" ] || keep outcome "$1"
}

now() { read -r up _ </proc/uptime; }

look_at() { # PID: its state, parent, group, session ... start as $stat; fails when it is gone
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  pid=${stat%% *} stat=${stat##*) }
  case $stat in [ZX]*) return 1 ;; esac
}

stamp() { # PID: pid and start time as $stamp, which no other process of this boot has
  look_at "$1" || return 1
  set -- $stat
  stamp=$pid-${20}
}

alive() { # STAMP
  stamp "${1%-*}" && [ "$stamp" = "$1" ]
}

# --- stopping ---------------------------------------------------------------------------------------------------------

scan() { # grep's exit status says nothing: entries vanish, and some aren't ours to read
  grep -lsE -e "PICOFLEET_JOB=$id/" ${groups:+-e "^[0-9]+ \(.*\) [^ZX] [0-9]+ ([0-9]+ )?($groups) "} \
    /proc/[0-9]*/environ ${groups:+/proc/[0-9]*/stat}
}

learn() { # PID: with setsid nobody but the job is in its groups and sessions
  [ -n "$detach" ] && look_at "$1" || return
  set -- $stat
  for group in "$3" "$4"; do
    case "|0|$groups|" in *"|$group|"*) ;; *) groups=${groups:+$groups|}$group ;; esac
  done
}

stop_all() { # succeeds when two scans in a row have found nothing
  [ -r /proc/self/environ ] || return 1
  groups='' quiet=0 round=0
  { read -r worker _ <worker; } 2>/dev/null && groups=${detach:+$worker}
  while [ $quiet -lt 2 ]; do
    found=$(scan)
    if [ -z "$found" ]; then quiet=$((quiet + 1)); continue; fi
    quiet=0 round=$((round + 1))
    case $round in [1-3]) signal=TERM ;; [4-8]) signal=KILL ;; *) return 1 ;; esac
    for entry in $found; do
      entry=${entry#/proc/}
      learn "${entry%/*}"
      kill -s $signal "${entry%/*}" 2>/dev/null
    done
    [ $round -eq 1 ] || sleep 1
  done
}

close() { # OUTCOME: decides, stops what is left, keeps what is worth keeping, frees the slot
  decide "$1"
  if stop_all; then left=stopped; else left=unverified; fi
  now
  true >tail
  read -r word _ <outcome
  [ "$word" = exit ] || cat workspace/sessions/*.json* 2>/dev/null | tail -c 16384 >tail
  for name in workspace/*; do
    case ${name#workspace/} in '*' | sessions | memory | state | cron) continue ;; esac
    [ -L "$name" ] || echo "${name#workspace/}"
  done >files
  keep closed "$left $up"
  rm -f "$fleet/running/$id".*
}

# --- runner and guard -------------------------------------------------------------------------------------------------

memory_is_short() { # below the 24 MB that one more PicoClaw needs
  while read -r name amount _; do
    if [ "$name" = MemAvailable: ]; then [ "$amount" -lt 24576 ]; return; fi
  done </proc/meminfo
  return 1
}

# A slot is an entry named after boot and processes, so it is made whole in one call: enter first, count afterwards.
take_slot() { # PID of the guard
  read -r boot </proc/sys/kernel/random/boot_id
  stamp "$1"
  entry=$stamp
  stamp self
  { true >"$fleet/running/$id.$boot.$stamp.$entry"; } || return 1
  taken=0 gone=''
  for entry in "$fleet"/running/*; do
    IFS=.
    set -- ${entry##*/}
    unset IFS
    if [ "$2" = "$boot" ] && { alive "$3" || alive "$4"; }; then taken=$((taken + 1)); else gone="$gone $1.$2.$3.$4"; fi
  done
  [ -z "$gone" ] || (cd "$fleet/running" && rm -f $gone)
  [ $taken -le "$slots" ]
}

work() { # becomes PicoClaw
  exec 9>&-
  trap - HUP PIPE
  unset LC_ALL TZ
  export NO_COLOR=1 TERM=dumb PICOCLAW_LOG_LEVEL=fatal PICOCLAW_LOG_FILE=/dev/null \
    PICOCLAW_TOOLS_MESSAGE_ENABLED=false PICOCLAW_TOOLS_SPAWN_ENABLED=false
  [ -z "$locale" ] || export LC_ALL="$locale"
  while IFS= read -r setting; do [ -z "$setting" ] || export "$setting"; done <<SETTINGS
$settings
SETTINGS
  cd workspace || exit 126
  export PICOFLEET_JOB="$id/" PICOCLAW_AGENTS_DEFAULTS_WORKSPACE="$PWD"
  ulimit -f "$blocks"
  exec $detach "$picoclaw" agent -s "agent:main:fleet-$id" -m "$task"
}

runner() {
  $detach sh "$self" guard - "$id" "$seconds" 4>&- 9>&- &
  if memory_is_short || ! take_slot $!; then
    decide no_slot
    keep closed "stopped 0"
    rm -f "$fleet/running/$id".*
    return
  fi
  now
  say started "$up" "$up" >&4
  exec 4>&-
  work </dev/null >out 2>err &
  worker=$!
  keep worker "$worker $up"
  # Whoever decided before PicoClaw ran could not see it.
  [ ! -e outcome ] || kill $worker
  wait $worker
  close "exit $?"
}

guard() { # ends when the job is closed
  cd "jobs/$id" || return
  sleep "$seconds" &
  timer=$!
  exec 8<>live 7<live 8>&-
  (read -r _ <&7; kill $timer) &
  watch=$!
  if wait $timer; then
    decide timed_out
    stop_all
  fi
  kill $watch
  read -r _ <&7
  [ ! -p live ] || [ -s closed ] || { exec 9<>live; close killed; }
}

# --- front ------------------------------------------------------------------------------------------------------------

wait_for_end() { # without polling; also when runner and guard are both dead
  tries=0
  until [ -s closed ]; do
    if [ -p live ]; then
      exec 8<>live 7<live 8>&-
      read -r _ <&7
      exec 7<&-
      [ ! -s closed ] || break
    fi
    # A runner may be starting, a guard may be taking over; after a while it is plain that nobody is there.
    tries=$((tries + 1))
    [ $tries -lt 4 ] || { close lost; break; }
    sleep 1
  done
}

report() { # outcome, code, full disk, stopped, started, ended, now, oom kills, limit, sizes; then out, err, tail, files
  read -r outcome code full <outcome
  read -r left ended _ <closed
  case $outcome in
    no_slot) rm -rf "$fleet/jobs/$id"; say no_slot; return ;;
    exit) ;;
    *) full=$code code=- ;;
  esac
  { read -r _ started _ <worker; } 2>/dev/null || started=$ended
  { read -r _ _ blocks <task; } 2>/dev/null || blocks=0
  kills=- out=0 err=0 tail=0 files=0
  [ "$code" != 137 ] || kills=$(grep '^oom_kill ' /proc/vmstat)
  set -- $(wc -c out err tail files 2>/dev/null)
  while [ $# -gt 1 ]; do
    case $2 in out) out=$1 ;; err) err=$1 ;; tail) tail=$1 ;; files) files=$1 ;; esac
    shift 2
  done
  now
  say ended "${outcome:-lost}" "$code" "${full:--}" "$left" "$started" "$ended" "$up" "${kills#* }" "$blocks" \
    "$out" "$err" "$tail" "$files"
  # What could not be stopped may still be writing.
  head -c "$out" out; head -c "$err" err; cat tail files
} 2>/dev/null

attend() { # waits and reports; ends at once when the caller closes stdin
  exec 3<&0
  (read -r _ <&3; kill $$) >/dev/null 2>&1 &
  watch=$!
  wait_for_end
  kill $watch
  report
}

find_picoclaw() {
  for picoclaw in "$fleet/current/picoclaw" "$HOME/.local/bin/picoclaw" /usr/local/bin/picoclaw; do
    [ ! -x "$picoclaw" ] || return 0
  done
  picoclaw=$(command -v picoclaw)
}

persona() { # the owner's character and skills, but none of his memory and sessions
  set --
  for name in AGENT.md SOUL.md USER.md IDENTITY.md skills; do
    [ ! -e "$HOME/.picoclaw/workspace/$name" ] || set -- "$@" "$HOME/.picoclaw/workspace/$name"
  done
  [ $# -eq 0 ] || ln -s "$@" workspace/
}

join() { # the job is here already: is it the same task?
  cd "$fleet/jobs/$id" || return
  tries=0
  until { read -r size sum _ <task; } 2>/dev/null || [ -e outcome ] || [ $tries -gt 3 ]; do
    tries=$((tries + 1))
    sleep 1
  done
  [ -e outcome ] || [ "$size $sum" = "$bytes $digest" ] || { say id_conflict; return; }
  attached
}

attached() {
  { read -r _ started _ <worker; } 2>/dev/null || started=0
  now
  say started "$started" "$up"
  attend
}

start() {
  settings='' nl='
'
  while IFS= read -r setting && [ -n "$setting" ]; do settings=$settings$setting$nl; done
  task=$(head -c "$bytes"; echo x)
  task=${task%x}
  [ ${#task} -eq "$bytes" ] || { say truncated ${#task}; return; }
  find_picoclaw || { say not_installed; return; }
  mkdir "jobs/$id" 2>/dev/null || {
    if [ -d "jobs/$id" ]; then join; elif [ -w jobs ]; then say disk_full; else say home_not_writable; fi
    return
  }
  cd "jobs/$id" || return
  { printf '%4096s' '' >reserve && echo "$bytes $digest $blocks" >task && mkfifo live && mkdir workspace; } 2>/dev/null || {
    rm -rf "$fleet/jobs/$id"
    say disk_full
    return
  }
  persona
  exec 9<>live 4>&1
  runner </dev/null >/dev/null 2>&1 &
  exec 9>&- 4>&-
  attend
}

stop() {
  if mkdir "jobs/$id" 2>/dev/null; then # nobody has it: from now on nobody can start it
    cd "jobs/$id" || return
    decide cancelled
    keep closed "stopped 0"
    report
    return
  fi
  cd "jobs/$id" 2>/dev/null || { say home_not_writable; return; }
  decide cancelled
  stop_all
  attend
}

case $verb in
  start) seconds=$4 slots=$5 blocks=$6 bytes=$7 digest=$8; start ;;
  wait) if cd "jobs/$id" 2>/dev/null; then attached; else say absent; fi ;;
  stop) stop ;;
  guard) seconds=$4; guard </dev/null >/dev/null 2>&1 ;;
esac

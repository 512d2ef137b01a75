#!/bin/sh
# Runs one task with PicoClaw, detached, and keeps the truth about it on this host. POSIX sh, grep, ln, kill and /proc.
#
#   sh RUNNER start NONCE ID SECONDS SLOTS BLOCKS BYTES DIGEST    stdin: NAME=VALUE lines, an empty line, the task, a newline
#   sh RUNNER wait  NONCE ID
#   sh RUNNER stop  NONCE ID
#   sh RUNNER forget NONCE ID...
#
# Who calls keeps stdin open for as long as he waits. Each line of an answer begins with the nonce; contract.py has the
# words that follow. The processes of a job:
#   front    the process of the SSH channel: starts the guard, waits for the end, reports it; may go at any time
#   guard    starts the runner; stops the job when its time is up or its runner is gone
#   runner   starts PicoClaw and waits for it; holds the pipe `live` open, whose end tells everybody that it is gone
# A job belongs to who creates claims/ID (size and digest of the task, limit in blocks). Its files in jobs/ID: live,
# out, err, workspace/, worker (PicoClaw's stamp, when it began, boot id), outcome (the first who writes it decides), and
# once all is stopped: tail, files, closed. In running/ is an entry per job; it holds a slot until the job is closed.
# PicoClaw's processes are found by the mark PICOFLEET_JOB=ID/ in their environment and by the sessions of those found.
# shellcheck disable=SC2086,SC2094  # words are split on purpose; a FIFO is read and written at once
umask 077
unset CDPATH
trap '' HUP PIPE
# A shell that can't fork ends with 2, and that is what it says when there is no runner, too.
trap '[ $? -ne 2 ] || exit 75' EXIT
cd "${0%/*}" || exit 1
fleet=$PWD
verb=$1 nonce=$2 id=$3
locale=${LC_ALL-} boot='' boot_id=sys/kernel/random/boot_id
export LC_ALL=C
detach=/usr/bin/setsid
[ -x $detach ] || detach=$(command -v setsid)

say() { printf '\n%s\n' "$nonce $*"; } # what the shell has greeted with may lack the end of its line

# --- small change -----------------------------------------------------------------------------------------------------

# A disk may be full, or have room for no more files: then the job's reserve makes room, or becomes that file.

keep() { # FILE TEXT: what is there already stays
  { echo "$2" >>"$1"; } 2>/dev/null && return
  { true >"reserve.$1"; echo "$2 disk_full" >>"$1"; } 2>/dev/null && return
  { echo "$2 disk_full" >"reserve.$1" && mv -f "reserve.$1" "$1"; } 2>/dev/null
}

decide() { # OUTCOME: the first one stays
  set -C
  { true >outcome; } 2>/dev/null && mine=yes || mine=''
  set +C
  [ -z "$mine" ] || keep outcome "$1"
  [ -e outcome ] || { echo "$1" >reserve.outcome && mv reserve.outcome outcome; } 2>/dev/null
}

now() { read -r up _ </proc/uptime; }

look_at() { # PID: its state, parent, group, session ... start as $stat; fails when it is gone
  { IFS=')' read -r pid stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  pid=${pid%% *}
  case $stat in *')'*) stat=${stat##*')'} ;; esac # one that is in its name
  case $stat in ' '[ZX]*) return 1 ;; esac
}

stamp() { # PID: pid and start time as $stamp, which no other process of this boot has
  look_at "$1" || return 1
  set -- $stat
  stamp=$pid-${20}
}

alive() { # STAMP
  [ -n "$1" ] && stamp "${1%-*}" && [ "$stamp" = "$1" ]
}

read_boot() { [ -n "$boot" ] || read -r boot </proc/$boot_id; }

# Both are empty when it never did, or before the last boot. That of a container has its host's boot id, but begins anew.
read_worker() { # PicoClaw's stamp as $worker, when it $started
  worker='' started='' its_boot=''
  { read -r worker started its_boot _ <worker; } 2>/dev/null
  read_boot
  now
  if [ "$its_boot" != "$boot" ] || [ "${started%.*}" -gt "${up%.*}" ]; then worker='' started=''; fi
}

# --- stopping ---------------------------------------------------------------------------------------------------------

join_groups() { # GROUP...: with setsid nobody but the job is in its groups and sessions
  [ -n "$detach" ] || return
  for group in "$@"; do
    case "|0|$groups|" in *"|$group|"*) ;; *) groups=${groups:+$groups|}$group ;; esac
  done
}

learn() { # PID: its group and session, but for PicoClaw's own process, which is a moment late to leave the front's
  [ "$1" != "${worker%-*}" ] && look_at "$1" || return
  set -- $stat
  join_groups "$3" "$4"
}

read_pid_max() { # where pids begin again; who reads it byte by byte, as a shell does, is told its first digit only
  { read -r known pid_max <"$fleet/pid_max"; } 2>/dev/null
  [ "$known" != "$boot" ] || return 0
  pid_max=$(cat /proc/sys/kernel/pid_max)
  { echo "$boot $pid_max" >"$fleet/pid_max"; } 2>/dev/null
}

# Pids are given out in order: what is of the job has PicoClaw's or one above it, as long as they have not begun again.
# That takes more forks than any host makes in the time: a hundred thousand a second.
look_where() { # the environs and stats of all who may be of the job, as $environs and $stats
  environs='[0-9]*/environ' stats='[0-9]*/stat' first=${worker%-*}
  [ -n "$first" ] || return
  read_pid_max
  age=$(((${up%.*} - ${started%.*}) * 100 + 1${up#*.} - 1${started#*.}))
  [ $age -ge 0 ] && [ $((first + age * 1000)) -lt "$pid_max" ] || return
  # The others have been looked at; but in a container with lxcfs, the last pid is the one that its host has given out.
  [ $quiet -eq 0 ] || grep -qs ' /proc/loadavg ' /proc/self/mounts || first=$((seen + 1))
  environs='' stats=''
  for entry in /proc/[0-9]*; do
    entry=${entry#/proc/}
    [ "$entry" -lt "$first" ] || environs="$environs $entry/environ" stats="$stats $entry/stat"
  done
}

last_fork() { read -r _ _ _ _ fork </proc/loadavg; }

# Succeeds when there is nobody who may be of the job, or two scans in a row have found nothing, or one during which
# nothing else was started.
stop_all() {
  [ -r /proc/self/environ ] || return 1
  groups='' quiet=0 round=0
  while [ $quiet -lt 2 ]; do
    read_worker
    last_fork
    look_where
    seen=$fork
    [ -n "$environs" ] || return 0
    lively=''
    if alive "$worker"; then lively=${worker%-*}; fi
    # Long after its death PicoClaw's pid may be the session of somebody else.
    [ -z "$lively${witness:+$worker}" ] || join_groups "${worker%-*}"
    # Its exit status says nothing: entries vanish, and some aren't ours to read. Who finds the boot id, which stands at
    # the end, has not died on the way.
    found=$(cd /proc && grep -lsE -e "PICOFLEET_JOB=$id/" -e "^${boot:--}\$" \
      ${groups:+-e "^[0-9]+ \(.*\) [^ZX] [0-9]+ ([0-9]+ )?($groups) "} $environs ${groups:+$stats} $boot_id)
    case $found in *$boot_id) found=${found%"$boot_id"} whole=yes ;; *) whole='' ;; esac
    if [ -n "$whole" ] && [ -z "$found$lively" ]; then
      last_fork
      [ "$fork" != $((seen + 1)) ] || return 0
      quiet=$((quiet + 1))
      continue
    fi
    quiet=0 round=$((round + 1))
    case $round in [1-6]) signal=TERM ;; [7-9] | 1[01]) signal=KILL ;; *) return 1 ;; esac
    for entry in $found $lively; do
      learn "${entry%/*}"
      kill -s $signal "${entry%/*}" 2>/dev/null
    done
    case $round in 1) ;; [2-4]) sleep 0.1 2>/dev/null || sleep 1 ;; *) sleep 1 ;; esac
  done
}

last_words() { # what the session holds, since PicoClaw prints only at its end
  for name in workspace/sessions/*.json*; do
    case $name in *.meta.json) continue ;; esac
    [ ! -f "$name" ] || cat "$name"
  done
}

close() { # OUTCOME: decides, stops what is left, keeps what is worth keeping, frees the slot
  decide "$1"
  if stop_all; then left=stopped; else left=unverified; fi
  now
  # Several may be closing the job at once, and others reading already: what is written is the same, and never truncated.
  {
    true 1<>./tail
    read -r word _ <outcome
    [ "$word" = exit ] || last_words | tail -c 16384 1<>./tail
    for name in workspace/* workspace/.[!.]*; do
      case ${name#workspace/} in '*' | '.[!.]*' | sessions | memory | state | cron) continue ;; esac
      [ -L "$name" ] || printf '%s\n' "${name#workspace/}"
    done 1<>files
  } 2>/dev/null
  keep closed "$left $up"
}

# --- runner and guard -------------------------------------------------------------------------------------------------

memory_is_short() { # below the 24 MB that one more PicoClaw needs
  while read -r name amount _; do
    if [ "$name" = MemAvailable: ]; then [ "$amount" -lt 24576 ]; return; fi
  done </proc/meminfo
  return 1
}

outlives_us() { # ID: PicoClaw runs on though its runner and guard are dead
  { read -r orphan _ <"$fleet/jobs/$1/worker"; } 2>/dev/null && alive "$orphan"
}

# A slot is an entry named after boot and processes, so it is made whole in one call: enter first, count afterwards.
take_slot() {
  read_boot
  stamp self
  ours=$fleet/running/$id.$boot.$stamp.$guard
  { true >"$ours"; } || { refusal=disk_full; return 1; }
  taken=1 gone='' closed=0 free=''
  for entry in "$fleet"/running/*; do
    [ "$entry" != "$ours" ] || continue
    IFS=.
    set -- ${entry##*/}
    unset IFS
    if [ "$2" != "$boot" ]; then
      gone="$gone $1.$2.$3.$4"
    elif [ -s "$fleet/jobs/$1/closed" ]; then
      closed=$((closed + 1)) free="$free $1.$2.$3.$4"
    elif alive "$3" || alive "$4" || outlives_us "$1"; then
      taken=$((taken + 1))
    else
      gone="$gone $1.$2.$3.$4"
    fi
  done
  # `forget` takes them away with the jobs; until then some at a time, since that is a process.
  [ $closed -lt 8 ] || gone="$gone$free"
  [ -z "$gone" ] || (cd "$fleet/running" && rm -f $gone)
  [ $taken -le "$slots" ]
}

work() { # becomes PicoClaw
  exec 9>&-
  # Whoever decides from now on finds it here; whoever has decided before is obeyed.
  stamp self
  { echo "$stamp $up $boot" >worker; } 2>/dev/null || exit 126
  [ ! -e outcome ] || exit 143
  trap - PIPE
  [ -z "$detach" ] || trap - HUP
  unset LC_ALL TZ
  export NO_COLOR=1 TERM=dumb PICOCLAW_LOG_LEVEL=fatal PICOCLAW_LOG_FILE=/dev/null \
    PICOCLAW_TOOLS_MESSAGE_ENABLED=false PICOCLAW_TOOLS_SPAWN_ENABLED=false
  [ -z "$locale" ] || export LC_ALL="$locale"
  cd workspace || exit 126
  if [ -f "${picoclaw%/*}/worker.env" ]; then # what deploy put beside the binary: where its settings are
    # shellcheck disable=SC2163  # NAME=VALUE
    while IFS= read -r setting; do export "$setting"; done <"${picoclaw%/*}/worker.env"
  fi
  # Behind the settings our own variables may have other values: a setting can have any name.
  set -- "$blocks" "$id/" $detach "$picoclaw" agent -s "agent:main:fleet-$id" -m "$task"
  # shellcheck disable=SC2163  # NAME=VALUE
  while IFS= read -r setting; do [ -z "$setting" ] || export "$setting"; done <<SETTINGS
$settings
SETTINGS
  export PICOFLEET_JOB="$2" PICOCLAW_AGENTS_DEFAULTS_WORKSPACE="$PWD"
  ulimit -f "$1" 2>/dev/null # where less is allowed already, that holds
  shift 2
  exec "$@"
}

runner() {
  refusal=no_slot
  if memory_is_short || ! take_slot; then
    decide $refusal
    now
    keep closed "stopped $up"
    rm -f "$fleet/running/$id".*
    return
  fi
  now
  say started "$up" "$up" >&4
  exec 4>&-
  work >out 2>err &
  wait $!
  close "exit $?"
}

# It starts the runner and not the other way round, so that all of us have lower pids than PicoClaw: see look_where.
guard() { # ends when the job is closed
  witness=yes
  stamp self
  guard=$stamp
  sleep "$seconds" 4>&- 7<&- 9>&- &
  timer=$!
  (read -r _ <&7; kill $timer) 4>&- 9>&- &
  watch=$!
  { runner; kill $timer; true; } 7<&- &
  runner=$!
  exec 4>&- 9>&-
  if wait $timer; then
    kill $watch
    decide timed_out
    stop_all
    read -r _ <&7
  fi
  # One that came to its own end has closed the job; what was refused is being taken away, and must not be closed again.
  wait $runner || [ ! -p live ] || [ -s closed ] || { exec 9<>live; close killed; }
}

# --- front ------------------------------------------------------------------------------------------------------------

wait_for_end() { # without polling; also when runner and guard are both dead
  tries=0
  until [ -s closed ]; do
    if [ -p live ]; then
      # Without `command`, a shell that finds the job refused and removed would end here.
      command exec 8<>live 7<live 8>&- && read -r _ <&7
      exec 7<&-
      [ ! -s closed ] || break
    fi
    # A runner may be starting, a guard may be taking over; after a while it is plain that nobody is there.
    tries=$((tries + 1))
    [ $tries -lt 4 ] || { close lost; break; }
    sleep 1
  done
}

# The last that a front does: outcome, code, full disk, stopped, started, ended, now, oom kills, limit, sizes; the files.
report() {
  left='' ended='' code=''
  # Only what was refused is taken away again, by whoever reports it first. What PicoClaw had begun was not.
  { read -r outcome code full <outcome; } || [ -e outcome ] || [ -e worker ] || outcome=no_slot
  case $outcome in
    no_slot | disk_full) rm -rf "$fleet/jobs/$id" "$fleet/claims/$id"; say $outcome; return ;;
    exit) ;;
    *) full=$code code=- ;;
  esac
  read_worker
  read -r left ended _ <closed
  ended=${ended:-$up}
  { read -r _ _ blocks <"../../claims/$id"; } || blocks=0
  kills=- out=0 err=0 tail=0 files=0
  [ "$code" != 137 ] || kills=$(grep '^oom_kill ' /proc/vmstat || echo -) # kernels count since 4.13
  # shellcheck disable=SC2046
  set -- $(wc -c out err tail files)
  [ $# -gt 0 ] || exit # too little memory for it: who asks again may be told
  while [ $# -gt 1 ]; do
    case $2 in out) out=$1 ;; err) err=$1 ;; tail) tail=$1 ;; files) files=$1 ;; esac
    shift 2
  done
  say ended "${outcome:-lost}" "$code" "${full:--}" "${left:-unverified}" "${started:-$ended}" "$ended" "$up" \
    "${kills#* }" "$blocks" "$out" "$err" "$tail" "$files"
  # What could not be stopped may still be writing.
  [ "$left" = stopped ] || { head -c "$out" out; head -c "$err" err; exec cat tail files; }
  exec cat out err tail files
} 2>/dev/null

attend() { # waits and reports; ends at once when the caller closes stdin
  exec 3<&0
  (read -r _ <&3; kill $$) >/dev/null 2>&1 &
  watch=$!
  wait_for_end
  kill $watch
  report
}

find_picoclaw() { # `current` is followed once: a job keeps its version, whatever is deployed meanwhile
  folder=''
  if cd -P "$fleet/current" 2>/dev/null; then folder=$PWD; cd "$fleet" || return; fi
  for picoclaw in ${folder:+"$folder/picoclaw"} "$HOME/.local/bin/picoclaw" /usr/local/bin/picoclaw; do
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

claim() {
  set -C
  { true >"claims/$id"; } 2>/dev/null || problem=$( (true >"claims/$id") 2>&1)
  set -- $?
  set +C
  return "$1"
}

refuse() {
  case $problem in
    *space* | *uota*) say disk_full ;;
    *) say home_not_writable ;;
  esac
}

enter() { # the job's directory, once it is there; fails when the job was refused
  tries=0
  until cd "jobs/$id" 2>/dev/null; do
    [ -e "claims/$id" ] || return
    tries=$((tries + 1))
    [ $tries -lt 4 ] || mkdir "jobs/$id" 2>/dev/null || return # who has claimed it died before that
    sleep 1
  done
}

join() { # the job is here already: is it the same task?
  enter || { say no_slot; return; }
  tries=0 size=''
  until { read -r size sum _ <"../../claims/$id"; } 2>/dev/null || [ -e outcome ] || [ $tries -gt 3 ]; do
    tries=$((tries + 1))
    sleep 1
  done
  [ -z "$size" ] || [ "$size $sum" = "$bytes $digest" ] || { say id_conflict; return; }
  attached
}

attached() {
  read_worker
  say started "${started:-$up}" "$up"
  attend
}

read_task() { # with the newline behind it, or what there is of it
  task=''
  if [ "$bytes" -gt 3000 ]; then # a shell reads byte by byte, so that another process costs less
    task=$(head -c $((bytes + 1)); echo x)
    task=${task%x}
    return
  fi
  while [ ${#task} -le "$bytes" ]; do
    IFS= read -r line || { task=$task$line; return; }
    task=$task$line$nl
  done
}

start() {
  settings='' nl='
'
  while IFS= read -r setting && [ -n "$setting" ]; do settings=$settings$setting$nl; done
  read_task
  [ ${#task} -eq $((bytes + 1)) ] || { say truncated ${#task}; return; }
  task=${task%?}
  [ -e "claims/$id" ] || find_picoclaw || { say not_installed; return; }
  for folder in jobs claims running blank/workspace; do [ -d $folder ] || mkdir -p $folder; done 2>/dev/null
  [ -p blank/live ] || mkfifo blank/live 2>/dev/null # copied for each job: one process instead of three
  claim || {
    if [ -e "claims/$id" ]; then join; else refuse; fi
    return
  }
  {
    echo "$bytes $digest $blocks" >"claims/$id" && cp -R blank "jobs/$id" && cd "jobs/$id" &&
      printf '%4096s' '' >reserve.outcome && printf '%4096s' '' >reserve.closed
  } 2>/dev/null || {
    rm -rf "$fleet/jobs/$id" "$fleet/claims/$id"
    say disk_full
    return
  }
  persona
  exec 9<>live 4>&1
  guard </dev/null >/dev/null 2>&1 7<live &
  exec 9>&- 4>&-
  attend
}

stop() {
  if claim; then # nobody has it: from now on nobody can start it
    problem=$(mkdir "jobs/$id" 2>&1) || { rm -f "claims/$id"; refuse; return; }
    cd "jobs/$id" || return
    decide cancelled
    now
    keep closed "stopped $up"
    report
    return
  fi
  [ -e "claims/$id" ] || { refuse; return; }
  enter || { say no_slot; return; }
  [ -s closed ] || { decide cancelled; stop_all; }
  attend
}

forget() { # IDs of jobs whose output is safely with the caller; what PicoClaw left in a workspace stays for a month
  all='' some=''
  for id in "$@"; do
    [ -s "jobs/$id/closed" ] || continue
    some="$some running/$id.*"
    if [ -s "jobs/$id/files" ]; then
      for name in out err tail reserve.outcome reserve.closed; do some="$some jobs/$id/$name"; done
    else
      all="$all jobs/$id claims/$id"
    fi
  done
  now
  # Our own files alone, not what a worker may have named like them: names with blanks must not get into the list.
  # shellcheck disable=SC2044
  [ "${up%.*}" -lt 2592000 ] || for old in $(find jobs/*/closed -prune -mtime +30); do
    old=${old%/closed}
    all="$all $old claims/${old#jobs/}"
  done
  rm -rf $all $some
  say forgotten
}

case $verb in
  start) seconds=$4 slots=$5 blocks=$6 bytes=$7 digest=$8; start ;;
  wait) if [ -e "claims/$id" ] && enter; then attached; else say absent; fi ;;
  stop) stop ;;
  forget) shift 2; forget "$@" ;;
esac

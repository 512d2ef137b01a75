#!/usr/bin/env bash
# Gives one task to the PicoClaw of one host and prints its answer: dispatch.sh HOST USER TASK [TIMEOUT_SECONDS]
# `-` as TASK reads it from stdin, so that it stands in no argument here. The answer goes to stdout, all else to stderr.
# When the task fails or its time is up, stdout has what PicoClaw had printed by then. Exit codes: SKILL.md.
# A lost connection does not harm the job: this script comes back to it. INT, TERM and HUP stop the job on the host.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

readonly MAX_TASK_BYTES=120000 LONGEST_SECONDS=86400 GRACE_SECONDS=60 LONGEST_PAUSE=32

# --- the order --------------------------------------------------------------------------------------------------------

read_task() { # TASK
  task=$scratch/task
  if [ "$1" = - ]; then cat >"$task"; else printf %s "$1" >"$task"; fi
  case $(LC_ALL=C tr -d '[:space:]' <"$task" | head -c 1) in
    '') give_up "$USAGE" bad_task 'the task is blank. Say what is to be done.' ;;
    / | !)
      { printf 'Task: '; cat "$task"; } >"$task.told" && mv "$task.told" "$task"
      note 'PicoClaw takes a leading / or ! for a command of its own, so the task is sent as "Task: ...".' ;;
  esac
  [ "$(LC_ALL=C tr -d '\000' <"$task" | wc -c)" -eq "$(size "$task")" ] ||
    give_up "$USAGE" bad_task 'the task contains a NUL character, which no argument can hold.'
  [ "$(size "$task")" -le "$MAX_TASK_BYTES" ] ||
    give_up "$USAGE" too_large "PicoClaw takes at most $MAX_TASK_BYTES bytes. Split the task."
}

write_order() { # worker environment, an empty line, the task, a newline; a file, so that it can be sent again
  { printf '%s\n' "$worker_env"; cat "$task"; echo; } >"$scratch/order"
}

new_job_id() {
  printf 'j_%s' "$(LC_ALL=C tr -dc a-km-np-z2-9 </dev/urandom | head -c 12)"
}

# --- the host's side --------------------------------------------------------------------------------------------------

# One call of the runner. It wants its stdin open for as long as somebody waits, so stdin is a pipe that we hold.
call() { # SECONDS VERB WORD...
  local seconds=$1 status feeder
  shift
  nonce=$(new_nonce) reply=$scratch/reply
  rm -f "$scratch/stdin"
  mkfifo "$scratch/stdin"
  exec 7<>"$scratch/stdin"
  if [ "$1" = start ]; then cat "$scratch/order" >&7 & else : & fi
  feeder=$!
  on_host "$seconds" dispatch.sh "$nonce" "$runner" "$@" <"$scratch/stdin" >"$reply" 7>&-
  status=$?
  kill "$feeder" 2>/dev/null
  exec 7>&-
  return "$status"
}

install_runner() {
  local nonce bytes answer=$scratch/installed
  nonce=$(new_nonce)
  bytes=$(size "$here/host/runner.sh")
  on_host 60 dispatch.sh "$nonce" "$runner" install "$bytes" <"$here/host/runner.sh" >"$answer"
  expect_answer "$?" "$nonce" host "$answer"
  answer_to "$nonce" installed "$answer" >/dev/null && return
  case $(last_words) in *'No space'*) trouble disk_full ;; esac
  trouble home_not_writable
}

refusal() { # the runner's word when it has not started the task
  local word
  for word in no_slot not_installed id_conflict disk_full home_not_writable; do
    answer_to "$nonce" "$word" "$reply" >/dev/null && echo "$word" && return
  done
}

# Starts the job and stays with it, over as many connections as it takes. The same id never starts twice on a host, so
# until the host has said that the job runs the order is simply repeated.
stay_with_job() {
  local verb=start began=$SECONDS pause=1 status accepted='' ambiguous='' installed=''
  while :; do
    if [ "$verb" = start ]; then
      call $((seconds + GRACE_SECONDS)) start "$id" "$seconds" "$slots" "$(size "$task")" "$(sha256 "$task")"
    else
      call $((seconds + GRACE_SECONDS)) wait "$id"
    fi
    status=$?
    if answer_to "$nonce" started "$reply" >/dev/null; then accepted=yes verb=wait pause=1; fi
    ! take_report || return 0
    if answer_to "$nonce" absent "$reply" >/dev/null; then
      give_up "$LOST" lost_contact 'the host knows nothing of this job any more. Dispatch it again if it is needed.'
    elif answer_to "$nonce" runner_missing "$reply" >/dev/null && [ -z "$installed" ]; then
      install_runner
      installed=yes
      continue
    elif [ -n "$(refusal)" ]; then
      trouble "$(refusal)"
    fi
    judge_silence "$status"
    if answer_to "$nonce" host "$reply" >/dev/null; then
      ambiguous=yes
    elif [ -z "$ambiguous" ]; then
      case $reason:$because in
        protocol_error:*) give_up "$HOST_TROUBLE" "$reason" "$because" ;;
        unreachable:*reset* | unreachable:*losed* | unreachable:*roken* | unreachable:*'connection was lost'*) ;;
        *) give_up "$UNREACHABLE" "$reason" "$because" ;;
      esac
    fi
    if [ $((SECONDS - began)) -ge $((seconds + GRACE_SECONDS)) ] || { [ -z "$accepted" ] && [ $pause -gt 4 ]; }; then
      [ -n "$accepted$ambiguous" ] || give_up "$UNREACHABLE" "$reason" "$because"
      give_up "$LOST" lost_contact "contact was lost ($because). Job $id may still run there; its guard ends it in time."
    fi
    note "contact was lost ($because); trying again in $pause s."
    sleep "$pause"
    [ "$pause" -ge "$LONGEST_PAUSE" ] || pause=$((pause * 2))
  done
}

# --- the report -------------------------------------------------------------------------------------------------------

# Sets the report's words and cuts the output into out, err, tail and files; fails when it is not all here. The sizes
# are at the end of a line that only the runner can write, and the output is what follows it.
take_report() {
  local words header length word
  words=$(answer_to "$nonce" ended "$reply") || return
  header="$nonce ended $words"
  # shellcheck disable=SC2086  # words, without anything to expand
  set -- $words
  [ $# -eq 13 ] || return
  case $2 in -) ;; *) [ -n "$(number "$2")" ] || return ;; esac
  for word in "${@:9}"; do [ -n "$(number "$word")" ] || return; done
  outcome=$1 code=$2 full=$3 left=$4 kills=$8 limit=$(($9 * 512))
  shift 9
  length=$(($(size "$reply") - $1 - $2 - $3 - $4))
  [ "$length" -gt 0 ] && [ "$(head -c "$length" "$reply" | tail -n 1)" = "$header" ] || return
  tail -c +$((length + 1)) "$reply" >"$scratch/output"
  cut_off "$1" out
  cut_off "$2" err
  cut_off "$3" tail
  cut_off "$4" files
  largest=$(($1 > $2 ? $1 : $2))
}

cut_off() { # SIZE NAME
  head -c "$1" "$scratch/output" >"$scratch/$2"
  tail -c +$(($1 + 1)) "$scratch/output" >"$scratch/rest"
  mv "$scratch/rest" "$scratch/output"
}

# Everything is said as `"\n🦞 " + answer`, after banners and, in some versions, logs. Succeeds when there is one.
find_answer() {
  LC_ALL=C awk -v mark='🦞 ' '
    found { print; next }
    NR > 1 && index($0, mark) == 1 { found = 1; print substr($0, length(mark) + 1) }
    END { exit !found }
  ' "$scratch/out" >"$scratch/answer"
}

printed() { # what it printed, without the boxes that it begins with since 0.2.1
  cleaned <"$scratch/out" | LC_ALL=C sed -E $'1,8{/^( |\342[\224-\226][\200-\277])*$/d;}'
}

show_part() { # TITLE FILE
  [ -s "$2" ] || return 0
  printf -- '--- %s\n' "$1"
  cleaned <"$2"
}

canned_failure() { # an answer that came with exit status 0 and is none
  local text
  text=$(cleaned <"$scratch/answer" | head -c 2000 | LC_ALL=C tr -s '[:space:]' ' ')
  [ ${#text} -le 400 ] || return
  case ${text# } in
    '' | "I've completed processing but have no response to give."*) echo empty_answer ;;
    'The model returned an empty response.'*) echo empty_answer ;;
    "I've reached \`max_tool_iterations\`"*) echo agent_error ;;
  esac
}

# The same judgement as the server's, verdict.py: `exit_code`, `reason` and `because`.
judge() {
  local kills_before signal=''
  exit_code=$FAILED reason='' because=''
  case $outcome in
    timed_out) exit_code=$TIMED_OUT reason=timeout because="it was stopped after $seconds s." ;;
    cancelled) reason=cancelled because='it was cancelled.' ;;
    killed) reason=runner_killed because='our processes on the host were killed, and the job was stopped.' ;;
    exit) ;;
    *) exit_code=$LOST reason=runner_killed because='our processes on the host were killed, and the job with them.' ;;
  esac
  [ "$left" = stopped ] || [ -z "$reason" ] || reason=stop_unverified
  [ "$outcome" = exit ] || return
  [ "$code" -le 128 ] || signal=SIG$(kill -l $((code - 128)))
  kills_before=$(answer_to "$nonce" kills "$reply")
  if [ "$full" = disk_full ]; then
    reason=disk_full because="the host's disk was full."
  elif [ "$signal" = SIGXFSZ ] || { [ "$limit" -gt 0 ] && [ "$largest" -ge "$limit" ]; }; then
    reason=too_large because='a file that it wrote reached the limit (256 MB, or half of the free space).'
  elif [ "$signal" = SIGKILL ] && [ -n "$kills_before" ] && [ "$kills" != - ] && [ "$kills" -gt "${kills_before#* }" ]; then
    reason=out_of_memory because='the host ran out of memory and killed PicoClaw.'
  elif [ -n "$signal" ]; then
    reason=signal because="PicoClaw was ended by $signal, not by us."
  elif [ "$code" -ne 0 ]; then
    reason=exit_code because="PicoClaw ended with status $code. Its output says why."
  elif find_answer; then
    reason=$(canned_failure)
    [ -z "$reason" ] || because='PicoClaw ended well, but without a usable answer.'
  elif printed >"$scratch/answer" && [ ! -s "$scratch/answer" ]; then
    reason=empty_answer because='PicoClaw ended well, but without an answer.'
  else
    note "PicoClaw's answer could not be told apart; this is all that it printed."
  fi
  [ -n "$reason" ] || exit_code=0
  [ -n "$reason" ] || [ "$left" = stopped ] || note 'stop_unverified: whether all its processes are gone could not be verified.'
}

print_report() {
  judge
  if [ "$exit_code" -eq 0 ]; then
    cleaned <"$scratch/answer"
  else
    printed
    show_part 'end of the session' "$scratch/tail"
  fi
  show_part stderr "$scratch/err" >&2
  show_part 'files that it left in its workspace there' "$scratch/files" >&2
  case $exit_code in
    0) note "$id succeeded." ;;
    "$TIMED_OUT") note "$id timed_out ($reason): $because" ;;
    "$LOST") note "$id lost ($reason): $because" ;;
    *) note "$id failed ($reason): $because" ;;
  esac
}

# shellcheck disable=SC2317  # the traps call it
stop_job() { # STATUS
  trap '' INT TERM HUP
  # shellcheck disable=SC2046  # words
  kill $(jobs -p) 2>/dev/null
  note "stopping $id on the host."
  call 30 stop "$id"
  LC_ALL=C grep -aqE "^$nonce (ended|runner_missing)" "$reply" ||
    note "whether it was stopped is not known; its guard ends it in time."
  exit "$1"
}

# --- in order ---------------------------------------------------------------------------------------------------------

[ $# -eq 3 ] || [ $# -eq 4 ] || give_up "$USAGE" usage 'dispatch.sh HOST USER TASK [TIMEOUT_SECONDS]'
seconds=${4:-120}
case $seconds in '' | *[!0-9]* | ??????*) seconds=0 ;; esac
seconds=$((10#$seconds))
if [ "$seconds" -lt 1 ] || [ "$seconds" -gt "$LONGEST_SECONDS" ]; then
  give_up "$USAGE" usage "the timeout has to be from 1 to $LONGEST_SECONDS seconds."
fi
aim "$1" "$2"
share_connection
read_task "$3"
write_order
id=$(new_job_id)
runner=runner-$(sha256 "$here/host/runner.sh" | cut -c 1-16)
trap 'stop_job 130' INT
trap 'stop_job 143' TERM
trap 'stop_job 129' HUP
stay_with_job
print_report
# What is printed need not stay there; files of the worker do.
call 30 forget "$id"
exit "$exit_code"

# shellcheck shell=sh disable=SC1010,SC2010,SC2013,SC2015,SC2086,SC2154  # as install.sh; names are our own
# Takes away what deploy put on a host, and reads back that it is gone. The key to look for comes over stdin.

remove() { # PURGE VARIABLES; the key on stdin
  purge=$1 variables=$2
  IFS= read -r key || key=
  cd "$HOME" || exit
  if [ ! -d "$fleet" ] || { [ "$(ls -A "$fleet")" = manifest ] && [ "$purge" != purge ]; }; then
    by_old_script || { say nothing; say done; return; }
  fi
  mkdir -p "$fleet" 2>/dev/null || cannot_write
  take_lock
  names=$variables
  for one in $(noted env); do names="$names|$one"; done
  [ -z "$(noted unrecorded)" ] || names="$names|[A-Z_]*API_KEY"
  known=$(keys_in .picoclaw/.env)
  refuse_while_busy
  step links
  drop_link .local/bin/picoclaw "$fleet/current/picoclaw"
  drop_old_binary
  # A later PicoClaw has migrated what the link stood for; its backups hold the key as well.
  made_config=$(noted made | grep -xF .picoclaw/config.json)
  drop_link .picoclaw/config.json "fleet/$name/current/config.json"
  [ -z "$made_config" ] || drop_backups
  # The disk may be full, and the owner's files are written anew.
  still_locked
  rm -rf "$fleet/versions"
  step env
  drop_env
  step path
  for rc in $(noted path); do drop_lines "$rc" '# picoclaw-fleet$' "the PATH line"; done
  [ "$purge" != purge ] || purge_rest
  folders=$(noted folder)
  onboarded=$(made_by_onboard)
  step folder
  rm -rf "$fleet"
  if is_there "$fleet"; then say kept ".picoclaw/fleet/$name it can't be removed"; else say removed ".picoclaw/fleet/$name"; fi
  [ -z "$onboarded" ] || remember
  rmdir "$base" 2>/dev/null
  for one in $(echo "$folders" | sort -r); do rmdir "$one" 2>/dev/null; done
  rmdir .picoclaw 2>/dev/null
  look_for_key
  say done
}

by_old_script() { # the binary and the .env of the shell scripts of old, which kept no record
  has_old_script || return 1
  mkdir -p "$fleet" 2>/dev/null || cannot_write
  note "old-script $(sum_of <.local/bin/picoclaw) .local/bin/picoclaw"
  note "unrecorded yes"
}

keys_in() { # FILE: the keys that we, or the scripts of old, wrote there
  grep -E "^(export )?($names)=" "$1" 2>/dev/null | grep -vE '^(export )?PROVIDER=' | cut -d = -f 2- | tr -d "\"'"
}

refuse_while_busy() { # no job can begin once `current` is away
  still_locked
  # Who died in here has left it there, and there may be no way back any more.
  is_there "$fleet/current" || mv "$fleet/away" "$fleet/current" 2>/dev/null
  rm -f "$fleet/away"
  mv "$fleet/current" "$fleet/away" 2>/dev/null
  jobs=$(running_jobs)
  if [ -n "$jobs" ]; then
    mv "$fleet/away" "$fleet/current" 2>/dev/null
    release
    fail busy $jobs
  fi
  pid=$(gateway)
  [ -z "$pid" ] || {
    mv "$fleet/away" "$fleet/current" 2>/dev/null
    release
    fail gateway "$pid"
  }
}

gateway() { # the pid of a PicoClaw that somebody runs from a binary of ours, by hand or as a service
  link=$HOME/.local/bin/picoclaw
  points_to "$link" "$fleet/current/picoclaw" || [ -n "$(noted old-script)" ] || link=$fleet/current/picoclaw
  {
    ls -l /proc/[0-9]*/exe | grep -F -e " -> $fleet/versions/" -e " -> $link" | sed 's,.* /proc/,,'
    for words in $(grep -lsF -e "$fleet/" -e "$link" /proc/[0-9]*/cmdline); do
      grep -qsF gateway "$words" && echo "${words#/proc/}"
    done
  } 2>/dev/null | cut -d / -f 1 | head -n 1
}

drop() { # PATH
  still_locked
  is_there "$1" || return 0
  rm -f "$1"
  if is_there "$1"; then say kept "$1 it can't be removed"; else say removed "$1"; fi
}

drop_link() { # PATH TARGET
  is_there "$1" || return 0
  if points_to "$1" "$2"; then drop "$1"; fi
}

drop_old_binary() {
  is_there .local/bin/picoclaw || return 0
  if [ ! -L .local/bin/picoclaw ]; then
    noted old-script | while read -r sum file; do
      if [ "$sum" = "$(sum_of <"$file")" ]; then drop "$file"; fi
    done
  fi
  ! is_there .local/bin/picoclaw || say kept ".local/bin/picoclaw deploy did not put it there"
}

drop_backups() {
  for file in .picoclaw/config.json*.bak .picoclaw/.security.yml*.bak; do
    if [ -f "$file" ] && has_key "$file"; then drop "$file"; fi
  done
}

drop_env() { # our lines; the file, when nothing else is in it
  [ -f .picoclaw/.env ] && [ ! -L .picoclaw/.env ] || return 0
  drop_lines .picoclaw/.env "^(export )?($names)=" "our lines"
  if ! grep -q . .picoclaw/.env; then drop .picoclaw/.env; else say kept ".picoclaw/.env it has lines of the owner's"; fi
}

made_by_onboard() { # the manifest's lines on what of it is still there
  noted file | while read -r sum file; do
    [ ! -f "$file" ] || [ -L "$file" ] || echo "file $sum $file"
  done
}

remember() { # for a purge later on, and so that the next deploy does not take it for the owner's
  mkdir -p "$fleet" && { echo "picoclaw-fleet 1"; echo "onboard begun"; echo "$onboarded"; } >"$manifest"
  say kept ".picoclaw what onboard made there; purge removes of it what is unchanged"
}

drop_lines() { # FILE EXPRESSION WHAT
  [ -f "$1" ] && grep -qE "$2" "$1" || return 0
  file=$1
  [ ! -L "$1" ] || file=$(readlink -f "$1") || return 0
  still_locked
  # What is written may be cut short by a full disk: then the file stays as it is.
  if cp -p "$file" "$file.$me" && { grep -vE "$2" "$file" >"$file.$me" || :; } &&
    [ "$(sum_of <"$file.$me")" = "$(grep -vE "$2" "$file" | sum_of)" ]; then
    mv -f "$file.$me" "$file"
  else
    rm -f "$file.$me"
  fi
  if grep -qE "$2" "$file"; then say kept "$1 $3 can't be removed"; else say removed "$1 ($3)"; fi
}

purge_rest() { # what onboard made and nobody has changed since, and what PicoClaw and the scripts of old leave behind
  noted file | {
    while read -r sum file; do
      [ -f "$file" ] && [ ! -L "$file" ] || continue
      if [ "$sum" = "$(sum_of <"$file")" ]; then
        drop "$file"
      else
        say kept "$file it was changed since onboard made it"
      fi
    done
    # Somebody else's file is in there, or PicoClaw's memory: then the folder stays.
    for folder in skills memory sessions state cron; do
      find ".picoclaw/workspace/$folder" -depth -type d -exec rmdir {} ';' 2>/dev/null
    done
    rmdir .picoclaw/workspace 2>/dev/null
  }
  [ ! -d .picoclaw/workspace ] || say kept ".picoclaw/workspace the owner's memory, skills and sessions"
  drop .local/bin/picoclaw.old
  drop .local/bin/.picoclaw.pid
  for file in /tmp/picoclaw-onboard.log /tmp/picoclaw-release-* /tmp/picoclaw-extract-* /tmp/picoclaw_media; do
    if [ -O "$file" ]; then
      rm -rf "$file"
      is_there "$file" || say removed "$file"
    fi
  done
}

patterns() {
  printf '%s\n' "$key" "$known" | grep .
}

has_key() { # FILE
  [ -n "$key$known" ] && patterns | grep -qF -f - "$1"
}

look_in() { # FILE...
  [ $# -gt 0 ] || return 0
  patterns | grep -lsF -f - "$@" | while IFS= read -r file; do say kept "$file it holds the key, and is not ours"; done
}

look_for_key() { # wherever we, or PicoClaw with our settings, may have written it
  [ -n "$key$known" ] || { say key unknown; return; }
  # Files alone: grep -r of BusyBox waits at a FIFO for ever, and each fleet has one.
  {
    for file in .bashrc .zshrc .profile; do [ ! -f "$file" ] || echo "$file"; done
    find .picoclaw/ .local/bin/ /tmp/picoclaw* -type f 2>/dev/null
  } | {
    set --
    while IFS= read -r file; do
      set -- "$@" "$file"
      [ $# -lt 100 ] || { look_in "$@"; set --; }
    done
    look_in "$@"
  }
  say key searched
}

main() {
  case $verb in
    remove) remove "$@" ;;
  esac
}
main "$@"

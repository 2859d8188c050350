# shellcheck shell=bash
# What a person sees while a script works: one line per step, with its seconds.
# On a terminal the seconds count up; elsewhere a long step says every 15 s that it still works.

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# step TITLE COMMAND…: runs the command with its output kept aside, shown only when it fails.
step() {
  local title=$1 log pid started=$SECONDS seconds rc=0
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # A background command ignores Ctrl-C, so it is passed on by hand.
  trap 'kill "$pid" 2>/dev/null || true; rm -f "$log"; exit 130' INT TERM
  _watch_step "$title" "$pid" "$started"
  wait "$pid" || rc=$?
  trap - INT TERM
  seconds=$((SECONDS - started))
  if ((rc != 0)); then
    _step_line "✗ $title (${seconds} s)"
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "\"$title\" failed with exit code $rc"
  fi
  _step_line "✓ $title (${seconds} s)"
  rm -f "$log"
}

# stage TITLE COMMAND…: runs the command with its output shown, and says what it took.
stage() {
  local title=$1 started=$SECONDS rc=0 pid
  shift
  printf '\n▸ %s\n' "$title"
  # In a child, so that `set -e` holds inside a function too.
  "$@" &
  pid=$!
  trap 'kill "$pid" 2>/dev/null || true; exit 130' INT TERM
  wait "$pid" || rc=$?
  trap - INT TERM
  ((rc == 0)) || die "$title failed with exit code $rc after $((SECONDS - started)) s"
  printf '✓ %s (%d s)\n' "$title" $((SECONDS - started))
}

_step_line() {
  if [[ -t 1 ]]; then printf '\r\033[K%s\n' "$1"; else printf '%s\n' "$1"; fi
}

_watch_step() {
  local title=$1 pid=$2 started=$3 said=$SECONDS
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [[ -t 1 ]]; then
      printf '\r\033[K… %s (%d s)' "$title" $((SECONDS - started))
    elif ((SECONDS - said >= 15)); then
      printf '… %s (%d s)\n' "$title" $((SECONDS - started))
      said=$SECONDS
    fi
  done
}

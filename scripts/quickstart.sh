#!/usr/bin/env bash
# From a fresh machine to a workflow that ran: installs what is missing, builds Slipway, makes a runner image, fetches
# Node for JavaScript actions, starts `slipway up` in the background and runs examples/hello.yml through it. Run again,
# it is quick and keeps what is there.
#
#   scripts/quickstart.sh         all of that
#   scripts/quickstart.sh --stop  stop what runs in the background; the data stays
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

DATA=$PWD/.slipway
PID_FILE=$DATA/slipway.pid
LOG_FILE=$DATA/slipway.log
EXTERNALS=${SLIPWAY_EXTERNALS:-$DATA/externals}
HTTP_ADDRESS=${SLIPWAY_HTTP:-127.0.0.1:8080}
GRPC_ADDRESS=${SLIPWAY_GRPC:-127.0.0.1:7443}
START_LIMIT_S=60
STOP_LIMIT_S=60

# The pid file alone proves nothing: the process must live and be ours.
is_running() {
  local pid
  [[ -r $PID_FILE ]] && pid=$(<"$PID_FILE") && [[ $pid =~ ^[0-9]+$ && $(cat "/proc/$pid/comm" 2>/dev/null) == slipway ]]
}

stop() {
  local pid
  pid=$(<"$PID_FILE")
  kill -TERM "$pid"
  for ((tenths = 0; tenths < STOP_LIMIT_S * 10; tenths++)); do
    is_running || return 0
    sleep 0.1
  done
  say "process $pid still ends its jobs after ${STOP_LIMIT_S} s; see $LOG_FILE"
  return 1
}

build() { cargo build --release --locked -p slipway; }

start() {
  # Its ready line is looked for in what this start wrote, not in older lines.
  : >"$LOG_FILE"
  SLIPWAY_EXTERNALS=$EXTERNALS setsid "$SLIPWAY" up --data-dir "$DATA" --http "$HTTP_ADDRESS" --grpc "$GRPC_ADDRESS" >>"$LOG_FILE" 2>&1 </dev/null &
  echo $! >"$PID_FILE"
  for ((tenths = 0; tenths < START_LIMIT_S * 10; tenths++)); do
    grep -q '^ready ' "$LOG_FILE" && return
    is_running || ((tenths < 5)) || break
    sleep 0.1
  done
  cat "$LOG_FILE"
  return 1
}

case ${1:-} in
"") ;;
--stop)
  if is_running; then step "stop slipway" stop; else say "nothing runs"; fi
  rm -f "$PID_FILE"
  exit
  ;;
*) die "unknown argument '$1'; usage: scripts/quickstart.sh [--stop]" ;;
esac

want_build_dependencies "$@"
# The image is made beside the build: it waits for the network most of the time, and the build for processors.
image_log=$(mktemp)
scripts/runner-image.sh >"$image_log" 2>&1 </dev/null &
image_pid=$!
trap 'kill "$image_pid" 2>/dev/null || true; rm -f "$image_log"' EXIT
step "build slipway" build
# All that it said, and what it still says.
tail -n +1 -f --pid="$image_pid" "$image_log"
wait "$image_pid" || die "there is no image for jobs to run in; what went wrong is above"
trap - EXIT
rm -f "$image_log"
SLIPWAY=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/slipway

mkdir -p "$DATA"
want_externals "$EXTERNALS" "$(native_externals_arch)"
if is_running; then say "✓ slipway runs already (process $(<"$PID_FILE"))"; else step "start slipway" start; fi
[[ -r $DATA/admin.token ]] || die "$DATA/admin.token is missing; see $LOG_FILE"

say
say "Running examples/hello.yml:"
SLIPWAY_TOKEN=$(<"$DATA/admin.token") "$SLIPWAY" run examples/hello.yml --server "http://$HTTP_ADDRESS"

cat <<TXT

Slipway is up.
  pages, API    http://$HTTP_ADDRESS (sign in with the admin token; health: /healthz, figures: /metrics)
  admin token   $DATA/admin.token
  log           $LOG_FILE

Next:
  export SLIPWAY_SERVER=http://$HTTP_ADDRESS SLIPWAY_TOKEN=\$(cat $DATA/admin.token) PATH=${SLIPWAY%/*}:\$PATH
  slipway runs                          what ran
  slipway lint                          check the workflows of the folder you are in
  slipway plan .github/workflows/X.yml  which jobs a workflow would run, and why not
  slipway run .github/workflows/X.yml   run one, uncommitted changes included

Stop it:  scripts/quickstart.sh --stop
TXT

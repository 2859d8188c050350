#!/usr/bin/env bash
# Measures how long a line takes from the step that writes it to a browser that follows its job, beside a bare `docker run` at the same time:
# of 200 lines, one every tenth of a second, the median, the 99th of 100 and the longest, in milliseconds.
#
#   scripts/live-lines.sh
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

# Set by start_pages_fleet.
folder='' packages='' slipway='' going=''
start_pages_fleet "$@"
# What goes on there would be in the way.
end_pages_fleet

run_pages_workflow "$folder/shapes" .github/workflows/live.yml &
watcher=$!
for ((tenths = 0; tenths < 600; tenths++)); do
  run=$(newest_pages_run)
  job=$("$slipway" show "$run" --json | grep -o '"instance_id":"[^"]*","job":"live"' | cut -d'"' -f4) || true
  [[ $run == "$going" || -z $job ]] || break
  sleep 0.1
done
[[ -n $job ]] || die "the run was not begun; see $folder/log"
node tests/browser/live_lines.mjs "$packages/node_modules" "${SLIPWAY_CHROMIUM:-/usr/bin/chromium}" "$SLIPWAY_SERVER" "$SLIPWAY_TOKEN" \
  "/runs/$run/jobs/$job" slipway/runner:slim
"$slipway" cancel "$run" >/dev/null
wait "$watcher" || true

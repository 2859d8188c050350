#!/usr/bin/env bash
# Runs before the tests with GitHub's own cache and artifact clients (see .config/nextest.toml): fetches these from npm
# and tells the tests where they are. By itself it prints the same.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
mkdir -p "$target"

# want NAME VARIABLE PACKAGE...
want() {
  local folder=$target/$1 variable=$2 download
  shift 2
  if [[ ! -d $folder ]]; then
    download=$(mktemp -d -p "$target")
    npm install --silent --no-audit --no-fund --prefix "$download" "$@" >/dev/null
    mv "$download" "$folder"
  fi
  printf '%s=%s\n' "$variable" "$folder" | tee -a "${NEXTEST_ENV:-/dev/null}"
}

want actions-clients-1 SLIPWAY_ACTIONS_CLIENTS @actions/core@3.0.1 @actions/cache@6.3.0 @actions/artifact@6.2.1
# The last one that knows nothing of the Twirp service.
want actions-clients-old-1 SLIPWAY_ACTIONS_CLIENTS_OLD @actions/cache@3.2.4

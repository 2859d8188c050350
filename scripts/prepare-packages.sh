#!/usr/bin/env bash
# Runs before the tests of the packages (see .config/nextest.toml): packages the programs as they were just built, makes the machine on
# which the tests install them, and tells the tests where they are. By itself it prints the same.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

want_systemd_image
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
scripts/packages.sh --profile dev --out "$target/debug/packages"
printf 'SLIPWAY_PACKAGES=%s\n' "$target/debug/packages" | tee -a "${NEXTEST_ENV:-/dev/null}"

#!/usr/bin/env bash
# Every check of this repository, from a bare machine: what is missing is installed, nothing is skipped.
# Ends with nextest's own summary, or with the first stage that failed.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

SCHEDULER_SEEDS=${SLIPWAY_SCHEDULER_SEEDS:-2000}
WHOLE_SEEDS=${SLIPWAY_WHOLE_SEEDS:-100}

# A build that is thrown away gains nothing from what a next one could reuse; it is a third of the disk it takes.
[[ -z ${CI:-} ]] || export CARGO_INCREMENTAL=0

# systemd's own check of our units, with a program that is there in place of ours, which need not be installed; and how exposed it
# rates them, in tenths (docs/INSTALL.md).
check_units() {
  local folder unit most
  folder=$(mktemp -d)
  for unit in deploy/systemd/*.service; do
    sed 's|^ExecStart=/[^ ]*|ExecStart=/bin/true|' "$unit" >"$folder/$(basename "${unit/@./@example.}")"
  done
  systemd-analyze verify "$folder"/*.service || { rm -rf "$folder" && return 1; }
  for unit in "$folder"/*.service; do
    most=27
    [[ $unit != *coordinator* ]] || most=15
    systemd-analyze security --offline=yes --threshold="$most" "$unit" >"$folder/rating" || { cat "$folder/rating" && rm -rf "$folder" && return 1; }
  done
  rm -rf "$folder"
}

check_scripts() { git ls-files -z -- '*.sh' .ci/run scripts/engine | xargs -0 shellcheck -x; }

want_test_dependencies "$@"
stage "format" cargo fmt --all --check
stage "shell scripts" check_scripts
stage "habits" scripts/check-habits.sh
stage "systemd units" check_units
stage "dependencies: bans, licences, sources" cargo deny --log-level error check bans licenses sources
stage "lint" cargo clippy --workspace --all-targets --locked -- -D warnings
# Programs and tests at once: alone, the programs have fewer features, and half of all would be built a second time for the tests.
stage "build" cargo build --workspace --bins --tests --locked
# As it was just built: once more with optimizations, or by itself, takes longer than all these seeds.
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
stage "simulator: scheduler" "$target/debug/slipway-sim" --seeds "$SCHEDULER_SEEDS"
stage "simulator: whole control plane" "$target/debug/slipway-sim" --whole --seeds "$WHOLE_SEEDS"
stage "images for the tests" scripts/prepare-tests.sh
say
say "everything before the tests: $SECONDS s"
# Twice as many at a time as there are processors: most tests wait for a program, an engine or a lease that runs out.
exec cargo nextest run --workspace --locked --test-threads $(($(nproc) * 2))

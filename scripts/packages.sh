#!/usr/bin/env bash
# Makes the Debian packages of the command line, the coordinator and the agent, with manual pages and completions.
#
#   scripts/packages.sh [--profile release|dev] [--out FOLDER]
#
#   --profile  how the programs are built [default: release]; dev packages what `cargo build` made
#   --out      where the packages go [default: target/packages]
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

usage() { die "$1; usage: scripts/packages.sh [--profile release|dev] [--out FOLDER]"; }

profile=release
out=
while (($# > 0)); do
  case $1 in
  --profile) profile=${2:-} && shift ;;
  --out) out=${2:-} && shift ;;
  *) usage "unknown argument '$1'" ;;
  esac
  shift || usage "a flag needs a value"
done
[[ $profile == release || $profile == dev ]] || usage "unknown profile '$profile'"

target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
built=$target/$([[ $profile == dev ]] && echo debug || echo release)
out=$(readlink -m "${out:-$target/packages}")
# Without a compressor of its own: that takes longer to build than all the rest of it.
want_packages binutils dpkg-dev
want_cargo_tool cargo-deb --no-default-features

say "Building the programs"
# To be tried, they are built as all the rest is: with other features than these three alone need, and so only once.
which=(-p slipway -p slipway-coordinator -p slipway-agent)
[[ $profile == release ]] || which=(--workspace)
cargo build --quiet --locked --profile "$profile" --bins "${which[@]}"

files=$built/package-files
rm -rf "$files"
mkdir -p "$files" "$out"
"$built/slipway" manual "$files/man" >/dev/null
# As Debian wants them.
gzip -9n "$files"/man/*.1
# Those of the other programs go with them.
for shell in bash zsh fish; do "$built/slipway" completions "$shell" >"$files/slipway.$shell"; done
for program in slipway-coordinator slipway-agent; do
  "$built/slipway" completions bash --program "$program" >"$files/$program.bash"
  mv "$files/man/$program.1.gz" "$files/"
done
rm -f "$out"/slipway*.deb
# What is packaged to be tried is not packed well.
quickly=()
[[ $profile == release ]] || quickly=(--fast)
for package in slipway slipway-coordinator slipway-agent; do
  cargo deb --quiet --locked --no-build --profile "$profile" --strip "${quickly[@]}" -p "$package" --output "$out/"
done
say "✓ packages in $out"

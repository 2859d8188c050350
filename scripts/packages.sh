#!/usr/bin/env bash
# Makes the Debian packages of the command line, the coordinator and the agent, with manual pages and completions.
#
#   scripts/packages.sh [--profile release|dev] [--arch amd64|arm64] [--package NAME]… [--out FOLDER]
#
#   --profile  how the programs are built [default: release]; dev packages what `cargo build` made
#   --arch     for which machines [default: this one's architecture]; arm64 on an amd64 machine is cross-compiled
#   --package  only this one: slipway, slipway-coordinator, slipway-agent [default: all three]
#   --out      where the packages go [default: target/packages]
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

usage() { die "$1; usage: scripts/packages.sh [--profile release|dev] [--arch amd64|arm64] [--package NAME]… [--out FOLDER]"; }

profile=release
arch=$(dpkg --print-architecture)
packages=()
out=
while (($# > 0)); do
  case $1 in
  --profile) profile=${2:-} && shift ;;
  --arch) arch=${2:-} && shift ;;
  --package) packages+=("${2:-}") && shift ;;
  --out) out=${2:-} && shift ;;
  *) usage "unknown argument '$1'" ;;
  esac
  shift || usage "a flag needs a value"
done
[[ $profile == release || $profile == dev ]] || usage "unknown profile '$profile'"
((${#packages[@]} > 0)) || packages=(slipway slipway-coordinator slipway-agent)
for package in "${packages[@]}"; do
  [[ $package == slipway || $package == slipway-coordinator || $package == slipway-agent ]] || usage "unknown package '$package'"
done

target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
folder=$([[ $profile == dev ]] && echo debug || echo release)
out=$(readlink -m "${out:-$target/packages}")
# Without a compressor of its own: that takes longer to build than all the rest of it.
want_packages binutils dpkg-dev
want_cargo_tool cargo-deb --no-default-features

say "Building the programs"
# To be tried, they are built as all the rest is, with its tests: with other features than these three alone need, and so only once.
which=(-p slipway -p slipway-coordinator -p slipway-agent)
[[ $profile == release ]] || which=(--workspace --tests)
for_target=()
if [[ $arch == "$(dpkg --print-architecture)" ]]; then
  built=$target/$folder
elif [[ $arch == arm64 ]]; then
  # The manual pages and completions come from a program that runs here.
  which=(-p slipway)
  [[ $profile == release ]] || which=(--workspace --tests)
  for_target=(--target "$ARM64_TRIPLE")
  built=$target/$ARM64_TRIPLE/$folder
else
  die "this machine cannot build packages for '$arch': use one of that architecture"
fi
cargo build --quiet --locked --profile "$profile" --bins "${which[@]}"
if ((${#for_target[@]} > 0)); then
  want_arm64_toolchain
  wanted=()
  for package in "${packages[@]}"; do wanted+=(-p "$package"); done
  cargo build --quiet --locked --profile "$profile" --bins "${for_target[@]}" "${wanted[@]}"
fi

files=$built/package-files
slipway=$target/$folder/slipway
rm -rf "$files"
mkdir -p "$files" "$out"
"$slipway" manual "$files/man" >/dev/null
# As Debian wants them.
gzip -9n "$files"/man/*.1
# Those of the other programs go with them.
for shell in bash zsh fish; do "$slipway" completions "$shell" >"$files/slipway.$shell"; done
for program in slipway-coordinator slipway-agent; do
  "$slipway" completions bash --program "$program" >"$files/$program.bash"
  mv "$files/man/$program.1.gz" "$files/"
done
# What is packaged to be tried is not packed well.
quickly=()
[[ $profile == release ]] || quickly=(--fast)
for package in "${packages[@]}"; do
  rm -f "$out/${package}"_*_"$arch.deb"
  cargo deb --quiet --locked --no-build --profile "$profile" --strip "${quickly[@]}" "${for_target[@]}" -p "$package" --output "$out/"
done
say "✓ packages in $out"

#!/usr/bin/env bash
# Fetches Node for JavaScript actions: the versions of scripts/externals.lock, checked, for containers with glibc and
# with musl. What is there already is kept; run it again after an update of Slipway.
#
#   scripts/fetch-externals.sh [--arch x64|arm64|all] [DIR]
#
# DIR is what an agent takes as --externals; by default one of the folders in which it looks by itself:
# /usr/local/lib/slipway/externals for root, else ~/.local/share/slipway/externals.
set -euo pipefail
CALLED_FROM=$PWD
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

arch=$(native_externals_arch)
folder=
while (($# > 0)); do
  case $1 in
  --arch)
    case ${2:-} in x64 | arm64 | all) arch=$2 ;; *) die "--arch: write x64, arm64 or all" ;; esac
    shift
    ;;
  -*) die "unknown argument '$1'; usage: scripts/fetch-externals.sh [--arch x64|arm64|all] [DIR]" ;;
  *) folder=$(cd "$CALLED_FROM" && realpath -m -- "$1") ;;
  esac
  shift
done
if [[ -z $folder ]]; then
  if ((EUID == 0)); then
    folder=/usr/local/lib/slipway/externals
  else
    folder=${XDG_DATA_HOME:-$HOME/.local/share}/slipway/externals
  fi
fi
want_externals "$folder" "$arch"
say "Node for JavaScript actions is in $folder"

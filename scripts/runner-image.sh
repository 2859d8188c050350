#!/usr/bin/env bash
# Makes the image that jobs without `container:` run in, from the packages of this machine's own Debian or Ubuntu release
# and mirror. Nothing is pulled from an image registry. An image made from the same recipe is kept: a second call does nothing.
# What is in it: docs/RUNNER_IMAGES.md.
#
#   scripts/runner-image.sh [--arch amd64|arm64] [--slim]
#
#   --arch   default: this machine's. An image of another architecture is called slipway/runner:ARCH, not :latest
#   --slim   a quarter of the size, without compilers, Node and so on; tagged :slim, or :slim-ARCH
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

usage() { die "$1; usage: scripts/runner-image.sh [--arch amd64|arm64] [--slim]"; }

native=$(dpkg --print-architecture)
arch=$native
slim=false
while (($# > 0)); do
  case $1 in
  --arch) arch=${2:-} && shift ;;
  --slim) slim=true ;;
  *) usage "unknown argument '$1'" ;;
  esac
  shift || usage "--arch needs a value"
done
[[ $arch == amd64 || $arch == arm64 ]] || usage "unknown architecture '$arch'"

case $slim-$([[ $arch == "$native" ]] && echo native || echo foreign) in
false-native) image=slipway/runner:latest ;;
false-foreign) image=slipway/runner:$arch ;;
true-native) image=slipway/runner:slim ;;
true-foreign) image=slipway/runner:slim-$arch ;;
esac

want_runner_image "$image" "$arch" "$slim"

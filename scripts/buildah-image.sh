#!/usr/bin/env bash
# Makes the images of docs/IMAGES.md from the packages of this machine's own Debian or Ubuntu release: slipway/buildah:ARCH, in which jobs
# build container images, and slipway/registry:test, a registry. Images made from the same recipe are kept.
#
#   scripts/buildah-image.sh           for this machine's architecture
#   scripts/buildah-image.sh amd64 arm64
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

architectures=("$@")
((${#architectures[@]} > 0)) || architectures=("$(dpkg --print-architecture)")
for arch in "${architectures[@]}"; do
  [[ $arch == amd64 || $arch == arm64 ]] || die "unknown architecture '$arch'; usage: scripts/buildah-image.sh [amd64] [arm64]"
done
want_registry_image
for arch in "${architectures[@]}"; do
  want_buildah_image "$arch"
  say "✓ slipway/buildah:$arch is there"
done

#!/usr/bin/env bash
# Makes the image in which private Docker engines of jobs run (`--job-engine private` of an agent, docs/ISOLATION.md), from the packages of
# this machine's own Debian or Ubuntu release, for its own architecture. An image made from the same recipe is kept.
#
#   scripts/engine-image.sh [IMAGE]    default: slipway/engine:latest
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

if (($# > 1)) || [[ ${1:-} == -* ]]; then die "usage: scripts/engine-image.sh [IMAGE]"; fi
image=${1:-slipway/engine:latest}
want_engine_image "$image" "$(dpkg --print-architecture)"
say "✓ $image is there"

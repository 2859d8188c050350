# shellcheck shell=bash
# Sourced first by every script here: goes to the repository's root and loads the pieces beside this file.

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." || exit
for _piece in progress root debian-packages docker-engine arm64-emulation rust arm64-toolchain dependencies image runner-image busybox-image libc-image redis-image buildah-image engine-image systemd-image externals browser pages-fleet; do
  # shellcheck source=/dev/null
  source "scripts/lib/$_piece.sh"
done
unset _piece

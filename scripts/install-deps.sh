#!/usr/bin/env bash
# Installs what is missing to build, run and test Slipway on Debian 12/13 or Ubuntu 22.04/24.04, and starts a Docker
# engine when none answers. Run again, it changes nothing.
#
#   scripts/install-deps.sh              what building and running need
#   scripts/install-deps.sh --for-tests  and what scripts/test.sh needs
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

case ${1:-} in
"") want_build_dependencies "$@" ;;
--for-tests) want_test_dependencies "$@" ;;
*) die "unknown argument '$1'; usage: scripts/install-deps.sh [--for-tests]" ;;
esac
say "Everything needed is there."

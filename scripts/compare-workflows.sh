#!/usr/bin/env bash
# Compares how Slipway and GitHub's own parser read the workflow files of a folder: scripts/compare-workflows.sh FOLDER
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

[[ $# -eq 1 && -d $1 ]] || die "say which folder: scripts/compare-workflows.sh FOLDER"
folder=$(realpath "$1")
SLIPWAY_WORKFLOWS=$folder cargo nextest run -p slipway-tests --test parity --no-capture whole_files

#!/usr/bin/env bash
# Makes the pictures of docs/PAGES.md anew: starts Slipway with data of its own, runs workflows through it, and looks at their pages in
# Chromium. Nothing of it stays but the pictures.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

PICTURES=docs/pages

# Set by start_pages_fleet.
folder='' packages='' run='' job='' slipway=''
mkdir -p "$PICTURES"
start_pages_fleet "$@"

# Tools that ask the cache: what is not there at first is there for the next ones.
ask_cache() {
  curl --silent --output /dev/null --header "authorization: Bearer $(<"$folder/data/cache.token")" "${@:2}" "$SLIPWAY_SERVER/cache/files/$1"
}
for file in "$slipway" Cargo.lock docs/SPECIFICATION.md; do
  name=ccache/${file##*/}
  ask_cache "$name" --user-agent ccache/4.7.5
  ask_cache "$name" --user-agent ccache/4.7.5 --upload-file "$file"
  ask_cache "$name" --user-agent ccache/4.7.5
  ask_cache "$name" --user-agent sccache/0.16.0
done
ask_cache gradle/one --user-agent Gradle/8.1

driver() { node tests/browser/drive.mjs "$packages/node_modules" "${SLIPWAY_CHROMIUM:-/usr/bin/chromium}"; }
picture() {
  printf '{"command":"look","scheme":"%s","width":%s}\n{"command":"open","url":"%s"}\n{"command":"screenshot","path":"%s"}\n' \
    "$3" "$4" "$2" "$PICTURES/$1.png"
}
{
  printf '{"command":"open","url":"%s/"}\n{"command":"fill","selector":"#token","text":"%s"}\n' "$SLIPWAY_SERVER" "$SLIPWAY_TOKEN"
  printf '{"command":"press","keys":["Enter"]}\n{"command":"wait","expression":"document.querySelector(\\"h1\\").textContent == \\"Runs\\""}\n'
  picture runs / light 1100
  picture run "/runs/$run" light 1100
  picture job "/runs/$run/jobs/$job#error" dark 1100
  picture fleet /fleet light 1100
  picture tests /tests light 1100
  picture coverage '/coverage?repository=local%2Fshapes&workflow=.github%2Fworkflows%2Fci.yml&ref=refs%2Fheads%2Fmain' light 1100
  picture usage /usage light 1100
  picture caches /caches light 1100
  picture telephone "/runs/$run" dark 390
} | driver >"$folder/answers"
! grep '"failed"' "$folder/answers" || die "a picture was not made"

end_pages_fleet
say "✓ pictures are in $PICTURES"

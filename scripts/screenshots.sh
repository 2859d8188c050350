#!/usr/bin/env bash
# Makes the pictures of docs/PAGES.md anew: starts Slipway with data of its own, runs workflows through it, and looks at their pages in
# Chromium. Nothing of it stays but the pictures.
#
#   scripts/screenshots.sh               the pictures that the documents show
#   scripts/screenshots.sh --all FOLDER  every page in light, dark and as narrow as a telephone, from top to bottom, to look through
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

PICTURES=docs/pages
all=
if [[ ${1:-} == --all ]]; then
  PICTURES=${2:?say in which folder} all=yes
  shift 2
  mkdir -p "$PICTURES"
  PICTURES=$(readlink -f "$PICTURES")
fi

# Set by start_pages_fleet.
folder='' packages='' run='' job='' slipway='' going=''
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
# picture NAME ADDRESS SCHEME WIDTH [true: from top to bottom]
picture() {
  printf '{"command":"look","scheme":"%s","width":%s}\n{"command":"open","url":"%s"}\n{"command":"screenshot","path":"%s","full":%s}\n' \
    "$3" "$4" "$2" "$PICTURES/$1.png" "${5:-false}"
}
COVERAGE='/coverage?repository=local%2Fshapes&workflow=.github%2Fworkflows%2Fci.yml&ref=refs%2Fheads%2Fmain'
ONE_TEST='/tests/one?repository=local%2Fshapes&suite=sums&class=sums&name=adds_negative&days=30'
START='/start?repository=local%2Fshapes&ref=main&workflow=.github%2Fworkflows%2Frelease.yml'
pictures_of_documents() {
  picture runs / light 1100
  picture run "/runs/$run" light 1100
  picture job "/runs/$run/jobs/$job#error" dark 1100
  picture fleet /fleet light 1100
  picture start "$START" light 1100
  picture tests /tests light 1100
  picture test "$ONE_TEST" light 1100
  picture coverage "$COVERAGE" light 1100
  picture usage /usage light 1100
  picture caches /caches light 1100
  picture environments /environments light 1100
  picture variables /settings/variables dark 1100
  picture summaries "/runs/$run/summaries" light 1100
  picture telephone "/runs/$run" dark 390
}
pictures_of_everything() {
  local form scheme width
  for form in 'light 1280' 'dark 1280' 'light 360' 'dark 360'; do
    read -r scheme width <<<"$form"
    while read -r name address; do picture "$name-$scheme-$width" "$address" "$scheme" "$width" true; done <<PAGES
runs /
run /runs/$run
summaries /runs/$run/summaries
job /runs/$run/jobs/$job#error
search /runs/$run/jobs/$job?q=case
soak /runs/$going
fleet /fleet
start /start
start-one $START
tests /tests
test $ONE_TEST
coverages /coverage
coverage $COVERAGE
usage /usage
caches /caches
environments /environments
audit /audit
settings /settings
tokens /settings/tokens
secrets /settings/secrets
variables /settings/variables
nothing /nothing
PAGES
  done
}
{
  printf '{"command":"open","url":"%s/"}\n{"command":"fill","selector":"#token","text":"%s"}\n' "$SLIPWAY_SERVER" "$SLIPWAY_TOKEN"
  printf '{"command":"press","keys":["Enter"]}\n{"command":"wait","expression":"document.querySelector(\\"h1\\").textContent == \\"Runs\\""}\n'
  if [[ -n $all ]]; then pictures_of_everything; else pictures_of_documents; fi
} | driver >"$folder/answers"
! grep '"failed"' "$folder/answers" || die "a picture was not made"

end_pages_fleet
say "✓ pictures are in $PICTURES"

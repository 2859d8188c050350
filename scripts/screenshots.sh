#!/usr/bin/env bash
# Makes the pictures of docs/PAGES.md anew: starts Slipway with data of its own, runs workflows through it, and looks at their pages in
# Chromium. Nothing of it stays but the pictures.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

PICTURES=docs/pages
START_LIMIT_S=60
HTTP=127.0.0.1:18181
GRPC=127.0.0.1:18182

want_build_dependencies "$@"
want_chromium
command -v npm >/dev/null || want_packages nodejs npm
cargo build --quiet --package slipway --bins
scripts/runner-image.sh --slim
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
packages=$target/browser-packages-1
want_browser_packages "$packages"
slipway=$target/debug/slipway

folder=$(mktemp -d)
pid=
tidy_up() {
  if [[ -n $pid ]]; then
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" || true
  fi
  rm -rf "$folder"
}
trap tidy_up EXIT

"$slipway" up --data-dir "$folder/data" --http "$HTTP" --grpc "$GRPC" --image ubuntu-latest=slipway/runner:slim >"$folder/log" 2>&1 &
pid=$!
for ((tenths = 0; tenths < START_LIMIT_S * 10; tenths++)); do
  ! grep -q '^ready ' "$folder/log" || break
  sleep 0.1
done
SLIPWAY_TOKEN=$(<"$folder/data/admin.token")
export SLIPWAY_TOKEN SLIPWAY_SERVER=http://$HTTP

checkout=$folder/shapes
mkdir -p "$checkout/.github/workflows" "$PICTURES"
cp examples/pages/*.yml "$checkout/.github/workflows/"
git init --quiet --initial-branch=main "$checkout"
git -C "$checkout" config user.name ada
git -C "$checkout" config user.email ada@example.com
git -C "$checkout" add --all
git -C "$checkout" commit --quiet --message "Round sums towards zero"

# A part of it that succeeds; all of it, which fails, for that is what there is to see; and one that goes on.
run_workflow() { (cd "$checkout" && "$slipway" run "$@" >/dev/null 2>&1); }
run_workflow .github/workflows/ci.yml --job docs
run_workflow .github/workflows/ci.yml || true
run=$("$slipway" runs --json | grep -o '"run_id":"[^"]*"' | head -n 1 | cut -d'"' -f4)
job=$("$slipway" show "$run" --json | grep -o '"instance_id":"[^"]*","job":"test"' | cut -d'"' -f4)
[[ -n $run && -n $job ]] || die "the run is not listed; see $folder/log"
run_workflow .github/workflows/soak.yml &
watcher=$!

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

"$slipway" cancel latest >/dev/null
wait "$watcher" || true
say "✓ pictures are in $PICTURES"

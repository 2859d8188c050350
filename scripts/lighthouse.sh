#!/usr/bin/env bash
# Rates the pages of a run, of a job and of the fleet with Lighthouse, on a fleet of its own with real runs, as a telephone and as a desktop
# see them: performance, accessibility and best practices, of 100. Slow machines rate lower in performance: it is no test.
#
#   scripts/lighthouse.sh
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

LIGHTHOUSE=lighthouse@12.8.2

# Set by start_pages_fleet.
folder='' packages='' run='' job=''
start_pages_fleet "$@"
lighthouse=$(dirname "$packages")/lighthouse-1
if [[ ! -d $lighthouse ]]; then
  download=$(mktemp -d -p "$(dirname "$lighthouse")")
  npm install --silent --no-audit --no-fund --prefix "$download" "$LIGHTHOUSE" >/dev/null
  mv "$download" "$lighthouse"
fi

cookie=$(curl --silent --output /dev/null --dump-header - --data-urlencode "token=$SLIPWAY_TOKEN" --data 'next=%2F' "$SLIPWAY_SERVER/sign-in" |
  sed -n 's/^set-cookie: \([^;]*\).*/\1/Ip')
[[ -n $cookie ]] || die "nobody was signed in"
printf '{"Cookie":"%s"}' "$cookie" >"$folder/headers.json"

rate() {
  local page=$1 url=$2 form=$3 preset=()
  [[ $form == telephone ]] || preset=(--preset=desktop)
  CHROME_PATH=${SLIPWAY_CHROMIUM:-/usr/bin/chromium} "$lighthouse/node_modules/.bin/lighthouse" "$SLIPWAY_SERVER$url" --quiet --output=json \
    --output-path="$folder/rating.json" --extra-headers="$folder/headers.json" --only-categories=performance,accessibility,best-practices \
    --chrome-flags='--headless --no-sandbox --disable-gpu --disable-background-networking' "${preset[@]}" >/dev/null 2>"$folder/trouble" ||
    { cat "$folder/trouble" >&2 && die "$page could not be rated"; }
  jq -r --arg page "$page" --arg form "$form" \
    '[$page, $form] + ([.categories[] | .score * 100 | round | tostring]) | @tsv' "$folder/rating.json"
  # What takes from the figures.
  jq -r --arg page "$page" --arg form "$form" '. as $all | .categories[].auditRefs[] | select(.weight > 0) | $all.audits[.id] |
    select(.score != null and .score < 0.9) |
    "\($page), \($form): \(.title) (\(.displayValue // "")) \([.details.items[]?.node?.snippet // empty][:3] | join(" "))"' \
    "$folder/rating.json" >>"$folder/findings"
}

{
  printf 'page\tas\tperformance\taccessibility\tbest practices\n'
  for form in telephone desktop; do
    rate run "/runs/$run" "$form"
    rate job "/runs/$run/jobs/$job" "$form"
    rate fleet /fleet "$form"
  done
} | column -t -s $'\t'
cat "$folder/findings"
end_pages_fleet

# shellcheck shell=bash
# The browser that pages are looked at in, what drives it, and what looks for barriers.

# Debian's. Ubuntu has it as a snap only: there SLIPWAY_CHROMIUM names one that was installed otherwise.
want_chromium() {
  [[ -n ${SLIPWAY_CHROMIUM:-} ]] || want_packages chromium
}

# want_browser_packages FOLDER: quick when they are there.
want_browser_packages() {
  local folder=$1 download
  [[ ! -d $folder ]] || return 0
  download=$(mktemp -d -p "$(dirname "$folder")")
  npm install --silent --no-audit --no-fund --prefix "$download" playwright-core@1.65.1 axe-core@4.14.1 >/dev/null
  mv "$download" "$folder"
}

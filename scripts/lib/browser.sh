# shellcheck shell=bash
# What drives a browser (Chromium is Debian's), and what looks for barriers in pages.

# want_browser_packages FOLDER: quick when they are there.
want_browser_packages() {
  local folder=$1 download
  [[ ! -d $folder ]] || return 0
  download=$(mktemp -d -p "$(dirname "$folder")")
  npm install --silent --no-audit --no-fund --prefix "$download" playwright-core@1.65.1 axe-core@4.14.1 >/dev/null
  mv "$download" "$folder"
}

# shellcheck shell=bash
# Debian and Ubuntu packages: installs those that are missing, and only then touches apt.

package_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# want_packages PACKAGE…
want_packages() {
  local package missing=()
  for package in "$@"; do
    package_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return
  command -v apt-get >/dev/null || die "this script knows Debian and Ubuntu only; install by hand: ${missing[*]}"
  need_root "install ${missing[*]}"
  step "apt-get update" as_root apt-get update -q
  step "install ${missing[*]}" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
}

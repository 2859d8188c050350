# shellcheck shell=bash
# Commands that need root: run as they are when we are root, through sudo otherwise.

as_root() {
  if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi
}

# Asks for the password once, in the foreground, before a step would ask for it behind its progress line.
need_root() {
  ((EUID == 0)) && return
  command -v sudo >/dev/null || die "this needs root to $1: run it as root, or install sudo"
  sudo -n true 2>/dev/null && return
  say "sudo is needed to $1."
  sudo -v || die "no root to $1"
}

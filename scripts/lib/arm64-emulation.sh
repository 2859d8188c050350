# shellcheck shell=bash
# ARM64 programs on an AMD64 machine: qemu registered with the kernel, with the flag F, so that it works in containers.

arm64_runs() {
  [[ $(uname -m) == aarch64 ]] && return
  local entry=/proc/sys/fs/binfmt_misc/qemu-aarch64
  [[ -e $entry ]] && grep -qx enabled "$entry" && grep -q '^flags: .*F' "$entry"
}

want_arm64_emulation() {
  # mmdebstrap asks it whether another architecture's programs run here, and refuses to set up an image without.
  [[ $(uname -m) == aarch64 ]] || want_packages arch-test
  arm64_runs && return
  want_packages qemu-user-static binfmt-support
  need_root "let the kernel run ARM64 programs"
  step "enable ARM64 emulation" enable_arm64_emulation
}

enable_arm64_emulation() {
  [[ -e /proc/sys/fs/binfmt_misc/register ]] || as_root mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  arm64_runs && return
  as_root update-binfmts --enable qemu-aarch64 || true
  # Newer releases describe it for systemd only.
  if ! arm64_runs && [[ -r /usr/lib/binfmt.d/qemu-aarch64.conf ]]; then
    grep -v '^#' /usr/lib/binfmt.d/qemu-aarch64.conf | as_root tee /proc/sys/fs/binfmt_misc/register >/dev/null
  fi
  arm64_runs
}

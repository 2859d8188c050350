# shellcheck shell=bash
# Building ARM64 programs on an AMD64 machine. On ARM64 machines there is nothing to do.

ARM64_TRIPLE=aarch64-unknown-linux-gnu

# want_arm64_toolchain: linker, C library and Rust's standard library for ARM64; tells cargo of them.
want_arm64_toolchain() {
  [[ $(dpkg --print-architecture) == arm64 ]] && return
  want_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
  # Where an emulated program finds its dynamic linker.
  export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
  arm64_standard_library && return
  if command -v rustup >/dev/null && rustup -q target add "$ARM64_TRIPLE" 2>/dev/null && arm64_standard_library; then return; fi
  # Debian's own compiler has the library of each of Debian's architectures.
  if ! dpkg --print-foreign-architectures | grep -qx arm64; then
    need_root "install ARM64 libraries"
    step "let apt know ARM64 packages" as_root dpkg --add-architecture arm64
    step "apt-get update" as_root apt-get update -q
  fi
  want_packages rustc-web
  package_installed libstd-rust-web-dev:arm64 || {
    need_root "install Rust's standard library for ARM64"
    step "install Rust's standard library for ARM64" as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -q --no-install-recommends libstd-rust-web-dev:arm64
  }
  export RUSTC=/usr/bin/rustc
  arm64_standard_library || die "there is no standard library of Rust for $ARM64_TRIPLE: install it (rustup target add $ARM64_TRIPLE), then run this again"
}

# Whether the compiler that cargo calls has it.
arm64_standard_library() {
  compgen -G "$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$ARM64_TRIPLE/lib/libstd-*" >/dev/null
}

# shellcheck shell=bash
# The Rust toolchain and the cargo tools of the checks.
# An existing toolchain that is new enough is used; nothing is updated behind anyone's back.

RUST_PACKAGES_OF_DEBIAN=(rustc-web cargo-web rustfmt-web rust-web-clippy)

want_rust() {
  local wanted
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  [[ -d $HOME/.cargo/bin ]] && export PATH=$HOME/.cargo/bin:$PATH
  rust_is_at_least "$wanted" && return
  if command -v rustup >/dev/null; then
    step "install Rust (rustup)" rustup toolchain install stable --profile minimal -c clippy -c rustfmt
    rust_is_at_least "$wanted" || step "make stable Rust the default" rustup default stable
  elif curl -fsS --max-time 10 -o /dev/null https://static.rust-lang.org/rustup/release-stable.toml 2>/dev/null; then
    step "install Rust (rustup)" install_rustup
    export PATH=$HOME/.cargo/bin:$PATH
  elif apt-cache policy rustc-web 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    want_packages "${RUST_PACKAGES_OF_DEBIAN[@]}"
  fi
  rust_is_at_least "$wanted" ||
    die "Slipway needs Rust $wanted or newer and could not install it: see https://rustup.rs, then run this again"
}

install_rustup() {
  curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs |
    sh -s -- -y --no-modify-path --profile minimal -c clippy -c rustfmt
}

rust_is_at_least() {
  local found
  command -v cargo >/dev/null && command -v rustc >/dev/null || return 1
  found=$(rustc --version 2>/dev/null | awk '{print $2}')
  [[ -n $found && $(printf '%s\n%s\n' "$1" "${found%%-*}" | sort -V | head -n 1) == "$1" ]]
}

# want_cargo_tool TOOL: a cargo subcommand that the checks need, built from its own lock file.
want_cargo_tool() {
  command -v "$1" >/dev/null && return
  [[ -x $HOME/.cargo/bin/$1 ]] && return
  # Not into CARGO_TARGET_DIR: its dependencies are none of ours.
  step "install $1 (once; some minutes)" env -u CARGO_TARGET_DIR cargo install --locked --quiet "$1"
}

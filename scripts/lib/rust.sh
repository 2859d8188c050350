# shellcheck shell=bash
# The Rust toolchain and the cargo tools of the checks.
# An existing toolchain that is new enough is used; nothing is updated behind anyone's back.

RUSTUP_SITE=https://static.rust-lang.org/rustup
RUST_PACKAGES_OF_DEBIAN=(rustc-web cargo-web rustfmt-web rust-web-clippy)

want_rust() {
  local wanted
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  [[ -d $HOME/.cargo/bin ]] && export PATH=$HOME/.cargo/bin:$PATH
  rust_is_at_least "$wanted" && return
  if command -v rustup >/dev/null; then
    step "install Rust (rustup)" rustup toolchain install stable --profile minimal -c clippy -c rustfmt
    rust_is_at_least "$wanted" || step "make stable Rust the default" rustup default stable
  elif curl -fsS --max-time 10 -o /dev/null "$RUSTUP_SITE/release-stable.toml" 2>/dev/null; then
    step "install Rust (rustup)" install_rustup
    export PATH=$HOME/.cargo/bin:$PATH
  elif apt-cache policy rustc-web 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    # Debian keeps a new one for building browsers; it is in the security updates.
    want_packages "${RUST_PACKAGES_OF_DEBIAN[@]}"
  fi
  rust_is_at_least "$wanted" ||
    die "Slipway needs Rust $wanted or newer, $RUSTUP_SITE is not in reach, and this machine's packages have none:" \
      "install it as https://rustup.rs says, then run this again"
}

# rustup's own installer, as https://rust-lang.github.io/rustup/installation/other.html describes it.
install_rustup() {
  local folder
  folder=$(mktemp -d)
  curl --proto '=https' --tlsv1.2 -fsS -o "$folder/rustup-init" "$RUSTUP_SITE/dist/$(uname -m)-unknown-linux-gnu/rustup-init"
  chmod +x "$folder/rustup-init"
  "$folder/rustup-init" -y --no-modify-path --profile minimal -c clippy -c rustfmt
  rm -rf "$folder"
}

rust_is_at_least() {
  local found
  command -v cargo >/dev/null && command -v rustc >/dev/null || return 1
  found=$(rustc --version 2>/dev/null | awk '{print $2}')
  [[ -n $found && $(printf '%s\n%s\n' "$1" "${found%%-*}" | sort -V | head -n 1) == "$1" ]]
}

# want_cargo_tool TOOL [FLAG...]: a cargo subcommand that the checks need, built from its own lock file, with these flags of `cargo install`.
want_cargo_tool() {
  command -v "$1" >/dev/null && return
  [[ -x $HOME/.cargo/bin/$1 ]] && return
  # Not into CARGO_TARGET_DIR: its dependencies are none of ours.
  step "install $1 (once; some minutes)" env -u CARGO_TARGET_DIR cargo install --locked --quiet "$@"
}

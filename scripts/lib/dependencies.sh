# shellcheck shell=bash
# What Slipway needs on a machine, named once. Each function is quick when everything is there.
# Their arguments are the calling script's own: joining the group docker means starting that script again.

want_build_dependencies() {
  want_packages build-essential git curl ca-certificates mmdebstrap
  want_docker_packages
  want_rust
  want_docker_engine "$@"
}

want_test_dependencies() {
  want_build_dependencies "$@"
  # The servers of PostgreSQL and Redis: the tests start their own, each in a folder of its own.
  # The chaos campaign cuts networks of its own and fills disks of its own.
  # Bazel, ccache and Gradle are clients of the cache, beside those that scripts/prepare-clients.sh brings.
  # Tests of the agent make images of the busybox that they find here, and run them with another runtime, too.
  # An engine without root's rights, which the tests of the agent start.
  want_packages rootlesskit slirp4netns uidmap
  want_packages shellcheck systemd postgresql redis-server bazel-bootstrap ccache gradle iproute2 iptables busybox-static crun
  want_chromium
  command -v npm >/dev/null || want_packages nodejs npm
  python3 -m ensurepip --version >/dev/null 2>&1 || want_packages python3-venv
  want_cargo_tool cargo-nextest
  want_cargo_tool cargo-deny
  want_cargo_tool cargo-deb --no-default-features
  want_arm64_emulation
}

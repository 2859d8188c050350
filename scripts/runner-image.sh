#!/usr/bin/env bash
# Makes the image that jobs without `container:` run in, from the packages of this machine's own Debian or Ubuntu release
# and mirror. Nothing is pulled from an image registry. An image made from the same recipe is kept: a second call does nothing.
#
#   scripts/runner-image.sh [--arch amd64|arm64] [--slim]
#
#   --arch   default: this machine's. An image of another architecture is called slipway/runner:ARCH, not :latest
#   --slim   without compilers; tagged :slim, or :slim-ARCH
# shellcheck disable=SC2016 # The hooks in single quotes are expanded by mmdebstrap.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
source "$(dirname "$(readlink -f "$0")")/lib/load.sh"

BASE_PACKAGES=(bash ca-certificates curl file git gzip jq less openssh-client procps python3 sudo tar unzip wget xz-utils zip zstd)
FULL_PACKAGES=(build-essential gnupg iproute2 libssl-dev pkg-config python3-venv rsync)

usage() { die "$1; usage: scripts/runner-image.sh [--arch amd64|arm64] [--slim]"; }

native=$(dpkg --print-architecture)
arch=$native
slim=false
while (($# > 0)); do
  case $1 in
  --arch) arch=${2:-} && shift ;;
  --slim) slim=true ;;
  *) usage "unknown argument '$1'" ;;
  esac
  shift || usage "--arch needs a value"
done
[[ $arch == amd64 || $arch == arm64 ]] || usage "unknown architecture '$arch'"

packages=("${BASE_PACKAGES[@]}")
$slim || packages+=("${FULL_PACKAGES[@]}")
case $slim-$([[ $arch == "$native" ]] && echo native || echo foreign) in
false-native) image=slipway/runner:latest ;;
false-foreign) image=slipway/runner:$arch ;;
true-native) image=slipway/runner:slim ;;
true-foreign) image=slipway/runner:slim-$arch ;;
esac

release=$(debian_release)
# One recipe, one image: the key covers everything that decides what is inside.
key=$(printf '%s\n' "$release" "$arch" "${packages[@]}" | cat - "$(readlink -f "$0")" | sha256sum | cut -c 1-16)
if image_has_recipe "$image" "$key"; then
  say "✓ $image is there"
  exit
fi

set_up_user='chroot "$1" useradd --uid 1001 --create-home --shell /bin/bash runner'
set_up_sudo='echo "runner ALL=(ALL) NOPASSWD:ALL" >"$1/etc/sudoers.d/runner" && chmod 0440 "$1/etc/sudoers.d/runner"'
set_up_folders='chroot "$1" install -d -o runner -g runner /opt/hostedtoolcache /home/runner/work'

config='{
  "User": "runner",
  "WorkingDir": "/home/runner",
  "Cmd": ["/bin/bash"],
  "Env": [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "RUNNER_TOOL_CACHE=/opt/hostedtoolcache"
  ],
  "Labels": { "slipway.recipe": "'$key'" }
}'

make_image() {
  local sources
  mapfile -t sources < <(debian_sources "$arch")
  ((${#sources[@]} > 0)) || die "apt has no source for $release"
  as_root mmdebstrap --mode=root --variant=minbase --architectures="$arch" \
    --include="$(IFS=, && echo "${packages[*]}")" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt=force-unsafe-io --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="$set_up_user" --customize-hook="$set_up_sudo" --customize-hook="$set_up_folders" \
    "$release" - "${sources[@]}" |
    load_image "$image" "$arch" "$config"
}

[[ $arch != arm64 ]] || want_arm64_emulation
need_root "make $image"
step "make $image from $release's packages" make_image

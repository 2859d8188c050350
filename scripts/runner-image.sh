#!/usr/bin/env bash
# Makes the image that jobs without `container:` run in, from the packages of this machine's own Debian or Ubuntu release
# and mirror. Nothing is pulled from an image registry. An image made from the same recipe is kept: a second call does nothing.
#
#   scripts/runner-image.sh [--arch amd64|arm64] [--slim]
#
#   --arch   default: this machine's. An image of another architecture is called slipway/runner:ARCH, not :latest
#   --slim   without compilers; tagged :slim, or :slim-ARCH
# shellcheck disable=SC2016 # The formats and hooks in single quotes are expanded by apt and mmdebstrap.
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

# shellcheck source=/dev/null
source /etc/os-release
release=${UBUNTU_CODENAME:-${VERSION_CODENAME:?this release has no code name}}

# The mirror that this machine's own apt uses for that release; Ubuntu keeps its two architectures on two mirrors.
find_mirror() {
  if [[ $ID == ubuntu && $arch != "$native" ]]; then
    if [[ $arch == arm64 ]]; then echo http://ports.ubuntu.com/ubuntu-ports; else echo http://archive.ubuntu.com/ubuntu; fi
    return
  fi
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk -v release="$release" '$2 == release { print $1; exit }'
}

components=main
[[ $ID != ubuntu ]] || components=main,universe

# One recipe, one image: the key covers everything that decides what is inside.
key=$(printf '%s\n' "$release" "$arch" "$components" "${packages[@]}" | cat - "$(readlink -f "$0")" | sha256sum | cut -c 1-16)
found=$(docker image inspect --format '{{index .Config.Labels "slipway.recipe"}}' "$image" 2>/dev/null || true)
if [[ $found == "$key" ]]; then
  say "✓ $image is there"
  exit
fi

set_up_user='chroot "$1" useradd --uid 1001 --create-home --shell /bin/bash runner'
set_up_sudo='echo "runner ALL=(ALL) NOPASSWD:ALL" >"$1/etc/sudoers.d/runner" && chmod 0440 "$1/etc/sudoers.d/runner"'
set_up_folders='chroot "$1" install -d -o runner -g runner /opt/hostedtoolcache /home/runner/work'

make_image() {
  local mirror
  mirror=$(find_mirror)
  [[ -n $mirror ]] || die "apt has no mirror for $release"
  as_root mmdebstrap --mode=root --variant=minbase --architectures="$arch" --components="$components" \
    --include="$(IFS=, && echo "${packages[*]}")" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt=force-unsafe-io --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="$set_up_user" --customize-hook="$set_up_sudo" --customize-hook="$set_up_folders" \
    "$release" - "$mirror" |
    docker import --platform "linux/$arch" \
      --change 'USER runner' --change 'WORKDIR /home/runner' --change 'CMD ["/bin/bash"]' \
      --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
      --change 'ENV LANG=C.UTF-8' --change 'ENV RUNNER_TOOL_CACHE=/opt/hostedtoolcache' \
      --change "LABEL slipway.recipe=$key" - "$image"
}

[[ $arch != arm64 ]] || want_arm64_emulation
need_root "make $image"
step "make $image from $release's packages" make_image

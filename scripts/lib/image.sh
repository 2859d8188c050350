# shellcheck shell=bash
# Container images from a folder's tar alone, for the architecture that it is for.
# (`docker import` would do, but older engines note this machine's architecture whatever they are told.)

# image_has_recipe IMAGE KEY: whether the image is there and was made from this recipe.
image_has_recipe() {
  [[ $(docker image inspect --format '{{index .Config.Labels "slipway.recipe"}}' "$1" 2>/dev/null || true) == "$2" ]]
}

# load_image IMAGE ARCH CONFIG < LAYER.tar: one layer; CONFIG is the `config` object of the OCI image specification.
load_image() {
  local image=$1 arch=$2 config=$3 folder layer replaced
  folder=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
  # Also when mmdebstrap, which feeds it, has failed: the folder must not stay.
  cat >"$folder/layer.tar" || { rm -rf "$folder" && return 1; }
  layer=$(sha256sum "$folder/layer.tar" | cut -d ' ' -f 1)
  printf '{"created":"%s","architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(date -u +%FT%TZ)" "$arch" "$config" "$layer" >"$folder/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$image" >"$folder/manifest.json"
  replaced=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
  tar -C "$folder" -c manifest.json config.json layer.tar | docker load --quiet || { rm -rf "$folder" && return 1; }
  rm -rf "$folder"
  # What had the name before would stay without one. A container that still uses it keeps it.
  [[ -z $replaced ]] || docker image rm "$replaced" >/dev/null 2>&1 || true
}

# The mirror that this machine's own apt uses for its release; Ubuntu keeps its two architectures on two mirrors.
debian_mirror() {
  local arch=$1 release=$2
  if [[ -e /etc/lsb-release && $arch != "$(dpkg --print-architecture)" ]] && grep -q Ubuntu /etc/lsb-release; then
    if [[ $arch == arm64 ]]; then echo http://ports.ubuntu.com/ubuntu-ports; else echo http://archive.ubuntu.com/ubuntu; fi
    return
  fi
  # shellcheck disable=SC2016 # apt fills these in.
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk -v release="$release" '$2 == release { print $1; exit }'
}

# This machine's release: bookworm, noble and so on.
debian_release() (
  # shellcheck source=/dev/null
  source /etc/os-release
  echo "${UBUNTU_CODENAME:-${VERSION_CODENAME:?this release has no code name}}"
)

# On Debian everything needed is in main.
debian_components() {
  if grep -q '^ID=ubuntu' /etc/os-release; then echo main,universe; else echo main; fi
}

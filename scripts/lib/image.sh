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
    "$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%FT%TZ)" "$arch" "$config" "$layer" >"$folder/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$image" >"$folder/manifest.json"
  replaced=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
  tar -C "$folder" -c manifest.json config.json layer.tar | docker load --quiet || { rm -rf "$folder" && return 1; }
  rm -rf "$folder"
  # What had the name before would stay without one. A container that still uses it keeps it.
  [[ -z $replaced ]] || docker image rm "$replaced" >/dev/null 2>&1 || true
}

# debian_sources ARCH: apt's lines for an image of this machine's release, with its updates and security fixes, from the
# mirrors that this machine's own apt uses. Ubuntu keeps its two architectures on two mirrors, and only its own is in
# apt's lists: the other one is looked for beside it, or where SLIPWAY_FOREIGN_MIRROR says.
debian_sources() {
  local arch=$1 release components=main foreign_mirror=
  release=$(debian_release)
  if grep -q '^ID=ubuntu' /etc/os-release; then
    components='main universe'
    if [[ $arch != "$(dpkg --print-architecture)" ]]; then
      foreign_mirror=${SLIPWAY_FOREIGN_MIRROR:-$(ubuntu_mirror_beside_ours "$arch")}
    fi
  fi
  # shellcheck disable=SC2016 # apt fills these in.
  apt-get indextargets --format '$(RELEASE) $(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
    awk -v release="$release" -v mirror="$foreign_mirror" -v components="$components" '
      $3 == "main" && ($1 == release || $1 == release "-updates" || $1 == release "-security") && !seen[$1]++ {
        print "deb", (mirror ? mirror : $2), $1, components
      }'
}

# ubuntu_mirror_beside_ours ARCH: the public mirror for an architecture that ours does not have, in our mirror's domain.
ubuntu_mirror_beside_ours() {
  local domain
  # shellcheck disable=SC2016 # apt fills this in.
  domain=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    sed -n 's|^https\{0,1\}://\([^/]*\.\)\{0,1\}\([^./]*\.[^./]*\)/.*|\2|p' | head -n 1)
  if [[ $1 == amd64 ]]; then echo "http://archive.$domain/ubuntu"; else echo "http://ports.$domain/ubuntu-ports"; fi
}

# This machine's release: bookworm, noble and so on.
debian_release() (
  # shellcheck source=/dev/null
  source /etc/os-release
  echo "${UBUNTU_CODENAME:-${VERSION_CODENAME:?this release has no code name}}"
)

# shellcheck shell=bash
# slipway/buildah:ARCH, in which tests build container images (docs/IMAGES.md), and slipway/registry:test, which keeps them: both
# from this machine's own packages. What a package does when it is installed is left out: nothing here needs it, and for another
# architecture it would take minutes under emulation.

BUILDAH_PACKAGES=(bash buildah busybox-static coreutils curl dash findutils grep gzip jq sed skopeo tar)

# want_buildah_image ARCH
want_buildah_image() {
  local arch=$1 image=slipway/buildah:$1 key
  key=$(printf '%s\n' "$(debian_release)" "$arch" "${BUILDAH_PACKAGES[@]}" | cat - scripts/lib/buildah-image.sh | sha256sum | cut -c 1-16)
  image_has_recipe "$image" "$key" && return
  need_root "make $image"
  step "make $image" make_unpacked_image "$image" "$arch" "${BUILDAH_PACKAGES[*]}" \
    '{"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["/bin/bash"],"Labels":{"slipway.recipe":"'"$key"'"}}'
}

want_registry_image() {
  local arch image=slipway/registry:test key
  arch=$(dpkg --print-architecture)
  key=$(printf '%s\n' "$(debian_release)" "$arch" | cat - scripts/lib/buildah-image.sh | sha256sum | cut -c 1-16)
  image_has_recipe "$image" "$key" && return
  need_root "make $image"
  step "make $image" make_unpacked_image "$image" "$arch" docker-registry \
    '{"Entrypoint":["docker-registry","serve","/etc/registry.yml"],"Env":["PATH=/usr/bin:/bin"],"ExposedPorts":{"5000/tcp":{}},
      "Labels":{"slipway.recipe":"'"$key"'"}}'
}

# make_unpacked_image IMAGE ARCH PACKAGES CONFIG
make_unpacked_image() {
  local image=$1 arch=$2 packages=$3 config=$4 folder sources
  folder=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
  mapfile -t sources < <(debian_sources "$arch")
  as_root mmdebstrap --mode=root --variant=extract --architectures="$arch" --include="${packages// /,}" \
    "$(debian_release)" - "${sources[@]}" >"$folder/unpacked.tar"
  mkdir -p "$folder"/root/{etc,root,tmp,run,proc,sys,dev,var/tmp,var/lib}
  tar -x -C "$folder/root" --no-same-owner -f "$folder/unpacked.tar" --exclude='./dev/*' --exclude='./usr/share/doc/*' \
    --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
  chmod 1777 "$folder/root/tmp" "$folder/root/var/tmp"
  # buildah looks for the second one in a container without privileges.
  printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin' >"$folder/root/etc/passwd"
  printf '%s\n' 'root:x:0:' 'daemon:x:1:' >"$folder/root/etc/group"
  printf 'version: 0.1\nstorage: { filesystem: { rootdirectory: /var/lib/registry } }\nhttp: { addr: ":5000" }\n' >"$folder/root/etc/registry.yml"
  tar -C "$folder/root" --owner=0 --group=0 --numeric-owner -c . | load_image "$image" "$arch" "$config"
  rm -rf "$folder"
}

# shellcheck shell=bash
# slipway/engine: a Docker engine without root's rights, of which each job gets one of its own (docs/ISOLATION.md), from this machine's own
# packages. The programs that start it are in scripts/engine.

ENGINE_PACKAGES=(bash ca-certificates containerd coreutils docker.io git grep iproute2 iptables jq mount rootlesskit runc sed slirp4netns
  tar uidmap util-linux xz-utils)

# What those have that nothing here starts: clients, swarm's and old parts, and Perl, which configures packages.
ENGINE_UNUSED=(usr/bin/{docker,ctr,dnet,containerd-shim,containerd-shim-runc-v1,openssl,perl*,rootlessctl} usr/sbin/ovrouter
  usr/share/{perl*,doc,man,locale,info,gitweb,bash-completion,zsh} 'usr/lib/*-linux-gnu/perl*' 'usr/lib/*-linux-gnu/gconv')

# want_engine_image IMAGE ARCH
want_engine_image() {
  local image=$1 arch=$2 key
  key=$(printf '%s\n' "$(debian_release)" "$arch" | cat - scripts/lib/engine-image.sh scripts/engine/* | sha256sum | cut -c 1-16)
  image_has_recipe "$image" "$key" && return
  need_root "make $image"
  step "make $image" make_engine_image "$image" "$arch" "$key"
}

make_engine_image() {
  local image=$1 arch=$2 key=$3 folder programs=usr/libexec/slipway-engine sources name
  folder=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
  mapfile -t sources < <(debian_sources "$arch")
  as_root mmdebstrap --mode=root --variant=extract --architectures="$arch" --include="$(IFS=, && echo "${ENGINE_PACKAGES[*]}")" \
    "$(debian_release)" - "${sources[@]}" >"$folder/unpacked.tar"
  mkdir "$folder/root"
  tar -x -C "$folder/root" --no-same-owner -f "$folder/unpacked.tar" --exclude='./dev/*'
  (
    cd "$folder/root" || exit
    # shellcheck disable=SC2048,SC2086 # Patterns.
    rm -rf ${ENGINE_UNUSED[*]}
    mkdir -p bin etc/ssl/certs root run proc sys dev tmp var/tmp var/lib/engine "$programs"
    chmod 1777 tmp var/tmp
    [[ -e bin/sh ]] || ln -s bash bin/sh
    for name in iptables ip6tables; do ln -sf xtables-nft-multi "usr/sbin/$name"; done
    cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
    printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'nobody:x:65534:65534:nobody:/nonexistent:/bin/false' >etc/passwd
    printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >etc/group
    echo 'engine:1900000001:65535' | tee etc/subuid >etc/subgid
    # Nothing gains rights by being started.
    find . -xdev -perm /6000 -type f -exec chmod ug-s {} +
  )
  cp scripts/engine/* "$folder/root/$programs/"
  ln -s newuidmap "$folder/root/$programs/newgidmap"
  chmod 0755 "$folder/root/$programs"/*
  tar -C "$folder/root" --owner=0 --group=0 --numeric-owner -c . |
    load_image "$image" "$arch" '{"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["/bin/bash"],"Labels":{"slipway.recipe":"'"$key"'"}}'
  rm -rf "$folder"
}

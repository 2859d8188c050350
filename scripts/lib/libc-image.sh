# shellcheck shell=bash
# slipway/glibc:ARCH and slipway/musl:ARCH: busybox and a C library, with what Node needs besides; for tests of JavaScript actions.

# want_libc_image glibc|musl ARCH
want_libc_image() {
  local libc=$1 arch=$2 image=slipway/$1:$2 key
  key=$(printf '%s\n' "$(debian_release)" "$libc" "$arch" | cat - scripts/lib/libc-image.sh | sha256sum | cut -c 1-16)
  image_has_recipe "$image" "$key" && return
  need_root "make $image"
  step "make $image" make_libc_image "$libc" "$arch" "$image" "$key"
}

make_libc_image() {
  local libc=$1 arch=$2 image=$3 key=$4 folder release sources applet package=libstdc++6
  folder=$(mktemp -d)
  release=$(debian_release)
  mapfile -t sources < <(debian_sources "$arch")
  if [[ $libc == musl ]]; then
    package=musl
    # Node needs a newer musl than Debian 12 has.
    if [[ $release == bookworm ]]; then
      release=trixie
      mapfile -t sources < <(debian_sources "$arch" | sed -n 's/ bookworm main$/ trixie main/p')
    fi
  fi
  as_root mmdebstrap --mode=root --variant=extract --architectures="$arch" \
    --include="busybox-static,$package" "$release" - "${sources[@]}" >"$folder/unpacked.tar"
  mkdir -p "$folder"/root/{etc,home,tmp,usr,var/tmp}
  tar -x -C "$folder/root" --no-same-owner -f "$folder/unpacked.tar" --wildcards '*bin/busybox' '*/lib/*'
  # From Debian 13 on packages have all below usr.
  [[ -e $folder/root/lib ]] || ln -s usr/lib "$folder/root/lib"
  [[ -e $folder/root/bin/busybox ]] || ln -s usr/bin "$folder/root/bin"
  chmod 1777 "$folder/root/tmp" "$folder/root/var/tmp"
  for applet in $("$folder/root/bin/busybox" --list); do
    [[ -e $folder/root/bin/$applet ]] || ln -s busybox "$folder/root/bin/$applet"
  done
  mkdir -p "$folder/root/usr/bin"
  [[ -e $folder/root/usr/bin/env ]] || ln -s ../../bin/env "$folder/root/usr/bin/env"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$folder/root/etc/passwd"
  echo 'root:x:0:' >"$folder/root/etc/group"
  tar -C "$folder/root" --owner=0 --group=0 --numeric-owner -c . |
    load_image "$image" "$arch" '{"Env":["PATH=/bin:/usr/bin"],"Cmd":["/bin/sh"],"Labels":{"slipway.recipe":"'"$key"'"}}'
  rm -rf "$folder"
}

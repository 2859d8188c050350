# shellcheck shell=bash
# The smallest image that a job can run in: busybox and nothing else. It has sh, but neither bash nor git nor Debian.

want_busybox_image() {
  local arch=$1 image=slipway/busybox:$1 key
  key=$(printf '%s\n' "$(debian_release)" "$arch" | cat - scripts/lib/busybox-image.sh | sha256sum | cut -c 1-16)
  image_has_recipe "$image" "$key" && return
  need_root "make $image"
  step "make $image" make_busybox_image "$arch" "$image" "$key"
}

make_busybox_image() {
  local arch=$1 image=$2 key=$3 folder sources
  folder=$(mktemp -d)
  mapfile -t sources < <(debian_sources "$arch")
  as_root mmdebstrap --mode=root --variant=extract --architectures="$arch" \
    --include=busybox-static "$(debian_release)" - "${sources[@]}" >"$folder/unpacked.tar"
  mkdir -p "$folder"/root/{bin,etc,home,tmp,usr/bin,var/tmp}
  tar -x -O -f "$folder/unpacked.tar" --wildcards '*bin/busybox' >"$folder/root/bin/busybox"
  chmod 0755 "$folder/root/bin/busybox"
  chmod 1777 "$folder/root/tmp" "$folder/root/var/tmp"
  local applet
  for applet in $("$folder/root/bin/busybox" --list); do
    [[ $applet == busybox ]] || ln -s busybox "$folder/root/bin/$applet"
  done
  ln -s ../../bin/env "$folder/root/usr/bin/env"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$folder/root/etc/passwd"
  echo 'root:x:0:' >"$folder/root/etc/group"
  tar -C "$folder/root" --owner=0 --group=0 --numeric-owner -c . |
    load_image "$image" "$arch" '{"Env":["PATH=/bin:/usr/bin"],"Cmd":["/bin/sh"],"Labels":{"slipway.recipe":"'"$key"'"}}'
  rm -rf "$folder"
}

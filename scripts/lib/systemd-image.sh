# shellcheck shell=bash
# A machine with systemd as its first process, as a container: where the tests install the packages.

want_systemd_image() {
  local arch image=slipway/systemd:test key
  arch=$(dpkg --print-architecture)
  key=$(printf '%s\n' "$(debian_release)" "$arch" | cat - scripts/lib/systemd-image.sh | sha256sum | cut -c 1-16)
  image_has_recipe "$image" "$key" && return
  need_root "make $image"
  step "make $image" make_systemd_image "$arch" "$image" "$key"
}

make_systemd_image() {
  local arch=$1 image=$2 key=$3 sources
  mapfile -t sources < <(debian_sources "$arch")
  as_root mmdebstrap --mode=root --variant=minbase --architectures="$arch" \
    --include=systemd,systemd-sysv,dbus,polkitd,git,ca-certificates,procps \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
    "$(debian_release)" - "${sources[@]}" |
    load_image "$image" "$arch" '{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","container=docker"],
      "Cmd":["/sbin/init"],"StopSignal":"SIGRTMIN+3","Labels":{"slipway.recipe":"'"$key"'"}}'
}

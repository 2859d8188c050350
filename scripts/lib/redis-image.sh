# shellcheck shell=bash
# Redis as a service container for the tests, from this machine's own packages. It has no health check of its own: the
# workflow asks for one, as real ones do.

want_redis_image() {
  local arch image=slipway/redis:test key
  arch=$(dpkg --print-architecture)
  key=$(printf '%s\n' "$(debian_release)" "$arch" | cat - scripts/lib/redis-image.sh | sha256sum | cut -c 1-16)
  image_has_recipe "$image" "$key" && return
  need_root "make $image"
  step "make $image" make_redis_image "$arch" "$image" "$key"
}

make_redis_image() {
  local arch=$1 image=$2 key=$3 sources
  mapfile -t sources < <(debian_sources "$arch")
  as_root mmdebstrap --mode=root --variant=essential --architectures="$arch" \
    --include=redis-server "$(debian_release)" - "${sources[@]}" |
    load_image "$image" "$arch" '{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      "Entrypoint":["redis-server","--bind","0.0.0.0","--protected-mode","no","--save",""],
      "ExposedPorts":{"6379/tcp":{}},"Labels":{"slipway.recipe":"'"$key"'"}}'
}

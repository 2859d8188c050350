# shellcheck shell=bash
# slipway/runner: where jobs without `container:` run, slim or full (docs/RUNNER_IMAGES.md).
# shellcheck disable=SC2016 # The hooks in single quotes are expanded by mmdebstrap: "$1" is the image's root folder.

# What Slipway's own actions and most steps use.
RUNNER_SLIM_PACKAGES=(bash ca-certificates curl file git gzip jq less openssh-client procps python3 sudo tar unzip wget xz-utils zip zstd)

# What workflows find on ubuntu-latest and take for granted, as far as the distribution has it and it is not large for what it is.
# dpkg sets up several hundred packages for it, of which npm alone brings three hundred.
RUNNER_FULL_PACKAGES=(
  # compilers and what builds with them
  autoconf automake bison build-essential clang cmake fakeroot flex libtool m4 make ninja-build patch patchelf pkg-config
  libffi-dev libsqlite3-dev libssl-dev libyaml-dev zlib1g-dev
  # languages
  nodejs npm pipx python-is-python3 python3-dev python3-pip python3-venv
  # sources and releases
  gh git-lfs gnupg lsb-release shellcheck
  # archives and files
  acl brotli bzip2 lz4 p7zip-full pigz rsync sqlite3 tree
  # the machine and its network
  bind9-dnsutils gettext-base iproute2 iputils-ping locales net-tools netcat-openbsd parallel time tzdata
)

RUNNER_CONFIG='{
  "User": "runner",
  "WorkingDir": "/home/runner",
  "Cmd": ["/bin/bash"],
  "Env": [
    "PATH=%s/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "RUNNER_TOOL_CACHE=/opt/hostedtoolcache"
  ],
  "Labels": { "slipway.recipe": "%s" }
}'

# want_runner_image IMAGE ARCH SLIM, where SLIM is true or false
want_runner_image() {
  local image=$1 arch=$2 slim=$3 packages=("${RUNNER_SLIM_PACKAGES[@]}") hooks=() recipe=() own_path='' release key
  runner_hooks "$slim"
  if [[ $slim == false ]]; then
    packages+=("${RUNNER_FULL_PACKAGES[@]}")
    # Where pip, pipx and npm put programs for their user.
    own_path=/home/runner/.local/bin:
  fi
  recipe=(--mode=root --variant=minbase --architectures="$arch" --include="$(IFS=, && echo "${packages[*]}")"
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*'
    --dpkgopt=force-unsafe-io --aptopt='APT::Install-Recommends "false"' "${hooks[@]}")
  release=$(debian_release)
  # One recipe, one image: the key covers everything that decides what is inside.
  key=$(printf '%s\n' "$release" "${recipe[@]}" "$RUNNER_CONFIG" "$own_path" | sha256sum | cut -c 1-16)
  if image_has_recipe "$image" "$key"; then
    say "✓ $image is there"
    return
  fi
  [[ $arch != arm64 ]] || want_arm64_emulation
  need_root "make $image"
  # shellcheck disable=SC2059 # The format is the constant above.
  step "make $image from $release's packages" make_runner_image "$image" "$arch" "$release" \
    "$(printf "$RUNNER_CONFIG" "$own_path" "$key")"
}

# Fills the caller's `hooks`: what is done to the image after its packages are set up.
runner_hooks() {
  local hook chosen=(
    'chroot "$1" useradd --uid 1001 --create-home --shell /bin/bash runner'
    'echo "runner ALL=(ALL) NOPASSWD:ALL" >"$1/etc/sudoers.d/runner" && chmod 0440 "$1/etc/sudoers.d/runner"'
    'chroot "$1" install -d -o runner -g runner /opt/hostedtoolcache /home/runner/work'
    # Packages that set up links there (Java, PostgreSQL) fail to install without these folders.
    'for section in 1 2 3 4 5 6 7 8; do mkdir -p "$1/usr/share/man/man$section"; done'
  )
  [[ $1 == true ]] || chosen+=(
    'chroot "$1" groupadd --system docker && chroot "$1" usermod --append --groups docker runner'
    # The client alone: the package has an engine and its parts besides, which is six times as much. Newer releases keep the client apart.
    'chroot "$1" sh -ec "cd /tmp; apt-get download docker-cli || apt-get download docker.io; dpkg-deb --fsys-tarfile docker*.deb | tar -x -C / ./usr/bin/docker; rm docker*.deb"'
    'echo "en_US.UTF-8 UTF-8" >"$1/etc/locale.gen" && chroot "$1" locale-gen'
    # As on GitHub: steps say `apt-get install` without -y, and get what a package recommends; git takes folders of others.
    'rm "$1/etc/apt/apt.conf.d/99mmdebstrap" && echo "APT::Get::Assume-Yes \"true\";" >"$1/etc/apt/apt.conf.d/90assumeyes"'
    'echo "debconf debconf/frontend select Noninteractive" | chroot "$1" debconf-set-selections'
    'chroot "$1" git config --system safe.directory "*"'
    # git-lfs writes its part in another order each time.
    'chroot "$1" sh -ec "git config --system --list | sort >/tmp/settings; rm /etc/gitconfig; while IFS== read -r name value; do git config --system \"\$name\" \"\$value\"; done </tmp/settings; rm /tmp/settings"'
  )
  # This machine's, copied by mmdebstrap; an engine puts its own there.
  chosen+=('rm -f "$1/etc/hostname" "$1/etc/resolv.conf"')
  for hook in "${chosen[@]}"; do hooks+=(--customize-hook="$hook"); done
}

# make_runner_image IMAGE ARCH RELEASE CONFIG, with the caller's `recipe`
make_runner_image() {
  local image=$1 arch=$2 release=$3 config=$4 sources SOURCE_DATE_EPOCH
  mapfile -t sources < <(debian_sources "$arch")
  ((${#sources[@]} > 0)) || die "apt has no source for $release: run apt-get update"
  # Made twice on one day from the same packages, it is the same to the byte.
  SOURCE_DATE_EPOCH=$(date -u -d 00:00 +%s)
  as_root env SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" mmdebstrap "${recipe[@]}" "$release" - "${sources[@]}" |
    load_image "$image" "$arch" "$config"
}

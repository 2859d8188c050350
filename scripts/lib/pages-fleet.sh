# shellcheck shell=bash
# A fleet of its own with real runs, for whoever looks at its pages: pictures and ratings. Nothing of it stays.

PAGES_HTTP=127.0.0.1:18181
PAGES_GRPC=127.0.0.1:18182
PAGES_START_LIMIT_S=60

# start_pages_fleet ARGUMENT...: sets `slipway`, `folder`, `packages`, `run` (it failed) and `job` (of it), `going` (a run that goes on until
# end_pages_fleet), SLIPWAY_SERVER and SLIPWAY_TOKEN.
start_pages_fleet() {
  local target checkout tenths last
  want_build_dependencies "$@"
  want_chromium
  command -v npm >/dev/null || want_packages nodejs npm
  # All of them with the tests, as for the end-to-end tests: one package alone is built with other features, and anew.
  cargo build --quiet --workspace --bins --tests
  scripts/runner-image.sh --slim
  target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  packages=$target/browser-packages-1
  want_browser_packages "$packages"
  slipway=$target/debug/slipway

  folder=$(mktemp -d)
  pages_pid=
  trap tidy_up_pages_fleet EXIT
  # The repository is known, so that its workflows can be started on a page; its environments ask for something.
  cat >"$folder/slipway.toml" <<CONFIGURATION
[[repository]]
name = "local/shapes"
clone_url = "file://$folder/shapes"

[[environment]]
name = "production"
repository = "local/shapes"
reviewers = ["alice", "bob"]
prevent_self_review = true
one_at_a_time = true
branches = ["main", "release/*"]

[[environment]]
name = "staging"
wait_minutes = 10
CONFIGURATION
  : >"$folder/log"
  "$slipway" --config "$folder/slipway.toml" up --data-dir "$folder/data" --http "$PAGES_HTTP" --grpc "$PAGES_GRPC" --image ubuntu-latest=slipway/runner:slim >"$folder/log" 2>&1 &
  pages_pid=$!
  for ((tenths = 0; tenths < PAGES_START_LIMIT_S * 10; tenths++)); do
    ! grep -q '^ready ' "$folder/log" || break
    sleep 0.1
  done
  SLIPWAY_TOKEN=$(<"$folder/data/admin.token")
  export SLIPWAY_TOKEN SLIPWAY_SERVER=http://$PAGES_HTTP

  checkout=$folder/shapes
  mkdir -p "$checkout/.github/workflows"
  cp examples/pages/*.yml "$checkout/.github/workflows/"
  git init --quiet --initial-branch=main "$checkout"
  git -C "$checkout" config user.name ada
  git -C "$checkout" config user.email ada@example.com
  git -C "$checkout" add --all
  git -C "$checkout" commit --quiet --message "Round sums towards zero"

  # A part of it that fails, so that its tests have a past; one that succeeds; all of it, which fails, for that is what there is to see;
  # and one that goes on.
  run_pages_workflow "$checkout" .github/workflows/ci.yml --job test || true
  run_pages_workflow "$checkout" .github/workflows/ci.yml --job docs
  run_pages_workflow "$checkout" .github/workflows/ci.yml || true
  run=$(newest_pages_run)
  job=$("$slipway" show "$run" --json | grep -o '"instance_id":"[^"]*","job":"test"' | cut -d'"' -f4)
  [[ -n $run && -n $job ]] || die "the run is not listed; see $folder/log"
  release_for_pages 1.3.0 --comment "it ran on staging for a day"
  release_for_pages 1.3.1 --reject --comment "its notes do not say what changes"
  release_for_pages 1.4.0
  keep_for_pages
  last=$(newest_pages_run)
  run_pages_workflow "$checkout" .github/workflows/soak.yml &
  pages_watcher=$!
  for ((tenths = 0; tenths < PAGES_START_LIMIT_S * 10; tenths++)); do
    going=$(newest_pages_run)
    [[ $going == "$last" ]] || return 0
    sleep 0.1
  done
  die "the run that goes on was not begun; see $folder/log"
}

newest_pages_run() { "$slipway" runs --json | grep -o '"run_id":"[^"]*"' | head -n 1 | cut -d'"' -f4; }

# run_pages_workflow FOLDER ARGUMENT...
run_pages_workflow() { (cd "$1" && "$slipway" run "${@:2}" >/dev/null 2>&1); }

# release_for_pages VERSION [FLAG...]: starts a release, which waits for approval; with flags alice decides so about it.
release_for_pages() {
  local release tenths
  release=$("$slipway" dispatch release --ref main --input "version=$1" --json | sed -n 's/.*"run":"\([^"]*\)".*/\1/p')
  for ((tenths = 0; tenths < PAGES_START_LIMIT_S * 10; tenths++)); do
    ! "$slipway" show "$release" | grep -q 'waits for approval' || break
    sleep 0.1
  done
  [[ $# -eq 1 ]] || "$slipway" approve "$release" production --actor alice "${@:2}" >/dev/null
}

# Tokens, secrets and variables for the pages of settings.
keep_for_pages() {
  "$slipway" tokens make alice --role approver >/dev/null
  "$slipway" tokens make dashboard --role viewer >/dev/null
  "$slipway" agents token --label gpu >/dev/null
  echo "not a real key" | "$slipway" secrets set DEPLOY_KEY --repository local/shapes --environment production >/dev/null
  echo "not a real token" | "$slipway" secrets set REGISTRY_TOKEN >/dev/null
  "$slipway" variables set REGION eu-1 >/dev/null
  "$slipway" variables set REGION us-1 --repository local/shapes --environment production >/dev/null
}

end_pages_fleet() {
  "$slipway" cancel "$going" >/dev/null
  wait "$pages_watcher" || true
}

tidy_up_pages_fleet() {
  if [[ -n $pages_pid ]]; then
    kill -TERM "$pages_pid" 2>/dev/null || true
    wait "$pages_pid" || true
  fi
  rm -rf "$folder"
}

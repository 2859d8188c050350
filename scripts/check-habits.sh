#!/usr/bin/env bash
# The habits of CONTRIBUTING.md that a machine can check, with nothing but bash, git-free and compiler-free.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

LONGEST_FILE_LINES=500
failed=0
complain() {
  printf '%s\n' "$*" >&2
  failed=1
}

mapfile -t sources < <(find . -name '*.rs' -not -path './target/*' -not -path './.slipway/*' | sort)
((${#sources[@]} > 0)) || complain "no Rust file was found"

for file in "${sources[@]}"; do
  lines=$(wc -l <"$file")
  ((lines <= LONGEST_FILE_LINES)) || complain "$file: $lines lines; one that passes $LONGEST_FILE_LINES wants to be two files"
  case $file in
  */lib.rs | */main.rs | */mod.rs | ./*/build.rs)
    head -n 5 "$file" | grep -q '^//!' || complain "$file: opens without a //! line that says what it is for"
    ;;
  esac
  case ${file##*/} in
  utils.rs | helpers.rs | manager.rs | common.rs | misc.rs) complain "$file: the name does not say what is inside" ;;
  esac
done

unfinished=$(grep -nE 'todo!\(|unimplemented!\(|\b(TO''DO|FIX''ME|XX''X)\b|#\[ignore' "${sources[@]}" |
  grep -vE '#\[ignore = "needs [^"]+: scripts/[^"]+"\]' || true)
[[ -z $unfinished ]] || complain "unfinished:"$'\n'"$unfinished"

# A client of reqwest without a TLS configuration of its own panics: no provider of cryptography is installed for the process.
for file in $(grep -lE 'reqwest::(Client::(new|builder|default)|ClientBuilder::new|get)\(' "${sources[@]}" || true); do
  grep -q 'tls_backend_preconfigured' "$file" ||
    complain "$file: makes an HTTP client without tls_backend_preconfigured, which panics; tests take slipway_tests::http_client"
done

for script in scripts/*.sh scripts/lib/*.sh .ci/run; do
  bash -n "$script" || complain "$script: does not parse"
done

((failed == 0)) || exit 1
echo "the habits are kept"

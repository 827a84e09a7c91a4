#!/usr/bin/env bash
# usage: install_test.sh BUILD_DIRECTORY
# Installs a build, moves the installation (nothing in it may know where it was), builds a user's
# project against it and margins the demonstration book with that.
set -euo pipefail
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=$source/../../configs/demo/run.toml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "install_test: $*" >&2
  exit 1
}

cmake --install "$build" --prefix "$work/staged" >/dev/null
mv "$work/staged" "$work/installed"
grep -rlF -e "$build" -e "$work/staged" --include='*.cmake' "$work/installed" &&
  fail "the files above name the build folder or the first place of the installation"
[[ -x $work/installed/bin/shortfall ]] || fail "no program bin/shortfall"

cmake -S "$source" -B "$work/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$work/installed"
cmake --build "$work/consumer"
"$work/consumer/consumer" "$config" >"$work/output"

# One line per account, in the order of positions.csv: its name and its margin.
accounts=$(tail -n +2 "$(dirname "$config")/positions.csv" | cut -d, -f1 | awk '!seen[$0]++')
diff <(echo "$accounts") <(cut -d' ' -f1 "$work/output") ||
  fail "not the accounts of positions.csv, in order"
awk '$2 > 0 { positive = 1 } END { exit !positive }' "$work/output" ||
  fail "no account has a margin"
echo "install_test: a program built on the installation margined $(wc -l <"$work/output") accounts"

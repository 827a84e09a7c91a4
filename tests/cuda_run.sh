#!/usr/bin/env bash
# usage: cuda_run.sh BUILD_DIRECTORY build CUDA_ROOT
#        cuda_run.sh BUILD_DIRECTORY emulated COMMAND [ARGUMENT...]
#        cuda_run.sh BUILD_DIRECTORY gpu COMMAND [ARGUMENT...]
# Builds the PTX emulator of the shared folder in BUILD_DIRECTORY/ptxemu; runs a command whose CUDA
# calls go to it, with its checks on; or runs a command where there is a GPU. The emulator's
# variables (PTXEMU_CC, PTXEMU_DEVICES, ...) are passed on.
# Exit status: the command's; 1 where it ran no test; 77 where one was skipped, and a line says why.
set -euo pipefail
build=$(cd "$1" && pwd) mode=$2
shift 2
readonly emulator=$build/ptxemu

skip() {
  echo "skipped: $*"
  exit 77
}

build_emulator() {
  local sources=${SHORTFALL_SHARED-}/tools/ptxemu tool
  [[ -n ${SHORTFALL_SHARED-} ]] || skip "SHORTFALL_SHARED is not set, so there is no PTX emulator"
  [[ -d $sources ]] || skip "SHORTFALL_SHARED has no PTX emulator (tools/ptxemu)"
  for tool in g++ make; do
    command -v "$tool" >/dev/null || skip "$tool, which builds the PTX emulator, is not installed"
  done
  make --silent -j 2 -C "$sources" OUT="$emulator" CUDA="$1"
}

# emulate COMMAND...: with the runtime and cuBLAS of the emulator before those of the toolkit.
emulate() {
  export LD_LIBRARY_PATH=$emulator${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  [[ -e $emulator/libcudart.so ]] || skip "the PTX emulator was not built"
  [[ $(ldd "$build/shortfall") == *"$emulator/libcudart.so"* ]] ||
    skip "the PTX emulator does not stand in for the CUDA runtime of this build"
  export PTXEMU_CHECK=${PTXEMU_CHECK-race,init} PTXEMU_STRICT=${PTXEMU_STRICT-1}
  # Copies that the emulator runs late are never freed by it: no leak of ours.
  [[ -z ${PTXEMU_ASYNC-} ]] || export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
  # Tests run side by side.
  export PTXEMU_THREADS=${PTXEMU_THREADS-1}
  run_counted "$@"
}

# run_counted COMMAND...: GoogleTest calls a run without tests, or with skipped ones, a success.
run_counted() {
  local log
  log=$(mktemp)
  trap "rm -f '$log'" EXIT
  "$@" 2>&1 | tee "$log"
  if grep -q '^\[=*\] Running 0 tests' "$log"; then
    echo "cuda_run: no test has such a name" >&2
    exit 1
  fi
  ! grep -q '^\[  SKIPPED \]' "$log" || exit 77
}

case $mode in
  build) build_emulator "$1" ;;
  emulated) emulate "$@" ;;
  gpu)
    [[ -e /dev/nvidiactl || -e /dev/dxg ]] || skip "no GPU"
    run_counted "$@"
    ;;
  *) exit 2 ;;
esac

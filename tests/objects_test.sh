#!/usr/bin/env bash
# usage: objects_test.sh ENTRY_PATTERN GENERIC.o AVX2.o AVX512.o
# Checks the objects of the loops that are compiled once per instruction set:
# - They define no global symbol but functions whose demangled name matches ENTRY_PATTERN (an
#   extended regular expression), and none that is weak: the linker would merge an AVX-512
#   instantiation of it into the generic path.
# - They need nothing but the few functions that a compiler calls by itself. So nothing of libm,
#   whose results depend on the processor.
# - Generic has no VEX or EVEX instruction; AVX2 has ymm and fma; AVX-512 has zmm.
set -euo pipefail
export LC_ALL=C
if (($# != 4)); then
  sed -n '2s/^# //p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
entry_pattern=$1 generic=$2 avx2=$3 avx512=$4
readonly allowed='^(memcpy|memmove|memset|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_)$'
# Encoded with VEX or EVEX though not named v…: mask registers, and BMI1 and BMI2.
readonly vex='^(v.*|k(add|and|andn|mov|not|or|ortest|shift[lr]|test|unpck|xnor|xor)[bwdq]+'
readonly bmi='|andn|bextr|bls(i|msk|r)|bzhi|mulx|pdep|pext|rorx|s(ar|hl|hr)x)[lq]?$'
failure_count=0

# fail_if_any OBJECT WHAT OFFENDERS
fail_if_any() {
  [[ -n $3 ]] || return 0
  echo "$1: $2:" >&2
  head -n 20 <<<"$3" | sed 's/^/    /' >&2
  failure_count=$((failure_count + 1))
}

# symbols OBJECT CLASSES: the demangled symbols of these classes of nm, a bracket expression.
symbols() { nm -P "$1" | awk -v classes="^$2\$" '$2 ~ classes { print $1 }' | c++filt; }

instructions() { objdump -d --no-show-raw-insn "$1" | awk -F'\t' 'NF > 1 { print $2 }'; }

# expect_instruction OBJECT PATTERN
expect_instruction() {
  [[ $(instructions "$1" | grep -cE "$2") -gt 0 ]] || fail_if_any "$1" "no such instruction" "$2"
}

for object in "$generic" "$avx2" "$avx512"; do
  fail_if_any "$object" "weak symbols" "$(symbols "$object" '[WwVvu]')"
  fail_if_any "$object" "global symbols that are no functions" "$(symbols "$object" '[A-SX-Z]')"
  fail_if_any "$object" "functions that are not entry points ($entry_pattern)" \
    "$(symbols "$object" '[T]' | grep -vE -e "$entry_pattern")"
  fail_if_any "$object" "needed from outside" "$(symbols "$object" '[U]' | grep -vE "$allowed")"
  [[ $(symbols "$object" '[T]' | grep -cE -e "$entry_pattern") -gt 0 ]] ||
    fail_if_any "$object" "no entry point" "$entry_pattern"
done

fail_if_any "$generic" "AVX registers in baseline code" \
  "$(instructions "$generic" | grep -E '%[yz]mm|%k[0-7]')"
fail_if_any "$generic" "VEX or EVEX instructions in baseline code" \
  "$(instructions "$generic" | awk '{ print $1 }' | sort -u | grep -E "$vex$bmi")"
expect_instruction "$avx2" '^vfn?m(add|sub)[0-9]+ps .*%ymm'
expect_instruction "$avx512" '^vfn?m(add|sub)[0-9]+ps .*%zmm'

((failure_count == 0)) || exit 1
echo "objects_test: 3 objects hold the contract"

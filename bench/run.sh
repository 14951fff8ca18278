#!/usr/bin/env bash
# Measures the goals of goals.txt and prints one table. From nothing: installs what a Debian lacks, builds one tree per
# instruction set that this machine has, runs every family in each.
#
#   bench/run.sh [--filter TEXT] [--json FILE] [--quick] [--all] [--arch "ARCH..."]
#
#   --filter TEXT    only rows with TEXT in "path against", e.g. softmax_ce, /v4, or "memcpy"
#   --json FILE      the rows that have a goal, as an array of {"path", "against", "ratio", "goal", "sense"}
#   --quick          a brief run with rougher ratios, on this machine's best instruction set only
#   --all            also the cases that have no goal
#   --arch "ARCH..." of baseline, x86-64-v3, x86-64-v4, instead of all that this machine has
#
# LibTorch, oneDNN and OpenBLAS are compared with where they are installed. Nothing is gained by running anything beside
# it: the ratios are paired, but what another program does to the caches stays.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/debian.sh

flags=$(grep -m1 '^flags' /proc/cpuinfo || true)
has() { for flag in "$@"; do [[ " $flags " == *" $flag "* ]] || return 1; done; }
arches=(baseline)
if has avx2 fma bmi2; then arches+=(x86-64-v3); fi
if has avx2 fma bmi2 avx512f avx512vl avx512bw avx512dq avx512cd; then arches+=(x86-64-v4); fi

options=() filter="" json="" quick=""
while [ $# -gt 0 ]; do
  case $1 in
    --filter) filter=$2; options+=("--filter=$2"); shift ;;
    --json) json=$2; shift ;;
    --quick) quick=yes; options+=(--quick); arches=("${arches[-1]}") ;;
    --all) options+=(--all) ;;
    --arch) read -ra arches <<<"$2"; shift ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
  esac
  shift
done

need ca-certificates cmake g++ make libeigen3-dev libbenchmark-dev
need libtorch-dev libdnnl-dev libopenblas-dev || echo "The peers that are missing are left out." >&2

for arch in "${arches[@]}"; do
  release="-O3 -DNDEBUG"
  if [ "$arch" = baseline ]; then release="-O2 -DNDEBUG"; fi
  cmake -S . -B "build/bench/$arch" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=$release" \
    "-DBALLAST_ARCH=$arch" -DBALLAST_BUILD_BENCH=ON -DBALLAST_BUILD_TESTS=OFF -DBALLAST_BUILD_EXAMPLES=OFF >/dev/null
  cmake --build "build/bench/$arch" --parallel "$(cores)" | { grep -E 'Building|warning|error' || true; } >&2
done

rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
status=0
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
header=
for arch in "${arches[@]}"; do
  for program in "build/bench/$arch/bench/"*_bench; do
    ATEN_CPU_CAPABILITY=avx2 "$program" $header "--json=$rows" "${options[@]}" || status=1
    header=--no-header
    if [ "$arch" = x86-64-v4 ]; then
      ATEN_CPU_CAPABILITY=avx512 "$program" --no-header "--json=$rows" "${options[@]}" --against=libtorch_avx512 \
        || status=1
    fi
  done
done

awk -v total="$(awk '!/^#/ && NF && $4 != "-"' bench/goals.txt | wc -l)" -v part="$filter$quick" '
  { split($0, field, /"(ratio|goal)": /); ratio = field[2] + 0; goal = field[3] + 0
    if ($0 ~ /">="/ ? ratio >= goal : ratio <= goal) ++met }
  END { printf "%d of %d measured goals met", met, NR
        if (part == "") printf "; %d of %d not measured (instruction set or peer not here)", total - NR, total
        print "" }' "$rows"
if [ -n "$json" ]; then { echo "["; sed '$!s/$/,/' "$rows"; echo "]"; } >"$json"; fi
exit $status

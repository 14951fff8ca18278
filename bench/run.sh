#!/usr/bin/env bash
# Measures the goals of goals.txt and prints one table. From nothing: installs what a Debian lacks, builds one tree per
# instruction set that this machine has, runs every family that has goals there.
#
#   bench/run.sh [--filter TEXT] [--json FILE] [--report FILE] [--quick] [--all] [--arch "ARCH..."]
#
#   --filter TEXT      only rows with TEXT in "path against": softmax_ce, in_place/v4, memcpy
#   --json FILE        the rows that have a goal, as an array of {"path", "against", "ratio", "goal", "sense"}
#   --report FILE      the table as Markdown, with machine, compiler and date
#   --quick            a brief run with rougher ratios, on this machine's best instruction set only
#   --all              also the cases that have no goal
#   --arch "ARCH..."   of baseline, x86-64-v3, x86-64-v4, instead of all that this machine has
#
# LibTorch, oneDNN and OpenBLAS are compared with where they are installed. Leave the machine alone meanwhile: pairs
# cancel what drifts, not what another program does to the caches.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/debian.sh

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' bench/run.sh; }

flags=$(grep -m1 '^flags' /proc/cpuinfo || true)
has() { for flag in "$@"; do [[ " $flags " == *" $flag "* ]] || return 1; done; }
arches=(baseline)
if has avx2 fma bmi2; then arches+=(x86-64-v3); fi
if has avx2 fma bmi2 avx512f avx512vl avx512bw avx512dq avx512cd; then arches+=(x86-64-v4); fi

machine="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(cores) cores"

filter="" json="" report="" quick="" all=""
while [ $# -gt 0 ]; do
  case $1 in
    --filter) filter=$2; shift ;;
    --json) json=$2; shift ;;
    --report) report=$2; shift ;;
    --quick) quick=--quick; arches=("${arches[-1]}") ;;
    --all) all=--all ;;
    --arch) read -ra arches <<<"$2"; shift ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

# programs ARCH: those with a kernel that has goals there; a kernel's source is the one that names it.
programs() {
  if [ -n "$all" ]; then
    basename -s .cpp bench/*_bench.cpp
    return
  fi
  awk -v arch="/${1#x86-64-}" -v filter="$filter" '
    /^[^#]/ && index($1 " ", arch " ") && index($1 " " $2, filter) { split($1, part, "/"); print "\"" part[1] "\"" }
  ' bench/goals.txt | sort -u | xargs -r -I{} grep -l {} bench/*_bench.cpp | sort -u | xargs -r basename -s .cpp
}

need ca-certificates cmake g++ make libeigen3-dev libbenchmark-dev
need libtorch-dev libdnnl-dev libopenblas-dev || echo "The peers that are missing are left out." >&2

for arch in "${arches[@]}"; do
  mapfile -t targets < <(programs "$arch")
  [ ${#targets[@]} -gt 0 ] || continue
  release="-O3 -DNDEBUG"
  if [ "$arch" = baseline ]; then release="-O2 -DNDEBUG"; fi
  cmake -S . -B "build/bench/$arch" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=$release" \
    "-DBALLAST_ARCH=$arch" -DBALLAST_BUILD_BENCH=ON -DBALLAST_BUILD_TESTS=OFF -DBALLAST_BUILD_EXAMPLES=OFF >/dev/null
  cmake --build "build/bench/$arch" --parallel "$(cores)" --target "${targets[@]}" \
    | { grep --line-buffered -E 'Building|warning|error' || true; } >&2
done

rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
status=0
header=""
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
run() { "$@" $header $quick $all "--rows=$rows" "--filter=$filter" || status=1; header=--no-header; }
for arch in "${arches[@]}"; do
  for target in $(programs "$arch"); do
    program=build/bench/$arch/bench/$target
    ATEN_CPU_CAPABILITY=avx2 run "$program"
    if [ "$arch" = x86-64-v4 ]; then ATEN_CPU_CAPABILITY=avx512 run "$program" --against=libtorch_avx512; fi
  done
done

met='($5 == ">=" ? $4 >= $6 + 0 : $4 <= $6 + 0)'
summary=$(awk -F'\t' '$6 != "-" { ++all; good += '"$met"' } END { printf "%d of %d measured goals met", good, all }' "$rows")
echo "$summary"

if [ -n "$json" ]; then
  awk -F'\t' '
    BEGIN { print "["; row = "{\"path\": \"%s\", \"against\": \"%s\", \"ratio\": %s, \"goal\": %s, \"sense\": \"%s\"}" }
    $6 != "-" { printf "%s" row, separator, $1, $2, $4, $6, $5; separator = ",\n" }
    END { print "\n]" }' "$rows" >"$json"
fi

if [ -n "$report" ]; then
  {
    echo "# Benchmarks of ballast"
    echo
    echo "$(date +%F), $machine, $("${CXX:-c++}" --version | head -1). One thread. $summary."
    echo
    echo "For \`>=\` the ratio is the other's time over ours, for \`<=\` ours over the other's."
    echo
    echo "| path | ours | against | ratio | goal | met |"
    echo "|---|---|---|---|---|---|"
    awk -F'\t' '{ time = sprintf($3 >= 1e-3 ? "%.4g ms" : "%.4g us", $3 * ($3 >= 1e-3 ? 1e3 : 1e6))
                  printf "| %s | %s | %s | %.2f | %s | %s |\n", $1, time, $2, $4,
                         $6 == "-" ? "-" : $5 " " $6, $6 == "-" ? "-" : '"$met"' ? "yes" : "no" }' "$rows"
  } >"$report"
fi
exit $status

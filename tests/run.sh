#!/usr/bin/env bash
# From nothing to passed tests: installs what a Debian lacks, builds, runs every test.
#
#   tests/run.sh                                     g++ or $CXX, Release, in build/tests
#   tests/run.sh BUILD_FOLDER [CMake option...]      another build
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/debian.sh

need ca-certificates cmake g++ make libeigen3-dev catch2 zlib1g-dev
build=${1:-build/tests}
shift || true
# -O2, not CMake's -O3: compiling is most of a run.
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG" "$@"
cmake --build "$build" --parallel "$(cores)"
ctest --test-dir "$build" --output-on-failure --parallel "$(cores)"

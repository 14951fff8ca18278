#!/usr/bin/env bash
# From nothing to passed tests: installs what a Debian lacks, builds, runs every test.
#
#   tests/run.sh                                     g++ or $CXX, Release, in build/tests
#   tests/run.sh BUILD_FOLDER [CMake option...]      another build
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/debian.sh

need ca-certificates cmake g++ make libeigen3-dev catch2
build=${1:-build/tests}
shift || true
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DBALLAST_BUILD_EXAMPLES=OFF "$@"
cmake --build "$build" --parallel "$(cores)"
ctest --test-dir "$build" --output-on-failure --parallel "$(cores)"

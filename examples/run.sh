#!/usr/bin/env bash
# From nothing to the examples' tables on real data: installs what a Debian lacks, builds, runs.
# Arguments go to the main example, long_tailed_classification (examples/run.sh --seeds 2, for instance).
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/debian.sh

need ca-certificates cmake g++ make libeigen3-dev zlib1g-dev
cmake -S . -B build/examples -DCMAKE_BUILD_TYPE=Release -DBALLAST_BUILD_TESTS=OFF -DBALLAST_BUILD_EXAMPLES=ON
cmake --build build/examples --parallel "$(cores)"
build/examples/examples/long_tailed_classification "$@"
printf '\n'
build/examples/examples/imbalanced_regression --picture build/examples/imbalanced_regression.svg

#!/usr/bin/env bash
# Checks that the tree follows .clang-format (clang-format 14, Debian 12's; another version formats differently).
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/debian.sh

command -v clang-format-14 >/dev/null || need clang-format-14
git ls-files '*.hpp' '*.cpp' | xargs clang-format-14 --dry-run --Werror
echo "format: $(git ls-files '*.hpp' '*.cpp' | wc -l) files follow .clang-format"

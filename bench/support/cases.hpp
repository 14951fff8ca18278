// SPDX-License-Identifier: MIT
// What a family of benches registers. Its program gets its main from main.cpp.
#pragma once

#include <functional>
#include <string>

#include "support/paired.hpp"

namespace bench {

/// Registers ballast against one reference: a peer, a limit, or another of ballast's own kernels. The case is
/// named kernel/against/parameters; its row's path is kernel/parameters/instruction set, which with `against`
/// is the key into goals.txt. A case without a goal is registered under --all only.
///
/// @param make  sets the problem up; called when the case runs, and what it returns is dropped afterwards
void add(const std::string& kernel, const std::string& parameters, const std::string& against,
         std::function<Pair()> make);

/// The family's cases; defined by its source.
void register_cases();

}  // namespace bench

// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "arguments.hpp"

namespace example {

/// The two things that the smaller examples can be asked for.
struct RepeatOptions {
  int repeats;      ///< --trials or --seeds
  std::string svg;  ///< where the picture goes
  bool help = false;
};

/// Reads `--<repeat> N`, `--svg FILE` and `--help` over the defaults.
/// @throws InputError for anything else, or a number that is not whole and positive
inline RepeatOptions parse_repeat_options(int argc, const char* const* argv, const std::string& repeat,
                                          RepeatOptions options) {
  Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.option() == "--help") {
      options.help = true;
    } else if (arguments.option() == "--svg") {
      options.svg = arguments.value();
    } else if (arguments.option() == repeat) {
      options.repeats = arguments.positive();
    } else {
      arguments.reject();
    }
  }
  return options;
}

}  // namespace example

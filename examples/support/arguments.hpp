// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <string>
#include <system_error>

#include "dataset.hpp"

namespace example {

/// The two things that the smaller examples can be asked for.
struct Arguments {
  int repeats;      ///< --trials or --seeds
  std::string svg;  ///< where the picture goes
  bool help = false;
};

/// Reads `--<repeat> N`, `--svg FILE` and `--help`.
/// @throws InputError for anything else, or a number that is not whole and positive
inline Arguments parse_arguments(int argc, const char* const* argv, const std::string& repeat,
                                 Arguments arguments) {
  for (int at = 1; at < argc; ++at) {
    const std::string option = argv[at];
    if (option == "--help") {
      arguments.help = true;
      continue;
    }
    if (option != repeat && option != "--svg") {
      throw InputError("unknown option '" + option + "', expected " + repeat + " N, --svg FILE or --help");
    }
    if (at + 1 == argc) throw InputError(option + " needs a value");
    const std::string value = argv[++at];
    if (option == "--svg") {
      arguments.svg = value;
      continue;
    }
    const char* end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, arguments.repeats);
    if (parsed.ec != std::errc() || parsed.ptr != end || arguments.repeats < 1) {
      throw InputError(option + " is '" + value + "', expected a whole number from 1");
    }
  }
  return arguments;
}

}  // namespace example

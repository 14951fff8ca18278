// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "arguments.hpp"
#include "dataset.hpp"

namespace example {

/// What the command line asks for.
struct Options {
  std::string train, test;    ///< CSV files; both or neither
  std::string fashion_mnist;  ///< directory of the IDX files
  std::string csv;            ///< where the table goes as CSV
  int seeds = 5;
  std::optional<int> epochs;  ///< the data set's own protocol if not given
  bool help = false;
};

inline constexpr const char* usage = R"(usage: long_tailed_classification [options]

Trains one small network on long-tailed data in every way that the library knows and prints one table.
Without options: the letter data that comes with the examples.

  --train FILE --test FILE   comma-separated samples: an integer label from 0, then numbers
  --fashion-mnist DIR        the four IDX files, plain or gzip, made long-tailed (6000 down to 60 per class)
  --seeds N                  runs per row of the table (default 5)
  --epochs N                 epochs of the network's training (default 60; Fashion-MNIST 30)
  --csv FILE                 write the table there too
  --help                     print this
)";

/// @throws InputError for an unknown option, a missing or bad value, or options that contradict
inline Options parse_options(int argc, const char* const* argv) {
  Options options;
  Arguments arguments(argc, argv);
  while (arguments.next()) {
    const std::string& option = arguments.option();
    if (option == "--train")
      options.train = arguments.value();
    else if (option == "--test")
      options.test = arguments.value();
    else if (option == "--fashion-mnist")
      options.fashion_mnist = arguments.value();
    else if (option == "--csv")
      options.csv = arguments.value();
    else if (option == "--seeds")
      options.seeds = arguments.positive();
    else if (option == "--epochs")
      options.epochs = arguments.positive();
    else if (option == "--help")
      options.help = true;
    else
      arguments.reject();
  }
  require_both(options.train, options.test);
  if (!options.train.empty() && !options.fashion_mnist.empty()) {
    throw InputError("--fashion-mnist excludes --train and --test (see --help)");
  }
  return options;
}

}  // namespace example

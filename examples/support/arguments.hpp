// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <string>
#include <system_error>
#include <utility>

#include "dataset.hpp"

namespace example {

/// The words of a command line, one option after the other.
class Arguments {
 public:
  Arguments(int argc, const char* const* argv) : argc_(argc), argv_(argv) {}

  /// Goes to the next option; false at the end.
  bool next() {
    if (at_ >= argc_) return false;
    option_ = argv_[at_++];
    return true;
  }
  [[nodiscard]] const std::string& option() const { return option_; }

  /// The word after the option. @throws InputError if there is none
  std::string value() {
    if (at_ >= argc_) throw InputError(option_ + " needs a value (see --help)");
    return argv_[at_++];
  }
  /// The same as a whole number. @throws InputError if it is none, or below 1
  int positive() {
    const std::string text = value();
    const char* end = text.data() + text.size();
    int number = 0;
    const auto parsed = std::from_chars(text.data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end || number < 1) {
      throw InputError(option_ + " is '" + text + "', expected a whole number from 1 (see --help)");
    }
    return number;
  }
  [[noreturn]] void reject() const { throw InputError("unknown option '" + option_ + "' (see --help)"); }

 private:
  int argc_, at_ = 1;
  const char* const* argv_;
  std::string option_;
};

/// @throws InputError if only one of the two files is named
inline void require_both(const std::string& train, const std::string& test) {
  if (train.empty() != test.empty()) throw InputError("--train and --test go together (see --help)");
}

}  // namespace example

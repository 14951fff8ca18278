// SPDX-License-Identifier: MIT
#pragma once

#include <ctime>
#include <iostream>
#include <string>
#include <utility>

#include <ballast/core/types.hpp>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

namespace example {

/// One line on the terminal that is written over and over and goes away at the end; nothing when the error
/// stream is not a terminal.
class Progress {
 public:
  Progress() = default;
  ~Progress() { write(""); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// What goes on from here.
  void stage(std::string what) {
    stage_ = std::move(what);
    write(stage_);
  }
  void epoch(ballast::Index epoch, ballast::Index epochs) const {
    if (terminal_) write(stage_ + ", epoch " + std::to_string(epoch + 1) + " of " + std::to_string(epochs));
  }

 private:
  void write(const std::string& line) const {
    if (terminal_) std::cerr << "\r\033[K" << line << std::flush;
  }

  static bool error_stream_is_terminal() {
#if defined(_WIN32)
    return _isatty(2) != 0;
#else
    return isatty(STDERR_FILENO) != 0;
#endif
  }

  bool terminal_ = error_stream_is_terminal();
  std::string stage_;
};

/// Processor seconds since it was made: unlike the time on the wall, the same on a busy machine.
class Stopwatch {
 public:
  [[nodiscard]] double seconds() const { return static_cast<double>(std::clock() - start_) / CLOCKS_PER_SEC; }

 private:
  std::clock_t start_ = std::clock();
};

}  // namespace example

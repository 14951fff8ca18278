// SPDX-License-Identifier: MIT
// The measurement behind every row: two implementations in turn, so that what drifts hits both.
#pragma once

#include <time.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {

using Call = std::function<void()>;

/// One way to compute a kernel, over a problem that it keeps alive.
struct Implementation {
  Call call;
  /// Largest error of the output of the last call, in units of what is allowed; empty for a limit, which
  /// computes something else.
  std::function<double()> error = {};
};

struct Pair {
  Implementation ours;
  Implementation reference;
};

struct Effort {
  int rounds;
  double slice;  ///< seconds that each of the two runs per round
};
inline constexpr Effort thorough{25, 2e-3};
inline constexpr Effort brief{5, 1e-3};

/// Seconds this thread has run; what other threads and processes take of the core does not count.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Seconds per call over `repeats` calls.
inline double time_calls(const Call& call, int repeats) {
  const double begin = thread_seconds();
  for (int i = 0; i < repeats; ++i) {
    call();
    benchmark::ClobberMemory();
  }
  return (thread_seconds() - begin) / repeats;
}

/// How many calls fill a slice. Warms up on the way.
inline int calibrate(const Call& call, double slice) {
  int repeats = 1;
  double seconds = time_calls(call, repeats);
  while (seconds * repeats < slice / 4 && repeats < (1 << 24)) seconds = time_calls(call, repeats *= 2);
  return std::max(1, static_cast<int>(slice / seconds + 0.5));
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Throws unless the output is within its bound, NaN included.
inline void check(const Implementation& implementation, const char* which) {
  implementation.call();
  if (!implementation.error) return;
  const double error = implementation.error();
  if (!(error <= 1)) {
    throw std::runtime_error(std::string(which) + " is wrong: error is " + std::to_string(error) +
                             " times the bound");
  }
}

/// Each iteration of the case is a round: both run a slice, in alternating order. The time of the case is the
/// reference's; the counters hold our seconds per call and the median over rounds of reference / ours.
inline void run_paired(benchmark::State& state, const Pair& pair, double slice) {
  try {
    check(pair.reference, "the reference");
    check(pair.ours, "ballast");
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
    return;
  }
  const int our_calls = calibrate(pair.ours.call, slice);
  const int reference_calls = calibrate(pair.reference.call, slice);
  std::vector<double> ours;
  std::vector<double> ratios;
  for ([[maybe_unused]] auto _ : state) {
    double times[2];
    const bool ours_first = ratios.size() % 2 != 0;
    if (ours_first) times[0] = time_calls(pair.ours.call, our_calls);
    times[1] = time_calls(pair.reference.call, reference_calls);
    if (!ours_first) times[0] = time_calls(pair.ours.call, our_calls);
    state.SetIterationTime(times[1]);
    ours.push_back(times[0]);
    ratios.push_back(times[1] / times[0]);
  }
  state.counters["ours"] = median(std::move(ours));
  state.counters["reference_per_ours"] = median(std::move(ratios));
}

}  // namespace bench

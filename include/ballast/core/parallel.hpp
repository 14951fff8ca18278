// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <ballast/core/types.hpp>

namespace ballast::detail {

/// Work below this many elements is not worth a thread: waking one costs about what this much arithmetic
/// does.
inline constexpr Index parallel_threshold = Index(1) << 17;

/// Threads that parallel_for may use, and which of them runs a block: for scratch memory, never for results.
inline Index most_threads() {
#if defined(_OPENMP)
  return static_cast<Index>(omp_get_max_threads());
#else
  return 1;
#endif
}
inline Index this_thread() {
#if defined(_OPENMP)
  return static_cast<Index>(omp_get_thread_num());
#else
  return 0;
#endif
}

/// Calls body(block) for block = 0 .. blocks - 1, on OpenMP's threads when the user's build turns OpenMP on
/// and `work` (elements touched in all) is large enough, else in order on this thread.
///
/// The blocks are the caller's choice and must not depend on the number of threads: each writes results of
/// its own, which the caller then combines in block order. That makes every result the same to the bit for
/// every number of threads. `body` must not throw.
template <typename Body>
void parallel_for(Index blocks, Index work, const Body& body) {
#if defined(_OPENMP)
  if (blocks > 1 && work >= parallel_threshold) {
#pragma omp parallel for schedule(static)
    for (Index block = 0; block < blocks; ++block) body(block);
    return;
  }
#endif
  static_cast<void>(work);
  for (Index block = 0; block < blocks; ++block) body(block);
}

/// A range of `size` items cut into at most `most` blocks of equal size, a multiple of `multiple`.
struct Blocks {
  Index size;
  Index block;

  Blocks(Index size_, Index most, Index multiple = 1) : size(size_), block(multiple) {
    const Index even = (size + most - 1) / most;
    block = std::max(multiple, (even + multiple - 1) / multiple * multiple);
  }
  [[nodiscard]] Index count() const { return (size + block - 1) / block; }
  [[nodiscard]] Index begin(Index i) const { return i * block; }
  [[nodiscard]] Index end(Index i) const { return std::min(size, (i + 1) * block); }
};

}  // namespace ballast::detail

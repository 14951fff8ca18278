// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <ballast/core/check.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/samples_by_class.hpp>

/// Class sizes that make a balanced data set long-tailed, and the subsample that has them. Class 0 is the
/// largest; `ratio` is rho = max n / min n before rounding down. A size is 0 where `largest` < `ratio`.
namespace ballast {

namespace detail {

/// Rounds down, where a value that is an integer but for the rounding of its computation counts as that
/// integer: 5000 * 100^-1 is 50 on every platform.
inline Count floor_of_computed(double value) {
  constexpr double relative_error = 16 * std::numeric_limits<double>::epsilon();
  return static_cast<Count>(std::floor(value * (1 + relative_error)));
}

inline void require_profile(const char* function, Index classes, Count largest, double ratio) {
  require(classes >= 1, function, "classes is ", classes, ", expected at least 1");
  require(largest >= 1 && largest <= Count(1) << 40, function, "largest is ", largest,
          ", expected [1, 2^40]");
  require(ratio >= 1 && std::isfinite(ratio), function, "ratio is ", ratio,
          ", expected a finite number >= 1");
}

/// floor(largest * decay(j)) for each class.
template <typename Decay>
CountVector profile_sizes(Index classes, Count largest, const Decay& decay) {
  CountVector sizes(classes);
  for (Index j = 0; j < classes; ++j) {
    sizes[j] = std::min(largest, floor_of_computed(static_cast<double>(largest) * decay(j)));
  }
  return sizes;
}

}  // namespace detail

/// EXP: n_j = floor(largest * ratio^(-j / (C - 1))), the profile of the long-tailed CIFAR sets (Cui et al.
/// 2019). One class has `largest`.
/// @param classes  C >= 1
/// @param largest  samples of class 0, in [1, 2^40]
/// @param ratio    rho >= 1, finite
[[nodiscard]] inline CountVector exponential_profile(Index classes, Count largest, double ratio) {
  detail::require_profile("exponential_profile", classes, largest, ratio);
  const double last = static_cast<double>(std::max<Index>(classes - 1, 1));
  return detail::profile_sizes(classes, largest,
                               [&](Index j) { return std::pow(ratio, -static_cast<double>(j) / last); });
}

/// STEP: the first ceil(C / 2) classes have `largest` samples, the rest floor(largest / ratio) (Cao et al.
/// 2019). Parameters as in exponential_profile.
[[nodiscard]] inline CountVector step_profile(Index classes, Count largest, double ratio) {
  detail::require_profile("step_profile", classes, largest, ratio);
  const Index head = (classes + 1) / 2;
  return detail::profile_sizes(classes, largest, [&](Index j) { return j < head ? 1.0 : 1.0 / ratio; });
}

/// PARETO: n_j = floor(largest * (j + 1)^(-ln ratio / ln C)), a power law from `largest` down to
/// largest / ratio. Parameters as in exponential_profile.
[[nodiscard]] inline CountVector pareto_profile(Index classes, Count largest, double ratio) {
  detail::require_profile("pareto_profile", classes, largest, ratio);
  const double log_last = std::log(static_cast<double>(std::max<Index>(classes, 2)));
  return detail::profile_sizes(classes, largest, [&](Index j) {
    return std::pow(ratio, -std::log(static_cast<double>(j + 1)) / log_last);
  });
}

/// Draws sizes[j] samples of each class without replacement, uniformly.
///
/// A pure function of its arguments, the same on every platform; with the same seed a larger profile contains
/// a smaller one. O(N + C).
/// @param samples  the data set; plain labels convert
/// @param sizes    samples to keep per class, any integral vector, one per class
/// @param seed     names the subsample
/// @return positions in the data set, ascending
/// @throws std::invalid_argument naming the first class that has fewer samples than asked for
template <typename Derived>
[[nodiscard]] IndexVector subsample(const SamplesByClass& samples, const Eigen::DenseBase<Derived>& sizes,
                                    std::uint64_t seed) {
  detail::assert_label_type<Derived>();
  detail::require_size("subsample", "sizes", sizes.size(), samples.classes(), "classes");
  Index total = 0;
  for (Index j = 0; j < samples.classes(); ++j) {
    const Index size = detail::label_index(sizes.derived().coeff(j));
    detail::require(size >= 0, "subsample", "sizes[", j, "] is ", sizes.derived().coeff(j),
                    ", expected >= 0");
    detail::require(size <= samples.count(j), "subsample", "class ", j, " has ", samples.count(j),
                    " samples, expected at least ", size);
    total += size;
  }
  const RandomStream stream = RandomStream(seed).substream(0x5ab5a);
  IndexVector order = samples.order();
  IndexVector result(total);
  Index taken = 0;
  for (Index j = 0; j < samples.classes(); ++j) {
    const RandomStream class_stream = stream.substream(static_cast<std::uint64_t>(j));
    const Index end = samples.begin()[j + 1];
    const Index stop = samples.begin()[j] + static_cast<Index>(sizes.derived().coeff(j));
    for (Index first = samples.begin()[j]; first < stop; ++first) {
      const auto offset = class_stream.below(static_cast<std::uint64_t>(first - samples.begin()[j]),
                                             static_cast<std::uint64_t>(end - first));
      std::swap(order[first], order[first + static_cast<Index>(offset)]);
      result[taken++] = order[first];
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace ballast

// SPDX-License-Identifier: MIT
// Inputs of the benches: the same on every machine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/class_distribution.hpp>

namespace bench {

using ballast::Index;
using Labels = ballast::VectorX<std::int64_t>;  // what LibTorch takes too

/// Standard normal coefficients; a large matrix repeats itself after 65537 of them, which is prime.
template <typename Matrix>
Matrix normal_matrix(Index rows, Index cols, std::uint64_t seed) {
  constexpr Index period = 65537;
  const ballast::RandomStream stream(seed);
  Matrix result(rows, cols);
  for (Index i = 0; i < result.size(); ++i) {
    result.data()[i] =
        i < period ? static_cast<typename Matrix::Scalar>(stream.normal(static_cast<std::uint64_t>(i)))
                   : result.data()[i - period];
  }
  return result;
}

inline Labels uniform_labels(Index samples, Index classes, std::uint64_t seed) {
  const ballast::RandomStream stream(seed);
  Labels labels(samples);
  for (Index i = 0; i < samples; ++i) {
    labels[i] = static_cast<std::int64_t>(
        stream.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(classes)));
  }
  return labels;
}

/// n_k = floor(1e6 / (k + 1)) + 1: a long tail in which every class has samples.
inline ballast::ClassDistribution long_tail(Index classes) {
  ballast::CountVector counts(classes);
  for (Index k = 0; k < classes; ++k) counts[k] = 1000000 / (k + 1) + 1;
  return ballast::ClassDistribution::from_counts(counts);
}

/// Bins that thin out as 1 / (b + 1), drawn independently: labels of a long-tailed regression.
inline Labels long_tailed_labels(Index samples, Index bins, std::uint64_t seed) {
  Eigen::VectorXd cumulative(bins);
  double total = 0;
  for (Index b = 0; b < bins; ++b) cumulative[b] = total += 1.0 / static_cast<double>(b + 1);
  const ballast::RandomStream stream(seed);
  Labels labels(samples);
  for (Index i = 0; i < samples; ++i) {
    const double u = total * stream.uniform(static_cast<std::uint64_t>(i));
    const auto found = std::upper_bound(cumulative.begin(), cumulative.end() - 1, u);
    labels[i] = static_cast<std::int64_t>(found - cumulative.begin());
  }
  return labels;
}

/// `per_bin` labels of each bin in random order (Fisher and Yates).
inline Labels shuffled_labels(Index per_bin, Index bins, std::uint64_t seed) {
  Labels labels(per_bin * bins);
  for (Index i = 0; i < labels.size(); ++i) labels[i] = i % bins;
  const ballast::RandomStream stream(seed);
  for (Index i = labels.size() - 1; i > 0; --i) {
    const auto other = stream.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(i) + 1);
    std::swap(labels[i], labels[static_cast<Index>(other)]);
  }
  return labels;
}

}  // namespace bench

// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <vector>

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <ballast/core/types.hpp>

namespace ballast {

/// What a bin without samples means to the smoothing over bins.
enum class EmptyBins {
  skip,  ///< nothing: the kernel is rescaled over the bins that have samples
  fill,  ///< linear between the nearest bins with samples on both sides, beyond the outermost their value
  unit   ///< mean 0, variance 1 (published for ages)
};

namespace detail {

/// A statistic of each bin as a mixture of those of the bins that have one:
///
///     s'_b = sum_j weights(b, j) s_j + unit[b] * (the statistic of an empty bin under EmptyBins::unit)
struct BinMixing {
  using Weights = Eigen::SparseMatrix<double, Eigen::RowMajor>;

  Weights weights;
  Eigen::VectorXd unit;

  /// False for a bin about which nothing is known.
  [[nodiscard]] bool known(Index bin) const { return Weights::InnerIterator(weights, bin) || unit[bin] != 0; }

  /// The mixture of the rows of `statistics`, one per bin; `empty` is the value that stands for an empty one.
  [[nodiscard]] RowMatrixX<double> operator()(const RowMatrixX<double>& statistics, double empty) const {
    return (weights * statistics).colwise() + empty * unit;
  }
};

/// The bins' own statistics, empty bins according to the policy.
inline BinMixing own_statistics(const std::vector<char>& present, EmptyBins policy) {
  const Index bins = static_cast<Index>(present.size());
  const auto has = [&](Index b) {
    return present[static_cast<std::size_t>(b)] != 0;
  };
  std::vector<Eigen::Triplet<double>> entries;
  BinMixing result{BinMixing::Weights(bins, bins), Eigen::VectorXd::Zero(bins)};
  Index before = -1;  // the nearest bins with a statistic
  Index after = 0;
  for (Index b = 0; b < bins; ++b) {
    if (has(b)) {
      entries.emplace_back(b, b, 1.0);
      before = b;
    } else if (policy == EmptyBins::unit) {
      result.unit[b] = 1;
    } else if (policy == EmptyBins::fill) {
      for (after = std::max(after, b); after < bins && !has(after);) ++after;
      if (before < 0 && after == bins) continue;
      const double share = before < 0 ? 1.0
                           : after == bins
                               ? 0.0
                               : static_cast<double>(b - before) / static_cast<double>(after - before);
      if (share < 1) entries.emplace_back(b, before, 1 - share);
      if (share > 0) entries.emplace_back(b, after, share);
    }
  }
  result.weights.setFromTriplets(entries.begin(), entries.end());
  return result;
}

/// The statistics smoothed by a kernel; it keeps its mass where it passes over bins about which nothing is
/// known.
inline BinMixing smoothed(const BinMixing::Weights& kernel, const BinMixing& own) {
  BinMixing result{BinMixing::Weights(kernel * own.weights), kernel * own.unit};
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(kernel.cols());
  const Eigen::VectorXd mass = kernel * ones, reached = result.weights * ones + result.unit;
  for (Index b = 0; b < mass.size(); ++b) {
    if (reached[b] <= 0 || reached[b] == mass[b]) continue;
    const double scale = mass[b] / reached[b];
    for (BinMixing::Weights::InnerIterator entry(result.weights, b); entry; ++entry)
      entry.valueRef() *= scale;
    result.unit[b] *= scale;
  }
  return result;
}

}  // namespace detail

}  // namespace ballast

// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

namespace ballast::detail {

/// Rank of each value, from 1; equal values share the mean of their ranks. O(n log n). No NaN.
inline Eigen::VectorXd mean_ranks(const Eigen::VectorXd& values) {
  IndexVector order(values.size());
  std::iota(order.begin(), order.end(), Index(0));
  std::sort(order.begin(), order.end(), [&](Index a, Index b) { return values[a] < values[b]; });
  Eigen::VectorXd ranks(values.size());
  for (Index begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double rank = 0.5 * static_cast<double>(begin + 1 + end);
    for (Index i = begin; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

/// Pearson's correlation; none for a vector whose values are all equal, or empty.
inline std::optional<double> pearson(const Eigen::VectorXd& x, const Eigen::VectorXd& y) {
  if (x.size() == 0) return std::nullopt;
  const Eigen::VectorXd dx = x.array() - x.mean();
  const Eigen::VectorXd dy = y.array() - y.mean();
  const double size = dx.norm() * dy.norm();
  if (!(size > 0)) return std::nullopt;
  return std::clamp(dx.dot(dy) / size, -1.0, 1.0);
}

/// Spearman's rank correlation: Pearson's of the ranks, right also with ties.
inline std::optional<double> spearman(const Eigen::VectorXd& x, const Eigen::VectorXd& y) {
  return pearson(mean_ranks(x), mean_ranks(y));
}

}  // namespace ballast::detail

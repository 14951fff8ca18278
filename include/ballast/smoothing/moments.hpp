// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

/// The kernels under BinStatistics: moments of one group of rows, and their combination (Chan, Golub and
/// LeVeque 1979).
namespace ballast::detail {

/// Rows scattered over a row-major buffer: row i starts at data + order[i] * stride.
template <typename Scalar>
struct ScatteredRows {
  const Scalar* data;
  Index stride;
  const Index* order;
  Index count;
  [[nodiscard]] const Scalar* operator[](Index i) const { return data + order[i] * stride; }
};

/// Sums of squares up to here, of rows up to there, keep every sum that is taken in Scalar finite.
template <typename Scalar>
inline constexpr Scalar safe_square = Scalar(1e35);
template <>
inline constexpr double safe_square<double> = 1e300;
template <typename Scalar>
inline constexpr Scalar safe_feature = std::numeric_limits<Scalar>::max();
template <>
inline constexpr double safe_feature<double> = 1e150;

/// Sums over the rows of a group, shifted by its first row k so that a large mean costs no digits:
///
///     sum = sum_i (z_i - k),   square = sum_i (z_i - k)^2
///
/// In Scalar, hence for groups of bounded size.
/// @return false if a feature is not finite, or so large that sums in Scalar may overflow
template <typename Scalar>
bool group_moments(const ScatteredRows<Scalar>& rows, Index cols, Scalar* sum, Scalar* square) {
  const Scalar* const shift = rows[0];
  std::fill(sum, sum + cols, Scalar(0));
  std::fill(square, square + cols, Scalar(0));
  for (Index i = 1; i < rows.count; ++i) {
    const Scalar* const row = rows[i];
    for (Index d = 0; d < cols; ++d) {
      const Scalar e = row[d] - shift[d];
      sum[d] += e;
      square[d] += e * e;
    }
  }
  bool safe = true;
  for (Index d = 0; d < cols; ++d)
    safe &= (square[d] <= safe_square<Scalar>)&(std::abs(shift[d]) <= safe_feature<Scalar>);
  return safe;
}

/// What a group of n rows is worth to a bin that holds `before` samples: share = n / (before + n) moves the
/// mean, weight = before * share scales the spread between the two means.
struct MergeWeights {
  MergeWeights(Count before, Count added)
      : share(static_cast<double>(added) / static_cast<double>(before + added)),
        weight(static_cast<double>(before) * share) {}
  double share;
  double weight;
};

/// Merges a group, described by its shift and shifted sums, into the mean and the sums of squares of a bin.
template <typename Scalar>
void merge_group(const Scalar* shift, const Scalar* sum, const Scalar* square, Index cols, Index rows,
                 const MergeWeights& merge, double* mean, double* m2) {
  const Scalar inverse = Scalar(1) / static_cast<Scalar>(rows);
  for (Index d = 0; d < cols; ++d) {
    const Scalar offset = sum[d] * inverse;
    const double delta = (static_cast<double>(shift[d]) + static_cast<double>(offset)) - mean[d];
    mean[d] += delta * merge.share;
    m2[d] += static_cast<double>(square[d] - sum[d] * offset) + delta * delta * merge.weight;
  }
}

/// m2 += rows^T rows on the upper triangle of a row-major cols x cols matrix.
/// @param rows    `count` rows of `stride` elements; those from `cols` on are 0, up to a multiple of 16
template <typename Scalar>
void add_outer_products(const Scalar* rows, Index stride, Index count, Index cols, double* m2) {
  constexpr Index width = 16;
  for (Index i = 0; i < cols; ++i) {
    for (Index j0 = i / width * width; j0 < cols; j0 += width) {
      Scalar products[width] = {};
      for (Index r = 0; r < count; ++r) {
        const Scalar* const row = rows + r * stride;
        const Scalar factor = row[i];
        for (Index v = 0; v < width; ++v) products[v] += factor * row[j0 + v];
      }
      for (Index j = std::max(i, j0); j < std::min(cols, j0 + width); ++j) {
        m2[i * cols + j] += static_cast<double>(products[j - j0]);
      }
    }
  }
}

}  // namespace ballast::detail

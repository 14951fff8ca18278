// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

/// Euclidean norms of rows, right to a few ulp for any finite row: where squares would overflow or underflow,
/// the row is scaled first.
namespace ballast::detail {

/// sums[i] = sum_k rows(i, k)^2, added in runs short enough for Scalar and those in double.
template <typename Scalar, int Order>
void row_square_sums(const MatrixView<const Scalar, Order>& matrix, double* sums) {
  if constexpr (Order == Eigen::RowMajor) {
    constexpr Index run = 256;
    for (Index i = 0; i < matrix.rows; ++i) {
      const Eigen::Map<const VectorX<Scalar>> row(matrix.line(i), matrix.cols);
      double total = 0;
      for (Index k = 0; k < matrix.cols; k += run) {
        total += static_cast<double>(row.segment(k, std::min(run, matrix.cols - k)).squaredNorm());
      }
      sums[i] = total;
    }
  } else {
    constexpr Index run = 16, strip = 256;
    Scalar partial[strip];
    for (Index begin = 0; begin < matrix.rows; begin += strip) {
      const Index rows = std::min(strip, matrix.rows - begin);
      Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>> part(partial, rows);
      Eigen::Map<Eigen::ArrayXd> total(sums + begin, rows);
      total.setZero();
      for (Index k = 0; k < matrix.cols; k += run) {
        part.setZero();
        for (Index col = k; col < std::min(k + run, matrix.cols); ++col) {
          part += Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>(matrix.line(col) + begin, rows)
                      .square();
        }
        total += part.template cast<double>();
      }
    }
  }
}

/// Whether a sum of `terms` squares taken in Scalar neither overflowed nor lost digits to underflow.
template <typename Scalar>
bool square_sum_holds(double sum, Index terms) {
  constexpr double tiny = static_cast<double>(std::numeric_limits<Scalar>::min()) /
                          static_cast<double>(std::numeric_limits<Scalar>::epsilon());
  constexpr double huge = static_cast<double>(std::numeric_limits<Scalar>::max());
  return sum >= tiny * static_cast<double>(terms) && sum <= huge;
}

/// The norm of a row as mantissa * 2^exponent: for rows whose norm, or its reciprocal, a double cannot hold.
/// {0, 0} for a row of zeros; a NaN mantissa for one with a value that is not finite.
struct ScaledNorm {
  double mantissa;
  int exponent;
};

template <typename Scalar, int Order>
ScaledNorm scaled_row_norm(const MatrixView<Scalar, Order>& matrix, Index row) {
  double largest = 0;
  for (Index k = 0; k < matrix.cols; ++k) {
    const double size = std::abs(static_cast<double>(matrix(row, k)));
    if (!std::isfinite(size)) return {std::numeric_limits<double>::quiet_NaN(), 0};
    largest = std::max(largest, size);
  }
  if (largest == 0) return {0.0, 0};
  const int exponent = std::ilogb(largest);
  double sum = 0;
  for (Index k = 0; k < matrix.cols; ++k) {
    const double scaled = std::scalbn(static_cast<double>(matrix(row, k)), -exponent);
    sum += scaled * scaled;
  }
  return {std::sqrt(sum), exponent};
}

/// norms[i] = ||rows(i)||_2; NaN for a row with a value that is not finite.
template <typename Scalar, int Order>
void row_norms(const MatrixView<const Scalar, Order>& matrix, double* norms) {
  row_square_sums(matrix, norms);
  for (Index i = 0; i < matrix.rows; ++i) {
    if (square_sum_holds<Scalar>(norms[i], matrix.cols)) {
      norms[i] = std::sqrt(norms[i]);
    } else {
      const ScaledNorm norm = scaled_row_norm(matrix, i);
      norms[i] = std::scalbn(norm.mantissa, norm.exponent);
    }
  }
}

}  // namespace ballast::detail

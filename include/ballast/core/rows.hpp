// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast::detail {

/// Calls body(row, values) for every row in order, `values` the row's contiguous coefficients in double. Fits
/// and measures, which are arithmetic-bound and not in a training step, so have one kernel for every scalar
/// and storage order. Copies what is not row-major double a block of rows at a time; reads the matrix once.
template <typename Scalar, int Order, typename Body>
void for_each_row(const MatrixView<const Scalar, Order>& matrix, const Body& body) {
  if constexpr (Order == Eigen::RowMajor && std::is_same_v<Scalar, double>) {
    for (Index i = 0; i < matrix.rows; ++i) body(i, matrix.line(i));
  } else {
    using Source = Eigen::Map<const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                              Eigen::OuterStride<>>;
    const Source source(matrix.data, matrix.rows, matrix.cols, Eigen::OuterStride<>(matrix.stride));
    const Index block = std::clamp<Index>(4096 / std::max<Index>(matrix.cols, 1), 1, 64);
    RowMatrixX<double> rows(block, matrix.cols);
    for (Index begin = 0; begin < matrix.rows; begin += block) {
      const Index count = std::min(block, matrix.rows - begin);
      rows.topRows(count) = source.middleRows(begin, count).template cast<double>();
      for (Index i = 0; i < count; ++i) body(begin + i, rows.row(i).data());
    }
  }
}

}  // namespace ballast::detail

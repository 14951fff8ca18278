// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

namespace ballast::detail {

/// One D x D matrix per bin, to be applied to a few rows at a time: X A. Kept as panels of columns, each
/// contiguous in the order in which the product reads it, so that a batch packs nothing.
template <typename Scalar>
class BinMaps {
 public:
  /// Columns in a panel, and rows that go through it together.
  static constexpr Index panel = 16;
  static constexpr Index rows = 8;

  void resize(Index bins, Index dimension) {
    dimension_ = dimension;
    panels_ = (dimension + panel - 1) / panel;
    values_.setZero(bins * panels_ * dimension, panel);
  }

  void set(Index bin, const Eigen::MatrixXd& matrix) {
    for (Index p = 0; p < panels_; ++p) {
      const Index cols = std::min(panel, dimension_ - p * panel);
      values_.block(first(bin, p), 0, dimension_, cols) =
          matrix.middleCols(p * panel, cols).template cast<Scalar>();
    }
  }

  [[nodiscard]] Index panels() const { return panels_; }

  /// The columns of X A that panel p holds.
  /// @param x       dimension x `rows`: the rows of X side by side
  /// @param result  `rows` x `panel`
  void multiply(Index bin, Index p, const Scalar* x, Scalar* result) const {
    std::fill(result, result + rows * panel, Scalar(0));
    const Scalar* a = &values_(first(bin, p), 0);
    for (Index k = 0; k < dimension_; ++k, a += panel, x += rows) {
      for (Index r = 0; r < rows; ++r) {
        for (Index c = 0; c < panel; ++c) result[r * panel + c] += x[r] * a[c];
      }
    }
  }

 private:
  [[nodiscard]] Index first(Index bin, Index p) const { return (bin * panels_ + p) * dimension_; }

  Index dimension_ = 0;
  Index panels_ = 0;
  RowMatrixX<Scalar> values_;
};

}  // namespace ballast::detail

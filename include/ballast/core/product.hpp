// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

/// Matrix products that allocate nothing, whatever their size. (With OpenMP on, Eigen may split the product
/// of a tile over its own threads, and then allocates what these share.)
///
/// Eigen packs blocks of its operands, on the stack up to 128 KiB and on the heap above. The product is
/// therefore taken in tiles whose packed copies stay below that. The depth of a tile also stays below what
/// Eigen would split (an amount that varies with the number of threads), so that the order of summation, and
/// every bit of the result, depends on the shapes alone.
namespace ballast::detail {

template <typename Scalar, int Order>
using MatrixMap =
    Eigen::Map<std::conditional_t<
                   std::is_const_v<Scalar>,
                   const Eigen::Matrix<std::remove_const_t<Scalar>, Eigen::Dynamic, Eigen::Dynamic, Order>,
                   Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Order>>,
               0, Eigen::OuterStride<>>;

template <typename Scalar, int Order>
MatrixMap<Scalar, Order> map(const MatrixView<Scalar, Order>& view) {
  return {view.data, view.rows, view.cols, Eigen::OuterStride<>(view.stride)};
}

/// The same numbers read with rows and columns exchanged; no copy.
template <typename Scalar, int Order>
MatrixView<Scalar, (Order == Eigen::RowMajor ? Eigen::ColMajor : Eigen::RowMajor)> transposed(
    const MatrixView<Scalar, Order>& view) {
  return {view.data, view.cols, view.rows, view.stride};
}

enum class Product { assign, add };

/// out = lhs * rhs, or out += lhs * rhs. `out` overlaps neither operand. No allocation.
template <typename Scalar, int LhsOrder, int RhsOrder, int OutOrder>
void multiply(const MatrixView<const Scalar, LhsOrder>& lhs, const MatrixView<const Scalar, RhsOrder>& rhs,
              const MatrixView<Scalar, OutOrder>& out, Product product = Product::assign) {
  constexpr Index packed_bytes = Index(128) << 10;
  constexpr Index tile_depth = 128;
  constexpr Index tile_side = packed_bytes / (tile_depth * Index(sizeof(Scalar)));

  const auto a = map(lhs);
  const auto b = map(rhs);
  const Index depth = lhs.cols;
  const Index down = (out.rows + tile_side - 1) / tile_side;
  const Index across = (out.cols + tile_side - 1) / tile_side;
  parallel_for(down * across, out.rows * out.cols * depth / 16, [&](Index tile) {
    const Index row = tile / across * tile_side, rows = std::min(tile_side, out.rows - row);
    const Index col = tile % across * tile_side, cols = std::min(tile_side, out.cols - col);
    auto whole = map(out);
    auto target = whole.block(row, col, rows, cols);
    if (product == Product::assign) target.setZero();
    for (Index k = 0; k < depth; k += tile_depth) {
      const Index step = std::min(tile_depth, depth - k);
      target.noalias() += a.block(row, k, rows, step) * b.block(k, col, step, cols);
    }
  });
}

}  // namespace ballast::detail

// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

/// From the caller's matrix type to the pointer and stride that a kernel works on, without a copy.
///
/// A hot function is a template over the caller's types that checks and calls a kernel over these views; so
/// the kernel is compiled once per scalar and storage order, whatever mixture of Matrix, Map, Block and
/// Transpose calls it.
namespace ballast::detail {

/// A stored matrix whose rows (Order = RowMajor) or columns (Order = ColMajor) are contiguous.
/// `Scalar` is const-qualified in a read-only view.
template <typename Scalar, int Order>
struct MatrixView {
  static constexpr bool row_major = Order == Eigen::RowMajor;

  Scalar* data;
  Index rows;
  Index cols;
  Index stride;  ///< elements from one row (RowMajor) or column (ColMajor) to the next

  Scalar& operator()(Index row, Index col) const {
    return row_major ? data[row * stride + col] : data[col * stride + row];
  }
  /// Start of a row (RowMajor) or of a column (ColMajor).
  Scalar* line(Index i) const { return data + i * stride; }
};

template <typename Derived>
inline constexpr int storage_order = Derived::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;

/// Refuses at compile time what Eigen::Ref would silently copy.
template <typename Scalar, typename Derived>
constexpr void assert_viewable() {
  static_assert(std::is_same_v<typename Derived::Scalar, Scalar>,
                "ballast: the scalar type differs from the component's; write .cast<Scalar>().eval()");
  static_assert((Derived::Flags & Eigen::DirectAccessBit) != 0,
                "ballast: pass a stored matrix, not an expression; write .eval()");
  static_assert(
      Derived::InnerStrideAtCompileTime == 1,
      "ballast: pass a matrix whose rows or columns are contiguous (inner stride 1); write .eval()");
}

template <typename Scalar, typename Derived>
MatrixView<const Scalar, storage_order<Derived>> view(const Eigen::DenseBase<Derived>& matrix) {
  assert_viewable<Scalar, Derived>();
  const Derived& m = matrix.derived();
  return {m.data(), m.rows(), m.cols(), m.outerStride()};
}

/// A view to write through. Takes a forwarding reference, so that a block or a transpose may be a temporary.
template <typename Scalar, typename Matrix>
auto mutable_view(Matrix&& matrix) {
  using Derived = std::remove_cv_t<std::remove_reference_t<Matrix>>;
  assert_viewable<Scalar, Derived>();
  static_assert(!std::is_const_v<std::remove_pointer_t<decltype(matrix.data())>>,
                "ballast: the output is read-only; pass a non-const matrix, block or map");
  return MatrixView<Scalar, storage_order<Derived>>{matrix.data(), matrix.rows(), matrix.cols(),
                                                    matrix.outerStride()};
}

/// Inputs and outputs of one call share their storage order: kernels walk them together.
template <typename First, typename Second>
constexpr void assert_same_order() {
  static_assert(storage_order<std::decay_t<First>> == storage_order<std::decay_t<Second>>,
                "ballast: give the output the storage order of the input");
}

}  // namespace ballast::detail

#include <ballast/core/view.hpp>

#include <type_traits>

#include "support/catch.hpp"

namespace {

using ballast::Index;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::detail::MatrixView;
using ballast::detail::mutable_view;
using ballast::detail::view;

/// A view reads what the matrix holds, from the matrix's own memory.
template <typename Scalar, typename Matrix>
void check_view(const Matrix& matrix) {
  const auto came = view<Scalar>(matrix);
  static_assert(
      std::is_same_v<decltype(came), const MatrixView<const Scalar, ballast::detail::storage_order<Matrix>>>);
  CHECK(came.row_major == bool(Matrix::IsRowMajor));
  REQUIRE(came.rows == matrix.rows());
  REQUIRE(came.cols == matrix.cols());
  for (Index i = 0; i < came.rows; ++i) {
    for (Index j = 0; j < came.cols; ++j) {
      CHECK(&came(i, j) == &matrix.coeffRef(i, j));
      CHECK(&came(i, j) == (came.row_major ? came.line(i) + j : came.line(j) + i));
    }
  }
}

template <typename Matrix>
Matrix numbered(Index rows, Index cols) {
  Matrix matrix(rows, cols);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) matrix(i, j) = static_cast<typename Matrix::Scalar>(10 * i + j);
  }
  return matrix;
}

}  // namespace

TEMPLATE_TEST_CASE("view: matrices, blocks, transposes and maps are seen in place", "[core]", MatrixX<float>,
                   RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  TestType matrix = numbered<TestType>(5, 7);
  check_view<Scalar>(matrix);
  check_view<Scalar>(matrix.block(1, 2, 3, 4));
  check_view<Scalar>(matrix.transpose());
  check_view<Scalar>(matrix.block(1, 2, 3, 4).transpose());
  check_view<Scalar>(matrix.topRows(0));
  check_view<Scalar>(matrix.leftCols(1));
  check_view<Scalar>(Eigen::Map<TestType>(matrix.data(), 5, 7));
  check_view<Scalar>(
      Eigen::Map<TestType, 0, Eigen::OuterStride<>>(matrix.data(), 3, 3, Eigen::OuterStride<>(5)));
  check_view<Scalar>(Eigen::Ref<TestType>(matrix));
  const TestType& constant = matrix;
  CHECK(view<Scalar>(constant).data == matrix.data());
}

TEST_CASE("view: vectors are matrices of one column or one row", "[core]") {
  Eigen::VectorXf column = Eigen::VectorXf::LinSpaced(5, 0, 4);
  Eigen::RowVectorXf row = column.transpose();
  check_view<float>(column);
  check_view<float>(row);
  check_view<float>(column.segment(1, 3));
  CHECK_FALSE(view<float>(column).row_major);
  CHECK(view<float>(row).row_major);
}

TEMPLATE_TEST_CASE("view: writes go through to the matrix", "[core]", MatrixX<double>, RowMatrixX<double>) {
  TestType matrix = numbered<TestType>(4, 5);
  mutable_view<double>(matrix)(1, 2) = -1;
  CHECK(matrix(1, 2) == -1);
  mutable_view<double>(matrix.block(1, 1, 2, 3))(1, 2) = -2;  // a temporary
  CHECK(matrix(2, 3) == -2);
  mutable_view<double>(matrix.transpose())(4, 3) = -3;
  CHECK(matrix(3, 4) == -3);
  mutable_view<double>(Eigen::Map<TestType>(matrix.data(), 4, 5)).line(0)[0] = -4;
  CHECK(matrix(0, 0) == -4);
  TestType expected = numbered<TestType>(4, 5);
  expected(1, 2) = -1;
  expected(2, 3) = -2;
  expected(3, 4) = -3;
  expected(0, 0) = -4;
  CHECK(matrix == expected);
}

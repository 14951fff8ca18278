#include <ballast/core/row_norms.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Index;
using ballast::MatrixX;
using ballast::RowMatrixX;

template <typename Matrix>
long double exact_norm(const Matrix& matrix, Index row) {
  long double largest = 0, sum = 0;
  for (Index k = 0; k < matrix.cols(); ++k) {
    largest = std::max(largest, std::abs(static_cast<long double>(matrix(row, k))));
  }
  if (largest == 0) return 0;
  for (Index k = 0; k < matrix.cols(); ++k) {
    const long double scaled = static_cast<long double>(matrix(row, k)) / largest;
    sum += scaled * scaled;
  }
  return largest * std::sqrt(sum);
}

}  // namespace

TEMPLATE_TEST_CASE("row_norms: right to a few ulp at every size of number", "[core]", RowMatrixX<float>,
                   MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  using Limits = std::numeric_limits<Scalar>;
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  // Runs of 256 (rows) or 16 (columns) positive terms in Scalar: half an ulp for each addition in a lane at
  // most.
  const long double bound = 66 * static_cast<long double>(Limits::epsilon());
  for (const Index cols : {1, 3, 40, 700}) {
    TestType matrix = random.matrix<TestType>(300, cols, -1, 1);
    matrix.row(1) *= Limits::min();       // squares underflow
    matrix.row(2) *= Limits::max() / 64;  // squares overflow
    matrix.row(3) *= Scalar(1e-20);
    matrix.row(4).setZero();
    Eigen::VectorXd norms(300);
    ballast::detail::row_norms(ballast::detail::view<Scalar>(matrix), norms.data());
    for (Index i = 0; i < 300; ++i) {
      CAPTURE(cols, i);
      const long double exact = exact_norm(matrix, i);
      // A double norm below 2^-1022 has fewer digits.
      const auto grain = static_cast<long double>(std::numeric_limits<double>::denorm_min());
      REQUIRE(std::abs(static_cast<long double>(norms[i]) - exact) <= bound * exact + grain);
    }
  }
}

TEST_CASE("row_norms: a value that is not finite gives NaN to its row alone", "[core]") {
  RowMatrixX<float> matrix = RowMatrixX<float>::Ones(3, 5);
  matrix(0, 4) = std::numeric_limits<float>::infinity();
  matrix(1, 0) = std::nanf("");
  Eigen::VectorXd norms(3);
  ballast::detail::row_norms(ballast::detail::view<float>(matrix), norms.data());
  CHECK(std::isnan(norms[0]));
  CHECK(std::isnan(norms[1]));
  CHECK(norms[2] == std::sqrt(5.0));
}

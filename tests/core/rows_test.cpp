#include <ballast/core/rows.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"

using ballast::Index;

TEMPLATE_TEST_CASE("rows: every row once, in order, whatever the scalar, order and stride", "[core]",
                   ballast::MatrixX<float>, ballast::MatrixX<double>, ballast::RowMatrixX<float>,
                   ballast::RowMatrixX<double>) {
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  for (const Index cols : {1, 3, 100, 5000}) {
    CAPTURE(cols);
    const auto storage = RandomData(seed).matrix<TestType>(137, cols + 2, -1, 1);
    const auto block = storage.block(2, 1, 131, cols);
    Index expected = 0;
    ballast::detail::for_each_row(ballast::detail::view<typename TestType::Scalar>(block),
                                  [&](Index row, const double* values) {
                                    REQUIRE(row == expected++);
                                    const Eigen::Map<const Eigen::RowVectorXd> came(values, cols);
                                    CHECK(came == block.row(row).template cast<double>());
                                  });
    CHECK(expected == 131);
    ballast::detail::for_each_row<float>(ballast::detail::view<typename TestType::Scalar>(block),
                                         [&](Index row, const float* values) {
                                           const Eigen::Map<const Eigen::RowVectorXf> came(values, cols);
                                           CHECK(came == block.row(row).template cast<float>());
                                         });
  }
}

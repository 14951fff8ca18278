#include "support/no_allocation.hpp"

#include <ballast/adjustment/logit_adjustment.hpp>

#include "support/catch.hpp"

TEST_CASE("logit_adjustment: the guard fires", "[no_allocation]") {
  const NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXf(3, 3), std::logic_error);
}

TEMPLATE_TEST_CASE("logit_adjustment: adjusting and predicting allocate nothing", "[no_allocation]",
                   ballast::RowMatrixX<float>, ballast::MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const ballast::LogitAdjustment<Scalar> adjust(
      ballast::ClassDistribution::from_counts(Eigen::VectorXi::LinSpaced(1000, 1, 1000)));
  TestType logits = TestType::Zero(700, 1000);
  Eigen::VectorXi predictions(700);

  const NoAllocation guard;
  adjust.predict(logits, predictions);
  adjust(logits, logits);
  ballast::argmax_rows(logits, predictions);
  CHECK(guard.news() == 0);
}

#include "support/no_allocation.hpp"

#include <ballast/losses/binary.hpp>

#include "support/catch.hpp"

TEST_CASE("binary: the guard fires", "[no_allocation]") {
  const NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXf(3, 3), std::logic_error);
}

TEMPLATE_TEST_CASE("binary: a training step allocates nothing, however large", "[no_allocation]",
                   ballast::RowMatrixX<float>, ballast::MatrixX<float>, ballast::MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const auto loss = ballast::logit_adjusted_binary_loss<Scalar>(Eigen::VectorXi::Constant(300, 7), 100);
  TestType logits = TestType::Constant(500, 300, 1), gradient = logits, values = logits;
  const TestType targets = TestType::Zero(500, 300);
  const ballast::VectorX<Scalar> weights = ballast::VectorX<Scalar>::Ones(500);

  const NoAllocation guard;
  const Scalar value = loss(logits, targets, gradient) + loss(logits, targets);
  loss.each(logits, targets, values, gradient);
  loss(logits, targets, weights, logits);
  CHECK(guard.news() == 0);
  CHECK(value > 0);
}

#include "support/no_allocation.hpp"

#include <ballast/classifiers/cosine_head.hpp>

#include "support/catch.hpp"

TEST_CASE("cosine_head: the guard fires", "[no_allocation]") {
  const NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXf(3, 3), std::logic_error);
}

TEMPLATE_TEST_CASE("cosine_head: allocates in the first step only, however large", "[no_allocation]",
                   ballast::RowMatrixX<float>, ballast::MatrixX<float>, ballast::MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const TestType features = TestType::Constant(96, 900, Scalar(0.5));
  ballast::CosineHead<Scalar> head(TestType::Constant(600, 900, Scalar(0.5)));
  TestType logits(96, 600), features_gradient(96, 900), weights_gradient(600, 900);
  const auto step = [&](ballast::Index samples) {
    head.forward(features.topRows(samples), logits.topRows(samples));
    head.backward(features.topRows(samples), logits.topRows(samples), features_gradient.topRows(samples),
                  weights_gradient);
  };
  step(96);

  const NoAllocation guard;
  step(96);
  step(31);  // the last, smaller batch of an epoch
  step(96);
  CHECK(guard.news() == 0);
}

#include "support/no_allocation.hpp"

#include <ballast/classifiers/linear_head.hpp>
#include <ballast/classifiers/tau_normalized.hpp>

#include "support/catch.hpp"

TEST_CASE("linear_head: the guard fires", "[no_allocation]") {
  const NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXf(3, 3), std::logic_error);
}

TEMPLATE_TEST_CASE("linear_head: a training step allocates nothing, however large", "[no_allocation]",
                   ballast::RowMatrixX<float>, ballast::MatrixX<float>, ballast::MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const ballast::Index samples = 96, classes = 600, dimensions = 900;
  const auto head = ballast::LinearHead<Scalar>::uniform(classes, dimensions, 1);
  auto gradient = ballast::LinearHead<Scalar>::zeros(classes, dimensions);
  auto moving = head;
  const TestType features = TestType::Constant(samples, dimensions, Scalar(0.5));
  TestType logits(samples, classes), features_gradient(samples, dimensions);

  const NoAllocation guard;
  head.forward(features, logits);
  head.backward(features, logits, gradient.weights(), gradient.bias(), features_gradient);
  moving.parameters() -= Scalar(0.1) * gradient.parameters();
  ballast::tau_normalize(moving.weights(), Scalar(1), moving.weights());
  CHECK(guard.news() == 0);
}

TEST_CASE("linear_head: the same product by Eigen alone does allocate", "[no_allocation]") {
  const Eigen::MatrixXf a = Eigen::MatrixXf::Ones(600, 900), b = Eigen::MatrixXf::Ones(900, 600);
  Eigen::MatrixXf out(600, 600);
  const NoAllocation guard;
  CHECK_THROWS_AS(out.noalias() = a * b, std::logic_error);
}

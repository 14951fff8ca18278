#include "support/no_allocation.hpp"

#include <new>

#include <ballast/core/softmax.hpp>
#include <ballast/losses/presets.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Index;

/// What one training step may call, counted.
template <typename Matrix, typename Loss>
std::size_t news_of_a_step(const Loss& loss, Index samples) {
  using Scalar = typename Matrix::Scalar;
  RandomData random(2);
  const Matrix logits = random.matrix<Matrix>(samples, loss.classes(), -3, 3);
  Matrix gradient(samples, loss.classes());
  const Eigen::VectorXi labels = random.labels(samples, loss.classes());
  const ballast::VectorX<Scalar> weights = random.vector<Scalar>(samples, 0, 1);
  ballast::VectorX<Scalar> values(samples);
  NoAllocation guard;
  loss(logits, labels, gradient);
  loss(logits, labels, weights, gradient);
  static_cast<void>(loss(logits, labels));
  loss.each(logits, labels, values, gradient);
  loss.mixup(logits, labels, labels, Scalar(0.3), gradient);
  ballast::softmax(logits, gradient);
  ballast::log_sum_exp(logits, values);
  return guard.news();
}

}  // namespace

TEST_CASE("no_allocation/softmax_loss: the guard fires", "[no_allocation]") {
  NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXd(3, 3).setZero(), std::logic_error);
  const std::size_t before = guard.news();
  ::operator delete(::operator new(sizeof(int)));  // a call, which no compiler may elide
  CHECK(guard.news() == before + 1);
}

TEMPLATE_TEST_CASE("no_allocation/softmax_loss: no call allocates, from the first", "[no_allocation]",
                   Eigen::MatrixXf, ballast::RowMatrixX<float>) {
  for (const Index classes : {2, 10, 50, 3000}) {
    CAPTURE(classes);
    const auto counts = ballast::CountVector::LinSpaced(classes, 1, 3 * classes);
    const auto prior = ballast::ClassDistribution::from_counts(counts);
    CHECK(news_of_a_step<TestType>(ballast::logit_adjusted_loss<float>(prior), 70) == 0);
    CHECK(news_of_a_step<TestType>(ballast::ldam_loss<float>(prior), 70) == 0);
    ballast::SoftmaxLossOptions<float> options;
    options.smoothing = 0.1f;
    CHECK(news_of_a_step<TestType>(ballast::cross_entropy_loss<float>(classes, options), 70) == 0);
  }
}

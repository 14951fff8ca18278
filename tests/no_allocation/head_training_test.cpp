#include "support/no_allocation.hpp"

#include <ballast/classifiers/retraining.hpp>
#include <ballast/classifiers/weight_scaling.hpp>

#include <optional>

#include "support/catch.hpp"

namespace {

/// From the end of the first epoch on, nothing may allocate.
struct Watch {
  ballast::TrainingOptions options;
  std::optional<NoAllocation> guard;
  std::size_t news = 0;

  Watch() {
    options.epochs = 3;
    options.progress = [this](const ballast::TrainingProgress& progress) {
      if (guard) news += guard->news();
      guard.reset();
      if (progress.epoch + 1 < progress.epochs) guard.emplace();
    };
  }
};

}  // namespace

TEST_CASE("head_training: the guard fires", "[no_allocation]") {
  const NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXf(3, 3), std::logic_error);
}

TEMPLATE_TEST_CASE("head_training: steps allocate nothing", "[no_allocation]", ballast::RowMatrixX<float>,
                   ballast::MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const TestType features = TestType::Constant(200, 300, Scalar(0.1));
  const Eigen::VectorXi labels = Eigen::VectorXi::LinSpaced(200, 0, 199);
  const auto head = ballast::LinearHead<Scalar>::uniform(200, 300, 1);
  Watch retraining;
  CHECK(ballast::retrain_head(features, labels, head, retraining.options).classes() == 200);
  CHECK(retraining.news == 0);

  Watch fitting;
  ballast::LearnableWeightScaling<Scalar> scaling(head);
  scaling.fit(features, labels, fitting.options);
  CHECK(fitting.news == 0);
}

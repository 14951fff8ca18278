#include "support/no_allocation.hpp"

#include <cstddef>
#include <new>
//
#include <ballast/smoothing/feature_distribution.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Covariance;
using ballast::FeatureDistributionSmoothing;
using ballast::Index;
using ballast::LabelBins;
using ballast::RowMatrixX;
using ballast::SmoothingKernel;

}  // namespace

TEST_CASE("no_allocation/feature_distribution: the guard fires", "[no_allocation]") {
  NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXd(3, 3).setZero(), std::logic_error);
  const std::size_t before = guard.news();         // the exception counts too
  ::operator delete(::operator new(sizeof(int)));  // a call, which no compiler may elide
  CHECK(guard.news() == before + 1);
}

TEMPLATE_TEST_CASE("no_allocation/feature_distribution: training steps after the first", "[no_allocation]",
                   (FeatureDistributionSmoothing<float, Covariance::diagonal>),
                   (FeatureDistributionSmoothing<float, Covariance::full>)) {
  RandomData random(1);
  const Index rows = 200, dimension = 37;
  const auto features = random.matrix<RowMatrixX<float>>(rows, dimension, -1, 1);
  const Eigen::MatrixXf columns = features;
  RowMatrixX<float> smoothed = features;
  Eigen::MatrixXf smoothed_columns = columns;
  TestType fds(dimension, LabelBins::uniform(0, 1, 9), SmoothingKernel::gaussian(5, 2.0));
  const auto step = [&](const Eigen::VectorXf& labels) {
    fds.smooth(features, labels, smoothed);
    fds.backward(smoothed, labels, smoothed);
    fds.smooth(columns, labels, smoothed_columns);
    fds.backward(smoothed_columns, labels, smoothed_columns);
    fds.update(features, labels);
    fds.update(columns, labels);
  };
  const Eigen::VectorXf one_bin = Eigen::VectorXf::Constant(rows, 0.2f);  // the fewest groups
  step(random.vector<float>(rows, 0, 1));
  fds.finish_epoch();
  step(one_bin);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const Eigen::VectorXf labels = random.vector<float>(rows, 0, 1);
    std::size_t news = 0;
    {
      NoAllocation guard;
      step(labels);
      news = guard.news();
    }
    CHECK(news == 0);
  }
}

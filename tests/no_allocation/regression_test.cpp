#include "support/no_allocation.hpp"

#include <ballast/data/label_bins.hpp>
#include <ballast/losses/balanced_mse.hpp>
#include <ballast/losses/regression.hpp>

#include "support/catch.hpp"

namespace {

using Matrix = ballast::RowMatrixX<float>;

}  // namespace

TEST_CASE("no_allocation: the guard sees Eigen and operator new", "[allocation]") {
  const NoAllocation guard;
  CHECK_THROWS_AS(Eigen::VectorXf(Eigen::VectorXf::Zero(100)), std::logic_error);
  const std::size_t before = guard.news();
  double* volatile memory = new double(1);
  delete memory;
  CHECK(guard.news() > before);
}

TEST_CASE("no_allocation: regression losses", "[allocation]") {
  const Matrix targets = Matrix::Random(100, 2);
  Matrix predictions = Matrix::Random(100, 2), gradient(100, 2);
  const Eigen::VectorXf weights = Eigen::VectorXf::Ones(100);
  const auto focal = ballast::regression_loss<float>(ballast::FocalError<float>{});
  const ballast::BalancedMse<float> balanced(0.5f);
  float sum = 0;
  std::size_t news = 1;
  {
    const NoAllocation guard;
    sum += ballast::l1_loss(predictions, targets, weights, gradient);
    sum += focal(predictions.topRows(50), targets.topRows(50), gradient.topRows(50));
    sum += balanced.with_noise_gradient(predictions, targets, weights, gradient).noise_gradient;
    sum += balanced(predictions, targets, predictions);
    news = guard.news();
  }
  CHECK(news == 0);
  CHECK(std::isfinite(sum));
}

TEST_CASE("no_allocation: bins of labels, and values by bin", "[allocation]") {
  const auto bins = ballast::LabelBins::uniform(-1.0, 1.0, 30);
  const auto pairs = ballast::LabelBins::product({bins, bins});
  const Matrix labels = Matrix::Random(500, 2);
  const Eigen::VectorXf table = Eigen::VectorXf::LinSpaced(30, 0, 1);
  Eigen::VectorXf values(500);
  ballast::IndexVector found(500);
  std::size_t news = 1;
  {
    const NoAllocation guard;
    pairs.find(labels, found);
    bins.find(labels.col(1), found);
    bins.gather(labels.col(0), table, values);
    news = guard.news();
  }
  CHECK(news == 0);
  CHECK(values.maxCoeff() > 0);
}

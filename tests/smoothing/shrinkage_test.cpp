#include <ballast/smoothing/shrinkage.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Count;
using ballast::Index;
using ballast::Shrinkage;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

Eigen::MatrixXd covariance(Index size) {
  RandomData random(5);
  const auto root = random.matrix<Eigen::MatrixXd>(size, size, -1, 1);
  return root * root.transpose();
}

}  // namespace

TEST_CASE("shrinkage: OAS is equation 23 of Chen et al.", "[smoothing]") {
  Eigen::MatrixXd matrix = Eigen::Vector2d(4, 1).asDiagonal();
  Shrinkage::oas().apply(matrix, 20);  // rho = (0 * 17 + 25) / (20 * (17 - 12.5)) = 5 / 18
  CHECK(std::abs(matrix(0, 0) - (4 - 1.5 * 5 / 18)) <= 8 * epsilon);
  CHECK(std::abs(matrix(1, 1) - (1 + 1.5 * 5 / 18)) <= 8 * epsilon);
  CHECK(matrix(0, 1) == 0);

  for (const Count samples : {1, 4, 50, 1000000}) {
    CAPTURE(samples);
    const Eigen::MatrixXd before = covariance(6);
    Eigen::MatrixXd after = before;
    Shrinkage::oas().apply(after, samples);
    long double trace = 0, of_square = 0;
    for (Index i = 0; i < 6; ++i) {
      trace += static_cast<long double>(before(i, i));
      for (Index j = 0; j < 6; ++j)
        of_square += static_cast<long double>(before(i, j)) * static_cast<long double>(before(i, j));
    }
    const long double above = (1 - 2 / 6.0L) * of_square + trace * trace;
    const long double below =
        (static_cast<long double>(samples) + 1 - 2 / 6.0L) * (of_square - trace * trace / 6);
    const double rho = static_cast<double>(std::min(1.0L, above / below));
    const Eigen::MatrixXd expected =
        (1 - rho) * before + rho * static_cast<double>(trace / 6) * Eigen::MatrixXd::Identity(6, 6);
    CHECK((after - expected).norm() <= 64 * epsilon * expected.norm());
    CHECK(std::abs(after.trace() - before.trace()) <= 64 * epsilon * before.trace());
  }
}

TEST_CASE("shrinkage: a multiple of the identity stays, whatever the samples", "[smoothing]") {
  for (const Index size : {1, 2, 5}) {
    for (const Count samples : {0, 1, 7}) {
      CAPTURE(size, samples);
      Eigen::MatrixXd matrix = 3 * Eigen::MatrixXd::Identity(size, size);
      Shrinkage::oas().apply(matrix, samples);
      CHECK((matrix - 3 * Eigen::MatrixXd::Identity(size, size)).norm() <= 8 * epsilon);
    }
  }
}

TEST_CASE("shrinkage: ridge adds a share of the mean variance, none nothing", "[smoothing]") {
  const Eigen::MatrixXd before = covariance(4);
  Eigen::MatrixXd ridge = before, none = before;
  Shrinkage::ridge(0.25).apply(ridge, 3);
  Shrinkage::none().apply(none, 3);
  CHECK(none == before);
  const Eigen::MatrixXd added = ridge - before;
  CHECK((added - 0.25 * before.trace() / 4 * Eigen::MatrixXd::Identity(4, 4)).norm() <=
        8 * epsilon * before.norm());
}

TEST_CASE("shrinkage: an amount that is not positive and finite is refused", "[smoothing][errors]") {
  for (const double amount :
       {0.0, -1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(rejects([&] { (void)Shrinkage::ridge(amount); }, {"Shrinkage::ridge", "amount is"}));
  }
}

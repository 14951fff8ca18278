#include <ballast/core/rank_correlation.hpp>

#include <cmath>
#include <cstdint>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Index;
using ballast::detail::mean_ranks;
using ballast::detail::pearson;
using ballast::detail::spearman;

/// 1 + the number of smaller values + half the number of other equal ones.
Eigen::VectorXd plain_ranks(const Eigen::VectorXd& values) {
  Eigen::VectorXd ranks(values.size());
  for (Index i = 0; i < values.size(); ++i) {
    const double below = static_cast<double>((values.array() < values[i]).count());
    const double equal = static_cast<double>((values.array() == values[i]).count());
    ranks[i] = 1 + below + 0.5 * (equal - 1);
  }
  return ranks;
}

}  // namespace

TEST_CASE("rank_correlation: ranks, ties at their mean", "[core]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  RandomData random(seed);
  const Eigen::VectorXd values = random.vector<double>(60, -4, 4).array().round();
  CHECK(mean_ranks(values) == plain_ranks(values));
  CHECK(mean_ranks(Eigen::VectorXd()).size() == 0);
}

TEST_CASE("rank_correlation: Spearman's coefficient", "[core]") {
  // Without ties: 1 - 6 sum d^2 / (n (n^2 - 1)), here with sum d^2 = 8 and n = 5.
  Eigen::VectorXd x(5), y(5);
  x << 1, 2, 3, 4, 5;
  y << 20, 10, 50, 30, 40;
  CHECK(std::abs(*spearman(x, y) - (1 - 6.0 * 8 / (5 * 24))) <= 1e-15);
  // With ties it is Pearson's of the ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
  CHECK(std::abs(*spearman(Eigen::Vector4d(1, 2, 2, 3), Eigen::Vector4d(1, 2, 3, 4)) -
                 4.5 / std::sqrt(22.5)) <= 1e-15);
  CHECK(std::abs(*spearman(x, x.array().exp().matrix()) - 1) <= 1e-15);
  CHECK(std::abs(*spearman(x, -x) + 1) <= 1e-15);
}

TEST_CASE("rank_correlation: none where nothing varies", "[core]") {
  const Eigen::Vector3d x(1, 2, 3);
  CHECK_FALSE(spearman(x, Eigen::Vector3d::Constant(5)).has_value());
  CHECK_FALSE(pearson(Eigen::VectorXd(), Eigen::VectorXd()).has_value());
  CHECK_FALSE(pearson(Eigen::VectorXd::Ones(1), Eigen::VectorXd::Ones(1)).has_value());
}

TEST_CASE("rank_correlation: Pearson's coefficient does not mind an offset", "[core]") {
  const std::uint64_t seed = 4;
  CAPTURE(seed);
  RandomData random(seed);
  const Eigen::VectorXd x = random.vector<double>(100, -1, 1);
  const Eigen::VectorXd y = x + random.vector<double>(100, -1, 1);
  const double plain = *pearson(x, y);
  CHECK(plain > 0.5);
  CHECK(plain < 0.9);
  // The offset costs 1e6 epsilon in each value.
  CHECK(std::abs(*pearson(x.array() + 1e6, -3 * y) + plain) <= 1e-9);
}

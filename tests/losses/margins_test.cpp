#include <ballast/losses/margins.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::CountVector;
using ballast::Index;
using ballast::Margin;
using ballast::VectorX;
using ballast::ZeroCount;

ClassDistribution tail() {
  return ClassDistribution::from_counts((CountVector(3) << 1000, 96, 4).finished());
}
ClassDistribution with_hole() {
  return ClassDistribution::from_counts((CountVector(3) << 6, 0, 2).finished());
}

/// Within a few roundings, of the size of the largest.
template <typename Scalar>
bool close(const VectorX<Scalar>& came, const Eigen::VectorXd& expected) {
  return (came.template cast<double>() - expected).cwiseAbs().maxCoeff() <=
         8 * static_cast<double>(std::numeric_limits<Scalar>::epsilon()) * expected.cwiseAbs().maxCoeff();
}

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEMPLATE_TEST_CASE("margins: each is its formula", "[losses]", float, double) {
  const ClassDistribution classes = tail();
  const Eigen::VectorXd prior = classes.prior();
  const Eigen::VectorXd log_prior = prior.array().log();

  const Margin<TestType> adjusted = ballast::prior_margin<TestType>(classes, TestType(1.5));
  CHECK(close<TestType>(adjusted.offset, 1.5 * log_prior));
  CHECK(adjusted.target_offset.size() == 0);
  CHECK(adjusted.scale.size() == 0);
  CHECK(adjusted.pairwise.size() == 0);

  const Eigen::VectorXd target = Eigen::Vector3d(0.5, 0.3, 0.2);
  CHECK(close<TestType>(ballast::target_prior_margin<TestType>(classes, target, TestType(2)).offset,
                        2 * (log_prior.array() - target.array().log())));

  const Margin<TestType> ldam = ballast::ldam_margin<TestType>(classes, TestType(0.5), TestType(10));
  CHECK(ldam.scale == VectorX<TestType>::Constant(3, 10));
  CHECK(ldam.offset.isZero(0));
  CHECK(std::abs(ldam.target_offset[2] + 5) <= 16 * std::numeric_limits<TestType>::epsilon());
  const double ratio =
      static_cast<double>(ldam.target_offset[0]) / static_cast<double>(ldam.target_offset[2]);
  CHECK(std::abs(ratio - std::pow(4.0 / 1000, 0.25)) <= 1e-6);

  const Margin<TestType> adaptive = ballast::adaptive_margin<TestType>(classes);
  CHECK(adaptive.offset.isZero(0));
  CHECK(close<TestType>(adaptive.target_offset, -prior.array().pow(-0.25)));

  const Margin<TestType> equalized = ballast::equalized_margin<TestType>(classes);
  CHECK(close<TestType>(equalized.offset, log_prior));
  CHECK(equalized.target_offset.isZero(0));
  const auto root = ballast::equalized_margin<TestType>(classes, [](double p) { return std::sqrt(p); });
  CHECK(close<TestType>(root.offset, 0.5 * log_prior));

  const Margin<TestType> scaling =
      ballast::vector_scaling_margin<TestType>(classes, TestType(0.25), TestType(2));
  CHECK(close<TestType>(scaling.scale, (classes.counts().cast<double>().array() / 1000).pow(0.25)));
  CHECK(close<TestType>(scaling.offset, 2 * log_prior));

  const ballast::MatrixX<TestType> delta = ballast::MatrixX<TestType>::Identity(3, 3) * TestType(0);
  CHECK(ballast::pairwise_margin(delta).pairwise == delta);
}

TEST_CASE("margins: a class without samples follows the chosen policy", "[losses]") {
  const ClassDistribution hole = with_hole();
  CHECK(rejects([&] { return ballast::prior_margin<double>(hole); }, {"class 1 has no samples"}));
  for (const double tau : {-1.0, 0.0, 1.0}) {
    CAPTURE(tau);
    CHECK(ballast::prior_margin<double>(hole, tau, ZeroCount::mask()).offset[1] == -infinity);
    CHECK(std::isfinite(ballast::prior_margin<double>(hole, tau, ZeroCount::smooth(1)).offset[1]));
  }
  const auto equalized = ballast::equalized_margin<double>(hole, ZeroCount::mask());
  CHECK(equalized.offset[1] == -infinity);
  CHECK(equalized.target_offset[1] == -infinity);
  const auto scaling = ballast::vector_scaling_margin<double>(hole, 0.3, 1.0, ZeroCount::mask());
  CHECK(scaling.scale[1] == 1);
  CHECK(scaling.offset[1] == -infinity);
  CHECK(rejects([&] { return ballast::ldam_margin<double>(hole); }, {"ldam_margin", "class 1"}));
  CHECK(rejects([&] { return ballast::adaptive_margin<double>(hole); }, {"adaptive_margin", "class 1"}));
}

TEST_CASE("margins: bad parameters are refused by name", "[losses][errors]") {
  const ClassDistribution classes = tail();
  CHECK(rejects([&] { return ballast::prior_margin<double>(classes, infinity); }, {"tau is inf"}));
  CHECK(rejects([&] { return ballast::ldam_margin<double>(classes, -1.0); }, {"largest_margin is -1"}));
  CHECK(rejects([&] { return ballast::ldam_margin<double>(classes, 0.5, 0.0); }, {"scale is 0"}));
  CHECK(rejects([&] { return ballast::vector_scaling_margin<double>(classes, infinity); }, {"gamma is inf"}));
  CHECK(rejects([&] { return ballast::target_prior_margin<double>(classes, Eigen::Vector2d(0.5, 0.5)); },
                {"target_prior has size 2"}));
  CHECK(rejects([&] { return ballast::target_prior_margin<double>(classes, Eigen::Vector3d(1, 0, 0)); },
                {"target_prior[1] is 0"}));
  CHECK(rejects([&] { return ballast::target_prior_margin<double>(classes, Eigen::Vector3d(1, 1, 1)); },
                {"target_prior sums to 3"}));
  CHECK(rejects([&] { return ballast::equalized_margin<double>(classes, [](double) { return 0.0; }); },
                {"F(pi[0]) is 0"}));
}

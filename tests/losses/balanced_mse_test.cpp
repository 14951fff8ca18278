#include <ballast/losses/balanced_mse.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::BalancedMse;
using ballast::Index;
using ballast::MatrixX;
using ballast::Reduction;
using ballast::RowMatrixX;
using ballast::VectorX;

/// The definition: cross-entropy of -d_ij / (2 sigma^2) over j with label i, times 2 sigma^2.
template <typename Predictions, typename Targets>
VectorX<long double> plain(const Predictions& predictions, const Targets& targets, long double noise,
                           long double constant) {
  const Index samples = predictions.rows();
  VectorX<long double> losses(samples);
  for (Index i = 0; i < samples; ++i) {
    long double sum = 0, own = 0, least = std::numeric_limits<long double>::infinity();
    VectorX<long double> distances = VectorX<long double>::Zero(samples);
    for (Index j = 0; j < samples; ++j) {
      for (Index d = 0; d < predictions.cols(); ++d) {
        const long double error =
            static_cast<long double>(predictions(i, d)) - static_cast<long double>(targets(j, d));
        distances[j] += error * error;
      }
      least = std::min(least, distances[j]);
    }
    for (Index j = 0; j < samples; ++j) sum += std::exp((least - distances[j]) / (2 * noise * noise));
    own = (distances[i] - least) / (2 * noise * noise);
    losses[i] = (own + std::log(sum)) * constant;
  }
  return losses;
}

}  // namespace

TEMPLATE_TEST_CASE("balanced_mse: the value is the definition, for every reduction", "[losses]", float,
                   double) {
  using Scalar = TestType;
  const double epsilon = static_cast<double>(std::numeric_limits<Scalar>::epsilon());
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  for (const Index columns : {1, 3}) {
    const auto predictions = random.matrix<MatrixX<Scalar>>(150, columns, 0, 10);  // more than two blocks
    const auto targets = random.matrix<MatrixX<Scalar>>(150, columns, 0, 10);
    const VectorX<Scalar> weights = random.vector<Scalar>(150, 0, 2);
    for (const double noise : {0.25, 1.0, 8.0}) {
      CAPTURE(columns, noise);
      const auto losses = plain(predictions, targets, static_cast<long double>(noise),
                                static_cast<long double>(2 * noise * noise));
      const long double weighted = losses.dot(weights.template cast<long double>());
      const long double total = weights.template cast<long double>().sum();
      // Distances up to 300, each good to a few ulp, enter the loss as they are; the log is times 2 sigma^2.
      const double bound = epsilon * (16 * 300 + 16 * 2 * noise * noise);
      MatrixX<Scalar> gradient(150, columns);
      const auto check = [&](Reduction reduction, long double expected, long double divisor) {
        const BalancedMse<Scalar> loss(static_cast<Scalar>(noise), reduction);
        const double came = static_cast<double>(loss(predictions, targets, weights, gradient));
        CHECK(std::abs(came - static_cast<double>(expected)) <= bound * static_cast<double>(total / divisor));
      };
      check(Reduction::mean, weighted / 150, 150);
      check(Reduction::weighted_mean, weighted / total, total);
      check(Reduction::sum, weighted, 1);
      const BalancedMse<Scalar> loss(static_cast<Scalar>(noise));
      CHECK(std::abs(static_cast<double>(loss(predictions, targets)) - static_cast<double>(losses.mean())) <=
            bound);
    }
  }
}

TEST_CASE("balanced_mse: gradients in predictions and noise are those of central differences", "[losses]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  Eigen::MatrixXd predictions = random.matrix<Eigen::MatrixXd>(70, 2, 0, 4);
  const Eigen::MatrixXd targets = random.matrix<Eigen::MatrixXd>(70, 2, 0, 4);
  const Eigen::VectorXd weights = random.vector<double>(70, 0, 2);
  const double noise = 0.7, constant = 2 * noise * noise, h = 1e-5;
  const BalancedMse<double> loss(noise);
  Eigen::MatrixXd gradient(70, 2);
  const auto value = loss.with_noise_gradient(predictions, targets, weights, gradient);
  CHECK(value.value == loss(predictions, targets, weights, gradient));
  const auto reference = [&](double sigma) {
    return static_cast<double>(
        plain(predictions, targets, static_cast<long double>(sigma), static_cast<long double>(constant))
            .dot(weights.cast<long double>()) /
        70);
  };
  // Truncation h^2 / 6 times a third derivative of order 100.
  CHECK(std::abs(value.noise_gradient - (reference(noise + h) - reference(noise - h)) / (2 * h)) <= 1e-8);
  for (Index i = 0; i < predictions.size(); i += 7) {
    const double kept = predictions(i);
    predictions(i) = kept + h;
    const double above = reference(noise);
    predictions(i) = kept - h;
    const double below = reference(noise);
    predictions(i) = kept;
    CHECK(std::abs(gradient(i) - (above - below) / (2 * h)) <= 1e-9);
  }
  Eigen::MatrixXd unweighted(70, 2), ones(70, 2);
  const auto plain_value = loss.with_noise_gradient(predictions, targets, unweighted);
  const auto ones_value = loss.with_noise_gradient(predictions, targets, Eigen::VectorXd::Ones(70), ones);
  CHECK(plain_value.value == ones_value.value);
  CHECK(plain_value.noise_gradient == ones_value.noise_gradient);
  CHECK(unweighted == ones);
}

TEMPLATE_TEST_CASE("balanced_mse: storage orders, blocks and in place", "[losses]", float, double) {
  using Scalar = TestType;
  const std::uint64_t seed = 4;
  CAPTURE(seed);
  RandomData random(seed);
  const auto predictions = random.matrix<MatrixX<Scalar>>(90, 3, 0, 4);
  const auto targets = random.matrix<MatrixX<Scalar>>(90, 3, 0, 4);
  const BalancedMse<Scalar> loss(1);
  MatrixX<Scalar> gradient(90, 3);
  const Scalar value = loss(predictions, targets, gradient);
  RowMatrixX<Scalar> rows = predictions;
  CHECK(loss(rows, targets, rows) == value);
  CHECK(rows == gradient);
  MatrixX<Scalar> wide = MatrixX<Scalar>::Zero(3, 95);
  wide.middleCols(2, 90) = predictions.transpose();
  CHECK(loss(wide.middleCols(2, 90).transpose(), RowMatrixX<Scalar>(targets),
             wide.middleCols(2, 90).transpose()) == value);
  CHECK(wide.middleCols(2, 90).transpose() == gradient);
  CHECK(wide.col(92).isZero(0));
}

TEST_CASE("balanced_mse: a large batch is the same sum in parts", "[losses]") {
  const std::uint64_t seed = 5;
  CAPTURE(seed);
  RandomData random(seed);
  const Eigen::VectorXd predictions = random.vector<double>(1000, 0, 10);
  const Eigen::VectorXd targets = random.vector<double>(1000, 0, 10);
  const auto expected = plain(predictions, targets, 1, 2);
  CHECK(std::abs(BalancedMse<double>(1.0)(predictions, targets) - static_cast<double>(expected.mean())) <=
        1e-12);
}

TEMPLATE_TEST_CASE("balanced_mse: extremes stay finite, NaN shows", "[losses]", float, double) {
  using Scalar = TestType;
  VectorX<Scalar> targets(4), predictions(4), gradient(4);
  targets << -10000, 0, 0, 10000;
  predictions << 10000, 0, 0, -10000;
  for (const Scalar noise : {Scalar(1e-3), Scalar(1), Scalar(1e6)}) {
    const auto value = BalancedMse<Scalar>(noise).with_noise_gradient(predictions, targets, gradient);
    CHECK(std::isfinite(value.value));
    CHECK(std::isfinite(value.noise_gradient));
    CHECK(gradient.allFinite());
  }
  // A far sample pulls with the whole distance between its target and the one that explains it.
  BalancedMse<Scalar>(Scalar(1))(predictions, targets, gradient);
  CHECK(gradient[0] == 2 * Scalar(20000) / 4);
  CHECK(std::abs(gradient[1]) <= Scalar(1e-30));  // a vector exp may stop at the smallest number
  predictions[2] = std::numeric_limits<Scalar>::quiet_NaN();
  CHECK(std::isnan(BalancedMse<Scalar>(Scalar(1))(predictions, targets, gradient)));
  CHECK(std::isnan(gradient[2]));
  CHECK(std::abs(gradient[1]) <= Scalar(1e-30));  // a vector exp may stop at the smallest number
  VectorX<Scalar> none(0);
  CHECK(BalancedMse<Scalar>(Scalar(1))(none, none, none) == 0);
}

TEST_CASE("balanced_mse: rejects bad arguments and writes nothing", "[losses][errors]") {
  CHECK(rejects([] { return BalancedMse<double>(0.0); }, {"noise is 0"}));
  CHECK(rejects([] { return BalancedMse<double>(-1.0); }, {"noise is -1"}));
  CHECK(rejects([] { return BalancedMse<double>(std::nan("")); }, {"noise is nan"}));
  CHECK(rejects([] { return BalancedMse<float>(1e-30f); }, {"noise is"}));
  const BalancedMse<double> loss(1.0);
  Eigen::VectorXd gradient = Eigen::VectorXd::Constant(2, 7.0);
  const Eigen::Vector2d two(1, 2);
  CHECK(rejects([&] { loss(two, Eigen::Vector3d(0, 0, 0), gradient); }, {"targets is 3 x 1", "2 x 1"}));
  CHECK(rejects([&] { loss(two, Eigen::Vector2d(0, std::nan("")), gradient); }, {"targets(1, 0) is nan"}));
  CHECK(rejects([&] { loss(two, two, Eigen::Vector2d(1, -2), gradient); }, {"weights[1] is -2"}));
  Eigen::MatrixXd wide = Eigen::MatrixXd::Zero(2, 257), out(2, 257);
  CHECK(rejects([&] { loss(wide, wide, out); }, {"257 columns", "at most 256"}));
  CHECK(gradient == Eigen::VectorXd::Constant(2, 7.0));
}

#include <ballast/losses/binary.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>

#include <ballast/losses/presets.hpp>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::BinaryLoss;
using ballast::BinaryLossOptions;
using ballast::BinaryParameters;
using ballast::Index;
using ballast::MatrixX;
using ballast::Reduction;
using ballast::RowMatrixX;
using ballast::VectorX;
using ballast::ZeroCount;

template <typename Scalar>
constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

template <typename Matrix>
struct Case {
  using Scalar = typename Matrix::Scalar;
  Matrix logits, targets;
  VectorX<Scalar> sample_weights;
  BinaryParameters<Scalar> parameters;
};

/// A third of the targets 0, a third 1, the rest between or ignored.
template <typename Matrix>
Case<Matrix> random_case(std::uint64_t seed, Index samples, Index labels, bool weighted) {
  using Scalar = typename Matrix::Scalar;
  RandomData random(seed);
  Case<Matrix> c;
  c.logits = random.matrix<Matrix>(samples, labels, -6, 6);
  c.targets.resize(samples, labels);
  for (Index i = 0; i < samples; ++i) {
    for (Index k = 0; k < labels; ++k) {
      const double draw = random.uniform(-1, 2);
      c.targets(i, k) = static_cast<Scalar>(draw < 0 ? 0 : draw > 1 ? 1 : draw > 0.8 ? -100 : draw);
    }
  }
  c.sample_weights = VectorX<Scalar>::Ones(samples);
  if (weighted) {
    c.sample_weights = random.vector<Scalar>(samples, 0, 2);
    c.parameters.offset = random.vector<Scalar>(labels, -3, 3);
    c.parameters.positive_weight = random.vector<Scalar>(labels, 0, 4);
    c.parameters.negative_weight = random.vector<Scalar>(labels, 0, 4);
  }
  return c;
}

using Exact = RowMatrixX<long double>;

/// The formula, entry by entry, and what it may be off by in units of epsilon: u is off by half an ulp, and
/// so is L by as much; exp, log1p and the products are good to a few ulp.
template <typename Matrix>
struct Expected {
  Exact values, gradient, bounds;
  long double count = 0, weight = 0;

  explicit Expected(const Case<Matrix>& c)
      : values(Exact::Zero(c.logits.rows(), c.logits.cols())), gradient(values), bounds(values) {
    const auto part = [](const auto& vector, Index k, long double otherwise) {
      return vector.size() > 0 ? static_cast<long double>(vector[k]) : otherwise;
    };
    for (Index i = 0; i < values.rows(); ++i) {
      for (Index k = 0; k < values.cols(); ++k) {
        const auto q = static_cast<long double>(c.targets(i, k));
        if (q == -100) continue;
        const auto w = static_cast<long double>(c.sample_weights[i]);
        const long double u = static_cast<long double>(c.logits(i, k)) + part(c.parameters.offset, k, 0);
        const long double positive = w * q * part(c.parameters.positive_weight, k, 1);
        const long double negative = w * (1 - q) * part(c.parameters.negative_weight, k, 1);
        values(i, k) = positive * std::log1p(std::exp(-u)) + negative * std::log1p(std::exp(u));
        gradient(i, k) = negative / (1 + std::exp(-u)) - positive / (1 + std::exp(u));
        bounds(i, k) = (positive + negative) * (16 + std::abs(u));
        count += 1;
        weight += positive + negative;
      }
    }
  }

  [[nodiscard]] long double divisor(Reduction reduction) const {
    return reduction == Reduction::sum ? 1 : reduction == Reduction::mean ? count : weight;
  }
};

template <typename Scalar>
constexpr auto epsilon = static_cast<long double>(std::numeric_limits<Scalar>::epsilon());

template <typename Gradient, typename Matrix>
bool gradient_matches(const Gradient& came, const Expected<Matrix>& expected, long double divisor) {
  const Exact error = (came.template cast<long double>() - expected.gradient / divisor).cwiseAbs();
  return ((error - epsilon<typename Matrix::Scalar> / divisor * expected.bounds).array() <= 0).all();
}

template <typename Scalar, typename Matrix>
bool value_matches(Scalar came, const Expected<Matrix>& expected, long double divisor) {
  return std::abs(static_cast<long double>(came) - expected.values.sum() / divisor) <=
         epsilon<Scalar> * (expected.bounds.sum() + expected.values.sum()) / divisor;
}

using Shape = std::tuple<Index, Index>;

}  // namespace

TEMPLATE_TEST_CASE("binary: value and gradient are the formula", "[losses]", MatrixX<float>,
                   RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  using Matrix = TestType;
  using Scalar = typename Matrix::Scalar;
  // Short lines share a tile, long ones are cut into several; 256 is a whole one.
  const auto [samples, labels] = GENERATE(Shape(1, 1), Shape(700, 1), Shape(1, 700), Shape(33, 7),
                                          Shape(7, 33), Shape(300, 256), Shape(5, 257));
  const bool weighted = GENERATE(false, true);
  const Reduction reduction = GENERATE(Reduction::weighted_mean, Reduction::mean, Reduction::sum);
  const std::uint64_t seed = 11;
  CAPTURE(samples, labels, weighted, static_cast<int>(reduction), seed);
  const auto c = random_case<Matrix>(seed, samples, labels, weighted);
  const Expected<Matrix> expected(c);
  BinaryLossOptions<Scalar> options;
  options.reduction = reduction;
  const BinaryLoss<Scalar> loss(labels, c.parameters, options);
  Matrix gradient = Matrix::Constant(samples, labels, 7);

  const Scalar value = loss(c.logits, c.targets, c.sample_weights, gradient);
  const long double divisor = expected.divisor(reduction);
  CHECK(value_matches(value, expected, divisor));
  CHECK(gradient_matches(gradient, expected, divisor));
  if (!weighted) {
    CHECK(loss(c.logits, c.targets) == value);
    CHECK(loss(c.logits, c.targets, gradient) == value);
    CHECK(gradient_matches(gradient, expected, divisor));
  }

  Matrix in_place = c.logits;
  CHECK(loss(in_place, c.targets, c.sample_weights, in_place) == value);
  CHECK(gradient_matches(in_place, expected, divisor));
}

TEMPLATE_TEST_CASE("binary: each entry's own loss and gradient", "[losses]", MatrixX<float>,
                   RowMatrixX<double>) {
  using Matrix = TestType;
  using Scalar = typename Matrix::Scalar;
  auto c = random_case<Matrix>(12, 40, 30, true);
  c.sample_weights.setOnes();
  const Expected<Matrix> expected(c);
  const BinaryLoss<Scalar> loss(30, c.parameters);
  Matrix values(40, 30), gradient(40, 30), alone(40, 30);
  loss.each(c.logits, c.targets, values, gradient);
  loss.each(c.logits, c.targets, alone);
  CHECK(gradient_matches(gradient, expected, 1));
  CHECK(values == alone);
  const Exact error = (values.template cast<long double>() - expected.values).cwiseAbs();
  CHECK(((error - epsilon<Scalar> * (expected.bounds + expected.values)).array() <= 0).all());
}

TEMPLATE_TEST_CASE("binary: blocks, maps and transposes are taken as they are", "[losses]", float, double) {
  using Scalar = TestType;
  const auto c = random_case<MatrixX<Scalar>>(13, 30, 9, true);
  const BinaryLoss<Scalar> loss(9, c.parameters);
  MatrixX<Scalar> gradient(30, 9);
  const Scalar value = loss(c.logits, c.targets, gradient);

  MatrixX<Scalar> large = MatrixX<Scalar>::Constant(50, 20, 7), out = large;
  large.block(3, 4, 30, 9) = c.logits;
  CHECK(loss(large.block(3, 4, 30, 9), c.targets, out.block(3, 4, 30, 9)) == value);
  CHECK(out.block(3, 4, 30, 9) == gradient);
  out.block(3, 4, 30, 9).setConstant(7);
  CHECK(out == MatrixX<Scalar>::Constant(50, 20, 7));

  RowMatrixX<Scalar> transposed = c.logits.transpose(), transposed_targets = c.targets.transpose();
  RowMatrixX<Scalar> transposed_gradient(9, 30);
  CHECK(loss(transposed.transpose(), transposed_targets.transpose(), transposed_gradient.transpose()) ==
        value);
  CHECK(transposed_gradient.transpose() == gradient);
}

TEMPLATE_TEST_CASE("binary: targets may be of any arithmetic type", "[losses]", bool, std::int8_t,
                   std::uint8_t, int, std::int64_t) {
  RandomData random(14);
  const Eigen::MatrixXd logits = random.matrix<Eigen::MatrixXd>(20, 4, -3, 3);
  const Eigen::MatrixXd targets = (random.matrix<Eigen::MatrixXd>(20, 4, 0, 1).array() > 0.7).cast<double>();
  const MatrixX<TestType> typed = (targets.array() > 0.5).cast<TestType>();
  const BinaryLoss<double> loss(4);
  CHECK(loss(logits, typed) == loss(logits, targets));
}

TEST_CASE("binary: gradient is the derivative of the value", "[losses]") {
  const auto reduction = GENERATE(Reduction::weighted_mean, Reduction::mean, Reduction::sum);
  auto c = random_case<RowMatrixX<double>>(15, 6, 5, true);
  BinaryLossOptions<double> options;
  options.reduction = reduction;
  const BinaryLoss<double> loss(5, c.parameters, options);
  RowMatrixX<double> gradient(6, 5), unused(6, 5);
  loss(c.logits, c.targets, c.sample_weights, gradient);
  const double h = 1e-4;  // error h^2 |L'''| / 6 + epsilon |L| / h
  for (Index i = 0; i < 6; ++i) {
    for (Index k = 0; k < 5; ++k) {
      const auto at = [&](double shift) {
        RowMatrixX<double> moved = c.logits;
        moved(i, k) += shift;
        return loss(moved, c.targets, c.sample_weights, unused);
      };
      CHECK(std::abs((at(h) - at(-h)) / (2 * h) - gradient(i, k)) <= 1e-8);
    }
  }
}

TEMPLATE_TEST_CASE("binary: extreme logits give the limits", "[losses]", float, double) {
  using Scalar = TestType;
  const Scalar inf = infinity<Scalar>;
  const BinaryLoss<Scalar> loss(1);
  MatrixX<Scalar> logits(6, 1), targets(6, 1), values(6, 1), gradient(6, 1);
  const Scalar big = Scalar(1e4);
  logits << big, -big, big, -big, inf, -inf;
  targets << 1, 0, 0, 1, 1, 0;
  loss.each(logits, targets, values, gradient);
  for (const Index i : {0, 1, 4, 5}) {
    CHECK(values(i) == 0);
    CHECK(gradient(i) == 0);
  }
  CHECK(values(2) == big);
  CHECK(gradient(2) == 1);
  CHECK(values(3) == big);
  CHECK(gradient(3) == -1);

  targets.array() = 1 - targets.array();
  loss.each(logits, targets, values, gradient);
  CHECK(values(4) == inf);
  CHECK(values(5) == inf);
  CHECK(gradient(4) == 1);
  CHECK(gradient(5) == -1);
}

TEMPLATE_TEST_CASE("binary: NaN stays in its entry, ignored logits are not read", "[losses]", float, double) {
  using Scalar = TestType;
  auto c = random_case<MatrixX<Scalar>>(16, 50, 3, true);
  c.targets.setOnes();
  c.targets(7, 1) = -100;
  c.logits(7, 1) = std::numeric_limits<Scalar>::quiet_NaN();
  const BinaryLoss<Scalar> loss(3, c.parameters);
  MatrixX<Scalar> values(50, 3), gradient(50, 3);
  loss.each(c.logits, c.targets, values, gradient);
  CHECK(values.allFinite());
  CHECK(values(7, 1) == 0);
  CHECK(gradient(7, 1) == 0);
  CHECK(std::isfinite(loss(c.logits, c.targets)));

  c.logits(8, 2) = std::numeric_limits<Scalar>::quiet_NaN();
  MatrixX<Scalar> with_nan(50, 3);
  loss.each(c.logits, c.targets, with_nan, gradient);
  CHECK(std::isnan(with_nan(8, 2)));
  CHECK(std::isnan(gradient(8, 2)));
  with_nan(8, 2) = values(8, 2);
  CHECK(with_nan == values);
  CHECK(std::isnan(loss(c.logits, c.targets)));
}

TEMPLATE_TEST_CASE("binary: the same bits for any number of threads", "[losses]", MatrixX<float>,
                   RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const auto c = random_case<TestType>(18, 3000, 60, true);
  const BinaryLoss<Scalar> loss(60, c.parameters);
  TestType gradient(3000, 60), again(3000, 60);
  const Scalar value = loss(c.logits, c.targets, gradient);
  for (const int count : {1, 2, 3, 7}) {
#if defined(_OPENMP)
    omp_set_num_threads(count);
#endif
    CAPTURE(count);
    CHECK(loss(c.logits, c.targets, again) == value);
    CHECK(again == gradient);
  }
}

TEST_CASE("binary: nothing to average is 0", "[losses]") {
  const auto reduction = GENERATE(Reduction::weighted_mean, Reduction::mean, Reduction::sum);
  BinaryLossOptions<double> options;
  options.reduction = reduction;
  options.ignore_value = -1;
  const BinaryLoss<double> loss(3, {}, options);
  const Eigen::MatrixXd logits = Eigen::MatrixXd::Random(4, 3);
  Eigen::MatrixXd gradient = Eigen::MatrixXd::Ones(4, 3), none(0, 3);
  CHECK(loss(logits, Eigen::MatrixXd::Constant(4, 3, -1).eval(), gradient) == 0);
  CHECK(gradient == Eigen::MatrixXd::Zero(4, 3));
  CHECK(loss(none, none, none) == 0);
}

TEST_CASE("binary: the prior's log-odds", "[losses]") {
  const Eigen::VectorXd odds = ballast::prior_log_odds(Eigen::Vector3i(1, 50, 99), 100);
  CHECK(std::abs(odds[0] - std::log(1.0 / 99)) <= 1e-15);
  CHECK(odds[1] == 0);
  CHECK(odds[2] == -odds[0]);
  CHECK(ballast::prior_log_odds(Eigen::Vector2i(1, 99), Eigen::Vector2i(99, 1)) ==
        ballast::prior_log_odds(Eigen::Vector2i(1, 99), 100));
  const Eigen::VectorXd smoothed =
      ballast::prior_log_odds(Eigen::Vector2i(0, 10), 10, ZeroCount::smooth(0.5));
  CHECK(std::abs(smoothed[0] - std::log(0.5 / 10.5)) <= 1e-15);
  CHECK(smoothed[1] == -smoothed[0]);
}

TEST_CASE("binary: with one label it is the logit-adjusted softmax of two classes", "[losses]") {
  // log softmax of (log pi_0, f + log pi_1) at class 1 is -log(1 + e^-(f + log odds)).
  const double tau = GENERATE(0.0, 0.5, 1.0);
  CAPTURE(tau);
  RandomData random(17);
  const Eigen::MatrixXd logit = random.matrix<Eigen::MatrixXd>(60, 1, -5, 5);
  const Eigen::VectorXi labels = random.labels(60, 2);
  Eigen::MatrixXd pair = Eigen::MatrixXd::Zero(60, 2);
  pair.col(1) = logit;
  const auto classes = ballast::ClassDistribution::from_counts(Eigen::Vector2i(950, 50));
  Eigen::MatrixXd gradient(60, 1), pair_gradient(60, 2);
  const double value = ballast::logit_adjusted_binary_loss<double>(Eigen::Matrix<int, 1, 1>(50), 1000, tau)(
      logit, labels, gradient);
  const double softmax = ballast::logit_adjusted_loss<double>(classes, tau)(pair, labels, pair_gradient);
  CHECK(std::abs(value - softmax) <= 1e-14 * softmax);
  CHECK((gradient - pair_gradient.col(1)).cwiseAbs().maxCoeff() <= 1e-15);
}

TEST_CASE("binary: rejects what has no meaning and writes nothing", "[losses][errors]") {
  const BinaryLoss<double> loss(3);
  const Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(4, 3);
  Eigen::MatrixXd targets = Eigen::MatrixXd::Zero(4, 3), gradient = Eigen::MatrixXd::Constant(4, 3, 7);
  Eigen::VectorXd weights = Eigen::VectorXd::Ones(4);
  const auto call = [&] {
    return loss(logits, targets, weights, gradient);
  };

  targets(2, 1) = 1.5;
  targets(3, 0) = -1;
  CHECK(rejects(call, {"BinaryLoss", "targets(2, 1) is 1.5", "[0, 1]", "-100"}));
  targets(2, 1) = std::nan("");
  CHECK(rejects(call, {"targets(2, 1) is nan"}));
  targets.setZero();
  weights[2] = -1;
  CHECK(rejects(call, {"sample_weights[2] is -1"}));
  weights.resize(5);
  CHECK(rejects(call, {"sample_weights has size 5, expected 4"}));
  CHECK(rejects([&] { return loss(logits.leftCols(2), targets, gradient); }, {"logits has 2 columns", "3"}));
  CHECK(rejects([&] { return loss(logits, targets.topRows(2), gradient); }, {"targets is 2 x 3"}));
  CHECK(rejects([&] { return loss(logits, targets, gradient.topRows(2)); }, {"gradient is 2 x 3"}));
  CHECK(gradient == Eigen::MatrixXd::Constant(4, 3, 7));

  CHECK(rejects([] { BinaryLoss<float>(0); }, {"labels is 0"}));
  BinaryParameters<float> parameters;
  parameters.offset = Eigen::VectorXf::Constant(2, infinity<float>);
  CHECK(rejects([&] { BinaryLoss<float>(2, parameters); }, {"offset[0] is inf"}));
  parameters.offset.resize(0);
  parameters.positive_weight = Eigen::VectorXf::Constant(2, -1);
  CHECK(rejects([&] { BinaryLoss<float>(2, parameters); }, {"positive_weight[0] is -1"}));
  CHECK(rejects([&] { BinaryLoss<float>(3, parameters); }, {"positive_weight has size 2, expected 3"}));
  BinaryLossOptions<float> options;
  options.ignore_value = 0.5f;
  CHECK(rejects([&] { BinaryLoss<float>(2, {}, options); }, {"ignore_value is 0.5"}));

  using ballast::prior_log_odds;
  CHECK(rejects([] { return prior_log_odds(Eigen::Vector2i(3, 0), 9); }, {"label 1 has no positives"}));
  CHECK(rejects([] { return prior_log_odds(Eigen::Vector2i(3, 9), 9); }, {"label 1 has no negatives"}));
  CHECK(
      rejects([] { return prior_log_odds(Eigen::Vector2i(3, 10), 9); }, {"positives[1] is 10", "9 samples"}));
  CHECK(rejects([] { return prior_log_odds(Eigen::Vector2i(-3, 1), 9); }, {"positives[0] is -3"}));
  CHECK(rejects([] { return prior_log_odds(Eigen::Vector2i(3, 1), 9, ZeroCount::mask()); }, {"mask"}));
  CHECK(rejects([] { return ballast::logit_adjusted_binary_loss<float>(Eigen::Vector2i(3, 1), 9, NAN); },
                {"tau is nan"}));
}

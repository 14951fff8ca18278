#include <ballast/adjustment/calibration.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::BiasCorrectedTemperature;
using ballast::CalibrationFit;
using ballast::CalibrationFitOptions;
using ballast::Index;
using ballast::TemperatureScaling;
using ballast::VectorScaling;

Eigen::VectorXd vector_of(std::initializer_list<double> values) {
  Eigen::VectorXd result(static_cast<Index>(values.size()));
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

/// Labels drawn from softmax(logits), so that the identity is calibrated up to sampling.
template <typename Matrix>
Eigen::VectorXi draw_labels(const Matrix& logits, RandomData& random) {
  Eigen::VectorXi labels(logits.rows());
  for (Index i = 0; i < logits.rows(); ++i) {
    const Eigen::ArrayXd p = logits.row(i).template cast<double>().array().exp().transpose();
    double rest = random.uniform(0, p.sum());
    Index label = 0;
    while (label + 1 < logits.cols() && rest >= p[label]) rest -= p[label++];
    labels[i] = static_cast<int>(label);
  }
  return labels;
}

/// Weighted mean log loss of s o f + b plus the ridge, as defined.
template <typename Matrix>
long double reference_loss(const Matrix& logits, const Eigen::VectorXi& labels, const Eigen::VectorXd& scale,
                           const Eigen::VectorXd& bias, const CalibrationFitOptions& options = {}) {
  long double loss = 0, total = 0, ridge = 0;
  const auto s = [&](Index k) {
    return static_cast<long double>(scale[scale.size() == 1 ? 0 : k]);
  };
  const auto b = [&](Index k) {
    return bias.size() == 0 ? 0.0L : static_cast<long double>(bias[k]);
  };
  for (Index i = 0; i < logits.rows(); ++i) {
    long double sum = 0;
    for (Index k = 0; k < logits.cols(); ++k) {
      sum += std::exp(s(k) * static_cast<long double>(logits(i, k)) + b(k));
    }
    const Index y = labels[i];
    const auto w =
        static_cast<long double>(options.class_weights.size() == 0 ? 1.0 : options.class_weights[y]);
    loss += w * (std::log(sum) - s(y) * static_cast<long double>(logits(i, y)) - b(y));
    total += w;
  }
  for (Index k = 0; k < scale.size(); ++k) ridge += (s(k) - 1) * (s(k) - 1);
  for (Index k = 0; k < bias.size(); ++k) ridge += b(k) * b(k);
  return loss / total + static_cast<long double>(options.ridge) / 2 * ridge;
}

/// Norm of the gradient at the fit, by central differences of the reference.
template <typename Matrix, typename Fitted>
double reference_gradient_norm(const Matrix& logits, const Eigen::VectorXi& labels, const Fitted& fitted,
                               const CalibrationFitOptions& options = {}) {
  Eigen::VectorXd scale = fitted.scale(), bias = fitted.bias();
  const double h = 1e-6;  // long double: truncation h^2 = 1e-12, rounding 1e-19 / h = 1e-13
  long double squares = 0;
  for (Eigen::VectorXd* parameters : {&scale, &bias}) {
    for (double& x : *parameters) {
      const double at = x;
      x = at + h;
      const long double above = reference_loss(logits, labels, scale, bias, options);
      x = at - h;
      const long double below = reference_loss(logits, labels, scale, bias, options);
      x = at;
      const long double slope = (above - below) / static_cast<long double>(2 * h);
      squares += slope * slope;
    }
  }
  return static_cast<double>(std::sqrt(squares));
}

template <typename Matrix>
std::pair<Matrix, Eigen::VectorXi> problem(std::uint64_t seed, Index samples, Index classes, double factor) {
  RandomData random(seed);
  const Matrix logits = random.matrix<Matrix>(samples, classes, -2, 2);
  const Eigen::VectorXi labels = draw_labels(logits, random);
  const Matrix scaled = logits * static_cast<typename Matrix::Scalar>(factor);
  return {scaled, labels};
}

}  // namespace

TEMPLATE_TEST_CASE("calibration: every fit is the optimum of the log loss", "[adjustment]",
                   ballast::MatrixX<float>, ballast::RowMatrixX<float>, ballast::MatrixX<double>,
                   ballast::RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  const auto [logits, labels] = problem<TestType>(seed, 300, 5, 3.0);

  const auto check = [&, &f = logits, &y = labels](auto fitted, const CalibrationFitOptions& options) {
    const CalibrationFit report = fitted.fit(f, y, options);
    CHECK(report.converged);
    CHECK(report.gradient_norm < 1e-8);
    CHECK(reference_gradient_norm(f, y, fitted, options) < 1e-8);
    const long double loss = reference_loss(f, y, fitted.scale(), fitted.bias(), options);
    CalibrationFitOptions plain = options;
    plain.ridge = 0;
    CHECK(std::abs(static_cast<long double>(report.log_loss) -
                   reference_loss(f, y, fitted.scale(), fitted.bias(), plain)) <= 1e-12L);
    CHECK(std::abs(static_cast<long double>(report.log_loss_before) -
                   reference_loss(f, y, Eigen::VectorXd::Ones(1), {}, plain)) <= 1e-12L);
    CHECK(loss <= reference_loss(f, y, Eigen::VectorXd::Ones(fitted.scale().size()),
                                 Eigen::VectorXd::Zero(fitted.bias().size()), options));
    CHECK(std::abs(fitted.bias().sum()) <= 1e-12);
    return static_cast<double>(loss);
  };
  CalibrationFitOptions options;
  const double temperature = check(TemperatureScaling<Scalar>(), options);
  const double biased = check(BiasCorrectedTemperature<Scalar>(), options);
  const double vector = check(VectorScaling<Scalar>(), options);
  CHECK(biased <= temperature);
  CHECK(vector <= biased);

  options.ridge = 0.1;
  check(TemperatureScaling<Scalar>(), options);
  check(VectorScaling<Scalar>(), options);
  options.class_weights = vector_of({1, 0, 2, 0.5, 3});
  check(TemperatureScaling<Scalar>(), options);
  check(BiasCorrectedTemperature<Scalar>(), options);
}

TEST_CASE("calibration: the temperature of a two-class problem solves its one equation", "[adjustment]") {
  // f = (m, 0) on n samples, a fraction 3/4 right: sigma(m / T) = 3/4, T = m / log 3.
  Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(4, 2);
  logits.col(0).setConstant(5.0);
  TemperatureScaling<double> temperature;
  CHECK(temperature.temperature() == 1.0);
  const CalibrationFit report = temperature.fit(logits, Eigen::Vector4i(0, 0, 1, 0));
  // The gradient is within 1e-9; the curvature is 25 * 3/16.
  CHECK(std::abs(1.0 / temperature.temperature() - std::log(3.0) / 5.0) <= 1e-9 / (25.0 * 3 / 16));
  CHECK(report.iterations < 10);
}

TEST_CASE("calibration: bias-corrected temperature undoes a shift and a scale", "[adjustment]") {
  const std::uint64_t seed = 3;
  CAPTURE(seed);
  auto [logits, labels] = problem<Eigen::MatrixXd>(seed, 500, 4, 1.0);
  BiasCorrectedTemperature<double> before, after;
  before.fit(logits, labels);
  const Eigen::RowVector4d shift(3, -1, 0.5, 2);
  const Eigen::MatrixXd distorted = (logits * 7.0).rowwise() + shift;
  after.fit(distorted, labels);
  CHECK(std::abs(after.scale()[0] * 7.0 - before.scale()[0]) <= 1e-7);

  Eigen::MatrixXd one(logits.rows(), 4), other(logits.rows(), 4);
  before.apply(logits, one);
  after.apply(distorted, other);
  one.colwise() -= one.rowwise().mean().eval();
  other.colwise() -= other.rowwise().mean().eval();
  CHECK((one - other).cwiseAbs().maxCoeff() <= 1e-6);
}

TEMPLATE_TEST_CASE("calibration: a map is applied row by row, also in place and through a block",
                   "[adjustment]", ballast::MatrixX<float>, ballast::RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  RandomData random(5);
  const TestType logits = random.matrix<TestType>(7, 3, -2, 2);
  const VectorScaling<Scalar> map({vector_of({2, -1, 0.5}), vector_of({1, 0, -1})});
  TestType expected(7, 3), output(7, 3);
  for (Index i = 0; i < 7; ++i) {
    for (Index k = 0; k < 3; ++k) {
      expected(i, k) =
          static_cast<Scalar>(map.scale()[k] * static_cast<double>(logits(i, k)) + map.bias()[k]);
    }
  }
  map.apply(logits, output);
  CHECK(output == expected);
  TestType storage = TestType::Zero(9, 6);
  storage.block(1, 2, 7, 3) = logits;
  map.apply(storage.block(1, 2, 7, 3), storage.block(1, 2, 7, 3));
  CHECK(storage.block(1, 2, 7, 3) == expected);
  CHECK(storage.col(1).isZero(0));

  TemperatureScaling<Scalar>().apply(logits, output);
  CHECK(output == logits);
}

TEST_CASE("calibration: large logits and separable samples still end", "[adjustment]") {
  auto [logits, labels] = problem<Eigen::MatrixXd>(4, 200, 3, 5000.0);
  TemperatureScaling<double> temperature;
  CHECK(temperature.fit(logits, labels).converged);
  TemperatureScaling<double> small;
  small.fit(Eigen::MatrixXd(logits / 5000.0), labels);
  CHECK(std::abs(temperature.temperature() / 5000.0 - small.temperature()) <= 1e-6);

  // Every sample right: T -> 0, stopped by the gradient.
  const Eigen::MatrixXd right = Eigen::MatrixXd::Identity(3, 3);
  const CalibrationFit report = temperature.fit(right, Eigen::Vector3i(0, 1, 2));
  CHECK(report.converged);
  CHECK(temperature.temperature() < 0.1);
}

TEST_CASE("calibration: a state round-trips and a bad one is refused", "[adjustment][errors]") {
  const auto data = problem<Eigen::MatrixXd>(6, 100, 3, 2.0);  // a lambda cannot capture a structured binding
  const Eigen::MatrixXd& logits = data.first;
  const Eigen::VectorXi& labels = data.second;
  VectorScaling<double> map;
  map.fit(logits, labels);
  VectorScaling<double> copy(map.state());
  CHECK(copy.scale() == map.scale());
  CHECK(copy.bias() == map.bias());
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(3);
  CHECK(rejects([&] { copy.restore({Eigen::VectorXd(), {}}); }, {"scale has size 0"}));
  CHECK(rejects([&] { copy.restore({ones, vector_of({0, 0})}); }, {"bias has size 2", "3"}));
  CHECK(rejects([&] { copy.restore({ones * std::nan(""), ones}); }, {"scale[0] is nan"}));
  CHECK(copy.scale() == map.scale());
  TemperatureScaling<double> temperature;
  CHECK(rejects([&] { temperature.restore({ones, {}}); }, {"scale has size 3", "expected 1"}));
  CHECK(rejects([&] { temperature.restore({-Eigen::VectorXd::Ones(1), {}}); }, {"scale[0] is -1"}));
  CHECK(rejects([&] { temperature.restore({Eigen::VectorXd::Ones(1), ones}); }, {"no bias"}));
  Eigen::MatrixXd output(100, 2);
  CHECK(rejects([&] { map.apply(Eigen::MatrixXd(100, 2), output); }, {"2 columns", "expected 3"}));
  CHECK(rejects([&] { map.apply(logits, output); }, {"output is 100 x 2"}));
}

TEST_CASE("calibration: a fit refuses bad data and leaves the map alone", "[adjustment][errors]") {
  BiasCorrectedTemperature<double> map;
  Eigen::MatrixXd logits = Eigen::MatrixXd::Random(4, 2);
  const Eigen::Vector4i labels(0, 1, 0, 1);
  const auto with = [&](CalibrationFitOptions options) {
    map.fit(logits, labels, options);
  };
  CHECK(rejects([&] { map.fit(logits, Eigen::Vector4i(0, 1, 0, 2)); }, {"labels[3] is 2"}));
  CHECK(rejects([&] { map.fit(logits, Eigen::Vector3i(0, 1, 0)); }, {"labels has size 3"}));
  CHECK(rejects([&] { map.fit(logits, Eigen::Vector4i(0, 0, 0, 0)); }, {"class 1", "-inf", "ridge"}));
  CHECK(rejects([&] { map.fit(Eigen::MatrixXd(0, 2), Eigen::VectorXi(0)); }, {"no rows"}));
  CalibrationFitOptions options;
  options.ridge = -1;
  CHECK(rejects([&] { with(options); }, {"ridge is -1"}));
  options = {};
  options.gradient_tolerance = 0;
  CHECK(rejects([&] { with(options); }, {"gradient_tolerance is 0"}));
  options = {};
  options.max_iterations = 0;
  CHECK(rejects([&] { with(options); }, {"max_iterations is 0"}));
  options = {};
  options.class_weights = vector_of({0, 0});
  CHECK(rejects([&] { with(options); }, {"no weight"}));

  Eigen::MatrixXd wrong(3, 2);  // the larger logit is always the wrong one
  wrong << 0, 1, 1, 0, 0, 2;
  TemperatureScaling<double> temperature;
  CHECK(rejects([&] { temperature.fit(wrong, Eigen::Vector3i(0, 1, 0)); }, {"scale", "worse than chance"}));
  CHECK(temperature.temperature() == 1.0);

  logits(2, 1) = -std::numeric_limits<double>::infinity();
  CHECK(rejects([&] { map.fit(logits, labels); }, {"logits row 2"}));
  CHECK(map.bias().size() == 0);
}

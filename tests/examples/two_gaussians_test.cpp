// The synthetic experiment of Menon et al. (ICLR 2021, section 6.1) in the population, where every figure is
// exact: N(+-(1, 1), I), 5 % positive, and a linear model. Along the diagonal the inputs are N(+-sqrt 2, 1),
// and every loss is symmetric about it, so one coordinate holds the whole problem.
#include <ballast/ballast.hpp>

#include <cmath>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::Index;

double phi(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

/// BER of "positive where w t + b > 0".
double balanced_error(double w, double b) {
  return 0.5 * (phi(-std::sqrt(2.0) - b / w) + phi(-std::sqrt(2.0) + b / w));
}

/// Mean loss of logits (0, w . x + b) over weighted samples, for detail::minimize_newton.
template <typename Loss>
class LinearRisk {
 public:
  LinearRisk(const Loss& loss, const Eigen::MatrixXd& inputs, const Eigen::VectorXi& labels,
             const Eigen::VectorXd& weights)
      : loss_(loss), inputs_(inputs), labels_(labels), weights_(weights) {}

  double operator()(const Eigen::VectorXd& x, Eigen::VectorXd& gradient, Eigen::VectorXd& diagonal) {
    at_ = x;
    diagonal.setOnes();
    return evaluate(x, gradient);
  }
  void hessian_product(const Eigen::VectorXd& v, Eigen::VectorXd& result) const {
    const double step = 1e-5 / v.norm();
    Eigen::VectorXd below(v.size());
    evaluate(at_ + step * v, result);
    evaluate(at_ - step * v, below);
    result = (result - below) / (2 * step);
  }

 private:
  double evaluate(const Eigen::VectorXd& x, Eigen::VectorXd& gradient) const {
    const Index d = inputs_.cols();
    Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(inputs_.rows(), 2), slopes(inputs_.rows(), 2);
    logits.col(1) = (inputs_ * x.head(d)).array() + x[d];
    const double value = loss_(logits, labels_, weights_, slopes);
    gradient.head(d) = inputs_.transpose() * slopes.col(1);
    gradient[d] = slopes.col(1).sum();
    return value;
  }

  const Loss& loss_;
  const Eigen::MatrixXd& inputs_;
  const Eigen::VectorXi& labels_;
  const Eigen::VectorXd& weights_;
  Eigen::VectorXd at_;
};

template <typename Loss>
Eigen::VectorXd minimiser(const Loss& loss, const Eigen::MatrixXd& inputs, const Eigen::VectorXi& labels,
                          const Eigen::VectorXd& weights) {
  LinearRisk<Loss> risk(loss, inputs, labels, weights);
  Eigen::VectorXd x = Eigen::VectorXd::Zero(inputs.cols() + 1);
  x.head(inputs.cols()).setOnes();
  const auto result = ballast::detail::minimize_newton(risk, x, 1e-11, 200);
  CHECK(result.converged);
  return x;
}

/// The population as a trapezoid rule over +-9 deviations of each class: exact to rounding for smooth losses.
struct Population {
  Eigen::MatrixXd inputs;
  Eigen::VectorXi labels;
  Eigen::VectorXd weights;

  Population() {
    const Index n = 401;
    inputs.resize(2 * n, 1);
    labels.resize(2 * n);
    weights.resize(2 * n);
    for (Index i = 0; i < 2 * n; ++i) {
      const double t = -9 + 18 * static_cast<double>(i % n) / static_cast<double>(n - 1);
      labels[i] = i < n ? 0 : 1;
      inputs(i, 0) = t + (i < n ? -1 : 1) * std::sqrt(2.0);
      weights[i] = (i < n ? 0.95 : 0.05) * std::exp(-0.5 * t * t);
    }
  }
};

}  // namespace

TEST_CASE("two_gaussians: each loss has its known error in the population", "[examples]") {
  const Population population;
  const auto classes = ClassDistribution::from_counts(Eigen::Vector2i(95, 5));
  const auto error = [&](const auto& loss, double offset = 0) {
    const Eigen::VectorXd x = minimiser(loss, population.inputs, population.labels, population.weights);
    return balanced_error(x[0], x[1] + offset);
  };
  const double adjust = classes.log_prior()[0] - classes.log_prior()[1];
  const auto cross_entropy = ballast::cross_entropy_loss<double>(2);
  const double c = std::log(19.0) / (2 * std::sqrt(2.0)), s = std::sqrt(2.0);
  for (const double tau : {0.0, 0.5, 1.0, 1.7}) {
    const double exact = 0.5 * (phi(-s + (1 - tau) * c) + phi(-s - (1 - tau) * c));
    CHECK(std::abs(error(cross_entropy, tau * adjust) - exact) <= 1e-9);
    CHECK(std::abs(error(ballast::logit_adjusted_loss<double>(classes, tau)) - exact) <= 1e-9);
  }
  // As printed on the methods' page: to its digits.
  CHECK(std::abs(error(cross_entropy) - 0.18077) <= 5e-6);
  CHECK(std::abs(error(cross_entropy, 0.5 * adjust) - 0.10613) <= 5e-6);
  CHECK(std::abs(error(ballast::logit_adjusted_loss<double>(classes)) - 0.07865) <= 5e-6);
  CHECK(std::abs(error(ballast::equalized_loss<double>(classes)) - 0.0871) <= 5e-5);
  CHECK(std::abs(error(ballast::adaptive_margin_loss<double>(classes)) - 0.162) <= 5e-4);
}

TEST_CASE("two_gaussians: with a free bias the adjusted loss is cross-entropy plus adjustment",
          "[examples]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const Index n = 2000, positives = 100;
  Eigen::MatrixXd inputs(n, 2);
  Eigen::VectorXi labels(n);
  for (Index i = 0; i < n; ++i) {
    labels[i] = i < positives ? 1 : 0;
    inputs.row(i) << random.normal(), random.normal();
    inputs.row(i).array() += labels[i] == 1 ? 1.0 : -1.0;
  }
  const ClassDistribution classes(labels);
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(n);
  const double tau = 0.8;
  const Eigen::VectorXd plain = minimiser(ballast::cross_entropy_loss<double>(2), inputs, labels, ones);
  const Eigen::VectorXd adjusted =
      minimiser(ballast::logit_adjusted_loss<double>(classes, tau), inputs, labels, ones);
  // Both gradients are below 1e-11, and the curvature of this problem is above 1e-3.
  CHECK((adjusted.head<2>() - plain.head<2>()).norm() <= 1e-7);
  CHECK(std::abs(adjusted[2] - (plain[2] + tau * (classes.log_prior()[0] - classes.log_prior()[1]))) <= 1e-7);
}

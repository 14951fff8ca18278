#include <ballast/classifiers/linear_head.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::LinearHead;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::VectorX;

template <typename Scalar>
constexpr long double epsilon = static_cast<long double>(std::numeric_limits<Scalar>::epsilon());

/// A head, features, and a gradient of the logits, all drawn in [-1, 1).
template <typename Matrix>
struct Problem {
  using Scalar = typename Matrix::Scalar;
  Problem(RandomData& random, Index samples, Index classes, Index dimensions, bool with_bias)
      : head(random.matrix<Matrix>(classes, dimensions, -1, 1),
             random.vector<Scalar>(with_bias ? classes : 0, -1, 1)),
        features(random.matrix<Matrix>(samples, dimensions, -1, 1)),
        logit_gradient(random.matrix<Matrix>(samples, classes, -1, 1)) {}
  LinearHead<Scalar> head;
  Matrix features;
  Matrix logit_gradient;
};

/// sum_k a_k b_k in long double.
template <typename A, typename B>
long double dot(const A& a, const B& b) {
  long double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += static_cast<long double>(a[i]) * static_cast<long double>(b[i]);
  return sum;
}

}  // namespace

TEMPLATE_TEST_CASE("linear_head: forward and backward are the formulas", "[classifiers]", RowMatrixX<float>,
                   MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const bool with_bias = GENERATE(true, false);
  const std::uint64_t seed = 1;
  CAPTURE(seed, with_bias);
  RandomData random(seed);
  const Problem<TestType> p(random, 33, 7, 150, with_bias);
  TestType logits(33, 7), features_gradient(33, 150);
  auto gradient = LinearHead<Scalar>::zeros(7, 150, with_bias);
  p.head.forward(p.features, logits);
  p.head.backward(p.features, p.logit_gradient, gradient.weights(), gradient.bias(), features_gradient);

  // Sums of at most 151 terms below 1: every addition rounds once.
  const long double bound = 151 * 152 * epsilon<Scalar> / 4;
  for (Index i = 0; i < 33; ++i) {
    for (Index k = 0; k < 7; ++k) {
      const long double bias = with_bias ? static_cast<long double>(p.head.bias()[k]) : 0.0L;
      const long double exact = bias + dot(p.features.row(i), p.head.weights().row(k));
      REQUIRE(std::abs(static_cast<long double>(logits(i, k)) - exact) <= bound);
    }
    for (Index d = 0; d < 150; ++d) {
      const long double exact = dot(p.logit_gradient.row(i), p.head.weights().col(d));
      REQUIRE(std::abs(static_cast<long double>(features_gradient(i, d)) - exact) <= 8 * 8 * epsilon<Scalar>);
    }
  }
  for (Index k = 0; k < 7; ++k) {
    for (Index d = 0; d < 150; ++d) {
      const long double exact = dot(p.logit_gradient.col(k), p.features.col(d));
      REQUIRE(std::abs(static_cast<long double>(gradient.weights()(k, d)) - exact) <=
              34 * 34 * epsilon<Scalar> / 4);
    }
    if (with_bias) {
      long double exact = 0;
      for (Index i = 0; i < 33; ++i) exact += static_cast<long double>(p.logit_gradient(i, k));
      REQUIRE(std::abs(static_cast<long double>(gradient.bias()[k]) - exact) <= 33 * epsilon<Scalar>);
    }
  }
}

TEMPLATE_TEST_CASE("linear_head: blocks, maps and mixed orders give the same", "[classifiers]", float,
                   double) {
  const std::uint64_t seed = 2;
  CAPTURE(seed);
  RandomData random(seed);
  const Problem<MatrixX<TestType>> p(random, 20, 5, 11, true);
  MatrixX<TestType> logits(20, 5), features_gradient(20, 11);
  MatrixX<TestType> weights_gradient(5, 11);
  VectorX<TestType> bias_gradient(5);
  p.head.forward(p.features, logits);
  p.head.backward(p.features, p.logit_gradient, weights_gradient, bias_gradient, features_gradient);

  const TestType bound = TestType(12 * 12) * std::numeric_limits<TestType>::epsilon();
  RowMatrixX<TestType> padded = RowMatrixX<TestType>::Constant(24, 16, TestType(9));
  padded.block(2, 3, 20, 11) = p.features;
  MatrixX<TestType> wide = MatrixX<TestType>::Constant(7, 22, TestType(9));  // a sample per column
  p.head.forward(padded.block(2, 3, 20, 11), wide.block(1, 1, 5, 20).transpose());
  CHECK((wide.block(1, 1, 5, 20).transpose() - logits).cwiseAbs().maxCoeff() <= bound);
  CHECK((wide.row(0).array() == TestType(9)).all());
  CHECK((wide.col(0).array() == TestType(9)).all());

  wide.block(1, 1, 5, 20) = p.logit_gradient.transpose();
  RowMatrixX<TestType> weights_again(5, 11);
  Eigen::Matrix<TestType, 1, Eigen::Dynamic> bias_again(5);
  RowMatrixX<TestType> features_again(20, 11);
  p.head.backward(padded.block(2, 3, 20, 11), wide.block(1, 1, 5, 20).transpose(), weights_again, bias_again,
                  features_again);
  CHECK((weights_again - weights_gradient).cwiseAbs().maxCoeff() <= 20 * bound);
  CHECK(bias_again.transpose() == bias_gradient);
  CHECK((features_again - features_gradient).cwiseAbs().maxCoeff() <= bound);
}

TEST_CASE("linear_head: backward is the gradient of forward", "[classifiers]") {
  const bool with_bias = GENERATE(true, false);
  const std::uint64_t seed = 3;
  CAPTURE(seed, with_bias);
  RandomData random(seed);
  Problem<RowMatrixX<double>> p(random, 6, 4, 5, with_bias);
  // L = sum_ik G_ik sin f_ik, so dL/df = G cos f.
  const auto loss = [&] {
    RowMatrixX<double> logits(6, 4);
    p.head.forward(p.features, logits);
    return (p.logit_gradient.array() * logits.array().sin()).sum();
  };
  RowMatrixX<double> logits(6, 4), features_gradient(6, 5);
  p.head.forward(p.features, logits);
  const RowMatrixX<double> upstream = p.logit_gradient.array() * logits.array().cos();
  auto gradient = LinearHead<double>::zeros(4, 5, with_bias);
  p.head.backward(p.features, upstream, gradient.weights(), gradient.bias(), features_gradient);

  const double step = 6e-6;  // cube root of epsilon: truncation and rounding about 1e-10 each
  const auto slope = [&](double& parameter) {
    const double at = parameter;
    parameter = at + step;
    const double above = loss();
    parameter = at - step;
    const double below = loss();
    parameter = at;
    return (above - below) / (2 * step);
  };
  for (Index i = 0; i < p.head.parameters().size(); ++i) {
    CHECK(std::abs(slope(p.head.parameters()[i]) - gradient.parameters()[i]) <= 1e-8);
  }
  for (Index i = 0; i < 6; ++i) {
    for (Index d = 0; d < 5; ++d) {
      CHECK(std::abs(slope(p.features(i, d)) - features_gradient(i, d)) <= 1e-8);
    }
  }
}

TEST_CASE("linear_head: parameters are the rows of W and then b", "[classifiers]") {
  RowMatrixX<float> weights(2, 3);
  weights << 1, 2, 3, 4, 5, 6;
  LinearHead<float> head(weights, Eigen::Vector2f(7, 8));
  Eigen::VectorXf expected(8);
  expected << 1, 2, 3, 4, 5, 6, 7, 8;
  CHECK(head.parameters() == expected);
  head.parameters() *= 2.0f;
  CHECK(head.weights() == 2 * weights);
  CHECK(head.bias() == Eigen::Vector2f(14, 16));
  head.weights()(1, 2) = -1;
  CHECK(head.parameters()[5] == -1.0f);

  const LinearHead<float> copy(head.state());
  CHECK(copy.parameters() == head.parameters());
  const LinearHead<float> bare(weights);
  CHECK_FALSE(bare.has_bias());
  CHECK(bare.bias().size() == 0);
  CHECK(LinearHead<float>(bare.state()).parameters() == bare.parameters());
}

TEST_CASE("linear_head: uniform start fills +-1 / sqrt(dimensions) and is named by its seed",
          "[classifiers]") {
  const auto head = LinearHead<double>::uniform(50, 400, 7);
  CHECK(head.parameters().cwiseAbs().maxCoeff() <= 0.05);
  CHECK(head.parameters().cwiseAbs().maxCoeff() > 0.0499);
  // Mean of n uniforms: deviation 0.05 / sqrt(3 n); 5 of them.
  const double n = static_cast<double>(head.parameters().size());
  CHECK(std::abs(head.parameters().mean()) <= 5 * 0.05 / std::sqrt(3 * n));
  CHECK(head.parameters() == LinearHead<double>::uniform(50, 400, 7).parameters());
  CHECK(head.parameters() != LinearHead<double>::uniform(50, 400, 8).parameters());
  CHECK_FALSE(LinearHead<double>::uniform(3, 4, 7, false).has_bias());
}

TEST_CASE("linear_head: a bias of -inf masks a class", "[classifiers]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const LinearHead<float> head(RowMatrixX<float>::Ones(2, 3), Eigen::Vector2f(0, -infinity));
  RowMatrixX<float> logits(1, 2);
  head.forward(RowMatrixX<float>(RowMatrixX<float>::Ones(1, 3)), logits);
  CHECK(logits(0, 0) == 3.0f);
  CHECK(logits(0, 1) == -infinity);
}

TEST_CASE("linear_head: an empty batch has no logits and a gradient of 0", "[classifiers]") {
  const auto head = LinearHead<float>::uniform(2, 3, 1);
  RowMatrixX<float> none(0, 3), logits(0, 2);
  head.forward(none, logits);
  auto gradient = LinearHead<float>::uniform(2, 3, 2);
  head.backward(none, logits, gradient.weights(), gradient.bias());
  CHECK((gradient.parameters().array() == 0).all());
}

TEST_CASE("linear_head: rejects, and writes nothing", "[classifiers][errors]") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  using Head = LinearHead<double>;
  CHECK(rejects([] { Head(Eigen::MatrixXd(0, 3)); }, {"LinearHead", "0 x 3", "at least 1 x 1"}));
  CHECK(rejects([] { Head(Eigen::MatrixXd::Zero(4, 3), Eigen::Vector3d(0, 0, 0)); },
                {"bias has size 3", "expected 4"}));
  CHECK(rejects([&] { Head(Eigen::Matrix2d(Eigen::Vector2d(1, nan).asDiagonal())); }, {"weights", "row 1"}));
  CHECK(rejects([&] { Head(Eigen::Matrix2d::Zero(), Eigen::Vector2d(0, infinity)); }, {"bias[1] is inf"}));
  CHECK(rejects([&] { Head(Eigen::Matrix2d::Zero(), Eigen::Vector2d(nan, 0)); }, {"bias[0] is nan"}));
  CHECK(rejects([&] { return Head(Eigen::Matrix2d::Zero()).with_offset(Eigen::Vector3d::Zero()); },
                {"with_offset", "offset has size 3", "expected 2"}));

  const Head head = Head::uniform(4, 3, 1);
  const Eigen::MatrixXd features = Eigen::MatrixXd::Zero(5, 3), gradient = Eigen::MatrixXd::Zero(5, 4);
  Eigen::MatrixXd logits = Eigen::MatrixXd::Constant(5, 4, 7), weights = Eigen::MatrixXd::Constant(4, 3, 7);
  Eigen::MatrixXd below = Eigen::MatrixXd::Constant(5, 3, 7);
  Eigen::VectorXd bias = Eigen::VectorXd::Constant(4, 7);
  CHECK(rejects([&] { head.forward(gradient, logits); }, {"forward", "features is 5 x 4", "samples x 3"}));
  CHECK(rejects([&] { head.forward(features.topRows(4), logits); }, {"logits is 5 x 4", "expected 4 x 4"}));
  CHECK(rejects([&] { head.backward(features, features, weights, bias); },
                {"backward", "logit_gradient is 5 x 3", "expected 5 x 4"}));
  CHECK(rejects([&] { head.backward(features, gradient, logits, bias); },
                {"weights_gradient is 5 x 4", "expected 4 x 3"}));
  CHECK(rejects([&] { head.backward(features, gradient, weights, bias.head(3)); },
                {"bias_gradient has size 3", "expected 4"}));
  CHECK(rejects([&] { Head(head.weights()).backward(features, gradient, weights, bias); },
                {"bias_gradient has size 4", "expected 0", "without bias"}));
  CHECK(rejects([&] { head.backward(features, gradient, weights, bias, weights); },
                {"features_gradient is 4 x 3", "expected 5 x 3"}));
  CHECK((logits.array() == 7).all());
  CHECK((weights.array() == 7).all());
  CHECK((bias.array() == 7).all());
  CHECK((below.array() == 7).all());
}

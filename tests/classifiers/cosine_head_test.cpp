#include <ballast/classifiers/cosine_head.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::CosineHead;
using ballast::Index;
using ballast::MatrixX;
using ballast::RowMatrixX;

using Exact = MatrixX<long double>;

/// The rows over their norms, rows of zeros as they are.
template <typename Matrix>
Exact directions(const Matrix& rows) {
  Exact result = rows.template cast<long double>();
  for (Index i = 0; i < result.rows(); ++i) {
    const long double norm = result.row(i).norm();
    if (norm > 0) result.row(i) /= norm;
  }
  return result;
}

}  // namespace

TEMPLATE_TEST_CASE("cosine_head: logits are scaled cosines", "[classifiers]", MatrixX<float>,
                   RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  using Matrix = TestType;
  using Scalar = typename Matrix::Scalar;
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  const Matrix features = random.matrix<Matrix>(30, 17, -5, 5);
  const Matrix weights = random.matrix<Matrix>(6, 17, -1e-3, 1e-3);
  CosineHead<Scalar> head(weights, Scalar(16));
  // A product of unit vectors, whose rounding is relative to |z||w|, and a handful of roundings after it.
  const double bound = 16 * (17 + 8) * static_cast<double>(std::numeric_limits<Scalar>::epsilon());
  const Exact expected = 16 * directions(features) * directions(weights).transpose();

  MatrixX<Scalar> logits(30, 6);
  head.forward(features, logits);
  CHECK(static_cast<double>((logits.template cast<long double>() - expected).cwiseAbs().maxCoeff()) <= bound);

  RowMatrixX<Scalar> large(40, 10);
  head.forward(features.topRows(20), large.block(2, 3, 20, 6));
  CHECK(static_cast<double>((large.block(2, 3, 20, 6).template cast<long double>() - expected.topRows(20))
                                .cwiseAbs()
                                .maxCoeff()) <= bound);
}

TEST_CASE("cosine_head: gradients are derivatives of the logits", "[classifiers]") {
  const std::uint64_t seed = 2;
  CAPTURE(seed);
  RandomData random(seed);
  RowMatrixX<double> features = random.matrix<RowMatrixX<double>>(5, 4, -2, 2);
  CosineHead<double> head(random.matrix<RowMatrixX<double>>(3, 4, -2, 2), 3.0);
  const Eigen::MatrixXd upstream = random.matrix<Eigen::MatrixXd>(5, 3, -1, 1);
  RowMatrixX<double> features_gradient(5, 4);
  Eigen::MatrixXd weights_gradient(3, 4), logits(5, 3);
  head.backward(features, upstream, features_gradient, weights_gradient);

  const auto value = [&] {
    head.forward(features, logits);
    return logits.cwiseProduct(upstream).sum();
  };
  const double h = 1e-5;  // error of order h^2 for numbers of order 1, and epsilon / h
  const auto difference = [&](double& parameter) {
    const double kept = parameter;
    parameter = kept + h;
    const double above = value();
    parameter = kept - h;
    const double below = value();
    parameter = kept;
    return (above - below) / (2 * h);
  };
  for (Index i = 0; i < 5; ++i) {
    for (Index k = 0; k < 4; ++k)
      CHECK(std::abs(difference(features(i, k)) - features_gradient(i, k)) <= 1e-7);
  }
  auto weights = head.weights();
  for (Index j = 0; j < 3; ++j) {
    for (Index k = 0; k < 4; ++k) CHECK(std::abs(difference(weights(j, k)) - weights_gradient(j, k)) <= 1e-7);
  }
}

TEMPLATE_TEST_CASE("cosine_head: lengths do not matter", "[classifiers]", float, double) {
  using Scalar = TestType;
  RandomData random(3);
  const MatrixX<Scalar> features = random.matrix<MatrixX<Scalar>>(12, 8, -1, 1);
  const MatrixX<Scalar> weights = random.matrix<MatrixX<Scalar>>(5, 8, -1, 1);
  CosineHead<Scalar> head(weights), scaled(Scalar(0.25) * weights);
  MatrixX<Scalar> logits(12, 5), other(12, 5), features_gradient(12, 8), weights_gradient(5, 8);
  head.forward(features, logits);
  scaled.forward((Scalar(1024) * features).eval(), other);
  CHECK(other == logits);  // powers of two scale without rounding

  head.backward(features, logits, features_gradient, weights_gradient);
  const Scalar bound = 64 * std::numeric_limits<Scalar>::epsilon() * features_gradient.norm();
  for (Index i = 0; i < 12; ++i) CHECK(std::abs(features.row(i).dot(features_gradient.row(i))) <= bound);
  for (Index j = 0; j < 5; ++j) CHECK(std::abs(weights.row(j).dot(weights_gradient.row(j))) <= 8 * bound);
}

TEMPLATE_TEST_CASE("cosine_head: rows of zeros have cosine 0 and no gradient", "[classifiers]", float,
                   double) {
  using Scalar = TestType;
  RandomData random(4);
  RowMatrixX<Scalar> features = random.matrix<RowMatrixX<Scalar>>(6, 5, -1, 1);
  RowMatrixX<Scalar> weights = random.matrix<RowMatrixX<Scalar>>(4, 5, -1, 1);
  features.row(2).setZero();
  weights.row(1).setZero();
  CosineHead<Scalar> head(weights);
  RowMatrixX<Scalar> logits(6, 4), features_gradient(6, 5), weights_gradient(4, 5);
  head.forward(features, logits);
  CHECK(logits.allFinite());
  CHECK(logits.row(2).isZero(0));
  CHECK(logits.col(1).isZero(0));
  head.backward(features, RowMatrixX<Scalar>::Ones(6, 4).eval(), features_gradient, weights_gradient);
  CHECK(features_gradient.allFinite());
  CHECK(weights_gradient.allFinite());
  CHECK(features_gradient.row(2).isZero(0));
  CHECK(weights_gradient.row(1).isZero(0));
}

TEST_CASE("cosine_head: rejects what does not fit and writes nothing", "[classifiers][errors]") {
  CosineHead<double> head(Eigen::MatrixXd::Ones(3, 4));
  const Eigen::MatrixXd features = Eigen::MatrixXd::Ones(5, 4), upstream = Eigen::MatrixXd::Ones(5, 3);
  Eigen::MatrixXd logits = Eigen::MatrixXd::Constant(5, 3, 7);
  CHECK(rejects([&] { head.forward(features.leftCols(3), logits); }, {"features is 5 x 3", "samples x 4"}));
  CHECK(rejects([&] { head.forward(features, logits.leftCols(2)); }, {"logits is 5 x 2", "5 x 3"}));
  CHECK(logits == Eigen::MatrixXd::Constant(5, 3, 7));

  Eigen::MatrixXd features_gradient = features, weights_gradient = Eigen::MatrixXd::Ones(3, 4);
  CHECK(rejects([&] { head.backward(features, upstream.topRows(4), features_gradient, weights_gradient); },
                {"logit_gradient is 4 x 3"}));
  CHECK(rejects([&] { head.backward(features, upstream, features_gradient.topRows(1), weights_gradient); },
                {"features_gradient is 1 x 4"}));
  CHECK(rejects([&] { head.backward(features, upstream, features_gradient, weights_gradient.topRows(1)); },
                {"weights_gradient is 1 x 4"}));
  CHECK(features_gradient == features);

  CHECK(rejects([] { CosineHead<float>(Eigen::MatrixXf(0, 3)); }, {"weights is 0 x 3"}));
  CHECK(rejects([] { CosineHead<float>(Eigen::MatrixXf::Constant(2, 3, NAN)); }, {"row 0", "finite"}));
  CHECK(rejects([] { CosineHead<float>(Eigen::MatrixXf::Ones(2, 3), -1.0f); }, {"scale is -1"}));
}

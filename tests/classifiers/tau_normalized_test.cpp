#include <ballast/classifiers/tau_normalized.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::BiasPolicy;
using ballast::Index;
using ballast::LinearHead;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::tau_normalize;
using ballast::tau_normalized;
using ballast::TauNormalizedClassifier;
using ballast::VectorX;

/// w_k / |w_k|^tau in long double, whose exponent range holds every float and double.
template <typename Matrix>
long double exact_entry(const Matrix& weights, Index row, Index col, long double tau) {
  long double sum = 0;
  for (Index d = 0; d < weights.cols(); ++d) {
    const long double w = static_cast<long double>(weights(row, d));
    sum += w * w;
  }
  if (sum == 0) return 0;
  return static_cast<long double>(weights(row, col)) * std::pow(std::sqrt(sum), -tau);
}

template <typename Scalar>
LinearHead<Scalar> random_head(RandomData& random, Index classes, Index dimensions, bool with_bias = true) {
  return LinearHead<Scalar>(random.matrix<RowMatrixX<Scalar>>(classes, dimensions, -2, 2),
                            random.vector<Scalar>(with_bias ? classes : 0, -1, 1));
}

}  // namespace

TEMPLATE_TEST_CASE("tau_normalized: rows over a power of their norms", "[classifiers]", RowMatrixX<float>,
                   MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  using Limits = std::numeric_limits<Scalar>;
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  for (const double tau : {-1.0, 0.0, 0.3, 0.7, 1.0, 2.0}) {
    for (const Index dimensions : {1, 5, 300}) {
      TestType weights = random.matrix<TestType>(270, dimensions, -1, 1);
      weights.row(3).setZero();
      weights.row(5) *= Scalar(1e-25);       // squares underflow in float
      weights.row(6) *= Limits::min() * 64;  // squares underflow in both
      weights.row(7) *= Limits::max() / 64;  // squares overflow
      TestType normalized(270, dimensions);
      tau_normalize(weights, static_cast<Scalar>(tau), normalized);
      const long double exact_tau = static_cast<long double>(static_cast<Scalar>(tau));
      for (Index k = 0; k < 270; ++k) {
        for (Index d = 0; d < dimensions; ++d) {
          CAPTURE(tau, dimensions, k, d);
          const long double exact = exact_entry(weights, k, d, exact_tau);
          if (std::abs(exact) > static_cast<long double>(Limits::max())) {
            REQUIRE(std::abs(normalized(k, d)) == Limits::max());  // saturated
            continue;
          }
          // The norm is right to 33 ulp (see row_norms), its power to twice that; 2^e to a power to e ulp of
          // double; below min() a grain remains.
          const long double ulps = 70 * static_cast<long double>(Limits::epsilon()) +
                                   1100 * static_cast<long double>(std::numeric_limits<double>::epsilon());
          const long double bound = ulps * std::abs(exact) + static_cast<long double>(Limits::denorm_min());
          REQUIRE(std::abs(static_cast<long double>(normalized(k, d)) - exact) <= bound);
        }
      }
      TestType in_place = weights;
      tau_normalize(in_place, static_cast<Scalar>(tau), in_place);
      CHECK((in_place.array() == normalized.array()).all());
      if (tau == 0) CHECK((normalized.array() == weights.array()).all());
    }
  }
}

TEMPLATE_TEST_CASE("tau_normalized: norms of any size become 1 at tau 1, zero stays zero", "[classifiers]",
                   float, double) {
  using Limits = std::numeric_limits<TestType>;
  RowMatrixX<TestType> weights(5, 2);
  weights << 3, 4, 0, 0, Limits::denorm_min(), 0, Limits::max(), -Limits::max(), Limits::min(), Limits::min();
  const auto normalized = tau_normalized(LinearHead<TestType>(weights), TestType(1));
  const VectorX<TestType> norms = normalized.weights().rowwise().norm();
  CHECK(norms[1] == 0);
  for (const Index k : {0, 2, 3, 4}) CHECK(std::abs(norms[k] - 1) <= 4 * Limits::epsilon());
  // Powers that the scalar cannot hold saturate instead of turning a 0 beside them into NaN.
  const auto extreme = tau_normalized(LinearHead<TestType>(weights), TestType(40));
  CHECK(extreme.weights()(2, 0) == Limits::max());
  CHECK(extreme.weights()(2, 1) == 0);
  CHECK(extreme.weights().row(3).isZero(0));
}

TEST_CASE("tau_normalized: blocks of a larger matrix", "[classifiers]") {
  RandomData random(2);
  Eigen::MatrixXf large = random.matrix<Eigen::MatrixXf>(20, 20, -1, 1);
  const Eigen::MatrixXf before = large;
  Eigen::MatrixXf expected(7, 9);
  tau_normalize(Eigen::MatrixXf(before.block(2, 3, 7, 9)), 1.0f, expected);
  tau_normalize(before.block(2, 3, 7, 9), 1.0f, large.block(2, 3, 7, 9));
  CHECK(large.block(2, 3, 7, 9) == expected);
  large.block(2, 3, 7, 9) = before.block(2, 3, 7, 9);
  CHECK(large == before);
}

TEST_CASE("tau_normalized: an output beyond the cache is the same", "[classifiers]") {
  const Index classes = 4101, dimensions = 2049;
  REQUIRE(static_cast<std::size_t>(classes * dimensions) * sizeof(float) >=
          ballast::detail::stream_threshold);
  RowMatrixX<float> weights = RowMatrixX<float>::Constant(classes, dimensions, 0.5f);
  weights.col(7).setLinSpaced(-1, 1);
  weights.row(9).setZero();
  RowMatrixX<float> normalized(classes, dimensions);
  tau_normalize(weights, 0.7f, normalized);
  tau_normalize(weights, 0.7f, weights);
  CHECK((normalized.array() == weights.array()).all());
}

TEST_CASE("tau_normalized: the bias is dropped, or kept on demand", "[classifiers]") {
  RandomData random(3);
  const auto head = random_head<double>(random, 4, 6);
  CHECK_FALSE(tau_normalized(head, 1.0).has_bias());
  CHECK(tau_normalized(head, 1.0, BiasPolicy::keep).bias() == head.bias());
  CHECK(tau_normalized(head, 0.0, BiasPolicy::keep).parameters() == head.parameters());
  CHECK_FALSE(tau_normalized(LinearHead<double>(head.weights()), 1.0, BiasPolicy::keep).has_bias());
}

TEMPLATE_TEST_CASE("tau_normalized: several tau at once are each tau alone", "[classifiers]", float, double) {
  const auto policy = GENERATE(BiasPolicy::drop, BiasPolicy::keep);
  RandomData random(4);
  auto head = random_head<TestType>(random, 5, 8);
  head.weights().row(2).setZero();
  const auto features = random.matrix<MatrixX<TestType>>(30, 8, -1, 1);
  const TauNormalizedClassifier<TestType> classifier(head, TestType(0.4), policy);
  const VectorX<TestType> taus = VectorX<TestType>::LinSpaced(21, 0, 2);
  Index visits = 0;
  classifier.scan(features, taus, [&](TestType tau, const MatrixX<TestType>& logits) {
    CHECK(tau == taus[visits++]);
    MatrixX<TestType> alone(30, 5);
    TauNormalizedClassifier<TestType>(head, tau, policy).forward(features, alone);
    // 9 terms up to 2, scaled by norms in about [1, 6]^-tau.
    CHECK((logits - alone).cwiseAbs().maxCoeff() <= 200 * std::numeric_limits<TestType>::epsilon());
  });
  CHECK(visits == 21);
  MatrixX<TestType> logits(30, 5), again(30, 5);
  classifier.forward(features, logits);
  tau_normalized(head, TestType(0.4), policy).forward(features, again);
  CHECK(logits == again);

  const TauNormalizedClassifier<TestType> restored(classifier.state());
  CHECK(restored.tau() == classifier.tau());
  CHECK(restored.head().parameters() == classifier.head().parameters());
}

TEMPLATE_TEST_CASE("tau_normalized: the gradient with respect to tau", "[classifiers]", RowMatrixX<double>,
                   MatrixX<double>) {
  const auto policy = GENERATE(BiasPolicy::drop, BiasPolicy::keep);
  RandomData random(5);
  auto head = random_head<double>(random, 5, 8);
  head.weights().row(1).setZero();
  const auto features = random.matrix<TestType>(12, 8, -1, 1);
  const auto factor = random.matrix<TestType>(12, 5, -1, 1);
  const auto loss = [&](double tau) {
    TestType logits(12, 5);
    TauNormalizedClassifier<double>(head, tau, policy).forward(features, logits);
    return (factor.array() * logits.array().sin()).sum();
  };
  const double step = 6e-6;
  for (const double tau : {-0.5, 0.0, 0.6, 1.0}) {
    const TauNormalizedClassifier<double> classifier(head, tau, policy);
    TestType logits(12, 5);
    classifier.forward(features, logits);
    const TestType upstream = factor.array() * logits.array().cos();
    const double slope = (loss(tau + step) - loss(tau - step)) / (2 * step);
    CHECK(std::abs(classifier.tau_gradient(logits, upstream) - slope) <= 1e-8 * (1 + std::abs(slope)));
  }
}

TEST_CASE("tau_normalized: a masked class does not disturb the gradient", "[classifiers]") {
  RandomData random(6);
  const double infinity = std::numeric_limits<double>::infinity();
  const auto head = random_head<double>(random, 3, 4, false).with_offset(Eigen::Vector3d(0, -infinity, 0));
  const TauNormalizedClassifier<double> classifier(head, 0.5, BiasPolicy::keep);
  const auto features = random.matrix<Eigen::MatrixXd>(6, 4, -1, 1);
  Eigen::MatrixXd logits(6, 3), upstream = Eigen::MatrixXd::Ones(6, 3);
  classifier.forward(features, logits);
  CHECK(logits.col(1).maxCoeff() == -infinity);
  upstream.col(1).setZero();
  CHECK(std::isfinite(classifier.tau_gradient(logits, upstream)));
}

TEMPLATE_TEST_CASE("tau_normalized: a learnt tau is where the loss is least", "[classifiers]", float,
                   double) {
  const auto policy = GENERATE(BiasPolicy::drop, BiasPolicy::keep);
  // A head whose rows grew with the counts of its classes, on balanced features: some of it must go.
  RandomData random(7);
  auto head = random_head<TestType>(random, 4, 6);
  for (Index k = 0; k < 4; ++k) head.weights().row(k) *= TestType(4) / static_cast<TestType>(k + 1);
  auto features = random.matrix<RowMatrixX<TestType>>(400, 6, -1, 1);
  const Eigen::VectorXi labels = random.labels(400, 4);
  for (Index i = 0; i < 400; ++i) features.row(i) += head.weights().row(labels[i]).normalized();

  const auto loss = ballast::cross_entropy_loss<TestType>(4);
  const auto value = [&](double tau) {
    MatrixX<TestType> logits(400, 4);
    TauNormalizedClassifier<TestType>(head, static_cast<TestType>(tau), policy).forward(features, logits);
    return loss(logits, labels);
  };
  ballast::TauOptions<TestType> options;
  options.low = -5;
  options.high = 5;
  options.tolerance = TestType(1e-3);
  for (const double start : {-1.0, 0.0, 0.9, 2.0}) {
    CAPTURE(start);
    TauNormalizedClassifier<TestType> classifier(head, static_cast<TestType>(start), policy);
    const auto found = classifier.fit(features, labels, options, loss);
    CHECK(found.converged);
    CHECK(classifier.tau() == found.tau);
    CHECK(classifier.state().bias == policy);
    CHECK(classifier.head().parameters() == tau_normalized(head, found.tau, policy).parameters());
    for (double tau = -5; tau <= 5; tau += 0.125) {
      CHECK(found.loss <= value(tau) + TestType(1e-6));  // the tolerance, squared, times the curvature
    }
    CHECK(std::abs(found.gradient) <= TestType(2e-3));
  }
  // Kept in [0, 1], it stops at the bound that the gradient points through.
  ballast::TauOptions<TestType> narrow;
  const TestType best =
      TauNormalizedClassifier<TestType>(head, 0, policy).fit(features, labels, options, loss).tau;
  narrow.low = best + TestType(0.25);
  narrow.high = best + TestType(1);
  TauNormalizedClassifier<TestType> bounded(head, TestType(0), policy);
  const auto found = bounded.fit(features, labels, narrow, loss);
  CHECK(bounded.tau() == narrow.low);
  CHECK(found.gradient > 0);
  CHECK(found.converged);
}

TEST_CASE("tau_normalized: the default loss lets every class weigh the same", "[classifiers]") {
  RandomData random(8);
  const auto head = random_head<double>(random, 4, 5);
  const auto features = random.matrix<MatrixX<double>>(90, 5, -1, 1);
  Eigen::VectorXi labels = random.labels(90, 2);  // two classes are absent
  labels.head(70).setZero();
  Eigen::Vector4d weights(0, 0, 0, 0);
  for (Index k = 0; k < 2; ++k)
    weights[k] = 1 / static_cast<double>((labels.array() == static_cast<int>(k)).count());
  TauNormalizedClassifier<double> classifier(head), expected(head);
  const auto found = classifier.fit(features, labels);
  expected.fit(features, labels, ballast::TauOptions<double>(),
               ballast::class_weighted_loss<double>(weights));
  CHECK(found.tau == expected.tau());
  CHECK(found.tau >= 0);
  CHECK(found.tau <= 1);
}

TEST_CASE("tau_normalized: rejects, and writes nothing", "[classifiers][errors]") {
  const float nan = std::nanf("");
  const auto head = LinearHead<float>::uniform(4, 3, 1);
  Eigen::MatrixXf out = Eigen::MatrixXf::Constant(3, 4, 7);
  CHECK(rejects([&] { tau_normalize(Eigen::MatrixXf(4, 3), 1.0f, out); },
                {"tau_normalize", "normalized is 3 x 4", "expected 4 x 3"}));
  CHECK(rejects([&] { tau_normalize(Eigen::MatrixXf(3, 4), nan, out); }, {"tau is nan"}));
  CHECK((out.array() == 7).all());
  CHECK(rejects([&] { return tau_normalized(head, nan); }, {"tau is nan"}));
  const TauNormalizedClassifier<float> classifier(head);
  CHECK(rejects([&] { return classifier.tau_gradient(out.leftCols(3), out); },
                {"tau_gradient", "logits is 3 x 3", "samples x 4"}));
  CHECK(rejects([&] { return classifier.tau_gradient(out, out.topRows(2)); },
                {"logit_gradient is 2 x 4", "expected 3 x 4"}));
  CHECK(rejects([&] { classifier.scan(out, Eigen::Vector2f(0, nan), [](float, const auto&) {}); },
                {"scan", "taus[1] is nan"}));
  TauNormalizedClassifier<float> learner(head, 0.5f);
  const Eigen::Vector3i labels(0, 1, 2);
  const Eigen::MatrixXf features = Eigen::MatrixXf::Ones(3, 3);
  ballast::TauOptions<float> options;
  options.low = 1;
  CHECK(rejects([&] { learner.fit(features, labels, options); }, {"fit", "[1, 1]", "low < high"}));
  options = {};
  options.iterations = 0;
  CHECK(rejects([&] { learner.fit(features, labels, options); }, {"options.iterations is 0"}));
  options = {};
  options.tolerance = 0;
  CHECK(rejects([&] { learner.fit(features, labels, options); }, {"options.tolerance is 0"}));
  CHECK(rejects([&] { learner.fit(out, labels); }, {"features is 3 x 4", "samples x 3"}));
  CHECK(rejects([&] { learner.fit(features, Eigen::Vector3i(0, 4, 1)); }, {"labels[1] is 4"}));
  CHECK(rejects([&] { learner.fit(features, labels, {}, [&](auto&&...) { return nan; }); },
                {"the loss at tau 0.5 is nan"}));
  CHECK(learner.tau() == 0.5f);
  auto state = classifier.state();
  state.tau = nan;
  CHECK(rejects([&] { TauNormalizedClassifier<float>{state}; }, {"tau is nan"}));
  // A row that is not finite shows, and spoils no other.
  RowMatrixX<float> weights = RowMatrixX<float>::Ones(2, 3);
  weights(0, 1) = nan;
  tau_normalize(weights, 1.0f, weights);
  CHECK(weights.row(0).array().isNaN().all());
  CHECK(weights.row(1).allFinite());
}

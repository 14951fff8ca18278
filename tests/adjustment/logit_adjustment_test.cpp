#include <ballast/adjustment/logit_adjustment.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include <ballast/classifiers/linear_head.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::Index;
using ballast::LogitAdjustment;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::VectorX;
using ballast::ZeroCount;

ClassDistribution four_classes() {
  return ClassDistribution::from_counts(Eigen::Vector4i(900, 80, 19, 1));
}

}  // namespace

TEMPLATE_TEST_CASE("logit_adjustment: offsets are the formulas", "[adjustment]", float, double) {
  const ClassDistribution classes = four_classes();
  const Eigen::Vector4d target(0.1, 0.2, 0.3, 0.4);
  const TestType tau = TestType(0.75);
  const LogitAdjustment<TestType> equal(classes, tau);
  const LogitAdjustment<TestType> towards(classes, target, tau);
  for (Index k = 0; k < 4; ++k) {
    const long double log_prior = std::log(static_cast<long double>(classes.counts()[k]) / 1000);
    const long double aim = std::log(static_cast<long double>(target[k]));
    // log n and log N round once each (7 bits before the point), then the cast to Scalar rounds.
    const long double bound = 4 * static_cast<long double>(std::numeric_limits<TestType>::epsilon()) * 7;
    CHECK(std::abs(static_cast<long double>(equal.offset()[k]) + 0.75L * log_prior) <= bound);
    CHECK(std::abs(static_cast<long double>(towards.offset()[k]) - 0.75L * (aim - log_prior)) <= bound);
  }
}

TEMPLATE_TEST_CASE("logit_adjustment: adds to logits, copied or in place, and predicts the same",
                   "[adjustment]", RowMatrixX<float>, MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  for (const Index count : {2, 10, 100, 1003}) {
    CAPTURE(count);
    const auto classes = ClassDistribution::from_counts(
        Eigen::VectorXi::LinSpaced(count, 5, 5 + 3 * static_cast<int>(count)).reverse().eval());
    const LogitAdjustment<Scalar> adjust(classes, Scalar(1.5));
    const TestType logits = random.matrix<TestType>(67, count, -2, 2);
    TestType adjusted(67, count);
    adjust(logits, adjusted);
    for (Index i = 0; i < 67; ++i) {
      for (Index k = 0; k < count; ++k) REQUIRE(adjusted(i, k) == logits(i, k) + adjust.offset()[k]);
    }
    Eigen::VectorXi predictions(67), expected(67);
    adjust.predict(logits, predictions);
    ballast::argmax_rows(adjusted, expected);
    CHECK(predictions == expected);

    TestType in_place = logits;
    adjust(in_place, in_place);
    CHECK(in_place == adjusted);
    TestType larger = TestType::Constant(70, count + 2, Scalar(3));
    adjust(logits, larger.block(1, 2, 67, count));
    CHECK(larger.block(1, 2, 67, count) == adjusted);
    CHECK(larger.col(0) == VectorX<Scalar>::Constant(70, Scalar(3)));
    adjust.predict(larger.block(1, 2, 67, count), predictions);
  }
}

TEST_CASE("logit_adjustment: the Bayes rule of the balanced error on two Gaussians", "[adjustment]") {
  // Menon et al., section 6.1: N(+-(1,1), I), P(+) = 5 %. The calibrated logit of x is 2 (x_1 + x_2) +
  // log(0.05 / 0.95); the adjusted boundary in s = (x_1 + x_2) / sqrt 2 is -(1 - tau) c', and moves as the
  // formula of BER says.
  const auto classes = ClassDistribution::from_counts(Eigen::Vector2i(95, 5));
  const double log_odds = std::log(0.05 / 0.95);
  const auto boundary = [&](double tau) {
    const LogitAdjustment<double> adjust(classes, tau);
    double low = -10, high = 10;
    for (int step = 0; step < 60; ++step) {
      const double s = (low + high) / 2;
      RowMatrixX<double> logits(1, 2);
      logits << 0, 2 * std::sqrt(2.0) * s + log_odds;
      Eigen::VectorXi prediction(1);
      adjust.predict(logits, prediction);
      (prediction[0] == 1 ? high : low) = s;
    }
    return low;
  };
  const auto normal = [](double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
  };
  const auto error = [&](double tau) {
    const double s = boundary(tau);
    return 0.5 * (normal(s - std::sqrt(2.0)) + normal(-s - std::sqrt(2.0)));
  };
  CHECK(std::abs(error(0.0) - 0.18077) <= 5e-6);
  CHECK(std::abs(error(0.5) - 0.10613) <= 5e-6);
  CHECK(std::abs(error(1.0) - 0.07865) <= 5e-6);
}

TEST_CASE("logit_adjustment: tau 0 changes nothing", "[adjustment]") {
  CHECK(LogitAdjustment<float>(four_classes(), 0.0f).offset() == Eigen::Vector4f::Zero());
  CHECK(LogitAdjustment<float>(four_classes(), Eigen::Vector4d(0.7, 0.1, 0.1, 0.1), 0.0f).offset() ==
        Eigen::Vector4f::Zero());
}

TEST_CASE("logit_adjustment: the training prior as target changes nothing", "[adjustment]") {
  const LogitAdjustment<double> adjust(four_classes(), four_classes().prior());
  CHECK(adjust.offset().cwiseAbs().maxCoeff() <= 1e-14);
}

TEMPLATE_TEST_CASE("logit_adjustment: a masked class is never predicted", "[adjustment]", float, double) {
  const auto classes = ClassDistribution::from_counts(Eigen::Vector3i(5, 0, 3));
  RowMatrixX<TestType> logits(2, 3);
  logits << 0, 1000, 0, -1000, 1000, -1000;
  for (const TestType tau : {TestType(-1), TestType(0), TestType(1)}) {
    CAPTURE(tau);
    const LogitAdjustment<TestType> adjust(classes, tau, ZeroCount::mask());
    Eigen::VectorXi predictions(2);
    adjust.predict(logits, predictions);
    CHECK((predictions.array() != 1).all());
    RowMatrixX<TestType> adjusted(2, 3);
    adjust(logits, adjusted);
    CHECK(adjusted.col(1).maxCoeff() == -std::numeric_limits<TestType>::infinity());
  }
  const LogitAdjustment<TestType> target(four_classes(), Eigen::Vector4d(0.5, 0, 0.25, 0.25));
  CHECK(target.offset()[1] == -std::numeric_limits<TestType>::infinity());
  const LogitAdjustment<TestType> none(four_classes(), Eigen::Vector4d(0.5, 0, 0.25, 0.25), TestType(0));
  CHECK(none.offset()[1] == -std::numeric_limits<TestType>::infinity());
  CHECK(none.offset()[0] == 0);
}

TEST_CASE("logit_adjustment: folds into the bias of a head", "[adjustment]") {
  RandomData random(4);
  const LogitAdjustment<double> adjust(four_classes(), 1.0);
  const Eigen::MatrixXd features = random.matrix<Eigen::MatrixXd>(9, 5, -1, 1);
  for (const bool with_bias : {true, false}) {
    const auto head = ballast::LinearHead<double>::uniform(4, 5, 1, with_bias);
    Eigen::MatrixXd logits(9, 4), folded(9, 4);
    head.forward(features, logits);
    adjust(logits, logits);
    head.with_offset(adjust.offset()).forward(features, folded);
    CHECK((folded - logits).cwiseAbs().maxCoeff() <= 1e-14);
  }
}

TEST_CASE("logit_adjustment: rejects, and writes nothing", "[adjustment][errors]") {
  const double nan = std::nan("");
  const auto hole = ClassDistribution::from_counts(Eigen::Vector3i(5, 0, 3));
  CHECK(rejects([&] { LogitAdjustment<double>{hole}; }, {"class 1 has no samples"}));
  CHECK(rejects([&] { LogitAdjustment<double>(four_classes(), nan); }, {"LogitAdjustment", "tau is nan"}));

  CHECK(rejects([&] { LogitAdjustment<float>(four_classes(), 3e38f); }, {"offset[1] is inf"}));
  CHECK(rejects([&] { LogitAdjustment<double>(four_classes(), Eigen::Vector4d(1, 0, 0, 0), -1.0); },
                {"tau is -1", ">= 0"}));
  CHECK(rejects([&] { LogitAdjustment<double>(four_classes(), Eigen::Vector3d(1, 0, 0)); },
                {"target_prior has size 3", "expected 4"}));
  CHECK(rejects([&] { LogitAdjustment<double>(four_classes(), Eigen::Vector4d(1, 0, -0.5, 0.5)); },
                {"target_prior[2] is -0.5"}));
  CHECK(rejects([&] { LogitAdjustment<double>(four_classes(), Eigen::Vector4d(1, 0, 0, 1)); },
                {"sums to 2", "expected 1"}));
  CHECK(rejects([&] { LogitAdjustment<double>(Eigen::VectorXd(Eigen::Vector2d(0, nan))); },
                {"offset[1] is nan"}));
  CHECK(rejects([&] { LogitAdjustment<double>{Eigen::VectorXd()}; }, {"no finite value"}));

  const LogitAdjustment<double> adjust(four_classes());
  Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(3, 5), out = Eigen::MatrixXd::Constant(3, 4, 7);
  Eigen::VectorXi predictions = Eigen::VectorXi::Constant(3, 7);
  CHECK(rejects([&] { adjust(logits, out); }, {"logits is 3 x 5", "expected samples x 4"}));
  CHECK(rejects([&] { adjust.predict(logits, predictions); }, {"predict", "logits is 3 x 5"}));
  CHECK(rejects([&] { adjust(logits.topLeftCorner(2, 4), out); }, {"adjusted is 3 x 4", "expected 2 x 4"}));
  CHECK(rejects([&] { adjust.predict(logits.topLeftCorner(2, 4), predictions); },
                {"predictions has size 3", "expected 2"}));
  CHECK((out.array() == 7).all());
  CHECK((predictions.array() == 7).all());
}

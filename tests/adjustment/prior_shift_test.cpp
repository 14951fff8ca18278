#include <ballast/adjustment/prior_shift.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::BlackBoxEstimate;
using ballast::ClassDistribution;
using ballast::ConfusionMatrix;
using ballast::Count;
using ballast::CountVector;
using ballast::Index;
using ballast::LogitsOf;
using ballast::MatrixX;
using ballast::PriorEstimate;
using ballast::PriorEstimateOptions;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

/// P(y | x) for a finite x: column x of `likelihood` (class x input) times the prior, normalised.
Eigen::RowVectorXd posterior(const Eigen::MatrixXd& likelihood, const Eigen::VectorXd& prior, Index x) {
  const Eigen::VectorXd joint = likelihood.col(x).cwiseProduct(prior);
  return joint.transpose() / joint.sum();
}

}  // namespace

TEMPLATE_TEST_CASE("prior_shift: pointwise mutual information is the formula for either model",
                   "[adjustment]", MatrixX<float>, ballast::RowMatrixX<float>, MatrixX<double>,
                   ballast::RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  const auto classes = ClassDistribution::from_counts(Eigen::Vector4i(1000, 100, 10, 1));
  const Eigen::VectorXd prior = classes.prior();
  const auto storage = random.matrix<TestType>(33, 6, -5, 5);
  const auto logits = storage.block(1, 1, 31, 4);
  const Eigen::VectorXi labels = random.labels(31, 4);
  const auto bound = static_cast<long double>(32 * std::numeric_limits<Scalar>::epsilon());
  for (const LogitsOf model : {LogitsOf::posterior, LogitsOf::balanced}) {
    TestType information(31, 4);
    ballast::pointwise_mutual_information(logits, classes, model, information);
    long double mean = 0;
    for (Index i = 0; i < 31; ++i) {
      long double sum = 0;
      for (Index k = 0; k < 4; ++k) {
        const long double e = std::exp(static_cast<long double>(logits(i, k)));
        sum += model == LogitsOf::posterior ? e : e * static_cast<long double>(prior[k]);
      }
      for (Index k = 0; k < 4; ++k) {
        long double expected = static_cast<long double>(logits(i, k)) - std::log(sum);
        if (model == LogitsOf::posterior) expected -= std::log(static_cast<long double>(prior[k]));
        CHECK(std::abs(static_cast<long double>(information(i, k)) - expected) <= bound);
        if (k == labels[i]) mean += expected / 31;
      }
    }
    CHECK(std::abs(static_cast<long double>(ballast::mutual_information(logits, labels, classes, model)) -
                   mean) <= static_cast<long double>(64 * epsilon));
    TestType in_place = logits;
    ballast::pointwise_mutual_information(in_place, classes, model, in_place);
    CHECK(in_place == information);
  }
}

TEST_CASE("prior_shift: mutual information is exact on an exact model, from either side", "[adjustment]") {
  // Eight equally weighted samples of a joint distribution: P(0) = 3/4, x = a or b.
  Eigen::MatrixXd likelihood(2, 2);
  likelihood << 5.0 / 6, 1.0 / 6, 0.5, 0.5;  // P(x | y)
  const auto classes = ClassDistribution::from_counts(Eigen::Vector2i(6, 2));
  const Eigen::VectorXd prior = classes.prior();
  Eigen::MatrixXd posterior_logits(8, 2), balanced_logits(8, 2);
  Eigen::VectorXi labels(8);
  labels << 0, 0, 0, 0, 0, 0, 1, 1;
  const int inputs[8] = {0, 0, 0, 0, 0, 1, 0, 1};
  double expected = 0;
  for (Index i = 0; i < 8; ++i) {
    const Index x = inputs[i];
    posterior_logits.row(i) = posterior(likelihood, prior, x).array().log() + 3.0;
    balanced_logits.row(i) = likelihood.col(x).transpose().array().log() - 2.0;
    const double marginal = likelihood.col(x).dot(prior);
    expected += std::log(likelihood(labels[i], x) / marginal) / 8;
  }
  CHECK(std::abs(ballast::mutual_information(posterior_logits, labels, classes, LogitsOf::posterior) -
                 expected) <= 32 * epsilon);
  CHECK(std::abs(ballast::mutual_information(balanced_logits, labels, classes, LogitsOf::balanced) -
                 expected) <= 32 * epsilon);
}

TEMPLATE_TEST_CASE("prior_shift: EM finds the prior exactly where the data have it exactly", "[adjustment]",
                   MatrixX<float>, MatrixX<double>, ballast::RowMatrixX<double>) {
  // Inputs occur as often as the target prior says: the maximum-likelihood prior is the target.
  Eigen::MatrixXd likelihood(3, 3);
  likelihood << 0.7, 0.2, 0.1, 0.2, 0.7, 0.1, 0.1, 0.3, 0.6;
  const Eigen::Vector3d training(0.6, 0.3, 0.1), target(0.1, 0.4, 0.5);
  const Eigen::Vector3d share = likelihood.transpose() * target;  // 0.20, 0.45, 0.35
  TestType probabilities(100, 3);
  Index row = 0;
  for (Index x = 0; x < 3; ++x) {
    for (Index n = 0; n < std::lround(100 * share[x]); ++n) {
      probabilities.row(row++) = posterior(likelihood, training, x).cast<typename TestType::Scalar>();
    }
  }
  REQUIRE(row == 100);
  PriorEstimateOptions options;
  options.tolerance = 1e-12;
  const PriorEstimate estimate = ballast::estimate_target_prior(probabilities, training, options);
  CHECK(estimate.converged);
  CHECK(estimate.gap <= 1e-12);
  // The gap bounds the loss of likelihood, which is quadratic about the optimum: errors go as its root.
  CHECK((estimate.prior - target).cwiseAbs().maxCoeff() <= 1e-5);
  CHECK(estimate.log_likelihood > 0.1);
}

TEST_CASE("prior_shift: EM's likelihood never falls and its gap bounds what is left", "[adjustment]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  RandomData random(seed);
  Eigen::MatrixXd probabilities = random.matrix<Eigen::MatrixXd>(80, 5, -3, 3).array().exp();
  for (Index i = 0; i < 80; ++i) probabilities.row(i) /= probabilities.row(i).sum();
  Eigen::VectorXd prior = random.vector<double>(5, 0.05, 1);
  prior /= prior.sum();

  PriorEstimateOptions options;
  options.tolerance = 1e-10;
  options.max_iterations = 1000000;
  const double best = ballast::estimate_target_prior(probabilities, prior, options).log_likelihood;
  double before = 0.0;
  for (Index iterations = 1; iterations <= 40; ++iterations) {
    options.max_iterations = iterations;
    const PriorEstimate estimate = ballast::estimate_target_prior(probabilities, prior, options);
    CHECK(estimate.log_likelihood >= before - 4 * epsilon);
    CHECK(best <= estimate.log_likelihood + estimate.gap + 4 * epsilon);
    CHECK(std::abs(estimate.prior.sum() - 1.0) <= 8 * epsilon);
    CHECK(estimate.iterations <= iterations);
    CHECK(estimate.converged == (estimate.gap <= 1e-10));
    before = estimate.log_likelihood;
  }
}

TEST_CASE("prior_shift: EM leaves a prior alone that explains the data, and a masked class at 0",
          "[adjustment]") {
  Eigen::MatrixXd probabilities(2, 3);
  probabilities << 0.75, 0, 0.25, 0.25, 0, 0.75;
  const PriorEstimate estimate = ballast::estimate_target_prior(probabilities, Eigen::Vector3d(0.5, 0, 0.5));
  CHECK(estimate.converged);
  CHECK(estimate.iterations == 0);
  CHECK(estimate.prior == Eigen::Vector3d(0.5, 0, 0.5));
  CHECK(std::abs(estimate.log_likelihood) <= 2 * epsilon);
}

TEST_CASE("prior_shift: BBSE is exact on an exact confusion matrix, hard or soft", "[adjustment]") {
  MatrixX<Count> counts(3, 3);
  counts << 80, 15, 5, 3, 14, 3, 1, 1, 8;  // 100, 20, 10 labelled samples
  // Target prior 0.1, 0.4, 0.5 in 200 samples: 20, 80, 100 of each class, confused at the same rates.
  CountVector predicted(3);
  predicted << 16 + 12 + 10, 3 + 56 + 10, 1 + 12 + 80;
  ConfusionMatrix confusion(ConfusionMatrix::State{counts});
  const BlackBoxEstimate hard = ballast::black_box_target_prior(confusion, predicted);
  const double bound = 64 * epsilon / hard.reciprocal_condition;
  CHECK((hard.prior - Eigen::Vector3d(0.1, 0.4, 0.5)).cwiseAbs().maxCoeff() <= bound);
  CHECK_FALSE(hard.clipped);
  CHECK(hard.reciprocal_condition > 0.1);

  const Eigen::MatrixXf soft = counts.cast<float>() / 8.0f;
  const BlackBoxEstimate same =
      ballast::black_box_target_prior(soft, Eigen::VectorXd(predicted.cast<double>() * 3));
  CHECK((same.prior - hard.prior).cwiseAbs().maxCoeff() <= bound);
}

TEST_CASE("prior_shift: BBSE says when it clipped", "[adjustment]") {
  MatrixX<Count> counts(2, 2);
  counts << 8, 2, 3, 7;
  CountVector predicted(2);
  predicted << 95, 5;  // more of class 0 than class 0 alone would give
  const BlackBoxEstimate estimate =
      ballast::black_box_target_prior(ConfusionMatrix(ConfusionMatrix::State{counts}), predicted);
  CHECK(estimate.clipped);
  CHECK(estimate.prior == Eigen::Vector2d(1, 0));
  CHECK(std::abs(estimate.solution[1] + 0.3) <= 16 * epsilon);
}

TEST_CASE("prior_shift: BBSE refuses a singular confusion matrix and says why", "[adjustment][errors]") {
  const Eigen::Vector2d predicted(1, 1);
  const auto solve = [&](double a, double b, double c, double d) {
    Eigen::Matrix2d confusion;
    confusion << a, b, c, d;
    return ballast::black_box_target_prior(confusion, predicted);
  };
  CHECK(rejects([&] { return solve(2, 2, 5, 5); }, {"black_box_target_prior", "singular", "tell"}));
  CHECK(rejects([&] { return solve(2, 0, 5, 0); }, {"singular", "class 1 was never predicted"}));
  CHECK(rejects([&] { return solve(1, 1, 0, 0); }, {"class 1 has no labelled samples"}));
  CHECK(rejects([&] { return solve(1, -1, 0, 1); }, {"confusion(0, 1) is -1"}));
  CHECK(rejects(
      [&] {
        return ballast::black_box_target_prior(Eigen::MatrixXd(Eigen::MatrixXd::Identity(2, 2)),
                                               Eigen::Vector2d(0, 0));
      },
      {"predicted sums to 0"}));
  CHECK(rejects(
      [&] {
        return ballast::black_box_target_prior(Eigen::MatrixXd(Eigen::MatrixXd::Identity(2, 2)),
                                               Eigen::Vector3d(0, 1, 0));
      },
      {"predicted has size 3"}));
  CHECK(
      rejects([&] { return ballast::black_box_target_prior(Eigen::MatrixXd(2, 3), predicted); }, {"2 x 3"}));
}

TEST_CASE("prior_shift: refuses what is no distribution", "[adjustment][errors]") {
  const Eigen::Vector2d prior(0.5, 0.5);
  Eigen::MatrixXd probabilities = Eigen::MatrixXd::Constant(3, 2, 0.5);
  const auto estimate = [&] {
    return ballast::estimate_target_prior(probabilities, prior);
  };
  probabilities(1, 0) = 0.7;
  CHECK(rejects(estimate, {"estimate_target_prior", "row 1 sums to 1.2"}));
  probabilities(1, 0) = -3;
  CHECK(rejects(estimate, {"probabilities(1, 0) is -3", "not logits"}));
  probabilities(1, 0) = std::nan("");
  CHECK(rejects(estimate, {"probabilities(1, 0) is nan"}));
  probabilities.setConstant(0.5);
  CHECK(rejects([&] { return ballast::estimate_target_prior(probabilities, Eigen::Vector2d(1, 0)); },
                {"probabilities(0, 1)", "prior is 0"}));
  CHECK(rejects([&] { return ballast::estimate_target_prior(probabilities, Eigen::Vector3d(1, 0, 0)); },
                {"prior has size 3"}));
  CHECK(rejects([&] { return ballast::estimate_target_prior(Eigen::MatrixXd(0, 2), prior); }, {"no rows"}));
  PriorEstimateOptions options;
  options.tolerance = 0;
  CHECK(
      rejects([&] { return ballast::estimate_target_prior(probabilities, prior, options); }, {"tolerance"}));

  const auto classes = ClassDistribution::from_counts(Eigen::Vector2i(3, 0));
  CHECK(rejects(
      [&] {
        return ballast::mutual_information(probabilities, Eigen::Vector3i(0, 0, 0), classes,
                                           LogitsOf::posterior);
      },
      {"class 1 has no samples"}));
  const auto both = ClassDistribution::from_counts(Eigen::Vector2i(3, 1));
  Eigen::MatrixXd output = Eigen::MatrixXd::Zero(3, 3);
  CHECK(
      rejects([&] { ballast::pointwise_mutual_information(probabilities, both, LogitsOf::balanced, output); },
              {"information is 3 x 3", "expected 3 x 2"}));
  Eigen::MatrixXd bad = Eigen::MatrixXd::Zero(3, 2);
  bad(2, 1) = std::nan("");
  CHECK(rejects([&] { ballast::pointwise_mutual_information(bad, both, LogitsOf::balanced, bad); },
                {"logits row 2"}));
  CHECK(bad.topRows(2).isZero(0));
  CHECK(rejects(
      [&] {
        return ballast::mutual_information(probabilities, Eigen::Vector3i(0, 2, 0), both,
                                           LogitsOf::posterior);
      },
      {"labels[1] is 2"}));
}

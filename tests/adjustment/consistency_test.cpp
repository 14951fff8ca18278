#include <ballast/adjustment/consistency.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include <ballast/losses/class_weights.hpp>
#include <ballast/losses/presets.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::check_consistency;
using ballast::ClassDistribution;
using ballast::Consistency;
using ballast::ConsistencyOptions;
using ballast::ConsistencyReport;
using ballast::CountVector;
using ballast::Index;
using ballast::Misranking;
using ballast::SoftmaxLoss;
using ballast::SoftmaxLossOptions;

/// The long tail of the methods' page: 5000 down to 50 over 10 classes.
ClassDistribution ten_classes() {
  CountVector counts(10);
  counts << 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50;
  return ClassDistribution::from_counts(counts);
}

ClassDistribution two_classes() {
  return ClassDistribution::from_counts(Eigen::Vector2i(95, 5));
}

Eigen::VectorXd uniform(Index classes) {
  return Eigen::VectorXd::Constant(classes, 1.0 / static_cast<double>(classes));
}

/// What any counterexample must be: a distribution with the prior, on which two classes change places.
void check_distribution(const ConsistencyReport& report, const ClassDistribution& classes,
                        const Eigen::VectorXd& target) {
  REQUIRE(report.verdict == Consistency::refuted);
  REQUIRE(report.counterexample.has_value());
  const Misranking& found = *report.counterexample;
  CHECK(found.mass > 0);
  CHECK(found.mass < 1);
  CHECK(found.posterior.minCoeff() >= 0);
  CHECK(std::abs(found.posterior.sum() - 1) <= 1e-12);
  CHECK(found.rest.minCoeff() >= 0);
  CHECK(std::abs(found.rest.sum() - 1) <= 1e-9);
  const Eigen::VectorXd prior = found.mass * found.posterior + (1 - found.mass) * found.rest;
  CHECK((prior - classes.prior()).cwiseAbs().maxCoeff() <= 1e-9);

  Index predicted = 0, optimal = 0;
  found.scores.maxCoeff(&predicted);
  found.posterior.cwiseProduct(target).cwiseQuotient(classes.prior()).maxCoeff(&optimal);
  CHECK(predicted == found.predicted);
  CHECK(optimal == found.optimal);
  CHECK(predicted != optimal);
  CHECK_FALSE(report.reason.empty());
}

/// The scores are a minimiser: no nearby scores of the occurring classes have a smaller conditional risk, as
/// the loss itself evaluates it. For convex losses that is all there is to show.
template <typename Loss>
void check_minimiser(const Loss& loss, const ConsistencyReport& report) {
  const Misranking& found = *report.counterexample;
  const Index classes = loss.classes();
  const auto risk = [&](const Eigen::VectorXd& scores) {
    double sum = 0;
    for (Index y = 0; y < classes; ++y) {
      if (found.posterior[y] == 0) continue;
      SoftmaxLossOptions<double> options = loss.options();
      options.reduction = ballast::Reduction::sum;
      const auto summed = ballast::SoftmaxLoss<double, typename Loss::Shape>(
          classes, loss.weights(), loss.margin(), loss.shape(), options);
      const Eigen::MatrixXd row = scores.transpose();
      sum += found.posterior[y] * summed(row, Eigen::VectorXi::Constant(1, static_cast<int>(y)));
    }
    return sum;
  };
  const double least = risk(found.scores);
  for (Index k = 0; k < classes; ++k) {
    for (const double step : {-1e-3, 1e-3, -0.5, 0.5}) {
      Eigen::VectorXd moved = found.scores;
      moved[k] += step;
      CHECK(risk(moved) >= least - 1e-13);
    }
  }
}

}  // namespace

TEST_CASE("consistency: the adjusted losses are proved, for the balanced error or their target",
          "[adjustment]") {
  const ClassDistribution classes = ten_classes();
  const auto adjusted = check_consistency(ballast::logit_adjusted_loss<double>(classes), classes);
  CHECK(adjusted.verdict == Consistency::proved);
  CHECK(adjusted.reason.find("Theorem 1") != std::string::npos);
  CHECK(adjusted.warnings.empty());
  CHECK_FALSE(adjusted.counterexample.has_value());
  CHECK(check_consistency(ballast::logit_adjusted_loss<float>(classes), classes).verdict ==
        Consistency::proved);

  const auto weighted = ballast::class_weighted_loss<double>(
      ballast::inverse_frequency_weights<double>(classes, ballast::WeightNormalization::sum_to_classes));
  CHECK(check_consistency(weighted, classes).verdict == Consistency::proved);

  Eigen::VectorXd target = Eigen::VectorXd::LinSpaced(10, 1, 2);
  target /= target.sum();
  ConsistencyOptions options;
  options.target_prior = target;
  const auto shifted = ballast::target_prior_loss<double>(classes, target);
  CHECK(check_consistency(shifted, classes, options).verdict == Consistency::proved);
  check_distribution(check_consistency(shifted, classes), classes, uniform(10));

  options.target_prior = classes.prior();
  const auto plain = ballast::cross_entropy_loss<double>(10);
  CHECK(check_consistency(plain, classes, options).verdict == Consistency::proved);
}

TEST_CASE("consistency: Theorem 1 holds for any delta, and any departure is refuted", "[adjustment]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  const Index count = GENERATE(2, 4);
  CAPTURE(seed, count);
  RandomData random(seed);
  const auto classes = ClassDistribution::from_counts(random.vector<double>(count, 1, 500).cast<int>());
  const Eigen::VectorXd log_delta = random.vector<double>(count, -2, 2);
  Eigen::VectorXd alpha = log_delta.array().exp().matrix().cwiseQuotient(classes.prior());
  Eigen::MatrixXd delta(count, count);
  for (Index y = 0; y < count; ++y) {
    for (Index k = 0; k < count; ++k) delta(y, k) = log_delta[k] - log_delta[y];
  }
  const auto make = [&] {
    return SoftmaxLoss<double>(count, alpha, ballast::pairwise_margin(delta));
  };
  CHECK(check_consistency(make(), classes).verdict == Consistency::proved);
  alpha[1] *= 1.01;
  const auto weights_off = check_consistency(make(), classes);
  check_distribution(weights_off, classes, uniform(count));
  check_minimiser(make(), weights_off);
  alpha[1] /= 1.01;
  delta(0, 1) += 0.05;
  const auto margin_off = check_consistency(make(), classes);
  check_distribution(margin_off, classes, uniform(count));
  check_minimiser(make(), margin_off);
}

TEST_CASE("consistency: two classes are decided by the exact condition", "[adjustment]") {
  // pi_+ alpha_+ sigma(Delta_+-) = pi_- alpha_- sigma(Delta_-+) with Delta_+- + Delta_-+ != 0: Theorem 1 does
  // not cover it.
  const ClassDistribution classes = two_classes();
  Eigen::Matrix2d delta;
  delta << 0, 0.7, 1.3, 0;
  const auto sigma = [](double x) {
    return 1 / (1 + std::exp(-x));
  };
  Eigen::VectorXd alpha(2);
  alpha << 1, 0.95 * sigma(0.7) / (0.05 * sigma(1.3));
  const SoftmaxLoss<double> exact(2, alpha, ballast::pairwise_margin(delta));
  const auto proved = check_consistency(exact, classes);
  CHECK(proved.verdict == Consistency::proved);
  CHECK(proved.reason.find("exact condition") != std::string::npos);
  alpha[1] *= 0.99;
  const SoftmaxLoss<double> off(2, alpha, ballast::pairwise_margin(delta));
  const auto refuted = check_consistency(off, classes);
  check_distribution(refuted, classes, uniform(2));
  check_minimiser(off, refuted);
}

TEST_CASE("consistency: cross-entropy, heuristic margins and other tau are refuted", "[adjustment]") {
  for (const ClassDistribution& classes : {two_classes(), ten_classes()}) {
    const auto refuted = [&](const auto& loss) {
      const auto report = check_consistency(loss, classes);
      check_distribution(report, classes, uniform(classes.classes()));
      check_minimiser(loss, report);
    };
    refuted(ballast::cross_entropy_loss<double>(classes.classes()));
    refuted(ballast::logit_adjusted_loss<double>(classes, 0.5));
    refuted(ballast::logit_adjusted_loss<double>(classes, 2.0));
    refuted(ballast::equalized_loss<double>(classes));
    refuted(ballast::adaptive_margin_loss<double>(classes));
    refuted(ballast::ldam_loss<double>(classes));
    refuted(SoftmaxLoss<double, ballast::Focal<double>>(
        classes.classes(), {}, ballast::prior_margin<double>(classes), ballast::Focal<double>{2.0}));
  }
}

TEST_CASE("consistency: unequal scales leave the order of the logits open", "[adjustment]") {
  const ClassDistribution classes = ten_classes();
  const auto report = check_consistency(ballast::vector_scaling_loss<double>(classes, 0.2), classes);
  check_distribution(report, classes, uniform(10));
  CHECK(report.reason.find("scales") != std::string::npos);
  check_minimiser(ballast::vector_scaling_loss<double>(classes, 0.2), report);
  CHECK(check_consistency(ballast::vector_scaling_loss<double>(classes, 0.0), classes).verdict ==
        Consistency::proved);
}

TEST_CASE("consistency: uniform smoothing breaks the adjusted loss, the prior's does not", "[adjustment]") {
  const ClassDistribution classes = ten_classes();
  SoftmaxLossOptions<double> smoothing;
  smoothing.smoothing = 0.1;
  const auto uniformly =
      ballast::logit_adjusted_loss<double>(classes, 1.0, ballast::ZeroCount::refuse(), smoothing);
  const auto report = check_consistency(uniformly, classes);
  check_distribution(report, classes, uniform(10));
  // A certain head sample is predicted as the rarest class.
  CHECK(report.counterexample->posterior == Eigen::VectorXd::Unit(10, 0));
  CHECK(report.counterexample->optimal == 0);
  CHECK(report.counterexample->predicted == 9);
  // Exactly: p_j = 0.9 [j = 0] + 0.01, scores log p_j - log pi_j.
  const Eigen::VectorXd& scores = report.counterexample->scores;
  const Eigen::VectorXd prior = classes.prior();
  CHECK(std::abs((scores[9] - scores[0]) - (std::log(0.01 / prior[9]) - std::log(0.91 / prior[0]))) <= 1e-7);

  smoothing.smoothing_target = prior;
  CHECK(check_consistency(
            ballast::logit_adjusted_loss<double>(classes, 1.0, ballast::ZeroCount::refuse(), smoothing),
            classes)
            .verdict == Consistency::proved);
}

TEST_CASE("consistency: focal loss keeps the order of weights, not of margins", "[adjustment]") {
  const ClassDistribution classes = ten_classes();
  const auto weights =
      ballast::inverse_frequency_weights<float>(classes, ballast::WeightNormalization::sum_to_classes);
  const SoftmaxLoss<float, ballast::Focal<float>> weighted(10, weights, {}, ballast::Focal<float>{2.0f});
  const auto report = check_consistency(weighted, classes);
  CHECK(report.verdict == Consistency::proved);
  CHECK(report.reason.find("focal") != std::string::npos);
  const SoftmaxLoss<double, ballast::Focal<double>> none(10, {}, ballast::prior_margin<double>(classes),
                                                         ballast::Focal<double>{0.0});
  CHECK(check_consistency(none, classes).verdict == Consistency::proved);  // gamma 0 is cross-entropy
}

TEST_CASE("consistency: what surrounds the loss counts, and adjusting again is warned of", "[adjustment]") {
  const ClassDistribution classes = ten_classes();
  const auto plain = ballast::cross_entropy_loss<double>(10);
  const auto adjusted = ballast::logit_adjusted_loss<double>(classes);
  ConsistencyOptions post_hoc, sampled;
  post_hoc.post_hoc = -classes.log_prior();
  sampled.sampling_prior = uniform(10);

  CHECK(check_consistency(plain, classes, post_hoc).verdict == Consistency::proved);
  CHECK(check_consistency(plain, classes, sampled).verdict == Consistency::proved);
  CHECK(check_consistency(plain, classes, post_hoc).warnings.empty());

  ConsistencyOptions two_sampled;
  two_sampled.sampling_prior = uniform(2);
  CHECK(check_consistency(ballast::cross_entropy_loss<double>(2), two_classes(), two_sampled).verdict ==
        Consistency::proved);

  const auto twice = check_consistency(adjusted, classes, post_hoc);
  check_distribution(twice, classes, uniform(10));
  REQUIRE(twice.warnings.size() == 1);
  CHECK(twice.warnings[0].find("the margin (1 times) and the post-hoc offset (1 times)") !=
        std::string::npos);
  CHECK(twice.warnings[0].find("2 times together") != std::string::npos);

  const auto resampled = check_consistency(adjusted, classes, sampled);
  check_distribution(resampled, classes, uniform(10));
  REQUIRE(resampled.warnings.size() == 1);
  CHECK(resampled.warnings[0].find("sampling (1 times) and the margin") != std::string::npos);

  ConsistencyOptions both = post_hoc;
  both.sampling_prior = uniform(10);
  CHECK(check_consistency(plain, classes, both).warnings.size() == 1);

  // Half by the weights and half by the margin is once.
  const SoftmaxLoss<double> halves(10, classes.prior().cwiseSqrt().cwiseInverse(),
                                   ballast::prior_margin<double>(classes, 0.5));
  const auto once = check_consistency(halves, classes);
  CHECK(once.verdict == Consistency::proved);
  CHECK(once.warnings.empty());

  // A common scale changes nothing; a post-hoc offset is then in units of the logits.
  ballast::Margin<double> scaled;
  scaled.scale = Eigen::VectorXd::Constant(10, 4.0);
  ConsistencyOptions quarter;
  quarter.post_hoc = -0.25 * classes.log_prior();
  CHECK(check_consistency(SoftmaxLoss<double>(10, {}, scaled), classes, quarter).verdict ==
        Consistency::proved);
}

TEST_CASE("consistency: where nothing is known it says so", "[adjustment]") {
  // The published slip with weights next to 1 / pi: no theorem; whatever the verdict, not "proved".
  const ClassDistribution equal = ClassDistribution::from_counts(Eigen::Vector3i(5, 5, 5));
  const SoftmaxLoss<double, ballast::WeightInsideFocal<double>> inside(
      3, {}, {}, ballast::WeightInsideFocal<double>{1.0});
  const auto report = check_consistency(inside, equal);
  CHECK(report.verdict == Consistency::unknown);
  CHECK(report.reason.find("no theorem applies") != std::string::npos);
  CHECK_FALSE(report.counterexample.has_value());
}

TEST_CASE("consistency: bad arguments are refused", "[adjustment][errors]") {
  const ClassDistribution classes = two_classes();
  const auto loss = ballast::cross_entropy_loss<double>(2);
  ConsistencyOptions options;
  CHECK(rejects([&] { return check_consistency(loss, ten_classes()); }, {"check_consistency", "size 10"}));
  CHECK(
      rejects([&] { return check_consistency(loss, ClassDistribution::from_counts(Eigen::Vector2i(3, 0))); },
              {"class 1 has no samples"}));
  options.target_prior = Eigen::VectorXd::Unit(2, 0);
  CHECK(rejects([&] { return check_consistency(loss, classes, options); }, {"target_prior[1] is 0"}));
  options = {};
  options.sampling_prior = uniform(3);
  CHECK(rejects([&] { return check_consistency(loss, classes, options); }, {"sampling_prior has size 3"}));
  options = {};
  options.post_hoc = Eigen::VectorXd::Constant(2, std::numeric_limits<double>::infinity());
  CHECK(rejects([&] { return check_consistency(loss, classes, options); }, {"post_hoc[0] is inf"}));
  options = {};
  options.tolerance = 0;
  CHECK(rejects([&] { return check_consistency(loss, classes, options); }, {"tolerance is 0"}));
}

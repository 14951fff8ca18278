#include <ballast/metrics/calibration.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Binning;
using ballast::CalibrationOptions;
using ballast::CalibrationReport;
using ballast::Index;
using ballast::measure_calibration;
using ballast::prior_ratio;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

struct Reference {
  long double log_loss = 0, brier = 0, sharpness = 0, accuracy = 0, ece = 0;
};

/// The definitions, one sample and one bin at a time; equal-width bins as in the published loop over bins.
template <typename Matrix>
Reference reference(const Matrix& logits, const Eigen::VectorXi& labels, const Eigen::VectorXd& weights,
                    Index bins) {
  Reference result;
  long double total = 0;
  std::vector<long double> confidence, right, weight;
  for (Index i = 0; i < logits.rows(); ++i) {
    long double sum = 0, brier = 0, sharp = 0;
    Index best = 0;
    for (Index k = 0; k < logits.cols(); ++k) {
      sum += std::exp(static_cast<long double>(logits(i, k)));
      if (logits(i, k) > logits(i, best)) best = k;
    }
    for (Index k = 0; k < logits.cols(); ++k) {
      const long double p = std::exp(static_cast<long double>(logits(i, k))) / sum;
      brier += (p - (k == labels[i] ? 1 : 0)) * (p - (k == labels[i] ? 1 : 0));
      sharp += p * p;
    }
    const auto w = static_cast<long double>(weights.size() == 0 ? 1.0 : weights[labels[i]]);
    total += w;
    result.log_loss += w * (std::log(sum) - static_cast<long double>(logits(i, labels[i])));
    result.brier += w * brier;
    result.sharpness += w * sharp;
    result.accuracy += best == labels[i] ? w : 0;
    confidence.push_back(std::exp(static_cast<long double>(logits(i, best))) / sum);
    right.push_back(best == labels[i] ? 1 : 0);
    weight.push_back(w);
  }
  for (Index b = 0; b < bins; ++b) {
    const auto lower = static_cast<long double>(static_cast<double>(b) / static_cast<double>(bins));
    const auto upper = static_cast<long double>(static_cast<double>(b + 1) / static_cast<double>(bins));
    long double gap = 0;
    for (std::size_t i = 0; i < confidence.size(); ++i) {
      if (confidence[i] > lower && confidence[i] <= upper) gap += weight[i] * (right[i] - confidence[i]);
    }
    result.ece += std::abs(gap) / total;
  }
  result.log_loss /= total;
  result.brier /= total;
  result.sharpness /= total;
  result.accuracy /= total;
  return result;
}

/// Two-class logits whose largest probability is `confidence`, for class 0.
Eigen::RowVector2d with_confidence(double confidence) {
  return {std::log(confidence), std::log(1.0 - confidence)};
}

/// Confidences 1/16, 2/16, ... cannot all be two-class maxima: eight classes, the rest of the mass spread.
Eigen::MatrixXd logits_with_confidences(const std::vector<double>& confidences, Index classes) {
  Eigen::MatrixXd logits(static_cast<Index>(confidences.size()), classes);
  for (std::size_t i = 0; i < confidences.size(); ++i) {
    const double rest = (1.0 - confidences[i]) / static_cast<double>(classes - 1);
    logits.row(static_cast<Index>(i)).setConstant(std::log(rest));
    logits(static_cast<Index>(i), 0) = std::log(confidences[i]);
  }
  return logits;
}

CalibrationOptions options_of(Index bins, Binning binning, const Eigen::VectorXd& weights = {}) {
  CalibrationOptions options;
  options.bins = bins;
  options.binning = binning;
  options.class_weights = weights;
  return options;
}

}  // namespace

TEMPLATE_TEST_CASE("calibration: measures are the formulas, plain and weighted", "[metrics]",
                   ballast::MatrixX<float>, ballast::MatrixX<double>, ballast::RowMatrixX<float>,
                   ballast::RowMatrixX<double>) {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const Index samples = 200, classes = 6;
  const auto storage = random.matrix<TestType>(samples + 3, classes + 2, -4, 4);
  const auto logits = storage.block(2, 1, samples, classes);
  const Eigen::VectorXi labels = random.labels(samples, classes);
  Eigen::VectorXd weights = random.vector<double>(classes, 0, 3);
  weights[2] = 0;
  // N terms of a few operations each, all in double.
  const auto bound = static_cast<long double>(50 * static_cast<double>(samples) * epsilon);
  for (const Eigen::VectorXd& w : {Eigen::VectorXd(), weights}) {
    const CalibrationReport came =
        measure_calibration(logits, labels, options_of(15, Binning::equal_width, w));
    const Reference expected = reference(logits, labels, w, 15);
    CHECK(std::abs(static_cast<long double>(came.log_loss) - expected.log_loss) <= bound * 8);
    CHECK(std::abs(static_cast<long double>(came.brier) - expected.brier) <= bound);
    CHECK(std::abs(static_cast<long double>(came.sharpness) - expected.sharpness) <= bound);
    CHECK(std::abs(static_cast<long double>(came.accuracy) - expected.accuracy) <= bound);
    CHECK(std::abs(static_cast<long double>(came.calibration_error) - expected.ece) <= bound);
  }
}

TEST_CASE("calibration: a bin holds its upper edge and not its lower", "[metrics]") {
  // Two equal classes: the confidence is exactly 1 / 2, an edge of four bins.
  const CalibrationReport report =
      measure_calibration(Eigen::MatrixXd(Eigen::MatrixXd::Zero(3, 2)), Eigen::Vector3i(0, 1, 1),
                          options_of(4, Binning::equal_width));
  REQUIRE(report.reliability.size() == 1);
  CHECK(report.reliability[0].lower == 0.25);
  CHECK(report.reliability[0].upper == 0.5);
  CHECK(report.reliability[0].samples == 3);
  CHECK(report.reliability[0].confidence == 0.5);
  CHECK(std::abs(report.reliability[0].accuracy - 1.0 / 3.0) <= epsilon);
  CHECK(std::abs(report.calibration_error - (0.5 - 1.0 / 3.0)) <= epsilon);

  // Certainty is in the last bin.
  Eigen::MatrixXd certain(1, 2);
  certain << 1000, -1000;
  const auto last =
      measure_calibration(certain, Eigen::VectorXi::Zero(1), options_of(4, Binning::equal_width));
  CHECK(last.reliability.front().lower == 0.75);
  CHECK(last.calibration_error == 0.0);
  CHECK(last.log_loss == 0.0);
  CHECK(last.sharpness == 1.0);
}

TEST_CASE("calibration: equal-mass bins hold equal counts and do not depend on the order", "[metrics]") {
  const std::vector<double> confidences = {0.9, 0.3, 0.5, 0.4, 0.8, 0.6, 0.7, 0.35, 0.45, 0.55};
  const Eigen::MatrixXd logits = logits_with_confidences(confidences, 8);
  Eigen::VectorXi labels(10);
  labels << 0, 1, 0, 2, 0, 0, 3, 0, 1, 0;
  const auto report = measure_calibration(logits, labels, options_of(3, Binning::equal_mass));
  // Ranks ceil(10 / 3) = 4, ceil(20 / 3) = 7, 10.
  REQUIRE(report.reliability.size() == 3);
  CHECK(report.reliability[0].samples == 4);
  CHECK(report.reliability[1].samples == 3);
  CHECK(report.reliability[2].samples == 3);
  CHECK(report.reliability[0].lower == 0.0);
  CHECK(std::abs(report.reliability[0].upper - 0.45) <= 4 * epsilon);
  CHECK(std::abs(report.reliability[0].confidence - (0.3 + 0.35 + 0.4 + 0.45) / 4) <= 8 * epsilon);
  CHECK(report.reliability[0].accuracy == 0.25);

  const Eigen::MatrixXd backwards = logits.colwise().reverse();
  const auto again =
      measure_calibration(backwards, Eigen::VectorXi(labels.reverse()), options_of(3, Binning::equal_mass));
  CHECK(std::abs(again.calibration_error - report.calibration_error) <= 8 * epsilon);

  // Equal confidences stay together: one bin gets all.
  const auto tied = measure_calibration(Eigen::MatrixXd(Eigen::MatrixXd::Zero(7, 3)),
                                        Eigen::VectorXi::Zero(7), options_of(3, Binning::equal_mass));
  REQUIRE(tied.reliability.size() == 1);
  CHECK(tied.reliability[0].samples == 7);
}

TEST_CASE("calibration: published equal-mass edges interpolate and drop the least confident", "[metrics]") {
  const std::vector<double> confidences = {0.3, 0.4, 0.5, 0.6, 0.9};
  const auto report = measure_calibration(logits_with_confidences(confidences, 8), Eigen::VectorXi::Zero(5),
                                          options_of(2, Binning::equal_mass_published));
  // numpy.interp([0, 2.5, 5], [0, 1, 2, 3, 4], sorted) = 0.3, 0.55, 0.9; bins (0.3, 0.55], (0.55, 0.9].
  REQUIRE(report.reliability.size() == 2);
  CHECK(report.reliability[0].samples == 2);
  CHECK(std::abs(report.reliability[0].upper - 0.55) <= 4 * epsilon);
  CHECK(report.reliability[1].samples == 2);
  CHECK(std::abs(report.reliability[1].confidence - 0.75) <= 4 * epsilon);
  CHECK(std::abs(report.calibration_error - (0.4 * 0.55 + 0.4 * 0.25)) <= 8 * epsilon);
}

TEST_CASE("calibration: weights move the shares of the bins", "[metrics]") {
  Eigen::MatrixXd logits(3, 2);
  logits << with_confidence(0.9), with_confidence(0.9), with_confidence(0.6);
  const Eigen::Vector3i labels(0, 1, 0);
  const auto report = measure_calibration(
      logits, labels, options_of(10, Binning::equal_width, Eigen::Vector2d(1, 4)));  // weights 1, 4, 1
  REQUIRE(report.reliability.size() == 2);
  CHECK(std::abs(report.reliability[0].share - 1.0 / 6) <= 2 * epsilon);
  CHECK(std::abs(report.reliability[1].accuracy - 0.2) <= 2 * epsilon);
  CHECK(std::abs(report.accuracy - 1.0 / 3) <= 2 * epsilon);
  CHECK(std::abs(report.calibration_error - (1.0 / 6 * 0.4 + 5.0 / 6 * 0.7)) <= 8 * epsilon);
}

TEST_CASE("calibration: a perfectly calibrated forecast has Brier score 1 - sharpness", "[metrics]") {
  // p = (3/4, 1/4) on four samples, three of class 0.
  Eigen::MatrixXd logits(4, 2);
  logits.col(0).setConstant(std::log(3.0));
  logits.col(1).setZero();
  const auto report = measure_calibration(logits, Eigen::Vector4i(0, 0, 1, 0));
  CHECK(std::abs(report.brier - (1.0 - report.sharpness)) <= 8 * epsilon);
  CHECK(std::abs(report.calibration_error) <= 4 * epsilon);
  CHECK(std::abs(report.log_loss + 0.75 * std::log(0.75) + 0.25 * std::log(0.25)) <= 8 * epsilon);
}

TEST_CASE("calibration: a prior ratio weighted mean has the target's shares", "[metrics]") {
  const Eigen::Vector3d prior(0.5, 0.3, 0.2), target(0.2, 0.2, 0.6);
  CHECK((prior_ratio(target, prior).cwiseProduct(prior) - target).cwiseAbs().maxCoeff() <= epsilon);
  CHECK(prior_ratio(Eigen::Vector2d(1, 0), Eigen::Vector2d(1, 0)) == Eigen::Vector2d(1, 0));
  CHECK(rejects([] { return prior_ratio(Eigen::Vector2d(0.5, 0.5), Eigen::Vector2d(1, 0)); },
                {"prior_ratio", "prior[1] is 0", "target_prior[1] is 0.5"}));
  CHECK(
      rejects([] { return prior_ratio(Eigen::Vector2d(0.5, 0.4), Eigen::Vector2d(1, 0)); }, {"sums to 0.9"}));
}

TEST_CASE("calibration: extremes give numbers, a masked class has probability 0", "[metrics]") {
  const double infinity = std::numeric_limits<double>::infinity();
  Eigen::MatrixXd logits(2, 3);
  logits << 1e4, -1e4, -infinity, 0, -infinity, 0;
  const auto report = measure_calibration(logits, Eigen::Vector2i(1, 0));
  CHECK(std::abs(report.log_loss - (2e4 + std::log(2.0)) / 2) <= 2e4 * epsilon);
  CHECK(std::abs(report.brier - (2.0 + 0.5) / 2) <= 4 * epsilon);
  CHECK(measure_calibration(logits, Eigen::Vector2i(2, 0)).log_loss == infinity);
  // A class without weight does not count, whatever its loss.
  CHECK(std::isfinite(measure_calibration(logits, Eigen::Vector2i(2, 0),
                                          options_of(5, Binning::equal_width, Eigen::Vector3d(1, 1, 0)))
                          .log_loss));
}

TEST_CASE("calibration: refuses what has no softmax or no weight", "[metrics][errors]") {
  const double infinity = std::numeric_limits<double>::infinity();
  const Eigen::Vector2i labels(0, 1);
  Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(2, 2);
  logits(1, 0) = std::nan("");
  CHECK(
      rejects([&] { return measure_calibration(logits, labels); }, {"measure_calibration", "logits row 1"}));
  logits(1, 0) = infinity;
  CHECK(rejects([&] { return measure_calibration(logits, labels); }, {"logits row 1"}));
  logits.row(1).setConstant(-infinity);
  CHECK(rejects([&] { return measure_calibration(logits, labels); }, {"logits row 1", "nothing but -inf"}));
  logits.setZero();
  CHECK(rejects([&] { return measure_calibration(logits, Eigen::Vector2i(0, 2)); }, {"labels[1] is 2"}));
  CHECK(
      rejects([&] { return measure_calibration(logits, Eigen::Vector3i(0, 1, 0)); }, {"labels has size 3"}));
  CHECK(rejects([&] { return measure_calibration(Eigen::MatrixXd(0, 2), Eigen::VectorXi(0)); }, {"no rows"}));
  CHECK(rejects([&] { return measure_calibration(logits, labels, options_of(0, Binning::equal_width)); },
                {"bins is 0"}));
  const auto weighted = [&](const Eigen::VectorXd& weights) {
    return measure_calibration(logits, labels, options_of(5, Binning::equal_mass, weights));
  };
  CHECK(rejects([&] { return weighted(Eigen::Vector3d(1, 1, 1)); }, {"class_weights has size 3"}));
  CHECK(rejects([&] { return weighted(Eigen::Vector2d(1, -1)); }, {"class_weights[1] is -1"}));
  CHECK(rejects([&] { return weighted(Eigen::Vector2d(0, 0)); }, {"no weight"}));
}

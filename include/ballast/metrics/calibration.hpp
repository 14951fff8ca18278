// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/rows.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast {

/// How confidences are cut into bins. A bin is (lower, upper] in every case: its lower edge is not in it.
enum class Binning {
  /// Edges b / B (Guo et al., ICML 2017).
  equal_width,
  /// As many samples in each bin as can be: upper edge b is the confidence of rank ceil(b N / B), the first
  /// lower edge 0. Equal confidences share a bin, so the bins do not depend on the order of the samples.
  equal_mass,
  /// Edges as the published "adaptive" code computes them (Mukhoti et al., NeurIPS 2020): sorted confidences
  /// interpolated at positions b N / B, counted from 0 and clamped. The least confident sample lies on the
  /// first lower edge, so in no bin.
  equal_mass_published
};

/// A bin of a reliability diagram.
struct ReliabilityBin {
  double lower = 0.0;       ///< not in the bin
  double upper = 0.0;       ///< in the bin
  Count samples = 0;        ///< how many, unweighted
  double share = 0.0;       ///< their part of the weight of all samples
  double confidence = 0.0;  ///< weighted mean of the predicted class's probability
  double accuracy = 0.0;    ///< weighted share of right predictions
};

/// The bins that have samples (and weight), by increasing confidence: what a reliability diagram plots.
using ReliabilityCurve = std::vector<ReliabilityBin>;

/// ECE = sum_b share_b |accuracy_b - confidence_b| (Naeini et al. 2015; Guo et al. 2017, eq. 3).
[[nodiscard]] inline double expected_calibration_error(const ReliabilityCurve& curve) {
  double error = 0.0;
  for (const ReliabilityBin& bin : curve) error += bin.share * std::abs(bin.accuracy - bin.confidence);
  return error;
}

/// Importance weights w_j = pi^t_j / pi_j: a mean over samples from a population with prior pi, weighted by
/// its label's w, estimates the mean over one with prior pi^t. 0 where both are 0.
/// @param target_prior  pi^t
/// @param prior         pi, of the samples that are weighted; their own frequencies make every class's share
///                      exactly pi^t_j
/// @throws std::invalid_argument naming the first class with pi_j = 0 and pi^t_j > 0
template <typename Target, typename Prior>
[[nodiscard]] Eigen::VectorXd prior_ratio(const Eigen::DenseBase<Target>& target_prior,
                                          const Eigen::DenseBase<Prior>& prior) {
  constexpr const char* function = "prior_ratio";
  detail::require_prior(function, "prior", prior, prior.size());
  detail::require_prior(function, "target_prior", target_prior, prior.size());
  Eigen::VectorXd ratio(prior.size());
  for (Index j = 0; j < ratio.size(); ++j) {
    const double target = static_cast<double>(target_prior.derived().coeff(j));
    const double own = static_cast<double>(prior.derived().coeff(j));
    detail::require(own > 0.0 || target == 0.0, function, "prior[", j, "] is 0 where target_prior[", j,
                    "] is ", target, ", expected a prior > 0");
    ratio[j] = own > 0.0 ? target / own : 0.0;
  }
  return ratio;
}

/// How good the probabilities softmax(logits) are. Every figure is a weighted mean over samples.
struct CalibrationReport {
  double accuracy = 0.0;           ///< share of samples whose first largest logit is the label's
  double log_loss = 0.0;           ///< mean of -log p_y, in nats; +inf if a label has probability 0
  double brier = 0.0;              ///< mean of sum_k (p_k - 1[k = y])^2, in [0, 2] (Brier 1950)
  double sharpness = 0.0;          ///< mean of sum_k p_k^2, in [1/C, 1]
  double calibration_error = 0.0;  ///< ECE of `reliability`
  ReliabilityCurve reliability;
};

/// Settings of `measure_calibration`.
struct CalibrationOptions {
  Index bins = 15;  ///< >= 1
  Binning binning = Binning::equal_width;
  /// Weight of a sample by its label, >= 0; empty: 1. `prior_ratio` re-weights to a target prior.
  Eigen::VectorXd class_weights;
};

namespace detail {

/// What one sample tells about softmax(logits).
struct SampleScores {
  double log_loss;
  double brier;
  double sharpness;
  double confidence;
  bool right;
};

/// @param scratch  `classes` values
inline SampleScores score_row(const double* logits, Index classes, Index label, double* scratch) {
  const Eigen::Map<const Eigen::ArrayXd> row(logits, classes);
  Eigen::Map<Eigen::ArrayXd> exponentials(scratch, classes);
  Index best = 0;
  for (Index k = 1; k < classes; ++k) {
    if (logits[k] > logits[best]) best = k;
  }
  exponentials = (row - logits[best]).exp();
  const double sum = exponentials.sum();
  const double sharpness = exponentials.square().sum() / (sum * sum);
  const double label_probability = exponentials[label] / sum;
  SampleScores scores;
  scores.log_loss = std::log(sum) - (logits[label] - logits[best]);
  scores.brier = std::max(0.0, 1.0 - 2.0 * label_probability + sharpness);
  scores.sharpness = sharpness;
  scores.confidence = 1.0 / sum;
  scores.right = best == label;
  return scores;
}

/// Logits that have a softmax: no NaN, no +inf, not all of them -inf.
inline void require_softmax(const char* function, Index row, const double* logits, Index classes) {
  double largest = -std::numeric_limits<double>::infinity();
  bool good = true;
  for (Index k = 0; k < classes; ++k) {
    good = good && logits[k] < std::numeric_limits<double>::infinity();
    largest = std::max(largest, logits[k]);
  }
  require(good && std::isfinite(largest), function, "logits row ", row,
          " holds a NaN or +inf or nothing but -inf, expected numbers < inf, one of them finite");
}

/// One weight >= 0 per class, or none at all.
template <typename Derived>
void require_class_weights(const char* function, const Eigen::DenseBase<Derived>& weights, Index classes) {
  if (weights.size() == 0) return;
  require_size(function, "class_weights", weights.size(), classes, "one per class");
  for (Index j = 0; j < classes; ++j) {
    const double weight = static_cast<double>(weights.derived().coeff(j));
    require(weight >= 0.0 && std::isfinite(weight), function, "class_weights[", j, "] is ", weight,
            ", expected a finite number >= 0");
  }
}

struct WeightedOutcome {
  double confidence;
  double weight;
  bool right;
};

/// Upper edges of `bins` bins, the first lower edge in front. `outcomes` sorted by confidence.
inline std::vector<double> bin_edges(const std::vector<WeightedOutcome>& outcomes, Index bins,
                                     Binning binning) {
  const Index samples = static_cast<Index>(outcomes.size());
  const auto sorted = [&](Index i) {
    return outcomes[static_cast<std::size_t>(i)].confidence;
  };
  std::vector<double> edges;
  edges.reserve(static_cast<std::size_t>(bins) + 1);
  for (Index b = 0; b <= bins; ++b) {
    if (binning == Binning::equal_width) {
      edges.push_back(static_cast<double>(b) / static_cast<double>(bins));
    } else if (binning == Binning::equal_mass) {
      edges.push_back(b == 0 ? 0.0 : sorted((b * samples + bins - 1) / bins - 1));
    } else {
      const double position = static_cast<double>(b * samples) / static_cast<double>(bins);
      const Index below = std::min(static_cast<Index>(position), samples - 1);
      const Index above = std::min(below + 1, samples - 1);
      edges.push_back(sorted(below) +
                      (position - static_cast<double>(below)) * (sorted(above) - sorted(below)));
    }
  }
  return edges;
}

/// The reliability curve of `outcomes`, which are sorted on the way.
inline ReliabilityCurve reliability(std::vector<WeightedOutcome>& outcomes, Index bins, Binning binning) {
  std::sort(outcomes.begin(), outcomes.end(),
            [](const WeightedOutcome& a, const WeightedOutcome& b) { return a.confidence < b.confidence; });
  const std::vector<double> edges = bin_edges(outcomes, bins, binning);
  double total = 0.0;
  for (const WeightedOutcome& outcome : outcomes) total += outcome.weight;

  ReliabilityCurve curve;
  auto next = outcomes.begin();
  while (next != outcomes.end() && next->confidence <= edges.front()) ++next;  // in no bin
  for (std::size_t b = 0; b + 1 < edges.size(); ++b) {
    ReliabilityBin bin;
    bin.lower = edges[b];
    bin.upper = edges[b + 1];
    double weight = 0.0;
    for (; next != outcomes.end() && next->confidence <= bin.upper; ++next) {
      ++bin.samples;
      weight += next->weight;
      bin.confidence += next->weight * next->confidence;
      bin.accuracy += next->right ? next->weight : 0.0;
    }
    if (weight > 0.0) {
      bin.share = weight / total;
      bin.confidence /= weight;
      bin.accuracy /= weight;
      curve.push_back(bin);
    }
  }
  return curve;
}

}  // namespace detail

/// Measures the probabilities softmax(logits) against labels: log loss, Brier score, sharpness, and the
/// calibration of the most probable class (the first of equals).
///
/// Sharpness says how concentrated the forecasts are and does not look at the labels (Gneiting et al. 2007):
/// 1 - sharpness is the Brier score that they would have if they were calibrated. For probabilities p in
/// place of logits pass log p. One pass over the logits, then O(N log N); allocates O(N + C).
///
/// @param logits   samples x classes, float or double, either storage order; -inf is a class of probability 0
/// @param labels   one per sample, integral, in [0, classes); at least one
/// @throws std::invalid_argument naming the first row without a softmax (a NaN, +inf, or all -inf), the first
///         label outside; if the samples have no weight
template <typename Logits, typename Labels>
[[nodiscard]] CalibrationReport measure_calibration(const Eigen::MatrixBase<Logits>& logits,
                                                    const Eigen::DenseBase<Labels>& labels,
                                                    const CalibrationOptions& options = {}) {
  constexpr const char* function = "measure_calibration";
  const Index classes = logits.cols();
  detail::require_size(function, "labels", labels.size(), logits.rows(), "one per row of logits");
  detail::require(logits.rows() >= 1, function, "logits has no rows, expected at least one sample");
  detail::require_labels(function, "labels", labels, classes);
  detail::require(options.bins >= 1, function, "bins is ", options.bins, ", expected at least 1");
  detail::require_class_weights(function, options.class_weights, classes);

  CalibrationReport report;
  double total = 0.0;
  Eigen::VectorXd scratch(classes);
  std::vector<detail::WeightedOutcome> outcomes;
  outcomes.reserve(static_cast<std::size_t>(logits.rows()));
  detail::for_each_row(detail::view<typename Logits::Scalar>(logits), [&](Index i, const double* row) {
    detail::require_softmax(function, i, row, classes);
    const Index label = detail::label_index(labels.derived().coeff(i));
    const double weight = options.class_weights.size() == 0 ? 1.0 : options.class_weights[label];
    const detail::SampleScores scores = detail::score_row(row, classes, label, scratch.data());
    outcomes.push_back({scores.confidence, weight, scores.right});
    if (weight == 0.0) return;  // not even an infinite loss counts
    total += weight;
    report.accuracy += scores.right ? weight : 0.0;
    report.log_loss += weight * scores.log_loss;
    report.brier += weight * scores.brier;
    report.sharpness += weight * scores.sharpness;
  });
  detail::require(total > 0.0, function,
                  "the samples have no weight, expected one of a class with weight > 0");
  report.accuracy /= total;
  report.log_loss /= total;
  report.brier /= total;
  report.sharpness /= total;
  report.reliability = detail::reliability(outcomes, options.bins, options.binning);
  report.calibration_error = expected_calibration_error(report.reliability);
  return report;
}

}  // namespace ballast

// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/rank_correlation.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/data/label_bins.hpp>
#include <ballast/metrics/shots.hpp>

namespace ballast {

/// Errors of a group of samples, as sums from which its figures follow. An aggregate: two of them merge into
/// that of the union, by the pairwise update of Chan, Golub and LeVeque (1983) where means are involved.
/// A figure of no samples is std::nullopt.
struct ErrorSummary {
  Count samples = 0;
  double absolute = 0;   ///< sum |e|, e = prediction - target
  double squared = 0;    ///< sum e^2
  double logarithm = 0;  ///< sum log max(|e|, floor)
  double prediction_mean = 0;
  double target_mean = 0;
  double prediction_scatter = 0;  ///< sum (prediction - mean)^2
  double target_scatter = 0;      ///< sum (target - mean)^2
  double cross_scatter = 0;       ///< sum (prediction - mean) (target - mean)

  /// @param floor  of |e| in the geometric mean
  void add(double prediction, double target, double floor) noexcept {
    const double error = std::abs(prediction - target);
    merge({1, error, error * error, std::log(std::max(error, floor)), prediction, target, 0, 0, 0});
  }

  void merge(const ErrorSummary& other) noexcept {
    if (other.samples == 0) return;
    const double mine = static_cast<double>(samples), theirs = static_cast<double>(other.samples);
    const double share = theirs / (mine + theirs);
    const double prediction_step = other.prediction_mean - prediction_mean;
    const double target_step = other.target_mean - target_mean;
    samples += other.samples;
    absolute += other.absolute;
    squared += other.squared;
    logarithm += other.logarithm;
    prediction_mean += share * prediction_step;
    target_mean += share * target_step;
    prediction_scatter += other.prediction_scatter + mine * share * prediction_step * prediction_step;
    target_scatter += other.target_scatter + mine * share * target_step * target_step;
    cross_scatter += other.cross_scatter + mine * share * prediction_step * target_step;
  }

  /// Mean squared error.
  [[nodiscard]] std::optional<double> mse() const noexcept { return mean_of(squared); }
  /// Mean absolute error.
  [[nodiscard]] std::optional<double> mae() const noexcept { return mean_of(absolute); }
  /// Geometric mean of the errors, exp(mean log max(|e|, floor)): Yang et al.'s GM, a measure of fairness.
  /// 0 if an error is 0 and so is the floor.
  [[nodiscard]] std::optional<double> geometric_mean() const noexcept {
    const std::optional<double> mean = mean_of(logarithm);
    return mean ? std::optional<double>(std::exp(*mean)) : std::nullopt;
  }
  /// Pearson's correlation of predictions and targets; none either where one of them does not vary.
  [[nodiscard]] std::optional<double> pearson() const noexcept {
    if (!(prediction_scatter > 0 && target_scatter > 0)) return std::nullopt;
    return std::clamp(cross_scatter / (std::sqrt(prediction_scatter) * std::sqrt(target_scatter)), -1.0, 1.0);
  }

 private:
  [[nodiscard]] std::optional<double> mean_of(double sum) const noexcept {
    if (samples == 0) return std::nullopt;
    return sum / static_cast<double>(samples);
  }
};

/// What an imbalanced regression is judged by: errors per bin of the label, so that frequent labels do not
/// drown rare ones. All figures of any group of bins come from one pass over the test set, in batches;
/// objects of shards merge. O(B) memory.
///
/// The group of a sample (many, medium, few) is that of its label's bin, by the number of *training* samples
/// there.
///
///     #include <ballast/ballast.hpp>
///     int main() {
///       const Eigen::VectorXf train_ages = Eigen::VectorXf::LinSpaced(1000, 0, 99);
///       const auto bins = ballast::LabelBins::uniform(0, 100, 100);
///       ballast::RegressionMetrics metrics(bins, bins.count(train_ages));
///       const Eigen::Vector3f predictions(20, 31, 44), ages(22, 30, 40);
///       metrics.update(predictions, ages);
///       return metrics.all().mae().value_or(0) < 3 && !metrics.by_shot().many.mae() ? 0 : 1;
///     }
class RegressionMetrics {
 public:
  struct Options {
    /// Errors count as at least this in geometric means; finite, >= 0. The code published for ages has 0.
    double floor = 1e-10;
    ShotThresholds thresholds = {};
  };

  /// Sums so far: one row per bin, the members of ErrorSummary after `samples` in their order.
  struct State {
    CountVector samples;
    RowMatrixX<double> sums;
  };

  /// @param bins             over the label; dropped labels enter no figure
  /// @param training_counts  training samples per bin (LabelBins::count), >= 0
  RegressionMetrics(const LabelBins& bins, const CountVector& training_counts)
      : RegressionMetrics(bins, training_counts, Options{}) {}

  RegressionMetrics(const LabelBins& bins, const CountVector& training_counts, const Options& options)
      : bins_(bins), options_(options), errors_(static_cast<std::size_t>(bins.bins())) {
    detail::require(bins.dimensions() == 1, name, "bins has ", bins.dimensions(), " axes, expected 1");
    detail::require_size(name, "training_counts", training_counts.size(), bins.bins(), "bins");
    detail::require(options.floor >= 0 && std::isfinite(options.floor), name, "floor is ", options.floor,
                    ", expected a finite number >= 0");
    shots_.reserve(errors_.size());
    for (Index b = 0; b < bins.bins(); ++b) {
      detail::require(training_counts[b] >= 0, name, "training_counts[", b, "] is ", training_counts[b],
                      ", expected >= 0");
      shots_.push_back(options.thresholds(training_counts[b]));
    }
  }

  /// Adds a batch of the test set. O(N).
  /// @param predictions, targets  vectors of one size, of any arithmetic type, finite
  /// @throws std::invalid_argument naming the first sample that is not finite, or as LabelBins::find; nothing
  ///         is then counted
  template <typename Predictions, typename Targets>
  void update(const Eigen::DenseBase<Predictions>& predictions, const Eigen::DenseBase<Targets>& targets) {
    constexpr const char* function = "RegressionMetrics::update";
    require_vector(function, "predictions", predictions);
    require_vector(function, "targets", targets);
    detail::require_size(function, "predictions", predictions.size(), targets.size(), "samples");
    found_.resize(std::max(found_.size(), targets.size()));
    const Eigen::VectorXd predicted = flat(predictions), wanted = flat(targets);
    detail::require_all_finite(function, "predictions", predicted);
    detail::require_all_finite(function, "targets", wanted);
    bins_.find(targets, found_.head(targets.size()));
    for (Index i = 0; i < wanted.size(); ++i) {
      if (found_[i] < 0) continue;
      errors_[static_cast<std::size_t>(found_[i])].add(predicted[i], wanted[i], options_.floor);
    }
  }

  /// Adds what another object has counted over the same bins. O(B).
  void merge(const RegressionMetrics& other) {
    detail::require_size("RegressionMetrics::merge", "other", other.bins_.bins(), bins_.bins(), "bins");
    for (std::size_t b = 0; b < errors_.size(); ++b) errors_[b].merge(other.errors_[b]);
  }

  /// Over every sample.
  [[nodiscard]] ErrorSummary all() const {
    ErrorSummary result;
    for (const ErrorSummary& errors : errors_) result.merge(errors);
    return result;
  }
  /// Over the samples of each group of bins.
  [[nodiscard]] ByShot<ErrorSummary> by_shot() const {
    ByShot<ErrorSummary> result;
    for (std::size_t b = 0; b < errors_.size(); ++b) result[shots_[b]].merge(errors_[b]);
    return result;
  }
  /// Over the samples of one bin.
  [[nodiscard]] const ErrorSummary& bin(Index bin) const {
    detail::require(bin >= 0 && bin < bins_.bins(), "RegressionMetrics::bin", "bin is ", bin,
                    ", expected [0, ", bins_.bins(), ")");
    return errors_[static_cast<std::size_t>(bin)];
  }

  /// Mean over the bins that have samples of the bin's MAE: every part of the label range counts alike.
  [[nodiscard]] std::optional<double> balanced_mae() const {
    return over_bins([](const ErrorSummary& errors) { return errors.mae(); });
  }
  /// The same of the bin's MSE.
  [[nodiscard]] std::optional<double> balanced_mse() const {
    return over_bins([](const ErrorSummary& errors) { return errors.mse(); });
  }

  [[nodiscard]] const LabelBins& bins() const noexcept { return bins_; }

  [[nodiscard]] State state() const {
    State state{CountVector(bins_.bins()), RowMatrixX<double>(bins_.bins(), 8)};
    for (Index b = 0; b < bins_.bins(); ++b) {
      const ErrorSummary& e = errors_[static_cast<std::size_t>(b)];
      state.samples[b] = e.samples;
      state.sums.row(b) << e.absolute, e.squared, e.logarithm, e.prediction_mean, e.target_mean,
          e.prediction_scatter, e.target_scatter, e.cross_scatter;
    }
    return state;
  }

  /// @throws std::invalid_argument if `state` is not one of these bins; nothing is then changed
  void restore(const State& state) {
    constexpr const char* function = "RegressionMetrics::restore";
    detail::require_size(function, "samples", state.samples.size(), bins_.bins(), "bins");
    detail::require_shape(function, "sums", state.sums, bins_.bins(), 8);
    std::vector<ErrorSummary> errors;
    for (Index b = 0; b < bins_.bins(); ++b) {
      const auto row = state.sums.row(b);
      const bool sizes = row[0] >= 0 && row[1] >= 0 && row[5] >= 0 && row[6] >= 0;
      detail::require(state.samples[b] >= 0 && sizes && !row.hasNaN(), function, "bin ", b,
                      " of the state holds ", state.samples[b], " samples and sums ", row,
                      ", expected no NaN, and no negative size");
      detail::require(state.samples[b] > 0 || row.isZero(0), function, "bin ", b,
                      " of the state has no samples but sums ", row, ", expected zeros");
      errors.push_back({state.samples[b], row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]});
    }
    errors_ = std::move(errors);
  }

 private:
  static constexpr const char* name = "RegressionMetrics";

  template <typename Derived>
  static void require_vector(const char* function, const char* argument,
                             const Eigen::DenseBase<Derived>& vector) {
    detail::require(vector.rows() == 1 || vector.cols() == 1 || vector.size() == 0, function, argument,
                    " is ", vector.rows(), " x ", vector.cols(), ", expected a vector");
  }

  template <typename Derived>
  static Eigen::VectorXd flat(const Eigen::DenseBase<Derived>& vector) {
    Eigen::VectorXd result(vector.size());
    for (Index i = 0; i < result.size(); ++i) {
      result[i] = static_cast<double>(vector.rows() == 1 ? vector.derived().coeff(0, i)
                                                         : vector.derived().coeff(i, 0));
    }
    return result;
  }

  template <typename Figure>
  [[nodiscard]] std::optional<double> over_bins(const Figure& figure) const {
    Mean mean;
    for (const ErrorSummary& errors : errors_) {
      if (errors.samples > 0) mean.add(*figure(errors));
    }
    return mean.value();
  }

  LabelBins bins_;
  Options options_;
  std::vector<Shot> shots_;
  std::vector<ErrorSummary> errors_;
  IndexVector found_;
};

namespace detail {

template <typename First, typename Second>
std::pair<Eigen::VectorXd, Eigen::VectorXd> paired(const char* function, const Eigen::DenseBase<First>& first,
                                                   const Eigen::DenseBase<Second>& second) {
  require_size(function, "second", second.size(), first.size(), "samples");
  require_all_finite(function, "first", first);
  require_all_finite(function, "second", second);
  std::pair<Eigen::VectorXd, Eigen::VectorXd> result(first.size(), second.size());
  for (Index i = 0; i < first.size(); ++i) {
    result.first[i] = static_cast<double>(first.derived().coeff(i));
    result.second[i] = static_cast<double>(second.derived().coeff(i));
  }
  return result;
}

}  // namespace detail

/// Pearson's correlation of two vectors; none where one of them does not vary. In two passes, in double.
/// @param first, second  of one size, finite
template <typename First, typename Second>
[[nodiscard]] std::optional<double> pearson_correlation(const Eigen::DenseBase<First>& first,
                                                        const Eigen::DenseBase<Second>& second) {
  const auto [x, y] = detail::paired("pearson_correlation", first, second);
  return detail::pearson(x, y);
}

/// Spearman's rank correlation, ties at the mean of their ranks; none where a vector does not vary. Needs all
/// samples at once: O(N log N), copies both vectors.
/// @param first, second  of one size, finite
template <typename First, typename Second>
[[nodiscard]] std::optional<double> spearman_correlation(const Eigen::DenseBase<First>& first,
                                                         const Eigen::DenseBase<Second>& second) {
  const auto [x, y] = detail::paired("spearman_correlation", first, second);
  return detail::spearman(x, y);
}

}  // namespace ballast

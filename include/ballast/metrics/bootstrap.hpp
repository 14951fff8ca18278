// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/metrics/classification.hpp>

namespace ballast {

/// A confidence interval by the bootstrap.
struct BootstrapInterval {
  double lower = 0.0;
  double upper = 0.0;
  double standard_error = 0.0;  ///< deviation of the resampled values
};

/// Settings of a bootstrap.
struct BootstrapOptions {
  double level = 0.95;     ///< share of resampled values inside the interval, in (0, 1)
  Index resamples = 2000;  ///< >= 2
  std::uint64_t seed = 0;  ///< the same seed gives the same interval, for any number of threads
};

/// A confidence interval of the error under a target prior, sum_j pi^t_j P(wrong | y = j), by the percentile
/// bootstrap (Efron 1979), stratified: each class is resampled on its own, n_j outcomes with replacement, so
/// that no resample misses a class. Says how much of a difference is the luck of the test set; few-shot
/// classes with few test samples make it wide.
///
/// The interval runs between the values of rank ceil(r (1 - level) / 2) and floor(r (1 + level) / 2) of r
/// resamples. An error of 0 or 1 in every class gives an interval of no width: no resample can differ.
/// O(resamples * samples).
///
/// @param confusion     of the test set
/// @param target_prior  pi^t, sums to 1
/// @throws std::invalid_argument naming the first class that has weight but no samples; for a bad option
template <typename Derived>
[[nodiscard]] BootstrapInterval bootstrap_weighted_error(const ConfusionMatrix& confusion,
                                                         const Eigen::DenseBase<Derived>& target_prior,
                                                         const BootstrapOptions& options = {}) {
  constexpr const char* function = "bootstrap_weighted_error";
  detail::require(options.level > 0.0 && options.level < 1.0, function, "level is ", options.level,
                  ", expected (0, 1)");
  detail::require(options.resamples >= 2, function, "resamples is ", options.resamples,
                  ", expected at least 2");
  static_cast<void>(confusion.weighted_error(target_prior));  // checks the prior against the samples
  const Index classes = confusion.classes();
  Eigen::VectorXd weights = target_prior.derived().template cast<double>();
  weights /= weights.sum();

  std::vector<double> errors(static_cast<std::size_t>(options.resamples));
  detail::parallel_for(options.resamples, options.resamples * confusion.samples(), [&](Index resample) {
    const RandomStream random(options.seed, static_cast<std::uint64_t>(resample));
    std::uint64_t position = 0;
    double error = 0.0;
    for (Index j = 0; j < classes; ++j) {
      if (weights[j] == 0.0) continue;
      const Count samples = confusion.samples(j);
      const std::uint64_t right = static_cast<std::uint64_t>(confusion.counts()(j, j));
      Count wrong = 0;
      for (Count i = 0; i < samples; ++i) {
        wrong += random.below(position++, static_cast<std::uint64_t>(samples)) >= right ? 1 : 0;
      }
      error += weights[j] * static_cast<double>(wrong) / static_cast<double>(samples);
    }
    errors[static_cast<std::size_t>(resample)] = error;
  });

  BootstrapInterval interval;
  const Eigen::Map<const Eigen::ArrayXd> values(errors.data(), options.resamples);
  interval.standard_error =
      std::sqrt((values - values.mean()).square().sum() / static_cast<double>(options.resamples - 1));
  std::sort(errors.begin(), errors.end());
  const double count = static_cast<double>(options.resamples);
  const auto ranked = [&](double rank) {
    return errors[static_cast<std::size_t>(std::clamp(rank, 1.0, count)) - 1];
  };
  interval.lower = ranked(std::ceil(count * (1.0 - options.level) / 2.0));
  interval.upper = ranked(std::floor(count * (1.0 + options.level) / 2.0));
  return interval;
}

/// The same for the balanced error: every class counts alike.
/// @throws std::invalid_argument naming the first class without samples
[[nodiscard]] inline BootstrapInterval bootstrap_balanced_error(const ConfusionMatrix& confusion,
                                                                const BootstrapOptions& options = {}) {
  const Index classes = confusion.classes();
  return bootstrap_weighted_error(
      confusion, Eigen::VectorXd::Constant(classes, 1.0 / static_cast<double>(classes)), options);
}

}  // namespace ballast

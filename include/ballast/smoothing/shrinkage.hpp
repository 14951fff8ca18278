// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>

namespace ballast {

/// A covariance estimated from few samples, pulled towards a multiple of the identity, so that it has an
/// inverse.
class Shrinkage {
 public:
  enum class Rule { none, ridge, oas };

  /// Sigma as it is.
  [[nodiscard]] static Shrinkage none() { return Shrinkage(Rule::none, 0.0); }
  /// Sigma + amount * (tr Sigma / D) I: the same whatever the units of the features.
  /// @param amount  > 0 and finite
  [[nodiscard]] static Shrinkage ridge(double amount) {
    detail::require(amount > 0 && std::isfinite(amount), "Shrinkage::ridge", "amount is ", amount,
                    ", expected a finite number > 0");
    return Shrinkage(Rule::ridge, amount);
  }
  /// (1 - rho) Sigma + rho (tr Sigma / D) I, the oracle approximating shrinkage of Chen, Wiesel, Eldar and
  /// Hero (IEEE Trans. Signal Processing 2010, eq. 23), which knows rho from Sigma, N and D:
  ///
  ///     rho = min(1, ((1 - 2/D) tr Sigma^2 + tr^2 Sigma) / ((N + 1 - 2/D) (tr Sigma^2 - tr^2 Sigma / D)))
  [[nodiscard]] static Shrinkage oas() { return Shrinkage(Rule::oas, 0.0); }

  [[nodiscard]] Rule rule() const noexcept { return rule_; }
  [[nodiscard]] double amount() const noexcept { return amount_; }

  /// Shrinks `covariance`, estimated from `samples`, in place. O(D^2).
  /// @param covariance  D x D, symmetric
  /// @param samples     >= 0
  void apply(Eigen::MatrixXd& covariance, Count samples) const {
    const double mean = covariance.size() == 0 ? 0.0 : covariance.diagonal().mean();
    switch (rule_) {
      case Rule::none:
        return;
      case Rule::ridge:
        covariance.diagonal().array() += amount_ * mean;
        return;
      case Rule::oas: {
        const double rho = oas_weight(covariance, samples);
        covariance *= 1 - rho;
        covariance.diagonal().array() += rho * mean;
        return;
      }
    }
  }

 private:
  Shrinkage(Rule rule, double amount) : rule_(rule), amount_(amount) {}

  static double oas_weight(const Eigen::MatrixXd& covariance, Count samples) {
    const double size = static_cast<double>(covariance.rows());
    const double trace = covariance.trace();
    const double of_square = covariance.squaredNorm();
    const double above = (1 - 2 / size) * of_square + trace * trace;
    const double below = (static_cast<double>(samples) + 1 - 2 / size) * (of_square - trace * trace / size);
    return below > 0 ? std::clamp(above / below, 0.0, 1.0) : 1.0;
  }

  Rule rule_;
  double amount_;
};

}  // namespace ballast

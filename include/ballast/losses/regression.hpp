// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/losses/reduction.hpp>
#include <ballast/losses/regression_batch.hpp>

namespace ballast {

/// Loss of an error e = prediction - target, and its derivative with respect to e.
template <typename Scalar>
struct ErrorValue {
  Scalar value;
  Scalar slope;
};

// An error function maps e to a loss. It is a small struct with
//
//     ErrorValue<Scalar> operator()(Scalar error) const;
//
// and, if it has parameters, a `void check() const` that throws; one's own needs nothing else. A NaN goes in
// and comes out in both, so that a trainer's guard sees it.

namespace detail {

/// The sign of e, 0 at 0 and NaN at NaN.
template <typename Scalar>
Scalar sign(Scalar error) {
  return error > 0 ? Scalar(1) : error < 0 ? Scalar(-1) : error;
}

template <typename Scalar>
void require_positive(const char* function, const char* argument, Scalar value) {
  require(value > 0 && std::isfinite(value), function, argument, " is ", value,
          ", expected a finite number > 0");
}

}  // namespace detail

/// e^2.
struct SquaredError {
  template <typename Scalar>
  ErrorValue<Scalar> operator()(Scalar error) const {
    return {error * error, 2 * error};
  }
};

/// |e|; slope 0 at 0.
struct AbsoluteError {
  template <typename Scalar>
  ErrorValue<Scalar> operator()(Scalar error) const {
    return {std::abs(error), detail::sign(error)};
  }
};

/// e^2 / (2 beta) for |e| < beta, |e| - beta / 2 above: what the code of Yang et al. calls Huber.
template <typename Scalar>
struct SmoothL1 {
  Scalar beta = 1;  ///< > 0, finite

  ErrorValue<Scalar> operator()(Scalar error) const {
    const Scalar size = std::abs(error);
    if (size < beta) return {error / beta * error / 2, error / beta};
    return {size - beta / 2, detail::sign(error)};
  }
  void check() const { detail::require_positive("SmoothL1", "beta", beta); }
};

/// e^2 / 2 for |e| < delta, delta (|e| - delta / 2) above (Huber 1964): delta times SmoothL1.
template <typename Scalar>
struct Huber {
  Scalar delta = 1;  ///< > 0, finite

  ErrorValue<Scalar> operator()(Scalar error) const {
    const Scalar size = std::abs(error);
    if (size < delta) return {error * error / 2, error};
    return {delta * (size - delta / 2), delta * detail::sign(error)};
  }
  void check() const { detail::require_positive("Huber", "delta", delta); }
};

/// The factor of focal-R, which weighs small errors down.
enum class FocalFactor {
  sigmoid,  ///< 2 sigmoid(beta |e|) - 1 = tanh(beta |e| / 2)
  tanh      ///< tanh(beta |e|)
};

/// Focal-R (Yang et al., ICML 2021, section 4): factor^gamma * base(e), differentiated through the factor.
///
///     t = tanh(c |e|),  L = t^gamma base(e),
///     dL/de = t^gamma (base'(e) + gamma c (1 - t^2) base(e) / t sign(e))
///
/// At e = 0 value and slope are 0 (also for gamma < 1, where t^(gamma - 1) alone is infinite). No term
/// cancels: t and 1 - t^2 come from expm1.
/// @tparam Base  any error function with base(0) = 0
template <typename Scalar, typename Base = AbsoluteError>
struct FocalError {
  Scalar beta = Scalar(0.2);                  ///< > 0, finite; published: 0.2 for ages, 20 for text
  Scalar gamma = 1;                           ///< >= 0, finite
  FocalFactor factor = FocalFactor::sigmoid;  ///< which t
  Base base = {};                             ///< what is scaled

  ErrorValue<Scalar> operator()(Scalar error) const {
    const ErrorValue<Scalar> plain = base(error);
    const Scalar rate = factor == FocalFactor::sigmoid ? beta / 2 : beta;
    const Scalar decay = std::expm1(-2 * rate * std::abs(error));  // e^(-2 c |e|) - 1
    const Scalar t = -decay / (2 + decay);
    if (t == 0) return gamma == 0 ? plain : ErrorValue<Scalar>{0, 0};
    const Scalar power = gamma == 1 ? t : std::pow(t, gamma);
    const Scalar one_minus_square = 4 * (1 + decay) / ((2 + decay) * (2 + decay));
    if (one_minus_square == 0) return {power * plain.value, power * plain.slope};  // saturated: t is 1
    const Scalar through = gamma * rate * one_minus_square * (plain.value / t) * detail::sign(error);
    return {power * plain.value, power * (plain.slope + through)};
  }
  void check() const {
    detail::require_positive("FocalError", "beta", beta);
    detail::require(gamma >= 0 && std::isfinite(gamma), "FocalError", "gamma is ", gamma,
                    ", expected a finite number >= 0");
  }
};

/// A regression loss over a batch: an error function, summed over samples.
///
///     e_id = prediction_id - target_id,   L_i = mean_d loss(e_id) over the targets d
///     value = sum_i w_i L_i / N                (Reduction::mean, as the published losses; the default)
///             sum_i w_i L_i / sum_i w_i        (Reduction::weighted_mean)
///             sum_i w_i L_i                    (Reduction::sum)
///
/// Weights of mean 1 over the training set (LabelDistributionSmoothing) belong with Reduction::mean. Without
/// samples, or with no weight at all, the value and the gradient are 0. Immutable; concurrent use is safe.
/// O(N * targets); no allocation. The total is summed in double.
///
/// @tparam Scalar  float or double
/// @tparam Error   SquaredError, AbsoluteError, SmoothL1, Huber, FocalError, or one's own
template <typename Scalar_, typename Error_>
class RegressionLoss {
 public:
  using Scalar = Scalar_;
  using Error = Error_;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: RegressionLoss: Scalar is float or double");

  /// @throws std::invalid_argument if a parameter of `error` is out of its range
  explicit RegressionLoss(Error error = {}, Reduction reduction = Reduction::mean)
      : error_(std::move(error)), reduction_(reduction) {
    check_error(error_, 0);
  }

  [[nodiscard]] const Error& error() const noexcept { return error_; }
  [[nodiscard]] Reduction reduction() const noexcept { return reduction_; }

  /// Value and gradient.
  /// @param predictions  samples x targets (or a column vector), stored, of either order; anything, NaN
  ///                     included
  /// @param targets      of that shape, finite, in any order
  /// @param gradient     out: of that shape, d value / d predictions; may be the predictions themselves
  /// @throws std::invalid_argument on a wrong shape or naming the first target that is not finite; nothing is
  ///         then written
  template <typename Predictions, typename Targets, typename Gradient>
  Scalar operator()(const Eigen::DenseBase<Predictions>& predictions,
                    const Eigen::DenseBase<Targets>& targets, Gradient&& gradient) const {
    return reduced(predictions, targets, detail::NoWeights{}, gradient);
  }

  /// The same with a weight per sample.
  /// @param weights  w, one per sample, of any floating type, finite and >= 0
  template <typename Predictions, typename Targets, typename Weights, typename Gradient>
  Scalar operator()(const Eigen::DenseBase<Predictions>& predictions,
                    const Eigen::DenseBase<Targets>& targets, const Eigen::DenseBase<Weights>& weights,
                    Gradient&& gradient) const {
    return reduced(predictions, targets, weights.derived(), gradient);
  }

  /// The value alone.
  template <typename Predictions, typename Targets>
  [[nodiscard]] Scalar operator()(const Eigen::DenseBase<Predictions>& predictions,
                                  const Eigen::DenseBase<Targets>& targets) const {
    return reduced(predictions, targets, detail::NoWeights{}, detail::NoGradient{});
  }

  /// The value alone, with a weight per sample.
  template <typename Predictions, typename Targets, typename Weights>
  [[nodiscard]] Scalar value(const Eigen::DenseBase<Predictions>& predictions,
                             const Eigen::DenseBase<Targets>& targets,
                             const Eigen::DenseBase<Weights>& weights) const {
    return reduced(predictions, targets, weights.derived(), detail::NoGradient{});
  }

  /// No reduction: L_i of every sample, and in each row of the gradient that of the sample's own loss.
  /// @param values  out: a vector, one per sample
  template <typename Predictions, typename Targets, typename Values, typename Gradient>
  void each(const Eigen::DenseBase<Predictions>& predictions, const Eigen::DenseBase<Targets>& targets,
            Values&& values, Gradient&& gradient) const {
    detail::require_size(name, "values", values.size(), predictions.rows(), "samples");
    const auto batch = detail::regression_batch<Scalar>(name, predictions, targets, gradient);
    for (Index i = 0; i < batch.samples; ++i) {
      values.coeffRef(i) = static_cast<Scalar>(sample_loss(batch, i, 1.0));
    }
  }

 private:
  static constexpr const char* name = "RegressionLoss";

  template <typename E>
  static auto check_error(const E& error, int) -> decltype(error.check()) {
    error.check();
  }
  template <typename E>
  static void check_error(const E&, long) {}

  /// factor * L_i, and its gradient.
  double sample_loss(const detail::RegressionBatch<Scalar>& batch, Index i, double factor) const {
    factor /= static_cast<double>(batch.columns);
    double sum = 0;
    for (Index d = 0; d < batch.columns; ++d) {
      const ErrorValue<Scalar> loss = error_(batch.predictions(i, d) - batch.targets(i, d));
      sum += static_cast<double>(loss.value);
      if (batch.gradient.data != nullptr) batch.gradient(i, d) = static_cast<Scalar>(factor) * loss.slope;
    }
    return factor * sum;
  }

  template <typename Predictions, typename Targets, typename Weights, typename Gradient>
  Scalar reduced(const Eigen::DenseBase<Predictions>& predictions, const Eigen::DenseBase<Targets>& targets,
                 const Weights& weights, Gradient&& gradient) const {
    const auto batch = detail::regression_batch<Scalar>(name, predictions, targets, gradient);
    const double factor = detail::reduction_factor(name, reduction_, batch.samples, weights);
    double value = 0;
    for (Index i = 0; i < batch.samples; ++i) {
      value += sample_loss(batch, i, factor * detail::weight_of(weights, i));
    }
    return static_cast<Scalar>(value);
  }

  Error error_;
  Reduction reduction_;
};

/// A regression loss of the given error function, e.g. regression_loss<float>(Huber<float>{2.0f}).
template <typename Scalar, typename Error>
[[nodiscard]] RegressionLoss<Scalar, Error> regression_loss(Error error,
                                                            Reduction reduction = Reduction::mean) {
  return RegressionLoss<Scalar, Error>(std::move(error), reduction);
}

/// Mean squared error, once: mse_loss(predictions, targets[, weights], gradient), or without weights and
/// gradient. As RegressionLoss with SquaredError and Reduction::mean.
template <typename Predictions, typename... Arguments>
typename Predictions::Scalar mse_loss(const Eigen::DenseBase<Predictions>& predictions,
                                      Arguments&&... arguments) {
  return RegressionLoss<typename Predictions::Scalar, SquaredError>()(predictions,
                                                                      std::forward<Arguments>(arguments)...);
}

/// Mean absolute error, once: l1_loss(predictions, targets[, weights], gradient), or without weights and
/// gradient. As RegressionLoss with AbsoluteError and Reduction::mean.
template <typename Predictions, typename... Arguments>
typename Predictions::Scalar l1_loss(const Eigen::DenseBase<Predictions>& predictions,
                                     Arguments&&... arguments) {
  return RegressionLoss<typename Predictions::Scalar, AbsoluteError>()(predictions,
                                                                       std::forward<Arguments>(arguments)...);
}

}  // namespace ballast

// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/argmax.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>

namespace ballast {

/// Post-hoc logit adjustment (Menon et al., ICLR 2021, eq. 9): a trained model is asked for another balance
/// of classes than it was trained on, by one number per class added to its logits.
///
///     f_k - tau log pi_k                           the balanced error's Bayes rule at tau = 1, if softmax(f)
///                                                  is calibrated
///     f_k + tau (log pi^t_k - log pi_k)            for any target prior pi^t; the identity at tau = 0
///
/// Immutable: one object may serve many threads.
template <typename Scalar_>
class LogitAdjustment {
 public:
  using Scalar = Scalar_;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: LogitAdjustment's Scalar is float or double");

  /// -tau log pi_k: towards equal priors.
  /// @param tau         any finite number; 0 changes nothing, 1 is the Bayes rule
  /// @param zero_count  what a class without samples means; a masked one is never predicted, whatever tau
  /// @throws std::invalid_argument naming the first class without samples under ZeroCount::refuse
  explicit LogitAdjustment(const ClassDistribution& classes, Scalar tau = 1,
                           const ZeroCount& zero_count = ZeroCount::refuse())
      : LogitAdjustment(towards_equal(classes, tau, zero_count)) {}

  /// tau (log pi^t_k - log pi_k): towards a target prior. A class of target probability 0 is never predicted.
  /// @param target_prior  one per class, >= 0, of sum 1 (to 1e-5)
  /// @param tau           >= 0 and finite; 0 changes nothing but the masks
  template <typename Prior>
  LogitAdjustment(const ClassDistribution& classes, const Eigen::MatrixBase<Prior>& target_prior,
                  Scalar tau = 1, const ZeroCount& zero_count = ZeroCount::refuse())
      : LogitAdjustment(towards_target(classes, target_prior.template cast<double>(), tau, zero_count)) {}

  /// Any offsets, e.g. those of an estimated prior.
  /// @param offset  one per class, finite, or -inf for a class that is never to be predicted; one at least
  ///                finite
  explicit LogitAdjustment(VectorX<Scalar> offset) : offset_(std::move(offset)) {
    bool any = false;
    for (Index k = 0; k < offset_.size(); ++k) {
      detail::require(offset_[k] < -masked, "LogitAdjustment", "offset[", k, "] is ", offset_[k],
                      ", expected a finite number or -inf");
      any = any || offset_[k] > masked;
    }
    detail::require(any, "LogitAdjustment", "offset has no finite value, expected at least one");
  }

  [[nodiscard]] Index classes() const noexcept { return offset_.size(); }
  /// What is added to the logits, one per class; -inf for a masked class. `LinearHead::with_offset` folds it
  /// into a head.
  [[nodiscard]] const VectorX<Scalar>& offset() const noexcept { return offset_; }

  /// adjusted = logits + offset. A masked class becomes -inf, so its probability is exactly 0, unless
  /// its logit is +inf, which gives NaN; a NaN stays.
  /// O(samples classes), no allocation.
  /// @param logits    samples x classes
  /// @param adjusted  samples x classes in the storage order of `logits`, which it may be itself (in place)
  /// @throws std::invalid_argument on a wrong shape; `adjusted` is then untouched
  template <typename Logits, typename Adjusted>
  void operator()(const Eigen::MatrixBase<Logits>& logits, Adjusted&& adjusted) const {
    detail::assert_same_order<Logits, Adjusted>();
    require_classes("LogitAdjustment", logits);
    detail::require_shape("LogitAdjustment", "adjusted", adjusted, logits.rows(), classes());
    const auto from = detail::map(detail::view<Scalar>(logits));
    auto to = detail::map(detail::mutable_view<Scalar>(adjusted));
    to = from.rowwise() + offset_.transpose();
  }

  /// argmax_k f_k + offset_k, in one pass that writes no logits; the rules of `argmax_rows` for ties and NaN.
  /// A masked class is never predicted. O(samples classes), no allocation.
  /// @param logits       samples x classes
  /// @param predictions  one per sample, any integral vector; overwritten
  /// @throws std::invalid_argument on a wrong shape; `predictions` is then untouched
  template <typename Logits, typename Predictions>
  void predict(const Eigen::MatrixBase<Logits>& logits, Predictions&& predictions) const {
    require_classes("LogitAdjustment::predict", logits);
    detail::predict_rows<Scalar>("LogitAdjustment::predict", detail::view<Scalar>(logits), offset_.data(),
                                 predictions);
  }

 private:
  static constexpr Scalar masked = -std::numeric_limits<Scalar>::infinity();

  static VectorX<Scalar> towards_equal(const ClassDistribution& classes, Scalar tau,
                                       const ZeroCount& zero_count) {
    detail::require_finite("LogitAdjustment", "tau", tau);
    const Eigen::VectorXd log_prior = classes.log_prior(zero_count);
    VectorX<Scalar> offset(classes.classes());
    for (Index k = 0; k < offset.size(); ++k) {
      offset[k] =
          std::isinf(log_prior[k]) ? masked : static_cast<Scalar>(-static_cast<double>(tau) * log_prior[k]);
    }
    return offset;
  }

  static VectorX<Scalar> towards_target(const ClassDistribution& classes, const Eigen::VectorXd& target,
                                        Scalar tau, const ZeroCount& zero_count) {
    constexpr const char* function = "LogitAdjustment";
    detail::require(tau >= 0 && std::isfinite(tau), function, "tau is ", tau,
                    ", expected a finite number >= 0");
    detail::require_prior(function, "target_prior", target, classes.classes());
    const Eigen::VectorXd log_prior = classes.log_prior(zero_count);
    VectorX<Scalar> offset(classes.classes());
    for (Index k = 0; k < offset.size(); ++k) {
      const double shift = std::log(target[k]) - log_prior[k];
      const bool never = target[k] == 0 || std::isinf(log_prior[k]);
      offset[k] = never ? masked : static_cast<Scalar>(static_cast<double>(tau) * shift);
    }
    return offset;
  }

  template <typename Logits>
  void require_classes(const char* function, const Eigen::MatrixBase<Logits>& logits) const {
    detail::require(logits.cols() == classes(), function, "logits is ", logits.rows(), " x ", logits.cols(),
                    ", expected samples x ", classes(), " (classes)");
  }

  VectorX<Scalar> offset_;
};

}  // namespace ballast

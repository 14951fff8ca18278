// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/classifiers/linear_head.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/row_norms.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast {

/// What becomes of a head's bias when its weights are rescaled; `drop` as published.
enum class BiasPolicy { drop, keep };

namespace detail {

/// row *= norm^-tau for a row whose squares or whose factor leave the range of Scalar. With norm = m 2^e the
/// exponents are taken apart, so that only a result that Scalar itself cannot hold saturates, at its largest
/// value.
template <typename Scalar, int Order>
void tau_normalize_extreme_row(const MatrixView<Scalar, Order>& matrix, Index row, double tau) {
  constexpr double largest = static_cast<double>(std::numeric_limits<Scalar>::max());
  const ScaledNorm norm = scaled_row_norm(matrix, row);
  if (norm.mantissa == 0) return;
  const double exponent = std::clamp((1 - tau) * norm.exponent, -1e6, 1e6);
  const double whole = std::floor(exponent);
  const double scale = std::pow(norm.mantissa, -tau) * std::exp2(exponent - whole);
  for (Index k = 0; k < matrix.cols; ++k) {
    if (matrix(row, k) == 0) continue;
    const double unit = std::scalbn(static_cast<double>(matrix(row, k)), -norm.exponent);
    const double result = std::scalbn(unit * scale, static_cast<int>(whole));
    matrix(row, k) = static_cast<Scalar>(std::clamp(result, -largest, largest));
  }
}

template <typename Scalar, int Order>
void tau_normalize(const MatrixView<const Scalar, Order>& weights, const MatrixView<Scalar, Order>& out,
                   double tau) {
  constexpr bool row_major = Order == Eigen::RowMajor;
  constexpr Index strip = row_major ? 8 : 256;  // rows read, then written, while in cache
  parallel_for((weights.rows + strip - 1) / strip, weights.rows * weights.cols, [&](Index block) {
    constexpr auto size = static_cast<std::size_t>(strip);
    double sums[size];
    Scalar factors[size];
    bool extreme[size];
    const Index begin = block * strip, rows = std::min(strip, weights.rows - begin);
    const MatrixView<const Scalar, Order> from{&weights(begin, 0), rows, weights.cols, weights.stride};
    const MatrixView<Scalar, Order> to{&out(begin, 0), rows, out.cols, out.stride};
    row_square_sums(from, sums);
    for (Index i = 0; i < rows; ++i) {
      const Scalar factor = static_cast<Scalar>(std::pow(sums[i], -tau / 2));
      extreme[i] = !square_sum_holds<Scalar>(sums[i], weights.cols) || !std::isnormal(factor);
      factors[i] = extreme[i] ? Scalar(1) : factor;
    }
    if constexpr (row_major) {
      for (Index i = 0; i < rows; ++i) map(to).row(i) = map(from).row(i) * factors[i];
    } else {
      const Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>> factor(factors, rows);
      map(to) = map(from).array().colwise() * factor;
    }
    for (Index i = 0; i < rows; ++i) {
      if (extreme[i]) tau_normalize_extreme_row(to, i, tau);
    }
  });
}

}  // namespace detail

/// Rows divided by a power of their norms:
///
///     w_k / ||w_k||_2^tau
///
/// tau = 0 is the identity, tau = 1 makes every norm 1. A row of zeros stays zero; norms beyond the range of
/// Scalar, and the squares of any, are no trouble. A row with a value that is not finite becomes NaN.
/// O(classes dimensions) in one pass over memory, no allocation.
/// @param weights     classes x dimensions
/// @param tau         any finite number
/// @param normalized  classes x dimensions in the storage order of `weights`, which it may be itself
/// @throws std::invalid_argument on a wrong shape; `normalized` is then untouched
template <typename Weights, typename Normalized>
void tau_normalize(const Eigen::MatrixBase<Weights>& weights, typename Weights::Scalar tau,
                   Normalized&& normalized) {
  using Scalar = typename Weights::Scalar;
  detail::assert_same_order<Weights, Normalized>();
  detail::require_finite("tau_normalize", "tau", tau);
  detail::require_shape("tau_normalize", "normalized", normalized, weights.rows(), weights.cols());
  detail::tau_normalize(detail::view<Scalar>(weights), detail::mutable_view<Scalar>(normalized),
                        static_cast<double>(tau));
}

/// The tau-normalised classifier of a trained head (Kang et al., ICLR 2020, section 4.2): no training.
/// @param tau   any finite number; published code scans 21 points of [0, 2]
/// @param bias  dropped as published, or kept as it is
template <typename Scalar>
[[nodiscard]] LinearHead<Scalar> tau_normalized(const LinearHead<Scalar>& head, Scalar tau,
                                                BiasPolicy bias = BiasPolicy::drop) {
  LinearHead<Scalar> result = bias == BiasPolicy::keep ? head : LinearHead<Scalar>(head.weights());
  tau_normalize(head.weights(), tau, result.weights());
  return result;
}

/// A head under tau-normalisation, for when tau is to be found: it remembers the norms, so it tries many tau
/// for the price of one product, and has the gradient of a loss with respect to tau.
///
///     f_k = ||w_k||^-tau w_k . z  (+ b_k),     df_k / dtau = -log ||w_k|| (f_k - b_k)
///
/// Concurrent const calls are safe.
template <typename Scalar_>
class TauNormalizedClassifier {
 public:
  using Scalar = Scalar_;

  /// The trained head, tau, and what is made of the bias.
  struct State {
    typename LinearHead<Scalar>::State head;
    Scalar tau = 1;
    BiasPolicy bias = BiasPolicy::drop;
  };

  /// @param head  as trained
  /// @param tau   any finite number
  explicit TauNormalizedClassifier(const LinearHead<Scalar>& head, Scalar tau = 1,
                                   BiasPolicy bias = BiasPolicy::drop)
      : trained_(head), normalized_(tau_normalized(head, tau, bias)), tau_(tau), log_norms_(head.classes()) {
    detail::row_norms(detail::view<Scalar>(trained_.weights()), log_norms_.data());
    // A row of zeros gives 0 whatever tau; so does log 1.
    for (double& norm : log_norms_) norm = norm > 0 ? std::log(norm) : 0.0;
  }

  explicit TauNormalizedClassifier(const State& state)
      : TauNormalizedClassifier(LinearHead<Scalar>(state.head), state.tau, state.bias) {}

  [[nodiscard]] State state() const {
    return {trained_.state(), tau_, normalized_.has_bias() ? BiasPolicy::keep : BiasPolicy::drop};
  }

  [[nodiscard]] Scalar tau() const noexcept { return tau_; }
  [[nodiscard]] Index classes() const noexcept { return trained_.classes(); }
  [[nodiscard]] Index dimensions() const noexcept { return trained_.dimensions(); }
  /// The normalised head; forward and backward are its own.
  [[nodiscard]] const LinearHead<Scalar>& head() const noexcept { return normalized_; }

  /// The logits of the normalised head. No allocation.
  /// @param features  samples x dimensions
  /// @param logits    samples x classes, overwritten
  template <typename Features, typename Logits>
  void forward(const Eigen::MatrixBase<Features>& features, Logits&& logits) const {
    normalized_.forward(features, logits);
  }

  /// Calls visit(tau, logits) for each of several tau, with `const MatrixX<Scalar>& logits` of the head
  /// normalised by that tau. One product with the features for all of them, then O(samples classes) each;
  /// allocates two matrices of samples x classes.
  /// @param features  samples x dimensions
  /// @param taus      a vector of finite numbers
  template <typename Features, typename Taus, typename Visit>
  void scan(const Eigen::MatrixBase<Features>& features, const Eigen::MatrixBase<Taus>& taus,
            Visit&& visit) const {
    detail::require_all_finite("TauNormalizedClassifier::scan", "taus", taus);
    const MatrixX<Scalar> raw = raw_logits(features);
    MatrixX<Scalar> logits(raw.rows(), raw.cols());
    for (Index i = 0; i < taus.size(); ++i) {
      const Scalar tau = static_cast<Scalar>(taus.derived().coeff(i));
      rescale(raw, tau, logits);
      visit(tau, std::as_const(logits));
    }
  }

  /// dL/dtau from G = dL/df at this tau:  -sum_k log ||w_k|| sum_i G_ik (f_ik - b_k).  A coefficient of G
  /// that is 0 adds 0, so a masked class is no trouble. O(samples classes), no allocation.
  /// @param logits          samples x classes, as `forward` gave them
  /// @param logit_gradient  samples x classes, in the same storage order
  template <typename Logits, typename Gradient>
  [[nodiscard]] Scalar tau_gradient(const Eigen::MatrixBase<Logits>& logits,
                                    const Eigen::MatrixBase<Gradient>& logit_gradient) const {
    detail::require(logits.cols() == classes(), "TauNormalizedClassifier::tau_gradient", "logits is ",
                    logits.rows(), " x ", logits.cols(), ", expected samples x ", classes(), " (classes)");
    detail::require_shape("TauNormalizedClassifier::tau_gradient", "logit_gradient", logit_gradient,
                          logits.rows(), logits.cols());
    const auto f = detail::view<Scalar>(logits);
    const auto g = detail::view<Scalar>(logit_gradient);
    double total = 0;
    for (Index k = 0; k < classes(); ++k) {
      const double bias = normalized_.has_bias() ? static_cast<double>(normalized_.bias()[k]) : 0.0;
      double sum = 0;
      for (Index i = 0; i < f.rows; ++i) {
        const double slope = static_cast<double>(g(i, k));
        if (slope != 0) sum += slope * (static_cast<double>(f(i, k)) - bias);
      }
      total -= log_norms_[k] * sum;
    }
    return static_cast<Scalar>(total);
  }

 private:
  /// z W^T of the trained head, without bias.
  template <typename Features>
  MatrixX<Scalar> raw_logits(const Eigen::MatrixBase<Features>& features) const {
    MatrixX<Scalar> raw(features.rows(), classes());
    LinearHead<Scalar>(trained_.weights()).forward(features, raw);
    return raw;
  }

  void rescale(const MatrixX<Scalar>& raw, Scalar tau, MatrixX<Scalar>& logits) const {
    constexpr double largest = static_cast<double>(std::numeric_limits<Scalar>::max());
    for (Index k = 0; k < classes(); ++k) {
      const double factor = std::exp(-static_cast<double>(tau) * log_norms_[k]);
      logits.col(k) = raw.col(k) * static_cast<Scalar>(std::min(factor, largest));
      if (normalized_.has_bias()) logits.col(k).array() += normalized_.bias()[k];
    }
  }

  LinearHead<Scalar> trained_;
  LinearHead<Scalar> normalized_;
  Scalar tau_;
  Eigen::VectorXd log_norms_;
};

}  // namespace ballast

// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/classifiers/head_training.hpp>
#include <ballast/classifiers/linear_head.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/row_norms.hpp>
#include <ballast/core/stream_copy.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/losses/presets.hpp>

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

/// to = from * factor; `stream`: into memory that is not wanted in cache, and is not `from`.
template <typename Scalar>
void scale_row(const Scalar* from, Scalar factor, Scalar* to, Index size, bool stream) {
  using Vector = Eigen::Map<VectorX<Scalar>>;
  const Eigen::Map<const VectorX<Scalar>> source(from, size);
  if (!stream) {
    Vector(to, size) = source * factor;
    return;
  }
  constexpr Index chunk = 1024;
  alignas(64) Scalar scaled[chunk];
  for (Index begin = 0; begin < size; begin += chunk) {
    const Index count = std::min(chunk, size - begin);
    Vector(scaled, count) = source.segment(begin, count) * factor;
    stream_copy(scaled, to + begin, static_cast<std::size_t>(count) * sizeof(Scalar));
  }
}

template <typename Scalar, int Order>
void tau_normalize(const MatrixView<const Scalar, Order>& weights, const MatrixView<Scalar, Order>& out,
                   double tau) {
  constexpr bool row_major = Order == Eigen::RowMajor;
  constexpr Index strip = row_major ? 8 : 256;  // rows read, then written, while in cache
  const auto bytes = static_cast<std::size_t>(weights.rows * weights.cols) * sizeof(Scalar);
  const bool stream = bytes >= stream_threshold && weights.data != out.data;
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
      for (Index i = 0; i < rows; ++i) scale_row(from.line(i), factors[i], to.line(i), from.cols, stream);
      if (stream) stream_fence();
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
/// Scalar, and the squares of any, are no trouble. In a row with a value that is not finite all
/// but its zeros become NaN.
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

/// How a learnt tau is sought.
template <typename Scalar>
struct TauOptions {
  Scalar low = 0;                   ///< tau stays in [low, high]; -inf for no bound
  Scalar high = 1;                  ///< > low; +inf for no bound
  Index iterations = 100;           ///< at most, >= 1
  Scalar tolerance = Scalar(1e-4);  ///< > 0: stop where a step changes tau by less
};

/// What was found.
template <typename Scalar>
struct TauFit {
  Scalar tau;
  Scalar loss;      ///< at tau
  Scalar gradient;  ///< dL/dtau there: 0 inside, any sign that points outwards at a bound
  Index iterations;
  bool converged;  ///< whether the last step was below the tolerance
};

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

  [[nodiscard]] State state() const { return {trained_.state(), tau_, bias_policy()}; }

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

  /// Learns tau by its gradient: a projected descent with secant steps, each of which lowers the loss, from
  /// the present tau (or the bound nearest to it) to a local minimum; the head stays. One product with the
  /// features, then O(samples classes) per evaluation; allocates three matrices of samples x classes.
  /// @param features  samples x dimensions, finite; at least one. Held-out, or class-balanced: on the
  ///                  training samples themselves the norms are already at their best
  /// @param labels    one per sample, in [0, classes())
  /// @param options   see TauOptions
  /// @param loss      any callable `Scalar loss(logits, labels, gradient)`, matrices column-major
  /// @throws std::invalid_argument on a wrong shape, label, feature or option, or a loss that is not finite
  ///         at the start; tau is then unchanged
  template <typename Features, typename Labels, typename Loss>
  TauFit<Scalar> fit(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels,
                     const TauOptions<Scalar>& options, const Loss& loss) {
    constexpr const char* function = "TauNormalizedClassifier::fit";
    require_options(function, options);
    detail::require_training_data(function, features, labels, dimensions(), classes());
    const MatrixX<Scalar> raw = raw_logits(features);
    MatrixX<Scalar> logits(raw.rows(), raw.cols()), gradient(raw.rows(), raw.cols());
    const auto evaluate = [&](Scalar tau) {
      rescale(raw, tau, logits);
      const Scalar value = loss(logits, labels, gradient);
      return Point{tau, value, tau_gradient(logits, gradient)};
    };
    const Point start = evaluate(std::clamp(tau_, options.low, options.high));
    detail::require(std::isfinite(start.loss) && std::isfinite(start.slope), function, "the loss at tau ",
                    start.tau, " is ", start.loss, " with gradient ", start.slope,
                    ", expected finite numbers");
    const TauFit<Scalar> found = descend(start, options, evaluate);
    *this = TauNormalizedClassifier(trained_, found.tau, bias_policy());
    return found;
  }

  /// The same with the cross-entropy, every class of `labels` weighing the same.
  template <typename Features, typename Labels>
  TauFit<Scalar> fit(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels,
                     const TauOptions<Scalar>& options = {}) {
    detail::require_labels("TauNormalizedClassifier::fit", "labels", labels, classes());
    VectorX<Scalar> weights = VectorX<Scalar>::Zero(classes());
    const ClassDistribution seen(labels, classes());
    for (Index k = 0; k < classes(); ++k) {
      if (seen.counts()[k] > 0) weights[k] = Scalar(1) / static_cast<Scalar>(seen.counts()[k]);
    }
    return fit(features, labels, options, class_weighted_loss<Scalar>(std::move(weights)));
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
  struct Point {
    Scalar tau, loss, slope;
  };

  [[nodiscard]] BiasPolicy bias_policy() const {
    return normalized_.has_bias() ? BiasPolicy::keep : BiasPolicy::drop;
  }

  static void require_options(const char* function, const TauOptions<Scalar>& options) {
    detail::require(options.low < options.high, function, "[options.low, options.high] is [", options.low,
                    ", ", options.high, "], expected low < high");
    detail::require(options.iterations >= 1, function, "options.iterations is ", options.iterations,
                    ", expected at least 1");
    detail::require(options.tolerance > 0 && std::isfinite(options.tolerance), function,
                    "options.tolerance is ", options.tolerance, ", expected a finite number > 0");
  }

  /// Steps -slope / curvature, the curvature from the last two points; where that is not positive, and at
  /// most, half a unit of tau. A step is halved until the loss falls enough (Armijo).
  template <typename Evaluate>
  static TauFit<Scalar> descend(Point at, const TauOptions<Scalar>& options, const Evaluate& evaluate) {
    constexpr Scalar longest = Scalar(0.5), sufficient = Scalar(1e-4);
    Scalar curvature = 0;
    Index iteration = 0;
    bool converged = false;
    while (!converged && iteration < options.iterations) {
      ++iteration;
      Scalar step = curvature > 0 ? -at.slope / curvature : -std::copysign(longest, at.slope);
      step = at.slope == 0 ? Scalar(0) : std::clamp(step, -longest, longest);
      Point next = at;
      for (converged = true; converged; step /= 2) {
        const Scalar tau = std::clamp(at.tau + step, options.low, options.high);
        if (std::abs(tau - at.tau) < options.tolerance) break;
        next = evaluate(tau);
        converged = !(next.loss <= at.loss + sufficient * at.slope * (tau - at.tau));
      }
      if (converged) break;
      curvature = (next.slope - at.slope) / (next.tau - at.tau);
      at = next;
    }
    return {at.tau, at.loss, at.slope, iteration, converged};
  }

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

// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/newton.hpp>
#include <ballast/core/rows.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/metrics/calibration.hpp>

namespace ballast {

/// The maps of logits that a `Calibrator` can fit.
enum class CalibrationMap {
  temperature,                 ///< f / T (Guo et al., ICML 2017)
  bias_corrected_temperature,  ///< f / T + b (Alexandari et al., ICML 2020)
  vector_scaling               ///< s o f + b (Guo et al., ICML 2017)
};

/// How a fit ended.
struct CalibrationFit {
  Index iterations = 0;          ///< of Newton's method
  double log_loss_before = 0.0;  ///< weighted mean, of the logits as they came
  double log_loss = 0.0;         ///< weighted mean, after the fit
  double gradient_norm = 0.0;    ///< Euclidean, of the mean log loss (and ridge) in the parameters
  bool converged = false;        ///< gradient_norm <= gradient_tolerance
};

/// Settings of a calibration fit.
struct CalibrationFitOptions {
  /// Weight of a sample by its label, >= 0; empty: 1. `prior_ratio` fits for a target prior.
  Eigen::VectorXd class_weights;
  /// >= 0: adds ridge / 2 (sum_k (s_k - 1)^2 + sum_k b_k^2) to the mean log loss, which draws towards the
  /// logits as they are. 0 is the maximum-likelihood fit.
  double ridge = 0.0;
  double gradient_tolerance = 1e-9;  ///< > 0
  Index max_iterations = 100;        ///< >= 1
};

namespace detail {

/// Mean log loss of softmax(s o f + b) as a function of (s, b), with one s or one per class and no b or one
/// per class; convex, as the logits are linear in both.
template <typename View, typename Labels>
class CalibrationLoss {
 public:
  CalibrationLoss(const View& logits, const Labels& labels, const CalibrationFitOptions& options,
                  bool scale_per_class, bool with_bias)
      : logits_(logits),
        labels_(labels),
        options_(options),
        scales_(scale_per_class ? logits.cols : 1),
        biases_(with_bias ? logits.cols : 0),
        probabilities_(logits.rows, logits.cols),
        weights_(logits.rows) {
    for (Index i = 0; i < logits.rows; ++i) {
      const Eigen::VectorXd& w = options.class_weights;
      weights_[i] = w.size() == 0 ? 1.0 : w[label_index(labels.coeff(i))];
    }
    weights_ /= weights_.sum();
  }

  [[nodiscard]] Index scales() const { return scales_; }
  [[nodiscard]] Index parameters() const { return scales_ + biases_; }

  double operator()(const Eigen::VectorXd& x, Eigen::VectorXd& gradient, Eigen::VectorXd& diagonal) {
    double loss = 0.0;
    gradient.setZero();
    diagonal.setZero();
    Eigen::ArrayXd curvature(logits_.cols);
    for_each_row(logits_, [&](Index i, const double* row) {
      const ConstRow f(row, logits_.cols);
      Row p(probabilities_.row(i).data(), logits_.cols);
      const Index label = label_index(labels_.coeff(i));
      scaled(x, f, p);
      const double largest = p.maxCoeff();
      const double own = p[label] - largest;
      p = (p - largest).exp();
      const double sum = p.sum();
      p /= sum;
      loss += weights_[i] * (std::log(sum) - own);

      curvature = weights_[i] * p * (1.0 - p);
      if (biases_ > 0) {
        gradient.tail(biases_).array() += weights_[i] * p;
        gradient[scales_ + label] -= weights_[i];
        diagonal.tail(biases_).array() += curvature;
      }
      if (scales_ > 1) {
        gradient.head(scales_).array() += weights_[i] * p * f;
        gradient[label] -= weights_[i] * f[label];
        diagonal.head(scales_).array() += curvature * f.square();
      } else {
        const double mean = (p * f).sum();
        gradient[0] += weights_[i] * (mean - f[label]);
        diagonal[0] += weights_[i] * (p * (f - mean).square()).sum();
      }
    });
    return loss + add_ridge(x, gradient, diagonal);
  }

  void hessian_product(const Eigen::VectorXd& v, Eigen::VectorXd& result) const {
    result = options_.ridge * v;
    Eigen::ArrayXd t(logits_.cols);
    for_each_row(logits_, [&](Index i, const double* row) {
      const ConstRow f(row, logits_.cols);
      const ConstRow p(probabilities_.row(i).data(), logits_.cols);
      scaled(v, f, t);
      t = weights_[i] * p * (t - (p * t).sum());
      if (biases_ > 0) result.tail(biases_).array() += t;
      if (scales_ > 1) {
        result.head(scales_).array() += t * f;
      } else {
        result[0] += (t * f).sum();
      }
    });
  }

 private:
  using Row = Eigen::Map<Eigen::ArrayXd>;
  using ConstRow = Eigen::Map<const Eigen::ArrayXd>;

  /// out = s o f + b for x = (s, b).
  template <typename Out>
  void scaled(const Eigen::VectorXd& x, const ConstRow& f, Out& out) const {
    if (scales_ > 1) {
      out = x.head(scales_).array() * f;
    } else {
      out = x[0] * f;
    }
    if (biases_ > 0) out += x.tail(biases_).array();
  }

  double add_ridge(const Eigen::VectorXd& x, Eigen::VectorXd& gradient, Eigen::VectorXd& diagonal) const {
    Eigen::VectorXd distance = x;
    distance.head(scales_).array() -= 1.0;
    gradient += options_.ridge * distance;
    diagonal.array() += options_.ridge;
    return 0.5 * options_.ridge * distance.squaredNorm();
  }

  const View& logits_;
  const Labels& labels_;
  const CalibrationFitOptions& options_;
  Index scales_;
  Index biases_;
  RowMatrixX<double> probabilities_;
  Eigen::VectorXd weights_;
};

}  // namespace detail

/// A calibration of logits, fitted on held-out ones by minimising their mean log loss:
///
///     f'_k = s_k f_k + b_k,   min_{s, b} mean_i w_{y_i} (-log softmax(f'_i)_{y_i})
///
/// with one common s = 1 / T and no b (temperature), one common s (bias-corrected temperature), or all of
/// them (vector scaling). Convex in each case; solved by Newton's method with conjugate gradients, O(samples
/// * classes) per product. Starts as the identity. Concurrent const calls are safe.
///
///     ballast::TemperatureScaling<float> temperature;
///     temperature.fit(validation_logits, validation_labels);
///     temperature.apply(test_logits, calibrated);
///
/// @tparam Scalar  of the logits it is applied to, float or double; it is fitted in double
template <typename Scalar, CalibrationMap Map>
class Calibrator {
 public:
  /// scale: s, one for all classes (always so for a temperature, and before any fit) or one per class; bias:
  /// none, which is 0, or one per class.
  struct State {
    Eigen::VectorXd scale;
    Eigen::VectorXd bias;
  };

  /// The identity.
  Calibrator() = default;
  explicit Calibrator(State state) { restore(std::move(state)); }

  /// Fits to held-out logits, in place of whatever was fitted before. Allocates 8 bytes per logit.
  ///
  /// Where no finite optimum exists (every sample right, for a temperature) the fit stops once the gradient
  /// is below the tolerance. Biases sum to 0: a common shift changes nothing.
  ///
  /// @param logits  samples x classes, finite, float or double, either storage order; at least one sample
  /// @param labels  one per sample, integral, in [0, classes)
  /// @throws std::invalid_argument, this unchanged: for a bad argument or option, naming the first bad row;
  ///         if a bias is fitted without ridge and a class has no (weighted) samples, whose bias would be
  ///         -inf; if the best common scale is not > 0: the logits then rank labels worse than chance
  template <typename Logits, typename Labels>
  CalibrationFit fit(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Labels>& labels,
                     const CalibrationFitOptions& options = {}) {
    constexpr const char* function = "Calibrator::fit";
    const Index classes = logits.cols();
    detail::require(logits.rows() >= 1, function, "logits has no rows, expected at least one sample");
    detail::require_size(function, "labels", labels.size(), logits.rows(), "one per row of logits");
    detail::require_labels(function, "labels", labels, classes);
    detail::require_class_weights(function, options.class_weights, classes);
    detail::require(options.ridge >= 0.0 && std::isfinite(options.ridge), function, "ridge is ",
                    options.ridge, ", expected a finite number >= 0");
    detail::require(options.gradient_tolerance > 0.0, function, "gradient_tolerance is ",
                    options.gradient_tolerance, ", expected > 0");
    detail::require(options.max_iterations >= 1, function, "max_iterations is ", options.max_iterations,
                    ", expected at least 1");
    require_weighted_classes(function, labels, classes, options);

    const auto view = detail::view<typename Logits::Scalar>(logits);
    detail::CalibrationLoss loss(view, labels.derived(), options, per_class, with_bias);
    Eigen::VectorXd x = Eigen::VectorXd::Zero(loss.parameters());
    Eigen::VectorXd gradient(x.size()), diagonal(x.size());
    CalibrationFit report;
    const double spread = logit_spread(function, view);  // checks the logits
    x.head(loss.scales()).setOnes();
    report.log_loss_before = loss(x, gradient, diagonal);  // the ridge is 0 there
    // Convex, so the start does not matter, except to the conditioning: softmax is neither flat nor saturated
    // where the logits have unit spread.
    if (spread > 0.0) x.head(loss.scales()).setConstant(1.0 / spread);
    const detail::NewtonResult result =
        detail::minimize_newton(loss, x, options.gradient_tolerance, options.max_iterations);

    if (!per_class) {
      detail::require(x[0] > 0.0, function, "logits fit best with the scale ", x[0],
                      ", expected > 0: they rank the labels worse than chance");
    }
    report.iterations = result.iterations;
    report.gradient_norm = result.gradient_norm;
    report.converged = result.converged;
    const Eigen::VectorXd distance = (x.head(loss.scales()).array() - 1.0).matrix();
    report.log_loss =
        result.value -
        0.5 * options.ridge * (distance.squaredNorm() + x.tail(x.size() - loss.scales()).squaredNorm());
    state_.scale = x.head(loss.scales());
    if (with_bias) {
      state_.bias = x.tail(classes);
      state_.bias.array() -= state_.bias.mean();
    }
    return report;
  }

  /// output = s o logits + b, row by row. O(samples * classes), one pass, no allocation.
  /// @param logits  samples x classes; the classes of the fit, if it has anything per class
  /// @param output  the same shape and storage order; may be `logits`
  template <typename Logits, typename Output>
  void apply(const Eigen::MatrixBase<Logits>& logits, Output&& output) const {
    constexpr const char* function = "Calibrator::apply";
    detail::assert_same_order<Logits, Output>();
    const Index fitted = std::max(state_.bias.size(), per_class ? state_.scale.size() : Index(1));
    detail::require(fitted == 1 || logits.cols() == fitted, function, "logits has ", logits.cols(),
                    " columns, expected ", fitted, " (classes of the fit)");
    detail::require_shape(function, "output", output, logits.rows(), logits.cols());
    const auto in = detail::view<Scalar>(logits);
    const auto out = detail::mutable_view<Scalar>(output);
    const auto scale = [this](Index k) {
      return state_.scale[state_.scale.size() == 1 ? 0 : k];
    };
    const auto bias = [this](Index k) {
      return state_.bias.size() == 0 ? 0.0 : state_.bias[k];
    };
    if constexpr (in.row_major) {
      for (Index i = 0; i < in.rows; ++i) {
        for (Index k = 0; k < in.cols; ++k) {
          out.line(i)[k] = static_cast<Scalar>(scale(k) * static_cast<double>(in.line(i)[k]) + bias(k));
        }
      }
    } else {
      for (Index k = 0; k < in.cols; ++k) {
        const double s = scale(k), b = bias(k);
        for (Index i = 0; i < in.rows; ++i) {
          out.line(k)[i] = static_cast<Scalar>(s * static_cast<double>(in.line(k)[i]) + b);
        }
      }
    }
  }

  /// T = 1 / s.
  [[nodiscard]] double temperature() const {
    static_assert(!per_class, "ballast: vector scaling has no single temperature; read scale()");
    return 1.0 / state_.scale[0];
  }
  /// s: one value for all classes, or one per class.
  [[nodiscard]] const Eigen::VectorXd& scale() const noexcept { return state_.scale; }
  /// b: empty (0), or one per class with sum 0.
  [[nodiscard]] const Eigen::VectorXd& bias() const noexcept { return state_.bias; }

  [[nodiscard]] State state() const { return state_; }
  /// @throws std::invalid_argument if a size does not suit the map, a value is not finite, or a common scale
  ///         is not > 0; this is then unchanged
  void restore(State state) {
    constexpr const char* function = "Calibrator::restore";
    const Index scales = state.scale.size();
    const Index biases = state.bias.size();
    detail::require(per_class ? scales >= 1 : scales == 1, function, "scale has size ", scales, ", expected ",
                    per_class ? "1 or one per class" : "1");
    detail::require(with_bias || biases == 0, function, "bias has size ", biases,
                    ", expected none: a temperature has no bias");
    detail::require(!per_class || scales == 1 || biases == scales, function, "bias has size ", biases,
                    ", expected that of scale, ", scales);
    detail::require_all_finite(function, "scale", state.scale);
    detail::require_all_finite(function, "bias", state.bias);
    if (!per_class) {
      detail::require(state.scale[0] > 0.0, function, "scale[0] is ", state.scale[0], ", expected > 0");
    }
    state_ = std::move(state);
  }

 private:
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: logits are float or double");
  static constexpr bool per_class = Map == CalibrationMap::vector_scaling;
  static constexpr bool with_bias = Map != CalibrationMap::temperature;

  template <typename Labels>
  static void require_weighted_classes(const char* function, const Eigen::DenseBase<Labels>& labels,
                                       Index classes, const CalibrationFitOptions& options) {
    Eigen::VectorXd weight = Eigen::VectorXd::Zero(classes);
    for (Index i = 0; i < labels.size(); ++i) {
      const Index label = detail::label_index(labels.derived().coeff(i));
      weight[label] += options.class_weights.size() == 0 ? 1.0 : options.class_weights[label];
    }
    detail::require(weight.sum() > 0.0, function,
                    "the samples have no weight, expected one of a class with weight > 0");
    if (!with_bias || options.ridge > 0.0) return;
    for (Index j = 0; j < classes; ++j) {
      detail::require(
          weight[j] > 0.0, function, "class ", j,
          " has no weighted samples, so its bias would be -inf; expected some (or set ridge > 0)");
    }
  }

  /// Root mean square of the logits about their row's mean; checks that they are finite.
  template <typename View>
  static double logit_spread(const char* function, const View& logits) {
    double total = 0.0;
    detail::for_each_row(logits, [&](Index i, const double* row) {
      const Eigen::Map<const Eigen::ArrayXd> f(row, logits.cols);
      const double squares = (f - f.mean()).square().mean();
      detail::require(std::isfinite(squares), function, "logits row ", i,
                      " is not finite (or its squares are not), expected finite numbers");
      total += squares / static_cast<double>(logits.rows);
    });
    return std::sqrt(total);
  }

  State state_{Eigen::VectorXd::Ones(1), {}};
};

template <typename Scalar>
using TemperatureScaling = Calibrator<Scalar, CalibrationMap::temperature>;
template <typename Scalar>
using BiasCorrectedTemperature = Calibrator<Scalar, CalibrationMap::bias_corrected_temperature>;
template <typename Scalar>
using VectorScaling = Calibrator<Scalar, CalibrationMap::vector_scaling>;

}  // namespace ballast
